//! Wakes one thread at the earliest deadline: no timer per call, and no tick when nothing waits.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::moment::{Epoch, Moment};
use super::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use super::sync::thread::{self, Thread};

/// Deadlines that fall this close together are served by one wake-up.
const GRAIN: Duration = Duration::from_millis(2);
const NEVER: u64 = u64::MAX;

/// The alarm that a thread sleeps on and that others set to an earlier moment.
#[derive(Debug)]
pub(crate) struct Alarm {
    epoch: Epoch,
    /// When the thread wakes.
    wakes_at: AtomicU64,
    thread: OnceLock<Thread>,
    stopped: AtomicBool,
}

impl Alarm {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            wakes_at: AtomicU64::new(NEVER),
            thread: OnceLock::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Sees to it that the thread is awake by `deadline`.
    pub(crate) fn set(&self, Moment(at): Moment) {
        if at < self.wakes_at.load(Ordering::SeqCst)
            && at < self.wakes_at.fetch_min(at, Ordering::SeqCst)
        {
            self.unpark();
        }
    }

    /// Ends [`Alarm::run`].
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.unpark();
    }

    /// Calls `expire` with the current moment whenever a deadline is due, until stopped.
    /// `expire` returns the next deadline it knows of.
    pub(crate) fn run(&self, mut expire: impl FnMut(Moment) -> Option<Moment>) {
        self.thread.get_or_init(thread::current);
        while !self.stopped.load(Ordering::SeqCst) {
            // Cleared before looking: a deadline that is set from here on lowers it again and
            // leaves a wake-up behind, so that none is slept through.
            self.wakes_at.store(NEVER, Ordering::SeqCst);
            if let Some(Moment(next)) = expire(self.epoch.moment(Instant::now())) {
                self.wakes_at.fetch_min(next, Ordering::SeqCst);
            }
            match self.wakes_at.load(Ordering::SeqCst) {
                NEVER => thread::park(),
                at => {
                    let wake = self.epoch.instant(Moment(at));
                    let left = wake.saturating_duration_since(Instant::now());
                    thread::park_timeout(left.max(GRAIN));
                }
            }
        }
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};

    #[test]
    fn an_earlier_deadline_wakes_the_sleeper() {
        let epoch = Epoch::now();
        let alarm = Arc::new(Alarm::new(epoch));
        let (woken, wakes) = mpsc::channel();
        let sleeper = thread::spawn({
            let alarm = Arc::clone(&alarm);
            move || {
                alarm.run(|now| {
                    woken.send(now).expect("the test listens");
                    Some(Moment(now.0 + 3_600_000_000_000))
                });
            }
        });
        wakes.recv().expect("looks once at the start");
        let deadline = epoch.moment(Instant::now() + Duration::from_millis(20));
        alarm.set(deadline);
        // The first wake-up may be the one that was left behind by setting the alarm.
        while wakes.recv_timeout(Duration::from_secs(30)).expect("wakes") < deadline {
            alarm.set(deadline);
        }
        alarm.stop();
        sleeper.join().expect("ends");
    }
}
