//! Models of the table under many schedules of its threads, run by Shuttle: `make model`.
//!
//! Shuttle chooses at every atomic, lock and park which thread goes on, by chance or by priorities
//! that change three times (PCT). Time does not pass for it: a parked thread sleeps until somebody
//! wakes it, so a lost wake-up is a deadlock, which it reports. So a deadline here has either
//! passed or is an hour away. What the models themselves count with is the standard library's, and
//! no step to Shuttle; neither are tokio's channels.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use antiphon_common::Deadline;
use antiphon_common::metrics::RequesterMetrics;
use antiphon_common::wire::Headers;
use bytes::Bytes;
use rdkafka::error::KafkaError;
use shuttle::thread::{self, JoinHandle};

use super::{Answered, Budget, Calls, Cancel, Done};
use crate::call::{CallErrorKind, Failure, Reply};

mod cancelling;
mod endings;
mod several;
mod wakeups;

/// The budget of the models, in calls and in bytes.
const MAX_CALLS: usize = 4;
const MAX_BYTES: usize = 100;
/// What each call takes of it.
const SIZE: usize = 10;

/// Runs a model under so many schedules of either kind, or as many as `MODEL_ITERATIONS` says.
fn check(model: fn()) {
    let iterations = match std::env::var("MODEL_ITERATIONS") {
        Ok(number) => number.parse().expect("MODEL_ITERATIONS is a number"),
        Err(_) => 1_000,
    };
    shuttle::check_random(model, iterations);
    shuttle::check_pct(model, iterations, 3);
}

/// A table and the thread that ends calls by their deadlines.
struct Table {
    calls: Arc<Calls>,
    /// Not after the table's own start: it has passed from the first look on.
    past: Instant,
    deadlines: JoinHandle<()>,
}

impl Table {
    fn new() -> Self {
        let past = Instant::now();
        let budget = Budget::new(MAX_CALLS, MAX_BYTES);
        let calls = Calls::new(budget, None, RequesterMetrics::new());
        let deadlines = thread::spawn({
            let calls = Arc::clone(&calls);
            move || calls.run_deadlines()
        });
        Self { calls, past, deadlines }
    }

    /// A deadline that has passed.
    fn due(&self) -> Deadline {
        Deadline::at(self.past)
    }

    /// Runs `act` on a thread of its own.
    fn spawn<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Calls) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let calls = Arc::clone(&self.calls);
        thread::spawn(move || act(&calls))
    }

    /// Closes the table, and checks that nothing is left and that each of so many calls was
    /// counted once.
    fn close(self, registered: usize) {
        let Self { calls, deadlines, .. } = self;
        calls.close();
        deadlines.join().expect("the thread ends with the table");
        assert_eq!(calls.len(), 0, "an entry is left");
        assert_eq!(calls.metrics().in_flight.get(), 0, "the gauge counts a call that has ended");
        assert_eq!(calls.budget.count(), 0, "a call that has ended holds a place");
        calls.budget.reserve(MAX_BYTES, None).expect("no call that has ended holds bytes");
        assert_eq!(counted(&calls), registered, "each call is counted once");
    }
}

/// The number of calls that have ended, by the metrics.
fn counted(calls: &Calls) -> usize {
    let metrics = &calls.metrics();
    let ends = [
        &metrics.replies,
        &metrics.error_replies,
        &metrics.timeouts,
        &metrics.unknown,
        &metrics.not_sent,
        &metrics.cancelled,
    ];
    usize::try_from(ends.map(|end| end.get()).iter().sum::<u64>()).expect("a few")
}

/// A deadline that does not pass.
fn far() -> Deadline {
    Deadline::after(Duration::from_secs(3600))
}

/// Waits for threads that only act.
fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}

fn register(
    calls: &Calls,
    deadline: Deadline,
    cancel: Cancel,
    done: Done,
) -> Result<u64, (Failure, Done)> {
    calls.register(Instant::now(), deadline, SIZE, cancel, done)
}

/// How often somebody was told.
#[derive(Debug, Clone, Default)]
struct Told(Arc<AtomicUsize>);

impl Told {
    fn done(&self) -> Done {
        let told = self.clone();
        Done::then(move |_, _| _ = told.0.fetch_add(1, Ordering::Relaxed))
    }

    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the reply reader does with a good reply.
fn reply(calls: &Calls, call: u64) {
    match calls.answered(call) {
        Some(Answered::Once(waiting)) => {
            calls.reply(call, waiting, Box::new(Ok(good())), calls.now())
        }
        Some(Answered::Several(_)) => panic!("the call takes one reply"),
        None => {}
    }
}

fn good() -> Reply {
    Reply {
        payload: Bytes::new(),
        key: None,
        headers: Headers::new(),
        partition: 0,
        offset: 0,
        claim: None,
    }
}

/// What the producer says of a request that was not sent.
fn unsent() -> Failure {
    Failure::not_sent(CallErrorKind::Produce(KafkaError::Canceled))
}
