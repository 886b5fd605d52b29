//! The future of a reply.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use antiphon_common::{CodecError, CorrelationId};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::ending::Ending;
use super::error::{CallError, CallErrorKind, Failure};
use super::name::Name;
use super::reply::Reply;
use crate::table::{Calls, Done, Ended};

/// A call that is under way: a future of its answer.
///
/// It ends once: with an answer, an error, or by its deadline. Dropping it cancels the call: its
/// place in flight is free at once, and a reply that comes later is counted and thrown away.
#[must_use = "dropping a call cancels it"]
#[derive(Debug)]
pub struct Call<T> {
    ended: oneshot::Receiver<Box<Ended>>,
    owner: Owner,
    started: Instant,
    decode: Decode<T>,
    /// Ends the call when somebody else cancels.
    cancelled: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

pub(crate) type Decode<T> = fn(Reply) -> Result<T, CodecError>;

/// What sees to it that the call ends, and what a drop has to undo.
#[derive(Debug)]
enum Owner {
    Entry(Entry),
    Task(Task),
    Refused(Box<Failure>, Name),
    /// It has ended, and said so.
    Nobody,
}

/// An entry of the in-flight table, taken out when this is dropped.
///
/// It exists from before the request is produced, so no path leaves an entry behind.
#[derive(Debug)]
pub(crate) struct Entry {
    calls: Arc<Calls>,
    call: u64,
    topic: Name,
    /// The call has not ended, as far as its holder knows.
    armed: bool,
}

/// A task that makes the call, once or several times, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) handle: AbortHandle,
    pub(crate) topic: Name,
}

impl<T> Call<T> {
    pub(crate) fn waiting(
        ended: oneshot::Receiver<Box<Ended>>,
        entry: Entry,
        started: Instant,
        decode: Decode<T>,
    ) -> Self {
        Self { ended, owner: Owner::Entry(entry), started, decode, cancelled: None }
    }

    pub(crate) fn made_by(
        task: Task,
        ended: oneshot::Receiver<Box<Ended>>,
        started: Instant,
        decode: Decode<T>,
    ) -> Self {
        Self { ended, owner: Owner::Task(task), started, decode, cancelled: None }
    }

    pub(crate) fn refused(
        failure: Failure,
        topic: Name,
        started: Instant,
        decode: Decode<T>,
    ) -> Self {
        let (_, never) = oneshot::channel();
        let owner = Owner::Refused(Box::new(failure), topic);
        Self { ended: never, owner, started, decode, cancelled: None }
    }

    pub(crate) fn cancelled_by(mut self, token: Option<CancellationToken>) -> Self {
        self.cancelled = token.map(|token| Box::pin(token.cancelled_owned()));
        self
    }

    /// The call's id; `None` if it was refused before it had one, has ended, or is made of several
    /// attempts, which have one each.
    #[must_use]
    pub fn correlation_id(&self) -> Option<CorrelationId> {
        match &self.owner {
            Owner::Entry(entry) => Some(entry.id()),
            Owner::Task(_) | Owner::Refused(..) | Owner::Nobody => None,
        }
    }

    /// The answer, if the call has ended; `None` while it is under way. It never waits.
    ///
    /// ```no_run
    /// # async fn example(requester: antiphon_requester::Requester) {
    /// use antiphon_requester::RawRequest;
    ///
    /// let mut call = requester.ask(RawRequest::new("quotes", "ACME")).send();
    /// let answer = loop {
    ///     match call.try_reply() {
    ///         Some(answer) => break answer,
    ///         None => { /* something else to do */ }
    ///     }
    /// };
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the answer was taken before.
    pub fn try_reply(&mut self) -> Option<Result<T, CallError>> {
        if matches!(self.owner, Owner::Refused(..)) {
            return Some(self.take(None));
        }
        match self.ended.try_recv() {
            Ok(ended) => Some(self.take(Some(ended))),
            Err(TryRecvError::Empty) => {
                // Whoever waits for the call later leaves a waker of his own.
                let nobody = &mut Context::from_waker(Waker::noop());
                self.is_cancelled(nobody).then(|| self.end_cancelled())
            }
            Err(TryRecvError::Closed) => Some(self.take(None)),
        }
    }

    fn is_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        let cancelled = self.cancelled.as_mut();
        cancelled.is_some_and(|cancelled| cancelled.as_mut().poll(cx).is_ready())
    }

    fn end_cancelled(&mut self) -> Result<T, CallError> {
        self.end(None, CallErrorKind::Cancelled)
    }

    /// The answer, once; `None` if whoever was to end the call is gone.
    fn take(&mut self, ended: Option<Box<Ended>>) -> Result<T, CallError> {
        self.end(ended, CallErrorKind::Closed)
    }

    fn end(
        &mut self,
        mut ended: Option<Box<Ended>>,
        otherwise: CallErrorKind,
    ) -> Result<T, CallError> {
        let (topic, id) = match std::mem::replace(&mut self.owner, Owner::Nobody) {
            // Of a call that ended nothing is left to cancel; any other is cancelled by the drop.
            Owner::Entry(entry) if ended.is_some() => {
                let (id, topic) = entry.release();
                (topic, Some(id))
            }
            Owner::Entry(entry) => (entry.topic.clone(), Some(entry.id())),
            Owner::Task(task) => (task.topic.clone(), None),
            Owner::Refused(failure, topic) => {
                ended.get_or_insert_with(|| Box::new(Err(*failure)));
                (topic, None)
            }
            Owner::Nobody => panic!("the answer of a call is taken once"),
        };
        let ended = ended.map_or_else(|| Err(Failure::unknown(otherwise)), |ended| *ended);
        Ending { ended, topic, id, started: self.started }.decode(self.decode)
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, CallError>;

    /// # Panics
    /// If it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if matches!(self.owner, Owner::Refused(..)) {
            return Poll::Ready(self.take(None));
        }
        if let Poll::Ready(ended) = Pin::new(&mut self.ended).poll(cx) {
            return Poll::Ready(self.take(ended.ok()));
        }
        if self.is_cancelled(cx) {
            return Poll::Ready(self.end_cancelled());
        }
        Poll::Pending
    }
}

impl Entry {
    pub(crate) fn new(calls: Arc<Calls>, call: u64, topic: Name) -> Self {
        Self { calls, call, topic, armed: true }
    }

    pub(crate) fn id(&self) -> CorrelationId {
        self.calls.id(self.call)
    }

    /// The key of the entry.
    pub(crate) fn call(&self) -> u64 {
        self.call
    }

    pub(crate) fn topic(&self) -> &Name {
        &self.topic
    }

    /// Takes back a call that was never sent; whoever was to be told of its end is returned. If
    /// it has just ended otherwise, the entry is.
    pub(crate) fn withdraw(mut self) -> Result<Done, Self> {
        match self.calls.withdraw(self.call) {
            Some(done) => {
                self.armed = false;
                Ok(done)
            }
            None => Err(self),
        }
    }

    /// Ends a call that took several replies, and has them; the last one may be an error.
    pub(crate) fn complete(mut self, good: bool) {
        self.calls.complete(self.call, good);
        self.armed = false;
    }

    /// The entry has left the table: there is nothing to cancel any more.
    pub(crate) fn release(mut self) -> (CorrelationId, Name) {
        self.armed = false;
        (self.id(), std::mem::replace(&mut self.topic, Name::from("")))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.armed {
            // Of a call that has just ended there is no entry, and this does nothing.
            self.calls.cancel(self.call, &self.topic);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}
