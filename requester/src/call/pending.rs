//! The future of a reply.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use antiphon_common::{CodecError, CorrelationId};
use tokio::sync::oneshot;

use crate::call::Reply;
use crate::call::Topic;
use crate::call::{CallError, CallErrorKind, Failure};
use crate::table::{Calls, Ended};

/// A call that is under way: a future of its answer.
///
/// It ends once: with an answer, an error, or by its deadline. Dropping it cancels the call: its
/// place in flight is free at once, and a reply that comes later is counted and thrown away.
#[must_use = "dropping a call cancels it"]
#[derive(Debug)]
pub struct Call<T> {
    state: State,
    topic: Topic,
    started: Instant,
    decode: fn(Reply) -> Result<T, CodecError>,
}

#[derive(Debug)]
enum State {
    Waiting {
        ended: oneshot::Receiver<Ended>,
        guard: CancelGuard,
    },
    /// The failure, until it is handed over.
    Refused(Option<Failure>),
}

/// Takes the call out of the table when the future is dropped.
///
/// It exists from before the request is produced, so no path leaves an entry behind.
#[derive(Debug)]
pub(crate) struct CancelGuard {
    calls: Arc<Calls>,
    id: CorrelationId,
    armed: bool,
}

impl<T> Call<T> {
    pub(crate) fn waiting(
        ended: oneshot::Receiver<Ended>,
        guard: CancelGuard,
        topic: Topic,
        started: Instant,
        decode: fn(Reply) -> Result<T, CodecError>,
    ) -> Self {
        Self { state: State::Waiting { ended, guard }, topic, started, decode }
    }

    pub(crate) fn refused(
        failure: Failure,
        topic: Topic,
        started: Instant,
        decode: fn(Reply) -> Result<T, CodecError>,
    ) -> Self {
        Self { state: State::Refused(Some(failure)), topic, started, decode }
    }

    /// The call's id; `None` if it was refused before it had one.
    #[must_use]
    pub fn correlation_id(&self) -> Option<CorrelationId> {
        match &self.state {
            State::Waiting { guard, .. } => Some(guard.id),
            State::Refused(_) => None,
        }
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, CallError>;

    /// # Panics
    /// If it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (ended, id) = match &mut self.state {
            State::Waiting { ended, guard } => {
                let ended = ready!(Pin::new(ended).poll(cx));
                // The entry has left the table: there is nothing to cancel.
                guard.armed = false;
                // A sender leaves the table only to send; a lost one is a requester that is gone.
                let gone = |_| Err(Failure::unknown(CallErrorKind::Closed));
                (ended.unwrap_or_else(gone), Some(guard.id))
            }
            State::Refused(failure) => {
                (Err(failure.take().expect("a call is not polled after it has ended")), None)
            }
        };
        let answer = ended.and_then(|reply| {
            (self.decode)(reply).map_err(|e| Failure::executed(CallErrorKind::Decode(e)))
        });
        Poll::Ready(answer.map_err(|failure| {
            CallError::new(failure, self.topic.clone(), id, self.started.elapsed())
        }))
    }
}

impl CancelGuard {
    pub(crate) fn new(calls: Arc<Calls>, id: CorrelationId) -> Self {
        Self { calls, id, armed: true }
    }

    /// Takes back a call that could not be sent: it is reported as such, not as cancelled.
    pub(crate) fn withdraw(mut self) {
        self.armed = false;
        self.calls.withdraw(self.id.call());
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if self.armed {
            self.calls.cancel(self.id.call());
        }
    }
}
