//! Names handlers that hold a thread of the runtime without awaiting anything.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use antiphon_common::kafka::LogGate;
use antiphon_common::metrics::ReplierMetrics;
use futures::Stream;

/// Watches the handlers of one replier. It looks at each thread now and then, from a thread of its
/// own; what that costs a handler is two writes to memory for each poll.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// `None` if it is turned off.
    watching: Option<Watching>,
}

#[derive(Debug)]
struct Watching {
    /// Which watchdog of this process it is.
    number: u32,
    stop: Arc<AtomicBool>,
    thread: Thread,
}

/// A future or stream of a handler, each poll of which is watched.
pub(crate) struct Watched<'a, F> {
    inner: F,
    watchdog: &'a Watchdog,
    endpoint: usize,
}

/// From here until it is dropped, this thread works for a handler.
#[derive(Debug)]
pub(crate) struct Entered {
    /// What it did before, if it is watched.
    before: Option<u64>,
    /// It is for the thread that it was made on.
    here: PhantomData<*const ()>,
}

/// What a thread does just now. Only that thread writes to it.
#[derive(Debug, Default)]
struct Seat {
    /// Counts entries and exits.
    changes: AtomicU64,
    /// The number of the watchdog and of the endpoint plus one; 0 for nothing.
    work: AtomicU64,
}

/// The seats of all threads that have ever worked for a handler and have not ended.
static SEATS: Mutex<Vec<Weak<Seat>>> = Mutex::new(Vec::new());

thread_local! {
    static SEAT: OnceCell<Arc<Seat>> = const { OnceCell::new() };
}

impl Watchdog {
    /// Begins to report handlers of these endpoints that block for so long; 0 means none.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub(crate) fn start(
        limit: Duration,
        endpoints: &[String],
        metrics: ReplierMetrics,
    ) -> std::io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if limit.is_zero() {
            return Ok(Self { watching: None });
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let mut round = Round {
            number,
            limit,
            endpoints: endpoints.to_vec(),
            metrics,
            gate: LogGate::default(),
            sightings: HashMap::new(),
        };
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("antiphon-watchdog".to_owned());
        let handle = thread.spawn(move || {
            let pause = (limit / 4).max(Duration::from_millis(1));
            while !stopped.load(Ordering::Relaxed) {
                round.look(Instant::now());
                thread::park_timeout(pause);
            }
        })?;
        let thread = handle.thread().clone();
        Ok(Self { watching: Some(Watching { number, stop, thread }) })
    }

    /// Notes that this thread works for a handler, until the result is dropped.
    pub(crate) fn enter(&self, endpoint: usize) -> Entered {
        let before = self.watching.as_ref().and_then(|watching| {
            let work = (u64::from(watching.number) << 32) | (endpoint as u64 + 1);
            // A thread that is ending has no seat any more.
            SEAT.try_with(|own| own.get_or_init(Seat::taken).change(work)).ok()
        });
        Entered { before, here: PhantomData }
    }

    /// Watches each poll of a handler's future or stream.
    pub(crate) fn watch<F>(&self, endpoint: usize, inner: F) -> Watched<'_, F> {
        Watched { inner, watchdog: self, endpoint }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

impl<F: Future + Unpin> Future for Watched<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.watchdog.enter(self.endpoint);
        Pin::new(&mut self.inner).poll(context)
    }
}

impl<F: Stream + Unpin> Stream for Watched<'_, F> {
    type Item = F::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<F::Item>> {
        let _entered = self.watchdog.enter(self.endpoint);
        Pin::new(&mut self.inner).poll_next(context)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = SEAT.try_with(|own| own.get().map(|seat| seat.change(before)));
        }
    }
}

impl Seat {
    /// One that is looked at.
    fn taken() -> Arc<Self> {
        let seat = Arc::default();
        SEATS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&seat));
        seat
    }

    /// Says what the thread does from now on; returns what it did before.
    fn change(&self, work: u64) -> u64 {
        // No other thread writes, so these need not be one step each.
        let before = self.work.load(Ordering::Relaxed);
        self.work.store(work, Ordering::Relaxed);
        let changes = self.changes.load(Ordering::Relaxed);
        self.changes.store(changes.wrapping_add(1), Ordering::Release);
        before
    }

    fn look(&self) -> (u64, u64) {
        let changes = self.changes.load(Ordering::Acquire);
        (changes, self.work.load(Ordering::Relaxed))
    }
}

/// What the watchdog's thread remembers from one look to the next.
struct Round {
    number: u32,
    limit: Duration,
    endpoints: Vec<String>,
    metrics: ReplierMetrics,
    gate: LogGate,
    /// By the address of the seat.
    sightings: HashMap<usize, Sighting>,
}

/// A thread that was seen at work for a handler.
#[derive(Debug)]
struct Sighting {
    changes: u64,
    work: u64,
    since: Instant,
    reported: bool,
}

