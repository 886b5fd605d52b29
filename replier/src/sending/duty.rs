//! What the acknowledgement of a reply record completes: a request, or one part of a stream.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;

use crate::intake::several::Several;
use crate::intake::tracker::{Taken, Tracker};

/// The duty that goes with a record. Dropped without [`Duty::complete`], it leaves the request
/// incomplete, so that it is handled again.
#[derive(Debug)]
pub(crate) enum Duty {
    /// The record is the only reply.
    Whole(Taken),
    /// The record is one of several.
    Part(Part),
    /// The record comes before the handler runs, which is told; the request goes on from there.
    Told(Box<Told>),
}

/// A request that waits for the acknowledgement of a record, and who goes on with it.
#[derive(Debug)]
pub(crate) struct Told {
    taken: Taken,
    tell: oneshot::Sender<Taken>,
}

/// A request that is answered by a stream: complete when all of its parts are.
#[derive(Debug)]
pub(crate) struct Streamed {
    request: Several,
    tracker: Arc<Tracker>,
    /// Ends the stream without more records.
    halt: CancellationToken,
}

/// One record of a stream, and its place in the stream's window if it is an item.
#[derive(Debug)]
pub(crate) struct Part {
    of: Arc<Streamed>,
    completed: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Duty {
    /// Gives the request back when the record is acknowledged.
    pub(crate) fn told(taken: Taken, tell: oneshot::Sender<Taken>) -> Self {
        Self::Told(Box::new(Told { taken, tell }))
    }

    /// The progress of the request's partition.
    pub(crate) fn tracker(&self) -> &Arc<Tracker> {
        match self {
            Self::Whole(taken) => taken.tracker(),
            Self::Part(part) => &part.of.tracker,
            Self::Told(told) => told.taken.tracker(),
        }
    }

    /// The offset of the request, if that is complete with this record.
    pub(crate) fn completes(&self) -> Option<i64> {
        match self {
            Self::Whole(taken) if !taken.shares() => Some(taken.offset()),
            Self::Whole(_) | Self::Part(_) | Self::Told(_) => None,
        }
    }

    /// The record is acknowledged, or can never be.
    pub(crate) fn complete(self) {
        match self {
            Self::Whole(taken) => taken.complete(),
            Self::Part(part) => part.complete(),
            // If nobody goes on with it, it stays incomplete.
            Self::Told(told) => _ = told.tell.send(told.taken),
        }
    }

    /// The same of several records.
    pub(crate) fn complete_all(duties: impl ExactSizeIterator<Item = Self>) {
        let mut requests = Vec::with_capacity(duties.len());
        for duty in duties {
            match duty {
                Self::Whole(taken) => requests.push(taken),
                other => other.complete(),
            }
        }
        Taken::complete_all(requests);
    }

    /// A record that must be written before the request is complete cannot be: until it is, no more
    /// requests of its partition are to be taken in.
    pub(crate) fn block(&mut self) {
        match self {
            Self::Whole(taken) => taken.block(),
            Self::Part(part) => part.of.request.with_whole(Taken::block),
            Self::Told(told) => told.taken.block(),
        }
    }

    /// It is written.
    pub(crate) fn unblock(&mut self) {
        match self {
            Self::Whole(taken) => taken.unblock(),
            Self::Part(part) => part.of.request.with_whole(Taken::unblock),
            Self::Told(told) => told.taken.unblock(),
        }
    }

    /// No more records are to follow this one.
    pub(crate) fn halt(&self) {
        if let Self::Part(part) = self {
            part.of.halt.cancel();
        }
    }
}

impl Streamed {
    /// Makes a stream of a request.
    pub(crate) fn new(taken: Taken, halt: CancellationToken) -> Arc<Self> {
        let tracker = Arc::clone(taken.tracker());
        Arc::new(Self { request: Several::new(taken), tracker, halt })
    }

    /// Whether no more records are to be sent.
    pub(crate) fn is_halted(&self) -> bool {
        self.halt.is_cancelled()
    }

    /// Adds a part. Whoever drives the stream holds one from the beginning, or the stream would be
    /// complete whenever all that was sent so far is acknowledged.
    pub(crate) fn part(self: &Arc<Self>, place: Option<OwnedSemaphorePermit>) -> Part {
        Part { of: Arc::clone(self), completed: false, _place: place }
    }
}

impl Part {
    /// The part is acknowledged, or is not to be sent.
    pub(crate) fn complete(mut self) {
        self.completed = true;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.completed {
            self.of.request.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::outstanding::Outstanding;
    use antiphon_common::metrics::ReplierMetrics;
    use proptest::prelude::*;

    fn tracker() -> Arc<Tracker> {
        Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()))
    }

    proptest! {
        /// Whatever the order in which parts end, the request is complete when the last one has
        /// ended and not before; and it never is if one of them was left.
        #[test]
        fn complete_with_the_last_part(
            ends in prop::collection::vec((prop::bool::weighted(0.9), any::<prop::sample::Index>()), 1..20),
        ) {
            let tracker = tracker();
            let taken = tracker.take(7).expect("new");
            let stream = Streamed::new(taken, CancellationToken::new());
            let mut parts: Vec<Part> = ends.iter().map(|_| stream.part(None)).collect();
            drop(stream);
            for (completes, index) in &ends {
                prop_assert!(tracker.committable().is_none());
                let part = parts.swap_remove(index.index(parts.len()));
                if *completes { part.complete() } else { drop(part) }
            }
            let all = ends.iter().all(|(completes, _)| *completes);
            prop_assert_eq!(tracker.committable().map(|commit| commit.next), all.then_some(8));
            prop_assert!(tracker.wait_idle(std::time::Instant::now()));
        }
    }

    #[test]
    fn a_part_can_halt_its_stream_and_a_whole_has_nothing_to_halt() {
        let tracker = tracker();
        let request = CancellationToken::new();
        let stream = Streamed::new(tracker.take(0).expect("new"), request.child_token());
        Duty::Part(stream.part(None)).halt();
        assert!(stream.is_halted());
        assert!(!request.is_cancelled(), "the request itself is not cancelled by that");
        Duty::Whole(tracker.take(1).expect("new")).halt();
    }
}
