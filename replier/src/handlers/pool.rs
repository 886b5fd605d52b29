//! Threads for handlers that block: as many as are needed, up to a limit; they end when they have
//! been idle for a while.
//!
//! They are not the runtime's own for blocking work: others use those too, and could take all of
//! them, and a handler that never ends would keep the runtime from ending.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a thread waits for more to do.
const KEEP: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The threads. Those that are idle end soon after this is dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    work: Mutex<Work>,
    /// Told when there is a job.
    more: Condvar,
}

#[derive(Default)]
struct Work {
    /// Its length is bounded by the number of handlers that run at once.
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Pool {
    /// Runs a job as soon as one of at most `threads` threads is free.
    ///
    /// # Errors
    /// If there is no thread, and none can be started.
    pub(crate) fn run(&self, threads: usize, job: Job) -> io::Result<()> {
        let mut work = self.0.lock();
        work.jobs.push_back(job);
        if work.jobs.len() <= work.idle || work.threads >= threads.max(1) {
            self.0.more.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.0);
        let name = "antiphon-blocking".to_owned();
        match thread::Builder::new().name(name).spawn(move || shared.serve()) {
            Ok(_) => work.threads += 1,
            // Those that there are will come to it.
            Err(error) if work.threads > 0 => {
                tracing::warn!(%error, "cannot start one more thread for blocking handlers");
            }
            Err(error) => {
                drop(work.jobs.pop_back());
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Shared {
    /// The life of a thread.
    fn serve(&self) {
        let mut work = self.lock();
        loop {
            if let Some(job) = work.jobs.pop_front() {
                drop(work);
                // Jobs catch the panics of handlers; this is for what they drop at their end.
                let _ = catch_unwind(AssertUnwindSafe(job));
                work = self.lock();
                continue;
            }
            work.idle += 1;
            let waited = self.more.wait_timeout_while(work, KEEP, |work| work.jobs.is_empty());
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
            work.idle -= 1;
            if work.jobs.is_empty() {
                work.threads -= 1;
                return;
            }
        }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} jobs, {} threads", self.jobs.len(), self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn as_many_run_at_once_as_there_are_threads_and_a_panic_costs_none() {
        let pool = Pool::default();
        let (started, starts) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let wait = Duration::from_secs(20);
        pool.run(2, Box::new(|| panic!("on purpose"))).expect("a thread");
        for number in 0..5 {
            let (started, gate) = (started.clone(), Arc::clone(&gate));
            let job = move || {
                started.send(number).expect("the test listens");
                gate.lock().expect("not poisoned").recv_timeout(wait).expect("released");
            };
            pool.run(2, Box::new(job)).expect("a thread");
        }
        // One holds the lock on the gate and one waits for it: no third can have started.
        for _ in 0..2 {
            starts.recv_timeout(wait).expect("two start");
        }
        assert!(starts.try_recv().is_err());
        assert_eq!(pool.0.lock().threads, 2);
        for _ in 0..5 {
            release.send(()).expect("a job waits");
        }
        for _ in 0..3 {
            starts.recv_timeout(wait).expect("the others follow");
        }
    }
}
