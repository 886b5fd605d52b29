//! The progress of one assigned partition, shared by intake, handlers and delivery reports.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use antiphon_common::metrics::ReplierMetrics;

use crate::dedupe::partition::{First, Handled};
use crate::intake::cancellations::Cancellations;
use crate::intake::watermark::Watermark;

/// How many requests are taken in and not complete, over all partitions.
#[derive(Debug)]
pub(crate) struct Outstanding {
    count: AtomicUsize,
    metrics: ReplierMetrics,
}

/// One partition from assignment to revocation.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) cancellations: Arc<Cancellations>,
    outstanding: Arc<Outstanding>,
    progress: Mutex<Progress>,
    /// Woken when nobody works on any request.
    idle: Condvar,
    /// The watermark rose since it was last taken.
    dirty: AtomicBool,
    /// Requests with a record that must be written and cannot be.
    blocked: AtomicUsize,
    /// What has been handled lately, if that is kept. Set before the first request is taken in.
    pub(crate) window: OnceLock<Arc<Handled>>,
}

#[derive(Debug, Default)]
struct Progress {
    mark: Watermark,
    /// Requests that somebody works on.
    at_work: usize,
    /// The offset last committed, or the first one taken in.
    committed: Option<i64>,
}

/// The duty to complete one request. Dropped without [`Taken::complete`], it leaves the request
/// incomplete for good: the offset is not committed, and the request is handled again elsewhere.
#[must_use = "a request that is not completed holds the watermark back"]
#[derive(Debug)]
pub(crate) struct Taken {
    tracker: Arc<Tracker>,
    offset: i64,
    completed: bool,
    blocks: bool,
    /// It is known whether another like it has run.
    looked_up: bool,
    /// The right to run it, if others like it are told what it comes to.
    first: Option<Box<First>>,
}

impl Outstanding {
    pub(crate) fn new(metrics: ReplierMetrics) -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), metrics })
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.metrics.outstanding.inc();
    }

    fn subtract(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.metrics.outstanding.dec();
    }
}

impl Tracker {
    pub(crate) fn new(topic: Arc<str>, partition: i32, outstanding: Arc<Outstanding>) -> Arc<Self> {
        Arc::new(Self {
            topic,
            partition,
            cancellations: Arc::default(),
            outstanding,
            progress: Mutex::default(),
            idle: Condvar::new(),
            dirty: AtomicBool::new(false),
            blocked: AtomicUsize::new(0),
            window: OnceLock::new(),
        })
    }

    /// Takes a request in; `None` if it was taken in before.
    pub(crate) fn take(self: &Arc<Self>, offset: i64) -> Option<Taken> {
        let mut progress = self.lock();
        if !progress.mark.start(offset) {
            return None;
        }
        progress.at_work += 1;
        progress.committed.get_or_insert(offset);
        drop(progress);
        self.outstanding.add();
        Some(Taken {
            tracker: Arc::clone(self),
            offset,
            completed: false,
            blocks: false,
            looked_up: false,
            first: None,
        })
    }

    /// The offset to store, if it rose since the last call.
    pub(crate) fn take_risen(&self) -> Option<i64> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.committable()
    }

    /// The offset behind which everything is complete.
    pub(crate) fn committable(&self) -> Option<i64> {
        self.lock().mark.committable()
    }

    /// Notes that `next` was committed.
    pub(crate) fn committed(&self, next: i64) {
        self.lock().committed = Some(next);
    }

    /// How far the commit is behind the watermark, in offsets.
    pub(crate) fn commit_lag(&self) -> i64 {
        let progress = self.lock();
        let both = progress.mark.committable().zip(progress.committed);
        both.map_or(0, |(next, committed)| (next - committed).max(0))
    }

    /// Whether a record that must be written cannot be.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) > 0
    }

    /// Whether requests may run: what was handled before is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.window.get().is_none_or(|window| window.is_ready())
    }

    /// Lets go of requests that wait until it is known what was handled before: they are not worth
    /// waiting for when the partition is given up.
    pub(crate) fn close_window(&self) {
        if let Some(window) = self.window.get() {
            window.close();
        }
    }

    /// Waits until nobody works on any request; `false` if that is not so by `deadline`.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let waited = self
            .idle
            .wait_timeout_while(self.lock(), left, |progress| progress.at_work > 0)
            .unwrap_or_else(PoisonError::into_inner);
        waited.0.at_work == 0
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The request is answered, or needs no answer: its offset may be committed.
    pub(crate) fn complete(mut self) {
        self.completed = true;
    }

    /// Whether it is to be seen first if another like it has run.
    pub(crate) fn is_to_be_looked_up(&self) -> bool {
        !self.looked_up && self.window().is_some()
    }

    /// It has been seen to.
    pub(crate) fn looked_up(&mut self) {
        self.looked_up = true;
    }

    /// What has been handled in its partition, if that is kept.
    pub(crate) fn window(&self) -> Option<&Arc<Handled>> {
        self.tracker.window.get()
    }

    /// It runs, and others like it do not.
    pub(crate) fn run_as(&mut self, first: First) {
        self.first = Some(Box::new(first));
    }

    /// The right to run it.
    pub(crate) fn first_mut(&mut self) -> Option<&mut First> {
        self.first.as_deref_mut()
    }

    /// A record that must be written before this request is complete cannot be.
    pub(crate) fn block(&mut self) {
        if !std::mem::replace(&mut self.blocks, true) {
            self.tracker.blocked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It is written.
    pub(crate) fn unblock(&mut self) {
        if std::mem::replace(&mut self.blocks, false) {
            self.tracker.blocked.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.unblock();
        if let Some(first) = self.first.take().filter(|_| self.completed) {
            first.settle();
        }
        let tracker = &self.tracker;
        let mut progress = tracker.lock();
        let risen = self.completed && progress.mark.complete(self.offset);
        // Nobody works on it any more, complete or not: there is nothing to wait for.
        progress.at_work -= 1;
        if progress.at_work == 0 {
            tracker.idle.notify_all();
        }
        drop(progress);
        if risen {
            tracker.dirty.store(true, Ordering::Release);
        }
        tracker.outstanding.subtract();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_outstanding_until_it_is_complete_and_stored_behind_the_watermark() {
        let outstanding = Outstanding::new(ReplierMetrics::new());
        let tracker = Tracker::new("t".into(), 0, Arc::clone(&outstanding));
        let first = tracker.take(0).expect("new");
        let second = tracker.take(1).expect("new");
        assert!(tracker.take(1).is_none());
        second.complete();
        assert_eq!(outstanding.count(), 1);
        assert_eq!(tracker.take_risen(), None);
        assert!(!tracker.wait_idle(Instant::now()));
        first.complete();
        assert!(tracker.wait_idle(Instant::now()));
        assert_eq!((tracker.take_risen(), tracker.take_risen()), (Some(2), None));
    }

    #[test]
    fn a_request_that_is_dropped_holds_the_watermark_back() {
        let outstanding = Outstanding::new(ReplierMetrics::new());
        let tracker = Tracker::new("t".into(), 0, Arc::clone(&outstanding));
        drop(tracker.take(0));
        tracker.take(1).expect("new").complete();
        assert_eq!(tracker.committable(), None);
        assert!(tracker.wait_idle(Instant::now()), "nobody works on it any more");
        assert_eq!(outstanding.count(), 0);
    }
}
