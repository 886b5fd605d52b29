//! What is kept of a call while it waits, and who is told when it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use antiphon_common::CorrelationId;
use antiphon_common::wire::StreamPosition;
use tokio::sync::{mpsc, oneshot};

use super::moment::Moment;
use crate::call::{CallErrorKind, Failure, Name, Reply};

/// How a call ended.
pub(crate) type Ended = Result<Reply, Failure>;

/// An entry of the in-flight table. There may be a million, so the rare ways to be told are in a
/// box of their own.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) done: Done,
    pub(super) sent_at: Moment,
    /// What the call reserved in the budget.
    pub(super) size: u32,
    pub(super) cancel: Cancel,
}

impl Waiting {
    pub(super) fn is_cancelled(&self) -> bool {
        matches!(&self.done, Done::Other(other) if matches!(**other, Other::Cancelled(_)))
    }
}

impl Done {
    pub(crate) fn then(then: impl FnOnce(Option<CorrelationId>, Ended) + Send + 'static) -> Self {
        Self::Other(Box::new(Other::Then(Box::new(then))))
    }

    pub(crate) fn replies(pieces: Pieces) -> Self {
        Self::Other(Box::new(Other::Replies(pieces)))
    }

    pub(crate) fn submitted(submitted: oneshot::Sender<Result<Position, Failure>>) -> Self {
        Self::Other(Box::new(Other::Submitted(submitted)))
    }

    /// Says how the call ended.
    pub(crate) fn tell(self, id: Option<CorrelationId>, ended: Box<Ended>) {
        // A caller that has just gone does not mind.
        match self {
            Self::Future(done) => drop(done.send(ended)),
            Self::Other(other) => match *other {
                Other::Then(then) => then(id, *ended),
                Other::Replies(pieces) => {
                    *pieces.fate.lock().unwrap_or_else(PoisonError::into_inner) = ended.err();
                }
                Other::Submitted(done) => {
                    let gone = || Failure::unknown(CallErrorKind::Closed);
                    drop(done.send(Err(ended.err().unwrap_or_else(gone))));
                }
                Other::Cancelled(_) => {}
            },
        }
    }

    pub(crate) fn is_submitted(&self) -> bool {
        matches!(self, Self::Other(other) if matches!(**other, Other::Submitted(_)))
    }
}

/// Who is told.
#[derive(Debug)]
pub(crate) enum Done {
    /// A future. The end is in a box, since the channel has room for it from the start.
    Future(oneshot::Sender<Box<Ended>>),
    Other(Box<Other>),
}

pub(crate) enum Other {
    /// Something that runs at once, on the thread that ends the call; it must not block.
    Then(Box<dyn FnOnce(Option<CorrelationId>, Ended) + Send>),
    /// One who takes several replies. The entry stays until they have all been taken.
    Replies(Pieces),
    /// One who waits only for the request to be in its topic.
    Submitted(oneshot::Sender<Result<Position, Failure>>),
    /// Nobody: the call was cancelled before it was known where its request is. As soon as that
    /// is known a cancel record follows it.
    Cancelled(Name),
}

/// The way to one who takes several replies: a channel with a bound, and a place for what ended
/// the call early, which must arrive even when the channel is full.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    pub(crate) sender: mpsc::Sender<Piece>,
    fate: Arc<Mutex<Option<Failure>>>,
    /// The request topic.
    pub(crate) topic: Name,
}

/// The other end of [`Pieces`].
#[derive(Debug)]
pub(crate) struct Arrivals {
    pub(super) pieces: mpsc::Receiver<Piece>,
    pub(super) fate: Arc<Mutex<Option<Failure>>>,
}

impl Pieces {
    /// A way for the replies of a call to `topic`, in which `max` may wait to be taken.
    pub(crate) fn channel(max: usize, topic: Name) -> (Self, Arrivals) {
        let (sender, pieces) = mpsc::channel(max);
        let fate = Arc::new(Mutex::new(None));
        (Self { sender, fate: Arc::clone(&fate), topic }, Arrivals { pieces, fate })
    }
}

impl Arrivals {
    /// The next reply, or what ended the call instead.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        let piece = ready!(self.pieces.poll_recv(cx));
        // The call has left the table: why, is said there.
        Poll::Ready(piece.ok_or_else(|| {
            let fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner).take();
            fate.unwrap_or_else(|| Failure::unknown(CallErrorKind::Closed))
        }))
    }
}

/// One of several replies.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) position: Option<StreamPosition>,
    pub(crate) ended: Box<Ended>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// Whether cancelling the call is to reach its replier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// It is not.
    Quiet,
    /// It is, once the request is known to be in its topic.
    Unacknowledged,
    /// It is, by a record in this partition.
    Behind(i32),
}

/// A call that gets a reply.
pub(crate) enum Answered {
    /// It has ended.
    Once(Waiting),
    /// It may get more.
    Several(Pieces),
}

impl std::fmt::Debug for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Then(_) => "Then",
            Self::Replies(_) => "Replies",
            Self::Submitted(_) => "Submitted",
            Self::Cancelled(_) => "Cancelled",
        })
    }
}

/// What a million waiting calls cost is a promise.
const _: () = assert!(size_of::<Waiting>() <= 40);
