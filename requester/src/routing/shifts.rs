//! Who reads replies: a task of the caller's runtime, or else the reply thread.
//!
//! A reply that is read by a task on the runtime on which its caller waits gets there without a thread
//! being woken in between. With many calls in flight threads are awake, and it is better that one reads
//! while another sends. So the reply thread reads then, and where there is no such runtime, when the
//! runtime has ended, and while the task is not heard of, because all threads of the runtime are kept
//! busy.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_native::wake::OnReadable;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::reader::Reader;
use crate::table::Calls;

/// With so many calls in flight the thread reads.
const MANY: usize = 128;
/// How often it is looked who is to read. The bound on how late the thread sees that the requester is
/// closed, or that the task does not read.
const SHIFT: Duration = Duration::from_millis(100);
/// How long the task may take to begin when it is told that there is something.
const BEGIN: Duration = Duration::from_millis(5);

/// Reads until the requester is closed: in a task of the runtime, as long as that does, and on the
/// current thread.
pub(super) fn read(reader: Reader, runtime: Option<&Handle>) {
    let calls = Arc::clone(reader.calls());
    let task: Arc<Task> = Arc::default();
    let readable = runtime.map(|_| {
        let task = Arc::clone(&task);
        OnReadable::of_consumer(Arc::clone(reader.consumer()), move || task.tell())
    });
    let shifts = Arc::new(Shifts { reader: Mutex::new(Some(On { readable, reader })), task });
    if let Some(runtime) = runtime {
        runtime.spawn(Arc::clone(&shifts).as_task());
        // What was there before it could be told.
        shifts.task.call();
    }
    while !calls.is_finished() {
        match calls.len() < MANY && shifts.task.is_heard_of() {
            true => shifts.stand_by(),
            false => shifts.take_over(&calls),
        }
    }
    // Whatever takes time at the end of a client takes it here.
    let on = shifts.lock().take();
    shifts.task.call();
    drop(on);
}

struct Shifts {
    /// Whoever reads has it. `None` at the end.
    reader: Mutex<Option<On>>,
    task: Arc<Task>,
}

struct On {
    /// `None` where no task is to be told. Dropped before the consumer.
    readable: Option<OnReadable>,
    reader: Reader,
}

impl On {
    fn is_readable(&self) -> bool {
        self.readable.as_ref().is_some_and(OnReadable::is_readable)
    }
}

/// What is known of the task.
#[derive(Default)]
struct Task {
    exists: AtomicBool,
    wake: Notify,
    /// It is not to be told.
    is_off: AtomicBool,
    /// It has been called, and has not begun.
    called: AtomicBool,
    /// How often it has begun.
    begun: AtomicU64,
    /// It began while the thread had the reader.
    missed: AtomicBool,
}

enum Turn {
    /// There is more.
    More,
    /// Nothing is left, or somebody else reads.
    Done,
    Closed,
}

impl Shifts {
    /// A shift in which the task reads. The thread sees to the rest.
    fn stand_by(&self) {
        thread::sleep(SHIFT);
        if let Some(on) = &mut *self.lock() {
            on.reader.tend();
            // A call that is lost would be so for good: only what comes after nothing is told.
            self.task.missed.fetch_or(on.is_readable(), Ordering::SeqCst);
        }
        self.call_again();
    }

    /// A shift in which the thread reads.
    fn take_over(&self, calls: &Calls) {
        let until = Instant::now() + SHIFT;
        self.task.is_off.store(calls.len() >= MANY, Ordering::SeqCst);
        if let Some(On { reader, .. }) = &mut *self.lock() {
            let mut left = SHIFT;
            while !left.is_zero() && !calls.is_finished() {
                reader.turn(left);
                reader.tend();
                left = until.saturating_duration_since(Instant::now());
            }
        }
        if self.task.is_off.swap(false, Ordering::SeqCst) {
            self.task.missed.store(true, Ordering::SeqCst);
        }
        self.call_again();
    }

    /// Calls the task if there may be something that it was not told of, or could not look at.
    fn call_again(&self) {
        if self.task.missed.swap(false, Ordering::SeqCst) {
            self.task.call();
        }
    }

    async fn as_task(self: Arc<Self>) {
        let _exists = Exists::of(&self.task);
        loop {
            self.task.wake.notified().await;
            loop {
                match self.turn() {
                    // Those that were just told are to go on.
                    Turn::More => tokio::task::yield_now().await,
                    Turn::Done => break,
                    Turn::Closed => return,
                }
            }
        }
    }

    /// The task's part, once. Waits for nobody.
    fn turn(&self) -> Turn {
        self.task.begin();
        // Before it is looked, so that the thread, which looks when it is done, cannot overlook it.
        self.task.missed.store(true, Ordering::SeqCst);
        let mut on = match self.reader.try_lock() {
            Ok(on) => on,
            Err(TryLockError::Poisoned(on)) => on.into_inner(),
            Err(TryLockError::WouldBlock) => return Turn::Done,
        };
        self.task.missed.store(false, Ordering::SeqCst);
        let Some(on) = &mut *on else { return Turn::Closed };
        let more = on.reader.turn(Duration::ZERO);
        // What is no record ends a turn too.
        match more || on.is_readable() {
            true => Turn::More,
            false => Turn::Done,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<On>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    /// There is something. Called on a thread of librdkafka's.
    fn tell(&self) {
        if !self.is_off.load(Ordering::SeqCst) {
            self.call();
        }
    }

    fn call(&self) {
        self.called.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    fn begin(&self) {
        self.called.store(false, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether there is one that begins when it is called.
    fn is_heard_of(&self) -> bool {
        if !self.exists.load(Ordering::SeqCst) {
            return false;
        }
        let begun = self.begun.load(Ordering::SeqCst);
        if self.called.load(Ordering::SeqCst) {
            thread::sleep(BEGIN);
        }
        !self.called.load(Ordering::SeqCst) || self.begun.load(Ordering::SeqCst) != begun
    }
}

/// While there is a task; it ends with its runtime.
struct Exists<'a>(&'a Task);

impl<'a> Exists<'a> {
    fn of(task: &'a Task) -> Self {
        task.exists.store(true, Ordering::SeqCst);
        Self(task)
    }
}

impl Drop for Exists<'_> {
    fn drop(&mut self) {
        self.0.exists.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_is_told_unless_it_is_off() {
        let task = Task::default();
        task.is_off.store(true, Ordering::SeqCst);
        task.tell();
        assert!(!task.called.load(Ordering::SeqCst));
        task.is_off.store(false, Ordering::SeqCst);
        task.tell();
        task.wake.notified().await;
        assert!(task.called.load(Ordering::SeqCst));
    }

    #[test]
    fn a_task_is_heard_of_while_it_begins_when_it_is_called() {
        let task = Task::default();
        assert!(!task.is_heard_of(), "there is none");
        let exists = Exists::of(&task);
        assert!(task.is_heard_of(), "nobody has called it");
        task.tell();
        assert!(!task.is_heard_of(), "it has not begun");
        task.begin();
        assert!(task.is_heard_of());
        drop(exists);
        assert!(!task.is_heard_of(), "its runtime has ended");
    }
}
