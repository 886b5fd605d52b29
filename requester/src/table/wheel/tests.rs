//! When entries fall due, and when the wheel wants to be asked.

use super::*;

const TICK: u64 = 1 << TICK_BITS;

impl Timed for Timer {
    fn timer(&self) -> &Timer {
        self
    }

    fn timer_mut(&mut self) -> &mut Timer {
        self
    }
}

#[derive(Debug)]
struct Timers {
    wheel: Wheel,
    entries: Slab<Timer>,
}

impl Timers {
    fn new(deadlines: impl IntoIterator<Item = u64>) -> Self {
        let mut timers = Self { wheel: Wheel::new(), entries: Slab::new() };
        for deadline in deadlines {
            timers.insert(deadline);
        }
        timers
    }

    fn insert(&mut self, deadline: u64) -> u32 {
        let index = self.entries.insert(Timer::new(Moment(deadline)));
        self.wheel.insert(&mut self.entries, index);
        index
    }

    fn remove(&mut self, index: u32) -> u64 {
        self.wheel.remove(&mut self.entries, index);
        self.entries.remove(index).deadline.0
    }

    fn pop(&mut self, now: u64) -> Option<u64> {
        let index = self.wheel.expired(&mut self.entries, Moment(now))?;
        Some(self.remove(index))
    }
}

#[test]
fn fires_at_the_tick_after_the_deadline_and_not_before() {
    // Both sides of the first tick of every level and more, as seen from several starts.
    for start in [0, 1, 63, 64, 4095, 1 << 30, (1 << 43) + 12_345] {
        for ticks in (1..43).flat_map(|bits| [(1 << bits) - 1, 1 << bits]) {
            for deadline in [(start + ticks) * TICK, (start + ticks) * TICK + 1] {
                let mut timers = Timers::new([]);
                assert_eq!(timers.pop(start * TICK), None);
                timers.insert(deadline);
                let due = deadline.next_multiple_of(TICK);
                assert_eq!(timers.pop(due - 1), None, "{start} {ticks}");
                assert_eq!(timers.pop(due), Some(deadline), "{start} {ticks}");
            }
        }
    }
}

#[test]
fn whoever_follows_the_next_moment_gets_each_entry_in_time_in_few_steps() {
    let deadlines: Vec<_> = (0..60).map(|bits| (1_u64 << bits) + 77).collect();
    let mut timers = Timers::new(deadlines.iter().rev().copied());
    for deadline in deadlines {
        let mut steps = 0;
        let (popped, at) = loop {
            let next = timers.wheel.next().expect("there are entries").0;
            steps += 1;
            if let Some(popped) = timers.pop(next) {
                break (popped.next_multiple_of(TICK), next);
            }
            assert!(timers.wheel.next() > Some(Moment(next)), "no progress");
        };
        assert_eq!((popped, at), (deadline.next_multiple_of(TICK), popped));
        assert!(steps <= LEVELS, "{steps} steps to {deadline}");
    }
    assert_eq!(timers.wheel.next(), None);
}

#[test]
fn a_jump_over_everything_pops_by_tick() {
    let mut timers = Timers::new((0..5000).map(|n| (n * 7919 % 5000) * 1_000_003));
    let popped: Vec<_> = std::iter::from_fn(|| timers.pop(u64::MAX / 2)).collect();
    assert_eq!(popped.len(), 5000);
    assert!(popped.is_sorted_by_key(|deadline| deadline.div_ceil(TICK)));
}

#[test]
fn any_entry_of_a_list_can_be_removed() {
    for removed in 0..3 {
        let mut timers = Timers::new([]);
        let indexes = [10, 11, 12].map(|n| timers.insert(n * 1000 * TICK));
        assert_eq!(timers.remove(indexes[removed]), (removed as u64 + 10) * 1000 * TICK);
        let left: Vec<_> = std::iter::from_fn(|| timers.pop(u64::MAX)).collect();
        assert_eq!(left.len(), 2);
        assert!(!left.contains(&((removed as u64 + 10) * 1000 * TICK)));
        assert_eq!(timers.wheel.occupied, [0; LEVELS]);
    }
}

#[test]
fn time_passes_while_nothing_waits() {
    let mut timers = Timers::new([]);
    assert_eq!(timers.pop(1000 * TICK), None);
    timers.insert(1010 * TICK);
    assert_eq!(timers.wheel.next(), Some(Moment(1010 * TICK)), "no detour to a higher level");
}

#[test]
fn the_ends_of_time() {
    let mut timers = Timers::new([0, u64::MAX, u64::MAX - TICK]);
    assert_eq!(timers.pop(0), Some(0));
    assert_eq!(timers.pop(u64::MAX - 1), Some(u64::MAX - TICK));
    assert_eq!(timers.pop(u64::MAX), None, "it lies within a tick that never ends");
    assert_eq!(timers.wheel.next(), None);
    assert!(timers.wheel.any().is_some());
}
