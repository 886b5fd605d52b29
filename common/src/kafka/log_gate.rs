//! Log lines that are bounded, however often a fault repeats.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lets a bounded number of log lines through: at most one burst a second.
#[derive(Debug)]
pub struct LogGate {
    started: Instant,
    window: AtomicU64,
    passed: AtomicU64,
    held: AtomicU64,
}

impl LogGate {
    const BURST: u64 = 5;

    /// Passes the next few lines of each second. `Some(n)` lets the line pass and says how many
    /// were held back since the last one that passed.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(self.started.elapsed())
    }

    fn pass_at(&self, now: Duration) -> Option<u64> {
        if self.window.swap(now.as_secs(), Ordering::Relaxed) != now.as_secs() {
            self.passed.store(0, Ordering::Relaxed);
        }
        if self.passed.fetch_add(1, Ordering::Relaxed) < Self::BURST {
            return Some(self.held.swap(0, Ordering::Relaxed));
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Default for LogGate {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            window: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            held: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_lines_is_bounded_and_counted() {
        let gate = LogGate::default();
        let passed = (0..1000).filter(|_| gate.pass_at(Duration::ZERO).is_some()).count();
        assert_eq!(passed, 5);
        assert_eq!(gate.pass_at(Duration::from_secs(1)), Some(995));
    }
}
