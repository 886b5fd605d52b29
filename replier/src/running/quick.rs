//! Which endpoints' handlers are so quick that a task of their own would cost more than they do.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What a handler may take to count as quick. It is about what a task costs; with more, cores that
/// could share the work would stand idle. The way of the reply to the producer is not part of it, since
/// it takes long where a lone reply wakes the producer's thread, whoever sends it.
const QUICK: Duration = Duration::from_micros(8);
/// A handler that keeps a thread this long has blocked, or its thread was set aside for others, as happens
/// every few milliseconds to each that is busy while all processors are.
const BLOCKING: Duration = Duration::from_millis(1);
/// No thread is set aside for so long as a rule, so it is not trusted for a while.
const STALLED: Duration = Duration::from_millis(32);
/// The score of an endpoint rises by one for a quick request and falls by `PENALTY` for another,
/// which may have been interrupted; by all that trust takes for one that may have blocked. So one of
/// those in 64 requests is forgiven.
const TRUSTED: u32 = 64;
const MOST: u32 = 128;
const PENALTY: u32 = 8;

/// How quick the requests of each endpoint were of late.
#[derive(Debug)]
pub(crate) struct Quick(Box<[AtomicU32]>);

impl Quick {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self((0..endpoints).map(|_| AtomicU32::new(0)).collect())
    }

    /// Whether the next request of this endpoint is likely to be quick.
    pub(crate) fn expects(&self, endpoint: usize) -> bool {
        self.0.get(endpoint).is_some_and(|score| score.load(Ordering::Relaxed) >= TRUSTED)
    }

    /// Notes how long a handler took that has ended.
    pub(crate) fn handled(&self, endpoint: usize, took: Duration) {
        self.change(endpoint, |score| match () {
            () if took <= QUICK => (score + 1).min(MOST),
            () if took < BLOCKING => score.saturating_sub(PENALTY),
            // It has waited, or its first poll tells that it has blocked.
            () => score,
        });
    }

    /// Notes how long the first poll of a request took, and whether it was the last.
    pub(crate) fn polled(&self, endpoint: usize, ended: bool, took: Duration) {
        self.change(endpoint, |score| match () {
            () if took >= STALLED => 0,
            () if took >= BLOCKING => score.saturating_sub(TRUSTED),
            () if ended => score,
            () => score.saturating_sub(PENALTY),
        });
    }

    fn change(&self, endpoint: usize, next: impl FnOnce(u32) -> u32) {
        let Some(score) = self.0.get(endpoint) else { return };
        let was = score.load(Ordering::Relaxed);
        let is = next(was);
        // Notes of other threads that come between are lost, and not missed.
        if is != was {
            score.store(is, Ordering::Relaxed);
        }
    }

    /// Polls a request, and notes its first poll; `first` is then false.
    pub(crate) fn poll(
        &self,
        endpoint: usize,
        first: &mut bool,
        work: Pin<&mut impl Future<Output = ()>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let started = first.then(Instant::now);
        let polled = work.poll(cx);
        if let Some(started) = started {
            *first = false;
            self.polled(endpoint, polled.is_ready(), started.elapsed());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known after requests whose handlers ended with their first polls or not, after so many
    /// microseconds.
    fn after(requests: impl IntoIterator<Item = (bool, u64)>) -> Quick {
        let quick = Quick::new(1);
        for (ended, micros) in requests {
            let took = Duration::from_micros(micros);
            if ended {
                quick.handled(0, took);
            }
            quick.polled(0, ended, took);
        }
        quick
    }

    #[test]
    fn an_endpoint_is_trusted_after_many_quick_requests() {
        assert!(!after([(true, 2); 63]).expects(0));
        assert!(after([(true, 2); 64]).expects(0));
        assert!(!after([(true, 2); 64]).expects(1));
    }

    #[test]
    fn an_interruption_now_and_then_is_forgiven() {
        let now_and_then = (0..10_000).map(|n| (true, if n % 20 == 0 { 90 } else { 2 }));
        assert!(after(now_and_then).expects(0));
    }

    #[test]
    fn a_handler_that_computes_or_waits_gets_tasks() {
        assert!(!after([(true, 2); 200].into_iter().chain([(true, 20); 20])).expects(0));
        assert!(!after([(true, 2); 200].into_iter().chain([(false, 2); 20])).expects(0));
    }

    #[test]
    fn a_handler_that_blocks_again_and_again_or_for_long_is_not_trusted() {
        let blocks = |quick, times, micros| {
            let blocking = std::iter::repeat_n((true, micros), times);
            after(std::iter::repeat_n((true, 2), quick).chain(blocking)).expects(0)
        };
        assert!(blocks(10_000, 1, 31_999), "it may have been set aside");
        assert!(!blocks(10_000, 2, 1_000));
        assert!(!blocks(10_000, 1, 32_000));
        assert!(!blocks(64, 1, 1_000));
        let often = |every| {
            let requests = (1..=10_240).map(|n| (true, if n % every == 0 { 1_000 } else { 2 }));
            after(requests).expects(0)
        };
        assert!(!often(32) && often(128));
    }

    #[test]
    fn how_long_a_reply_takes_to_the_producer_does_not_count_nor_does_a_wait_beyond_the_first_poll()
    {
        let quick = after([(true, 2); 64]);
        quick.polled(0, true, Duration::from_micros(300));
        quick.handled(0, Duration::from_secs(1));
        assert!(quick.expects(0));
    }
}
