//! What became of the calls of a run: how long each took, and how many were not answered well.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How many errors are kept in words.
const ERRORS: usize = 5;

/// The calls of a run. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sent: AtomicU64,
    ended: AtomicU64,
    answered: AtomicU64,
    wrong: AtomicU64,
    calls: Mutex<Vec<Answered>>,
    errors: Mutex<Vec<String>>,
    idle: Notify,
}

/// A call that was answered well.
#[derive(Debug, Clone, Copy)]
struct Answered {
    /// When it was meant to be sent.
    at: Instant,
    took: Duration,
}

impl Tally {
    pub(crate) fn sent(&self) {
        self.0.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// A call that was meant to be sent at `at` was answered just now.
    pub(crate) fn answered(&self, at: Instant) {
        lock(&self.0.calls).push(Answered { at, took: at.elapsed() });
        self.0.answered.fetch_add(1, Ordering::Relaxed);
        self.end();
    }

    /// It got the answer to another one.
    pub(crate) fn crossed(&self) {
        self.0.wrong.fetch_add(1, Ordering::Relaxed);
        self.end();
    }

    pub(crate) fn failed(&self, error: String) {
        let mut errors = lock(&self.0.errors);
        if errors.len() < ERRORS {
            errors.push(error);
        }
        drop(errors);
        self.end();
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn good(&self) -> u64 {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// Calls that got no answer, or not their own.
    pub(crate) fn lost(&self) -> u64 {
        self.total() - self.good()
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        lock(&self.0.errors).clone()
    }

    /// Waits until every call has ended, which their deadlines bound.
    pub(crate) async fn settled(&self) {
        loop {
            let told = self.0.idle.notified();
            if self.0.ended.load(Ordering::Acquire) == self.total() {
                return;
            }
            told.await;
        }
    }

    /// So many of a thousand calls, of those that were meant to be sent at a time that counts, took
    /// no longer than this, in milliseconds.
    pub(crate) fn quantile(&self, of_1000: usize, counts: impl Fn(Instant) -> bool) -> Option<f64> {
        let mut took: Vec<Duration> = {
            let calls = lock(&self.0.calls);
            calls.iter().filter(|call| counts(call.at)).map(|call| call.took).collect()
        };
        took.sort_unstable();
        let rank = (took.len() * of_1000).div_ceil(1_000).checked_sub(1)?;
        Some(took.get(rank)?.as_secs_f64() * 1_000.0)
    }

    /// How many calls are answered in a second, from now on for so long.
    pub(crate) async fn rate(&self, length: Duration) -> f64 {
        let (before, began) = (self.good(), Instant::now());
        tokio::time::sleep(length).await;
        let answered = u32::try_from(self.good() - before).unwrap_or(u32::MAX);
        f64::from(answered) / began.elapsed().as_secs_f64()
    }

    fn end(&self) {
        self.0.ended.fetch_add(1, Ordering::Release);
        self.0.idle.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
