//! A hierarchical timing wheel: entries of a slab in doubly linked lists by deadline.

use super::moment::Moment;
use super::slab::Slab;

/// A tick is 2^20 ns, about a millisecond.
const TICK_BITS: u32 = 20;
const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Enough for any 64-bit number of nanoseconds.
const LEVELS: usize = 8;
/// No entry. Indexes of entries are below `HEAD`.
const NONE: u32 = u32::MAX;
/// Marks the `previous` of the first in a list; the other bits are the list's number.
const HEAD: u32 = 1 << 31;

/// An entry's place in the wheel.
#[derive(Debug)]
pub(crate) struct Timer {
    deadline: Moment,
    previous: u32,
    next: u32,
}

impl Timer {
    pub(crate) fn new(deadline: Moment) -> Self {
        Self { deadline, previous: NONE, next: NONE }
    }
}

/// What has a place in a wheel.
pub(crate) trait Timed {
    fn timer(&self) -> &Timer;
    fn timer_mut(&mut self) -> &mut Timer;
}

/// Lists of entries by deadline, rounded up to a tick.
///
/// An entry's level is that of the highest digit, to base 64, in which its tick differs from
/// `now`, and its list in that level is that digit. So everything on one level falls due before
/// anything on the next, and lists of one level fall due in their order. When `now` reaches a
/// list on a higher level, its entries move to lower levels.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The latest tick that [`Wheel::expired`] has reached. A deadline before it counts as this.
    now: u64,
    /// One bit for each list of each level: it has entries.
    occupied: [u64; LEVELS],
    /// The first entry of each list, level by level. On the heap, for the sake of small stacks.
    first: Box<[u32]>,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { now: 0, occupied: [0; LEVELS], first: vec![NONE; LEVELS * SLOTS].into_boxed_slice() }
    }

    /// Links an entry that is not linked.
    pub(crate) fn insert<E: Timed>(&mut self, entries: &mut Slab<E>, index: u32) {
        let timer = entries[index].timer_mut();
        let tick = timer.deadline.0.div_ceil(1 << TICK_BITS).max(self.now);
        let level = (tick ^ self.now).checked_ilog2().unwrap_or(0) / LEVEL_BITS;
        let slot = (tick >> (level * LEVEL_BITS)) % SLOTS as u64;
        self.occupied[level as usize] |= 1 << slot;
        #[expect(clippy::cast_possible_truncation, reason = "a slot is below 64")]
        let list = (level << LEVEL_BITS) | slot as u32;
        let next = std::mem::replace(&mut self.first[list as usize], index);
        timer.previous = HEAD | list;
        timer.next = next;
        if next != NONE {
            entries[next].timer_mut().previous = index;
        }
    }

    /// Unlinks an entry that is linked.
    pub(crate) fn remove<E: Timed>(&mut self, entries: &mut Slab<E>, index: u32) {
        let &Timer { previous, next, .. } = entries[index].timer();
        if next != NONE {
            entries[next].timer_mut().previous = previous;
        }
        if previous & HEAD == 0 {
            entries[previous].timer_mut().next = next;
            return;
        }
        let list = (previous ^ HEAD) as usize;
        self.first[list] = next;
        if next == NONE {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }

    /// An entry whose rounded deadline is at or before `now`, of the earliest tick. It stays
    /// linked.
    pub(crate) fn expired<E: Timed>(&mut self, entries: &mut Slab<E>, now: Moment) -> Option<u32> {
        let now = now.0 >> TICK_BITS;
        while let Some((list, start)) = self.earliest()
            && start <= now
        {
            self.now = start;
            if list < SLOTS {
                return Some(self.first[list]);
            }
            self.spread(entries, list);
        }
        self.now = self.now.max(now);
        None
    }

    /// An entry whose deadline is among the earliest. It stays linked.
    pub(crate) fn any(&self) -> Option<u32> {
        self.earliest().map(|(list, _)| self.first[list])
    }

    /// When [`Wheel::expired`] has something to do: an entry falls due, or entries come closer.
    /// `None` if that is never, or later than any moment.
    pub(crate) fn next(&self) -> Option<Moment> {
        let (_, start) = self.earliest()?;
        start.checked_mul(1 << TICK_BITS).map(Moment)
    }

    /// The bytes allocated on the heap.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.first)
    }

    /// The list that falls due first, and the tick at which it does.
    fn earliest(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|lists| *lists != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let width = SLOTS.ilog2() as usize * level;
        let above = self.now >> width >> LEVEL_BITS << LEVEL_BITS;
        Some((level * SLOTS + slot, (above | slot as u64) << width))
    }

    /// Moves the entries of a list that `now` has reached to lower levels.
    fn spread<E: Timed>(&mut self, entries: &mut Slab<E>, list: usize) {
        self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        let mut index = std::mem::replace(&mut self.first[list], NONE);
        while index != NONE {
            let next = entries[index].timer().next;
            self.insert(entries, index);
            index = next;
        }
    }
}

#[cfg(test)]
mod tests;
