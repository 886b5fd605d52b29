//! Caps on what is in flight: a count and a number of bytes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What may still be put in flight. Reserving never waits: past a cap it fails at once.
#[derive(Debug)]
pub(crate) struct Budget {
    max_count: usize,
    max_bytes: usize,
    count: AtomicUsize,
    bytes: AtomicUsize,
}

/// The cap that a reservation would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Count(usize),
    Bytes(usize),
}

impl Budget {
    pub(crate) fn new(max_count: usize, max_bytes: usize) -> Self {
        Self { max_count, max_bytes, count: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// Reserves one call of `bytes`.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<(), Exhausted> {
        if !add(&self.count, 1, self.max_count) {
            return Err(Exhausted::Count(self.max_count));
        }
        if !add(&self.bytes, bytes, self.max_bytes) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Exhausted::Bytes(self.max_bytes));
        }
        Ok(())
    }

    /// Gives back what a call reserved.
    pub(crate) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds first and takes back when that was too much: one atomic operation in the usual case.
fn add(used: &AtomicUsize, amount: usize, max: usize) -> bool {
    if used.fetch_add(amount, Ordering::Relaxed).saturating_add(amount) <= max {
        return true;
    }
    used.fetch_sub(amount, Ordering::Relaxed);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_caps_hold_and_what_is_released_can_be_reserved() {
        let budget = Budget::new(2, 10);
        assert_eq!(budget.reserve(11), Err(Exhausted::Bytes(10)));
        assert_eq!(budget.count.load(Ordering::Relaxed), 0);
        budget.reserve(6).expect("fits");
        assert_eq!(budget.reserve(5), Err(Exhausted::Bytes(10)));
        budget.reserve(4).expect("fits");
        assert_eq!(budget.reserve(0), Err(Exhausted::Count(2)));
        budget.release(6);
        budget.reserve(6).expect("fits again");
    }
}
