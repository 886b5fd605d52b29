//! A closed loop: a fixed number of calls in flight, each replaced when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use antiphon::Requester;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

/// How many calls to make, and how many at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) in_flight: usize,
    /// No call starts after this, however many are left.
    pub(crate) until: Option<Instant>,
    /// No call starts once this is cancelled either.
    pub(crate) stop: CancellationToken,
}

/// One call that ended.
pub(crate) struct Ended<T> {
    /// Which call of the load it was, from 0.
    pub(crate) number: u64,
    /// From its start to when its caller saw the end.
    pub(crate) latency: Duration,
    pub(crate) result: T,
}

impl Load {
    /// Runs the load on some tasks, each with its share of what is in flight, and returns what
    /// each task has folded its calls into.
    ///
    /// `call` must put the call on its way before its future is polled.
    pub(crate) async fn run<S, T, Fut>(
        self,
        requester: &Requester,
        call: impl Fn(&Requester, u64) -> Fut + Clone + Send + 'static,
        fold: impl Fn(&mut S, Ended<T>) + Clone + Send + 'static,
    ) -> Vec<S>
    where
        S: Default + Send + 'static,
        T: Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let workers = workers.min(self.in_flight).max(1);
        let next = Arc::new(AtomicU64::new(0));
        let tasks = (0..workers).map(|worker| {
            let share = self.in_flight / workers + usize::from(worker < self.in_flight % workers);
            let (next, requester) = (Arc::clone(&next), requester.clone());
            let (load, call, fold) = (self.clone(), call.clone(), fold.clone());
            tokio::spawn(async move {
                let (mut folded, mut calls) = (S::default(), FuturesUnordered::new());
                loop {
                    while calls.len() < share {
                        let Some(number) = load.take(&next) else { break };
                        let started = Instant::now();
                        let ended = call(&requester, number);
                        calls.push(async move {
                            let result = ended.await;
                            Ended { number, latency: started.elapsed(), result }
                        });
                    }
                    let Some(ended) = calls.next().await else { return folded };
                    fold(&mut folded, ended);
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut folded = Vec::with_capacity(workers);
        for task in tasks {
            folded.push(task.await.expect("a task of the load does not panic"));
        }
        folded
    }

    fn take(&self, next: &AtomicU64) -> Option<u64> {
        if self.until.is_some_and(|until| Instant::now() >= until) || self.stop.is_cancelled() {
            return None;
        }
        let number = next.fetch_add(1, Ordering::Relaxed);
        (number < self.requests).then_some(number)
    }
}
