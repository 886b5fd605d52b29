//! Caps on what is in flight: a count and a number of bytes.

use tokio::sync::Notify;

use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The bits of a word that count bytes; the others count calls.
const BYTES_BITS: u32 = 38;
/// The most that there is room for: 256 GiB, in 67 million calls.
const MAX_BYTES: usize = (1 << BYTES_BITS) - 1;
const MAX_COUNT: usize = (1 << (u64::BITS - BYTES_BITS)) - 1;

/// What may still be put in flight. Reserving never waits: past a cap it fails at once, and
/// whoever would rather wait is told when something was released.
#[derive(Debug)]
pub(crate) struct Budget {
    max_count: usize,
    max_bytes: usize,
    /// The number of calls and, in the lower bits, of their bytes.
    used: AtomicU64,
    waiting: AtomicUsize,
    released: Notify,
}

/// The cap that a reservation would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Count(usize),
    Bytes(usize),
}

impl Budget {
    pub(crate) fn new(max_count: usize, max_bytes: usize) -> Self {
        Self {
            max_count: max_count.min(MAX_COUNT),
            max_bytes: max_bytes.min(MAX_BYTES),
            used: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            released: Notify::new(),
        }
    }

    /// Reserves one call of `bytes`, if fewer than `limit` are in flight.
    pub(crate) fn reserve(&self, bytes: usize, limit: Option<usize>) -> Result<(), Exhausted> {
        let max_count = limit.map_or(self.max_count, |limit| limit.min(self.max_count));
        let mut full = Exhausted::Count(max_count);
        // Both or none, in one step: nobody is refused for the sake of one who is refused too.
        let more = |used| {
            let (count, held) = unpack(used);
            if count >= max_count {
                full = Exhausted::Count(max_count);
                return None;
            }
            let sum = held.checked_add(bytes).filter(|sum| *sum <= self.max_bytes);
            if sum.is_none() {
                full = Exhausted::Bytes(self.max_bytes);
            }
            sum.map(|sum| pack(count + 1, sum))
        };
        match self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more) {
            Ok(_) => Ok(()),
            Err(_) => Err(full),
        }
    }

    /// Gives back what a call reserved.
    pub(crate) fn release(&self, bytes: usize) {
        self.used.fetch_sub(pack(1, bytes), Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.released.notify_one();
        }
    }

    /// The number of calls that hold a reservation.
    pub(crate) fn count(&self) -> usize {
        unpack(self.used.load(Ordering::Relaxed)).0
    }

    /// Repeats `attempt` after each release until it yields something other than `None`.
    pub(crate) async fn until<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // In line before looking: a release in between wakes this waiter.
            released.as_mut().enable();
            if let Some(done) = attempt() {
                // Room may be left for the next one in line.
                self.released.notify_one();
                return done;
            }
            released.await;
        }
    }
}

/// One who waits, for as long as it exists.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A count and a number of bytes in one word.
fn pack(count: usize, bytes: usize) -> u64 {
    (count as u64) << BYTES_BITS | bytes as u64
}

#[expect(clippy::cast_possible_truncation, reason = "a requester needs a 64-bit target")]
fn unpack(used: u64) -> (usize, usize) {
    ((used >> BYTES_BITS) as usize, (used & MAX_BYTES as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use std::sync::Arc;

    #[test]
    fn both_caps_hold_and_what_is_released_can_be_reserved() {
        let budget = Budget::new(2, 10);
        assert_eq!(budget.reserve(11, None), Err(Exhausted::Bytes(10)));
        assert_eq!(budget.count(), 0);
        budget.reserve(6, None).expect("fits");
        assert_eq!(budget.reserve(0, Some(1)), Err(Exhausted::Count(1)));
        assert_eq!(budget.reserve(5, None), Err(Exhausted::Bytes(10)));
        budget.reserve(4, None).expect("fits");
        assert_eq!(budget.reserve(0, None), Err(Exhausted::Count(2)));
        budget.release(6);
        budget.reserve(6, None).expect("fits again");
    }

    #[test]
    fn there_is_no_room_for_more_than_a_word_holds() {
        let budget = Budget::new(usize::MAX, usize::MAX);
        assert_eq!((budget.max_count, budget.max_bytes), unpack(u64::MAX));
    }

    #[test]
    fn one_who_waits_is_not_told_of_what_was_released_before() {
        let budget = Budget::new(1, 10);
        for _ in 0..2 {
            budget.reserve(1, None).expect("nothing is in flight");
            budget.release(1);
            budget.reserve(1, None).expect("it was released");
            let mut attempts = 0;
            let attempt = || {
                attempts += 1;
                budget.reserve(1, None).ok()
            };
            assert_eq!(budget.until(attempt).now_or_never(), None);
            assert_eq!(attempts, 1);
            budget.release(1);
        }
    }

    #[tokio::test]
    async fn each_of_many_waiters_gets_its_turn() {
        let budget = Arc::new(Budget::new(3, 1000));
        let waiters: Vec<_> = (0..200)
            .map(|_| {
                let budget = Arc::clone(&budget);
                tokio::spawn(async move {
                    budget.until(|| budget.reserve(1, None).ok()).await;
                    tokio::task::yield_now().await;
                    budget.release(1);
                })
            })
            .collect();
        for waiter in waiters {
            waiter.await.expect("no panic");
        }
        assert_eq!(budget.count(), 0);
    }
}
