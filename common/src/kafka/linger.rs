//! How long records wait for others to go out with, by how many questions or answers are under way.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a record waits for others, when there are many under way. librdkafka ends the wait when
/// another record is queued after it, or else at a full millisecond, so it is of use only where records
/// are queued all the time; a longer one only where more of them are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linger {
    /// 50 µs. With 64 under way it was measured to be of use, in throughput and in processor time; with
    /// 16 it halves the throughput where a core is quick.
    Short,
    /// 100 µs. Of use with 128; with 96 throughput falls by a tenth, with 48 it halves.
    Long,
}

/// So many records are looked at to see which linger suits, and so many of the first.
pub(super) const WINDOW: usize = 1024;
pub(super) const FIRST: usize = 256;
/// For how long there must be fewer, until records wait no longer: of those that come in batches there
/// are few when the first ones of a batch are sent.
const FEWER_FOR: Duration = Duration::from_millis(10);

impl Linger {
    /// The value of `linger.ms`.
    pub(super) fn ms(self) -> &'static str {
        match self {
            Self::Short => "0.05",
            Self::Long => "0.1",
        }
    }

    /// Whether records are to wait for each other; `now` is whether they do.
    pub(super) fn gathers(self, now: bool, under_way: usize) -> bool {
        under_way >= if now { self.few() } else { self.many() }
    }

    /// Whether the other one suits better, when so many are under way at most.
    pub(super) fn misfits(self, most: usize) -> bool {
        match self {
            Self::Short => most >= Self::Long.many(),
            // With fewer than that records do not wait at all.
            Self::Long => (Self::Short.many()..Self::Long.many() * 3 / 4).contains(&most),
        }
    }

    /// Which one suits when so many are under way at most.
    pub(super) fn suiting(most: usize) -> Self {
        if Self::Short.misfits(most) { Self::Long } else { Self::Short }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Short => Self::Long,
            Self::Long => Self::Short,
        }
    }

    /// From how many under way on records wait.
    fn many(self) -> usize {
        match self {
            Self::Short => 48,
            Self::Long => 128,
        }
    }

    /// Below how many they wait no longer.
    fn few(self) -> usize {
        self.many() / 2
    }
}

/// How many were under way of late. Notes of other threads that come between are lost, and not missed.
#[derive(Debug, Default)]
pub(super) struct Load {
    noted: AtomicUsize,
    most: AtomicUsize,
}

impl Load {
    /// Notes how many are under way; now and then, says how many they were at most since the last time.
    pub(super) fn note(&self, under_way: usize) -> Option<usize> {
        (self.add(under_way) >= WINDOW).then(|| self.take())
    }

    /// Notes how many are under way before records ever wait for each other, and says whether enough
    /// is known.
    pub(super) fn note_first(&self, under_way: usize) -> bool {
        self.add(under_way) >= FIRST
    }

    /// How many were under way at most, after which it begins anew.
    pub(super) fn take(&self) -> usize {
        self.noted.store(0, Ordering::Relaxed);
        self.most.swap(0, Ordering::Relaxed)
    }

    fn add(&self, under_way: usize) -> usize {
        if under_way > self.most.load(Ordering::Relaxed) {
            self.most.store(under_way, Ordering::Relaxed);
        }
        let noted = self.noted.load(Ordering::Relaxed) + 1;
        self.noted.store(noted, Ordering::Relaxed);
        noted
    }
}

/// Whether it has been so for long that records need not wait any more as they do.
#[derive(Debug)]
pub(super) struct Fewer {
    epoch: Instant,
    /// Since when, in nanoseconds after the epoch; [`NOT`] if it is not so.
    since: AtomicU64,
}

const NOT: u64 = u64::MAX;

impl Default for Fewer {
    fn default() -> Self {
        Self { epoch: Instant::now(), since: AtomicU64::new(NOT) }
    }
}

impl Fewer {
    /// Notes that it is not so. Reads no clock.
    pub(super) fn end(&self) {
        if self.since.load(Ordering::Relaxed) != NOT {
            self.since.store(NOT, Ordering::Relaxed);
        }
    }

    /// Notes that it is so, and says whether it has been for long enough.
    pub(super) fn note(&self) -> bool {
        let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(NOT - 1);
        match self.since.load(Ordering::Relaxed) {
            NOT => {
                self.since.store(now, Ordering::Relaxed);
                false
            }
            since => Duration::from_nanos(now.saturating_sub(since)) >= FEWER_FOR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_wait_for_each_other_from_many_on_until_there_are_few() {
        for (linger, under_way) in [
            (Linger::Short, [1, 47, 48, 47, 24, 23, 24, 47, 48]),
            (Linger::Long, [1, 127, 128, 127, 64, 63, 64, 127, 128]),
        ] {
            let mut now = false;
            let gathered = under_way.map(|under_way| {
                now = linger.gathers(now, under_way);
                now
            });
            assert_eq!(gathered, [false, false, true, true, true, false, false, false, true]);
        }
    }

    #[test]
    fn the_longer_linger_suits_where_more_are_under_way() {
        let misfits =
            |linger: Linger| [1, 47, 48, 95, 96, 127, 128, 9_999].map(|most| linger.misfits(most));
        let (short, long) = (misfits(Linger::Short), misfits(Linger::Long));
        assert_eq!(short, [false, false, false, false, false, false, true, true]);
        assert_eq!(long, [false, false, true, true, false, false, false, false]);
        assert_eq!(Linger::Short.other().other(), Linger::Short);
        let first = [48, 127, 128].map(Linger::suiting);
        assert_eq!(first, [Linger::Short, Linger::Short, Linger::Long]);
    }

    #[test]
    fn the_most_of_a_window_is_told_at_its_end() {
        let load = Load::default();
        for most in [700, 3] {
            for noted in 1..WINDOW {
                assert_eq!(load.note(if noted == 5 { most } else { 1 }), None);
            }
            assert_eq!(load.note(2), Some(most));
        }
        let known: Vec<bool> = (1..=FIRST).map(|most| load.note_first(most)).collect();
        assert_eq!(known.iter().filter(|known| **known).count(), 1);
        assert_eq!((load.take(), load.take()), (FIRST, 0));
    }

    #[test]
    fn records_wait_no_longer_once_there_have_been_few_for_a_while() {
        let fewer = Fewer::default();
        assert!(!fewer.note());
        std::thread::sleep(FEWER_FOR);
        assert!(fewer.note());
        fewer.end();
        assert!(!fewer.note(), "it begins anew");
    }
}
