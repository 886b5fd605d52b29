//! One queue for the answers of many calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use antiphon_common::{CodecError, CorrelationId, Request};
use tokio::sync::{Mutex, mpsc};

use crate::call::{Ask, CallBuilder, CallError, CallErrorKind, Ending, Failure, Name, Reply};

/// A queue that answers arrive in, in the order in which the calls end. Clones share it: one task
/// may ask while another takes the answers.
///
/// It is bounded by what is put in it: a call that would be one more than `capacity`, waiting for
/// its answer or answered and not taken yet, is refused.
///
/// ```no_run
/// # async fn example(requester: antiphon_requester::Requester) -> Result<(), antiphon_requester::CallError> {
/// use antiphon_requester::RawRequest;
///
/// let replies = requester.replies(10_000);
/// for symbol in ["ACME", "ABCD"] {
///     requester.ask(RawRequest::new("quotes", symbol)).queue(&replies, symbol)?;
/// }
/// while let Some(queued) = replies.next().await {
///     println!("{}: {:?}", queued.tag, queued.answer);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ReplyQueue<G>(Arc<Inner<G>>);

#[derive(Debug)]
struct Inner<G> {
    answers: Mutex<mpsc::UnboundedReceiver<Queued<G>>>,
    sender: mpsc::UnboundedSender<Queued<G>>,
    /// Calls whose answer was not taken yet.
    open: AtomicUsize,
    capacity: usize,
}

/// The answer of one call in a queue.
#[derive(Debug)]
pub struct Queued<G> {
    /// What the call was queued with.
    pub tag: G,
    /// The request topic.
    pub topic: Name,
    /// The call's id; `None` if it was refused before it had one.
    pub correlation_id: Option<CorrelationId>,
    /// How it ended.
    pub answer: Result<Reply, CallError>,
}

impl<G> ReplyQueue<G> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        let answers = Mutex::new(answers);
        Self(Arc::new(Inner { answers, sender, open: AtomicUsize::new(0), capacity }))
    }

    /// The next answer; `None` when all have been taken. Of several tasks that take answers, each
    /// gets different ones.
    pub async fn next(&self) -> Option<Queued<G>> {
        let mut answers = self.0.answers.lock().await;
        if self.open() == 0 {
            return None;
        }
        let queued = answers.recv().await;
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        queued
    }

    /// The next answer, if there is one already and nobody else waits for it. It never waits.
    pub fn try_next(&self) -> Option<Queued<G>> {
        let queued = self.0.answers.try_lock().ok()?.try_recv().ok()?;
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        Some(queued)
    }

    /// The number of calls whose answer was not taken yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    fn enter(&self) -> Result<(), Failure> {
        let capacity = self.0.capacity;
        let more = |open: usize| (open < capacity).then_some(open + 1);
        match self.0.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more) {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::not_sent(CallErrorKind::Overloaded(format!(
                "the queue of replies takes {capacity}"
            )))),
        }
    }
}

impl<G> Clone for ReplyQueue<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<G> Queued<G> {
    /// The answer of a call for a request of type `R`.
    ///
    /// # Errors
    /// The call's own error; a payload of another form is the inner error.
    pub fn decode<R: Request>(self) -> Result<Result<R::Reply, CodecError>, CallError> {
        Ok(self.answer?.decode::<R>())
    }
}

impl<A: Ask> CallBuilder<'_, A> {
    /// Sends the request; its answer, good or bad, arrives in `queue` with `tag`.
    ///
    /// # Errors
    /// [`CallErrorKind::Overloaded`] if the queue is full. Any other fault arrives in the queue.
    pub fn queue<G: Send + 'static>(self, queue: &ReplyQueue<G>, tag: G) -> Result<(), CallError> {
        let topic = self.topic_of();
        if let Err(full) = queue.enter() {
            return Err(CallError::new(full, topic, None, Instant::now().elapsed()));
        }
        let sender = queue.0.sender.clone();
        self.then(move |ending: Ending| {
            let correlation_id = ending.id;
            let answer = ending.decode(Ok);
            // Nobody takes answers any more if the queue is gone.
            let _ = sender.send(Queued { tag, topic, correlation_id, answer });
        });
        Ok(())
    }
}
