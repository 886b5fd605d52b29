//! How questions reach the thread that scans, which lives only while there are any.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::answer::Answer;
use super::search::{Ending, Sought};

/// A search, and whom to tell how it ends.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) sought: Sought,
    pub(super) sink: Sink,
}

/// Where the end of a search is told. It is closed when nobody listens any more.
#[derive(Debug)]
pub(super) struct Sink {
    tell: oneshot::Sender<Told>,
    room: Option<Room>,
}

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Told {
    /// The search has ended. The permit is held for as long as its answer is not taken.
    Ended(
        Ending<Answer>,
        #[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>,
    ),
    /// The reply topic has no such partition.
    NoSuchPartition { partition: i32, count: i32 },
    /// There is an answer, and no room for it; ask again with so much room, in KiB.
    NoRoom(u32),
}

/// A bound on the answers that wait to be taken, shared by many searches.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) kib: Arc<Semaphore>,
    /// How much there is of it altogether: an answer larger than that takes all.
    pub(super) all: u32,
    /// Room that was reserved beforehand.
    pub(super) held: Option<OwnedSemaphorePermit>,
}

/// Questions on their way, and whether there is a thread to take them.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    questions: Vec<Question>,
    running: bool,
    closed: bool,
    trouble: Option<String>,
}

impl Question {
    pub(super) fn new(sought: Sought, room: Option<Room>) -> (Self, oneshot::Receiver<Told>) {
        let (tell, told) = oneshot::channel();
        (Self { sought, sink: Sink { tell, room } }, told)
    }
}

impl Sink {
    pub(super) fn is_closed(&self) -> bool {
        self.tell.is_closed()
    }

    // Whoever has gone meanwhile does not mind.
    pub(super) fn tell(self, ending: Ending<Answer>) {
        let permit = match (&ending, self.room) {
            (Ending::Found(answer), Some(room)) => match room.reserve(answer.size()) {
                Ok(permit) => Some(permit),
                Err(kib) => return drop(self.tell.send(Told::NoRoom(kib))),
            },
            _ => None,
        };
        let _ = self.tell.send(Told::Ended(ending, permit));
    }

    pub(super) fn refuse(self, partition: i32, count: i32) {
        let _ = self.tell.send(Told::NoSuchPartition { partition, count });
    }
}

impl Room {
    fn reserve(self, bytes: usize) -> Result<OwnedSemaphorePermit, u32> {
        let needed = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(self.all);
        match self.held {
            Some(held) if held.num_permits() >= needed as usize => Ok(held),
            // What is held is given back first: it may be what is missing.
            held => {
                drop(held);
                self.kib.try_acquire_many_owned(needed).map_err(|_| needed)
            }
        }
    }
}

impl Mailbox {
    /// Leaves questions together. Returns whether a thread has to be started to take them. They
    /// are dropped if the mailbox is closed.
    pub(super) fn put(&self, questions: Vec<Question>) -> bool {
        let mut state = self.lock();
        if state.closed || questions.is_empty() {
            return false;
        }
        state.questions.extend(questions);
        self.arrived.notify_one();
        !std::mem::replace(&mut state.running, true)
    }

    /// Takes what has arrived; given a time, waits so long for something. `None` tells the thread
    /// to end: nothing came, or the mailbox is closed.
    pub(super) fn take(&self, wait: Option<Duration>) -> Option<Vec<Question>> {
        let deadline = wait.map(|wait| Instant::now() + wait);
        let mut state = self.lock();
        loop {
            if state.closed {
                state.running = false;
                return None;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if state.questions.is_empty() => {
                    if left.is_zero() {
                        state.running = false;
                        return None;
                    }
                    let woken = self.arrived.wait_timeout(state, left);
                    state = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
                _ => return Some(std::mem::take(&mut state.questions)),
            }
        }
    }

    /// Takes note that there is no thread: it could not start, or it has ended before its time.
    pub(super) fn abandon(&self, why: String) {
        let mut state = self.lock();
        state.running = false;
        state.trouble = Some(why);
        state.questions.clear();
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.questions.clear();
        self.arrived.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.lock().running
    }

    /// Keeps what has gone wrong last, or forgets it.
    pub(super) fn note(&self, trouble: Option<String>) {
        self.lock().trouble = trouble;
    }

    pub(super) fn trouble(&self) -> String {
        let unknown = || "no broker has told where its partitions end in time".to_owned();
        self.lock().trouble.clone().unwrap_or_else(unknown)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
