//! How many retries and hedges all calls together may make, so that they cannot multiply the load
//! on a system that is failing. Pure: instants come in as arguments.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The time that a call counts for, in seconds.
const WINDOW: usize = 10;
/// What a retry costs. A call brings in the percentage of retries.
const COST: i64 = 100;

/// A token bucket as in Finagle: in any ten seconds there may be a retry for every so many calls
/// of the same ten seconds, and some more, so that those who call seldom may retry too.
///
/// What a call brought in and what a retry cost are forgotten together, ten seconds (counted in
/// whole ones) later: calls of an hour ago do not pay for the retries of today. One lock, held for
/// a few additions, keeps the count exact.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    epoch: Instant,
    percent: i64,
    reserve: i64,
    slots: Mutex<Slots>,
}

/// One for each second of the window; the seconds take turns.
type Slots = [Slot; WINDOW];

/// What came in less what was spent during one second since the epoch.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: u64,
    balance: i64,
}

impl RetryBudget {
    /// `percent` retries for a hundred calls, and `min_per_second` besides (20 and 10 are usual).
    /// `now` is the beginning
    /// of time for this budget.
    pub(crate) fn new(percent: u32, min_per_second: u32, now: Instant) -> Self {
        Self {
            epoch: now,
            percent: percent.into(),
            reserve: i64::from(min_per_second) * WINDOW as i64 * COST,
            slots: Mutex::default(),
        }
    }

    /// Counts a call (not its retries).
    pub(crate) fn deposit(&self, now: Instant) {
        let second = self.second(now);
        add(&mut self.lock(), second, self.percent);
    }

    /// Takes out what one retry costs; `false` if that is not there.
    pub(crate) fn withdraw(&self, now: Instant) -> bool {
        let second = self.second(now);
        let mut slots = self.lock();
        let counted = slots.iter().filter(|slot| slot.second + WINDOW as u64 > second);
        let balance = counted.fold(self.reserve, |sum, slot| sum.saturating_add(slot.balance));
        balance >= COST && add(&mut slots, second, -COST)
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs()
    }

    /// No code that can panic runs under the lock, so a poisoned one still holds a sound count.
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to the slot of a second; `false` if the second is so long ago that its slot has gone on.
fn add(slots: &mut Slots, second: u64, amount: i64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "32 bits of seconds are 136 years")]
    let slot = &mut slots[second as usize % WINDOW];
    if slot.second > second {
        return false;
    }
    if slot.second < second {
        *slot = Slot { second, balance: 0 };
    }
    slot.balance = slot.balance.saturating_add(amount);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn one_in_five_and_ten_a_second() {
        let start = Instant::now();
        let budget = RetryBudget::new(20, 10, start);
        let retries = |now| std::iter::from_fn(|| budget.withdraw(now).then_some(())).count();
        assert_eq!(retries(start), 100);
        (0..1000).for_each(|_| budget.deposit(start));
        assert_eq!(retries(start), 200);
        assert_eq!(retries(start + Duration::from_millis(9_999)), 0);
        assert_eq!(retries(start + Duration::from_secs(10)), 100);
    }

    #[test]
    fn old_calls_do_not_pay_for_new_retries() {
        let start = Instant::now();
        let budget = RetryBudget::new(100, 0, start);
        budget.deposit(start);
        assert!(!budget.withdraw(start + Duration::from_secs(10)));
        assert!(!budget.withdraw(start + Duration::from_secs(20)));
    }

    #[test]
    fn nothing_is_allowed_by_a_budget_of_nothing() {
        let start = Instant::now();
        let budget = RetryBudget::new(0, 0, start);
        (0..1000).for_each(|_| budget.deposit(start));
        assert!(!budget.withdraw(start));
    }

    #[test]
    fn an_instant_that_comes_late_counts_with_what_came_after_it() {
        let start = Instant::now();
        let budget = RetryBudget::new(20, 1, start);
        let at = |second| start + Duration::from_secs(second);
        assert!(budget.withdraw(at(12)));
        assert!(!budget.withdraw(at(2)), "its slot is gone");
        (0..100).for_each(|_| budget.deposit(at(2)));
        assert_eq!((0..20).filter(|_| budget.withdraw(at(11))).count(), 9);
    }

    proptest! {
        #[test]
        fn behaves_as_a_naive_ledger(
            (percent, min_per_second) in (0..150_u32, 0..3_u32),
            steps in prop::collection::vec((any::<bool>(), 0..1500_u64, 1..20_u32), 0..200),
        ) {
            let start = Instant::now();
            let budget = RetryBudget::new(percent, min_per_second, start);
            let mut calls: Vec<u64> = Vec::new();
            let mut retries: Vec<u64> = Vec::new();
            let mut ms = 0;
            for (deposit, later, times) in steps {
                ms += later;
                let (now, second) = (start + Duration::from_millis(ms), ms / 1000);
                let recent = |times: &[u64]| times.iter().filter(|at| **at + 10 > second).count();
                for _ in 0..times {
                    if deposit {
                        budget.deposit(now);
                        calls.push(second);
                    } else {
                        let brought = recent(&calls) * percent as usize
                            + min_per_second as usize * 1000;
                        let allowed = brought >= (recent(&retries) + 1) * 100;
                        prop_assert_eq!(budget.withdraw(now), allowed);
                        if allowed {
                            retries.push(second);
                        }
                    }
                }
            }
        }
    }
}