impl Round {
    fn look(&mut self, now: Instant) {
        let mut seats = Vec::new();
        SEATS.lock().unwrap_or_else(PoisonError::into_inner).retain(|seat| {
            let seat = seat.upgrade();
            let is_there = seat.is_some();
            seats.extend(seat);
            is_there
        });
        let before = std::mem::take(&mut self.sightings);
        for seat in seats {
            let (changes, work) = seat.look();
            let Some(endpoint) = endpoint_of(self.number, work) else { continue };
            let address = Arc::as_ptr(&seat).addr();
            let known = before.get(&address);
            let mut sighting = Sighting::next(known, (changes, work), now);
            if sighting.is_due(self.limit, now) {
                self.report(endpoint, now - sighting.since);
            }
            self.sightings.insert(address, sighting);
        }
    }

    fn report(&self, endpoint: usize, held: Duration) {
        let Some(endpoint) = self.endpoints.get(endpoint) else { return };
        self.metrics.runtime_blocked(endpoint).inc();
        if let Some(held_back) = self.gate.pass() {
            tracing::warn!(
                endpoint,
                held_ms = held.as_millis(),
                held_back,
                "a handler holds a thread of the runtime; let it await, or do its work in \
                 spawn_blocking"
            );
        }
    }
}

impl Sighting {
    /// What is known of a thread after another look.
    fn next(known: Option<&Self>, (changes, work): (u64, u64), now: Instant) -> Self {
        match known.filter(|known| (known.changes, known.work) == (changes, work)) {
            Some(same) => Self { changes, work, since: same.since, reported: same.reported },
            None => Self { changes, work, since: now, reported: false },
        }
    }

    /// Whether it is to be reported now: once.
    fn is_due(&mut self, limit: Duration, now: Instant) -> bool {
        now - self.since >= limit && !std::mem::replace(&mut self.reported, true)
    }
}

/// The number of the endpoint, if the work is that of this watchdog.
fn endpoint_of(watchdog: u32, work: u64) -> Option<usize> {
    let endpoint = u32::try_from(work & u64::from(u32::MAX)).ok()?.checked_sub(1)?;
    (work >> 32 == u64::from(watchdog)).then(|| usize::try_from(endpoint).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// What one look after the other makes of these, each so many milliseconds after the first.
    fn reports(looks: &[(u64, (u64, u64))]) -> Vec<bool> {
        let start = Instant::now();
        let mut known = None;
        let looks = looks.iter().map(|(at, seen)| {
            let now = start + Duration::from_millis(*at);
            let mut sighting = Sighting::next(known.as_ref(), *seen, now);
            let due = sighting.is_due(Duration::from_millis(100), now);
            known = Some(sighting);
            due
        });
        looks.collect()
    }

    #[test]
    fn only_the_same_poll_is_reported_and_only_once() {
        assert_eq!(
            reports(&[(0, (1, 1)), (99, (1, 1)), (100, (1, 1)), (200, (1, 1))]),
            [false, false, true, false]
        );
        // It has been left and entered again.
        assert_eq!(
            reports(&[(0, (1, 1)), (99, (3, 1)), (150, (3, 1)), (199, (3, 1))]),
            [false, false, false, true]
        );
    }

    #[test]
    fn work_tells_the_watchdog_and_the_endpoint() {
        assert_eq!(endpoint_of(0, 0), None);
        assert_eq!(endpoint_of(0, 1), Some(0));
        assert_eq!(endpoint_of(2, (2 << 32) | 8), Some(7));
        assert_eq!(endpoint_of(1, (2 << 32) | 8), None);
    }

    #[test]
    fn a_thread_that_is_held_is_reported_by_the_name_of_the_endpoint() {
        let metrics = ReplierMetrics::new();
        let names = ["quick".to_owned(), "slow".to_owned()];
        let watchdog = Watchdog::start(Duration::from_millis(5), &names, metrics.clone());
        let watchdog = watchdog.expect("a thread can be started");
        let quick = watchdog.enter(0);
        let slow = watchdog.enter(1);
        let deadline = Instant::now() + Duration::from_secs(60);
        while metrics.runtime_blocked("slow").get() == 0 {
            assert!(Instant::now() < deadline, "nothing is reported");
            thread::yield_now();
        }
        drop((slow, quick));
        assert_eq!(SEAT.with(|own| own.get().map(|seat| seat.look().1)), Some(0));
    }

    #[test]
    fn one_that_is_off_notes_nothing_and_one_that_is_dropped_ends() {
        let off = Watchdog::start(Duration::ZERO, &[], ReplierMetrics::new()).expect("no thread");
        assert!(off.enter(0).before.is_none());
        let watchdog = Watchdog::start(Duration::from_secs(60), &[], ReplierMetrics::new());
        let watchdog = watchdog.expect("a thread can be started");
        let stop = watchdog.watching.as_ref().map(|watching| Arc::downgrade(&watching.stop));
        drop(watchdog);
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            // The thread holds the flag until it has ended.
            while stop.as_ref().is_some_and(|stop| stop.strong_count() > 0) {
                thread::yield_now();
            }
            done.send(())
        });
        ended.recv_timeout(Duration::from_secs(60)).expect("the thread ends");
    }
}
