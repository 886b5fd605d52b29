//! Several replies to one request in whatever order they come.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;

use crate::call::{Ask, CallBuilder, CallError, CallErrorKind, Decode, Ending, Entry, Failure};
use crate::table::{Done, Piece, Pieces};

/// The replies of repliers that all got the same request.
pub(super) struct Anonymous<T> {
    pieces: mpsc::Receiver<Piece>,
    fate: Arc<Mutex<Option<Failure>>>,
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
        // Duplicates, after a crash of a replier, take room too.
        let (sender, pieces) = mpsc::channel(count.saturating_mul(2).max(16));
        let fate = Arc::new(Mutex::new(None));
        let topic = call.topic_of();
        let to = Pieces { sender, fate: Arc::clone(&fate), topic: topic.clone() };
        let done = Done::replies(to);
        match call.try_send(started, done) {
            Ok(entry) => Ok(Self { pieces, fate, entry, started, decode: A::decode }),
            Err((failure, _)) => {
                call.session.calls.count_not_sent();
                Err(CallError::new(failure, topic, None, started.elapsed()))
            }
        }
    }

    /// The next reply, or what ended the call; `None` when it has ended by its deadline.
    pub(super) async fn next(&mut self) -> Option<Result<T, CallError>> {
        let ended = match self.pieces.recv().await {
            Some(piece) => piece.ended,
            None => {
                let fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner).take();
                match fate? {
                    Failure { kind: CallErrorKind::Timeout, .. } => return None,
                    failure => Err(failure),
                }
            }
        };
        let (topic, id) = (self.entry.topic().clone(), Some(self.entry.id()));
        Some(Ending { ended, topic, id, started: self.started }.decode(self.decode))
    }

    /// Frees the call's place.
    pub(super) fn complete(self) {
        self.entry.complete(true);
    }
}
