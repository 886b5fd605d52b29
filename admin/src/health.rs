//! What a process says of itself: that its loop turns, and that it takes work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a loop may be silent, unless the program says otherwise. A rebalance with a drain, or
/// a flush to a slow broker, takes most of it.
const DEFAULT_BOUND: Duration = Duration::from_secs(60);

/// The health of a process. Cloning shares; every method may be called from any thread, and costs
/// one atomic operation.
#[derive(Debug, Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    bound: Duration,
    ready: AtomicBool,
    /// Nanoseconds from the start to the last beat; zero means that there was none.
    last_beat: AtomicU64,
}

impl Health {
    /// A process that is live, not yet ready, and may be silent for 60 s between two beats.
    #[must_use]
    pub fn new() -> Self {
        Self::with_bound(DEFAULT_BOUND)
    }

    /// As [`new`](Self::new), with another bound on the time between two beats.
    #[must_use]
    pub fn with_bound(bound: Duration) -> Self {
        let ready = AtomicBool::new(false);
        let last_beat = AtomicU64::new(0);
        Self { shared: Arc::new(Shared { start: Instant::now(), bound, ready, last_beat }) }
    }

    /// Says whether the process takes work: yes once it has started, no when it begins to drain.
    pub fn set_ready(&self, ready: bool) {
        self.shared.ready.store(ready, Ordering::Relaxed);
    }

    /// Says that the loop turns. A process that never says so is taken to be live; one that has
    /// said so once has to go on.
    pub fn beat(&self) {
        let nanos = u64::try_from(self.shared.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared.last_beat.store(nanos.max(1), Ordering::Relaxed);
    }

    /// Why the process is not live, if it is not.
    pub(crate) fn not_live(&self) -> Option<String> {
        let last_beat = match self.shared.last_beat.load(Ordering::Relaxed) {
            0 => return None,
            nanos => Duration::from_nanos(nanos),
        };
        overdue(self.shared.start.elapsed().saturating_sub(last_beat), self.shared.bound)
    }

    /// Why the process is not ready, if it is not.
    pub(crate) fn not_ready(&self) -> Option<String> {
        let ready = self.shared.ready.load(Ordering::Relaxed);
        (!ready).then(|| "not ready: the process is starting or draining".to_owned())
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

fn overdue(silence: Duration, bound: Duration) -> Option<String> {
    (silence > bound).then(|| {
        format!(
            "not live: the loop last turned {:.1} s ago; at most {:.1} s are allowed",
            silence.as_secs_f64(),
            bound.as_secs_f64()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_allowed_up_to_the_bound() {
        let bound = Duration::from_secs(60);
        assert_eq!(overdue(bound, bound), None);
        let reason = overdue(Duration::from_millis(60_100), bound).expect("too long");
        assert_eq!(reason, "not live: the loop last turned 60.1 s ago; at most 60.0 s are allowed");
    }

    #[test]
    fn beats_come_from_any_thread() {
        let health = Health::with_bound(Duration::ZERO);
        assert_eq!(health.not_live(), None, "no beat was ever due");
        let beating = health.clone();
        std::thread::spawn(move || beating.beat()).join().expect("the thread beats");
        std::thread::sleep(Duration::from_millis(1));
        assert!(health.not_live().is_some(), "the bound of zero has passed");
    }

    #[test]
    fn readiness_is_what_was_said_last() {
        let health = Health::default();
        assert!(health.not_ready().is_some());
        let starting = health.clone();
        starting.set_ready(true);
        assert_eq!(health.not_ready(), None);
        health.set_ready(false);
        assert!(health.not_ready().is_some());
    }
}
