//! Many replies taken together, as they come: one scan, and a bound on what waits to be taken.

use std::sync::Arc;

use antiphon_common::Deadline;
use futures::Stream;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout_at;

use super::claim::Claim;
use super::mailbox::{Question, Room, Told};
use super::redeemer::{Desk, Redeemer, timed_out};
use super::search::Sought;
use crate::call::{Failure, Reply};

/// How many KiB of answers may wait to be taken from one stream.
const ROOM_KIB: u32 = 16 * 1024;

impl Redeemer {
    /// Waits for the replies to many requests at once, each until its own deadline and until
    /// `until` at most. The stream yields each claim with its end, in the order in which they end.
    ///
    /// Answers that are not taken wait in a bounded room; those for which there is none are read
    /// again later.
    pub(crate) fn wait_all<C: Claim + Send + 'static>(
        &self,
        claims: Vec<C>,
        until: Deadline,
    ) -> impl Stream<Item = (C, Result<Reply, Failure>)> + Send + 'static + use<C> {
        self.wait_all_within(claims, until, ROOM_KIB)
    }

    pub(super) fn wait_all_within<C: Claim + Send + 'static>(
        &self,
        claims: Vec<C>,
        until: Deadline,
        room_kib: u32,
    ) -> impl Stream<Item = (C, Result<Reply, Failure>)> + Send + 'static + use<C> {
        let kib = Arc::new(Semaphore::new(room_kib as usize));
        let room = |held| Room { kib: Arc::clone(&kib), all: room_kib, held };
        let mut questions = Vec::with_capacity(claims.len());
        let mut waiting = Vec::with_capacity(claims.len());
        for claim in claims {
            let asked = self.admit(&claim, false).map(|sought| {
                let (question, told) = Question::new(sought.clone(), Some(room(None)));
                questions.push(question);
                Asked { desk: Arc::clone(self.desk()), sought, room: room(None), told }
            });
            waiting.push((claim, asked));
        }
        // Left together, for the scan begins at the earliest of those that are there.
        let left = self.desk().ask(questions);
        let refused = left.err();
        let waiting = waiting.into_iter().map(|(claim, asked)| async move {
            let ended = match asked {
                Ok(asked) => asked.ended(until).await,
                Err(failure) => Err(failure),
            };
            (claim, ended)
        });
        // If no thread could be started, whoever was asked has lost the other end, and says why.
        drop(refused);
        waiting.collect::<FuturesUnordered<_>>()
    }
}

/// One of many that wait.
struct Asked {
    desk: Arc<Desk>,
    sought: Sought,
    room: Room,
    told: oneshot::Receiver<Told>,
}

impl Asked {
    async fn ended(self, until: Deadline) -> Result<Reply, Failure> {
        let ended = self.take();
        timeout_at(until.instant().into(), ended).await.unwrap_or_else(|_| Err(timed_out()))
    }

    async fn take(self) -> Result<Reply, Failure> {
        let Self { desk, sought, room, mut told } = self;
        loop {
            match (&mut told).await {
                Ok(Told::NoRoom(kib)) => {
                    let held = reserved(&room, kib).await;
                    let room = Room { kib: Arc::clone(&room.kib), all: room.all, held };
                    let (question, again) = Question::new(sought.clone(), Some(room));
                    desk.ask(vec![question])?;
                    told = again;
                }
                told => return desk.outcome(told)?.ok_or_else(timed_out),
            }
        }
    }
}

/// Waits for room. The semaphore is never closed.
async fn reserved(room: &Room, kib: u32) -> Option<OwnedSemaphorePermit> {
    Arc::clone(&room.kib).acquire_many_owned(kib).await.ok()
}
