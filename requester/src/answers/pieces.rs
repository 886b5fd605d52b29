//! Several replies to one request in whatever order they come.

use std::future::poll_fn;
use std::time::Instant;

use crate::call::{Ask, CallBuilder, CallError, CallErrorKind, Decode, Ending, Entry, Failure};
use crate::table::{Arrivals, Done, Pieces};

/// The replies of repliers that all got the same request.
pub(super) struct Anonymous<T> {
    arrivals: Arrivals,
    entry: Entry,
    started: Instant,
    decode: Decode<T>,
}

impl<T> Anonymous<T> {
    /// Sends the request, and expects `count` replies.
    pub(super) fn send<A>(call: &CallBuilder<'_, A>, count: usize) -> Result<Self, CallError>
    where
        A: Ask<Answer = T>,
    {
        let started = Instant::now();
        let topic = call.topic_of();
        // Duplicates, after a crash of a replier, take room too.
        let (to, arrivals) = Pieces::channel(count.saturating_mul(2).max(16), topic.clone());
        match call.try_send(started, Done::replies(to)) {
            Ok(entry) => Ok(Self { arrivals, entry, started, decode: A::decode }),
            Err((failure, _)) => {
                call.session.calls.count_not_sent();
                Err(CallError::new(failure, topic, None, started.elapsed()))
            }
        }
    }

    /// The next reply, or what ended the call; `None` when it has ended by its deadline.
    pub(super) async fn next(&mut self) -> Option<Result<T, CallError>> {
        let ended = match poll_fn(|cx| self.arrivals.poll_next(cx)).await {
            Ok(piece) => *piece.ended,
            Err(Failure { kind: CallErrorKind::Timeout, .. }) => return None,
            Err(failure) => Err(failure),
        };
        let (topic, id) = (self.entry.topic().clone(), Some(self.entry.id()));
        Some(Ending { ended, topic, id, started: self.started }.decode(self.decode))
    }

    /// Frees the call's place.
    pub(super) fn complete(self) {
        self.entry.complete(true);
    }
}
