//! Lets a replier kill itself at a certain point, and write down that it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon::metrics::ReplierMetrics;
use antiphon_chaos::history::{Kind, Writer};
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::orders::CrashPoint;
use crate::Outcome;

/// So many replies that are acknowledged, and whose offsets are not committed, are many.
const MANY: i64 = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A replier that is to die at a point, when it has been told that it is time.
#[derive(Debug, Clone)]
pub(super) struct Crash {
    point: Option<CrashPoint>,
    is_time: Arc<AtomicBool>,
    history: Arc<Writer>,
}

impl Crash {
    /// To be called in a runtime.
    pub(super) fn prepare(
        point: Option<CrashPoint>,
        history: Arc<Writer>,
        metrics: ReplierMetrics,
    ) -> Outcome<Self> {
        let crash = Self { point, is_time: Arc::default(), history };
        if point.is_some() {
            let mut told = signal(SignalKind::user_defined1())?;
            let crash = crash.clone();
            tokio::spawn(async move {
                told.recv().await;
                crash.is_time.store(true, Ordering::Release);
                crash.watch(&metrics);
            });
        }
        Ok(crash)
    }

    /// A handler has come to this point.
    pub(super) fn at(&self, point: CrashPoint) {
        if self.point == Some(point) && self.is_time.load(Ordering::Acquire) {
            self.die();
        }
    }

    /// Waits for what no handler sees. Holds a thread of its own, for the moment may be short.
    fn watch(&self, metrics: &ReplierMetrics) {
        let least = match self.point {
            Some(CrashPoint::AfterReply) => 1,
            Some(CrashPoint::BeforeCommit) => MANY,
            _ => return,
        };
        let (crash, lag) = (self.clone(), metrics.commit_lag.clone());
        std::thread::spawn(move || {
            while lag.get() < least {
                std::thread::sleep(LOOK_AGAIN);
            }
            crash.die();
        });
    }

    /// No other thread of the process goes on once the signal is sent.
    fn die(&self) {
        let victim = self.history.process().to_owned();
        if self.history.note(Kind::Killed { victim }).is_ok() {
            // It cannot fail for the process itself, and does not return.
            let _ = kill_process(getpid(), Signal::KILL);
        }
        std::process::exit(1);
    }
}
