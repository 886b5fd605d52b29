//! What a scan of one reply partition knows, who waits on it, and where it has to read next.
//!
//! Pure: offsets, records and ends of the partition go in, answers and verdicts come out. There is
//! one stretch of the partition that is known without a hole: each reply in it was handed to those
//! who waited, and is kept for those who come later. It grows at its end as the scan goes on. Its
//! beginning rises when replies give way to the cap, and falls when a ticket needs what lies
//! before it: then the gap is read, once for all who need it, and the scan goes on behind the
//! stretch.

use antiphon_common::CorrelationId;

use super::kept::Kept;
use super::waiters::Waiters;

/// The scan of one partition, for waiters that are told apart by a tag.
#[derive(Debug)]
pub(super) struct Index<A, T> {
    kept: Kept<A>,
    waiters: Waiters<T>,
    /// `None` until the first scan has a place to start from.
    known: Option<Stretch>,
    /// What has been read of the gap before the known stretch, while it is being read.
    gap: Option<Stretch>,
    /// Counts the gaps: a waiter that needs one knows it by its number.
    gaps: u64,
    /// The lowest offset that is needed and that no scan goes through.
    wanted: Option<i64>,
    ends: Ends,
}

/// The first offset that a partition has, and the one that its next record gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ends {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// Offsets that were read without a hole: `next` is the first that was not.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: i64,
    next: i64,
}

/// What a question comes to at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<A> {
    /// The reply is kept.
    Found(A),
    /// The reply or a verdict comes later.
    Waiting,
}

/// A question that ended without a reply: the scan has passed the end as of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is no reply.
    Passed,
    /// There is none in what is left, which begins at `earliest`, after the waiter's start.
    Lost { earliest: i64 },
}

impl<A: Clone, T: Copy + Ord> Index<A, T> {
    /// Keeps replies of at most `cap` bytes together.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            kept: Kept::new(cap),
            waiters: Waiters::new(),
            known: None,
            gap: None,
            gaps: 0,
            wanted: None,
            ends: Ends::default(),
        }
    }

    /// The reply to a request, if it is kept.
    pub(super) fn find(&self, id: CorrelationId) -> Option<&A> {
        self.kept.get(id)
    }

    /// Takes note of the ends of the partition, as they are now. Returns whether the position has
    /// changed: records were removed before they were read, or the partition is another one now.
    pub(super) fn observe(&mut self, ends: Ends) -> bool {
        self.ends = ends;
        let before = self.position();
        let Some(known) = self.known else { return false };
        if known.next > ends.high {
            self.start_over();
        } else if before.is_some_and(|position| position < ends.low) {
            self.skip_removed();
        }
        self.position() != before
    }

    /// Asks for a reply that is at `start` or later, as of the ends observed last. A waiter that
    /// asks again keeps its place, and its question the new end.
    pub(super) fn ask(&mut self, id: CorrelationId, start: i64, tag: T) -> Asked<A> {
        if let Some(answer) = self.kept.get(id) {
            return Asked::Found(answer.clone());
        }
        let Ends { low, high } = self.ends;
        if !self.waiters.aim(id, tag, high) {
            let here = start.clamp(low, high.max(low));
            let (is_known, gap) = match (self.known, self.gap) {
                (Some(known), _) if known.from <= here => (known.from <= start, None),
                (Some(_), Some(gap)) if gap.from <= here => (gap.from <= start, Some(self.gaps)),
                (known, _) => {
                    self.wanted = Some(self.wanted.map_or(here, |wanted| wanted.min(here)));
                    (false, known.map(|_| self.gaps))
                }
            };
            let lost = start > high || (start < low && !is_known);
            self.waiters.add(id, (tag, start), gap, lost.then_some(low));
            self.waiters.aim(id, tag, high);
        }
        Asked::Waiting
    }

    /// Starts a scan if somebody needs what none goes through. Returns whether it did, and so
    /// changed the position.
    pub(super) fn start_scan(&mut self) -> bool {
        let Some(here) = self.wanted.take() else { return false };
        let scan = Some(Stretch { from: here, next: here });
        match self.known {
            // What was read of a smaller gap is read again.
            Some(known) if known.from < known.next => self.gap = scan,
            _ => {
                self.known = scan;
                self.end_gap();
            }
        }
        true
    }

    /// The offset to read next; `None` before there is anything to read.
    pub(super) fn position(&self) -> Option<i64> {
        self.gap.or(self.known).map(|stretch| stretch.next)
    }

    /// Takes a record that was read, with its reply if it is one, and returns those who waited for
    /// it. Records are read in order; offsets may be left out, as Kafka leaves them out.
    pub(super) fn read(&mut self, offset: i64, reply: Option<(CorrelationId, usize, A)>) -> Vec<T> {
        let Some(known) = self.known else { return Vec::new() };
        if self.gap.is_some() && offset >= known.from {
            self.close_gap();
        }
        if self.position().is_none_or(|position| offset < position) {
            return Vec::new();
        }
        let Self { kept, waiters, known: Some(known), gap, .. } = self else { return Vec::new() };
        gap.as_mut().unwrap_or(known).next = offset + 1;
        let mut found = Vec::new();
        if let Some((id, size, answer)) = reply {
            found = waiters.take(id);
            kept.insert(id, offset, (size, answer), |evicted| {
                for stretch in [gap.as_mut(), Some(&mut *known)].into_iter().flatten() {
                    stretch.evict(evicted);
                }
            });
        }
        if self.gap.is_some_and(|gap| self.known.is_some_and(|known| gap.next >= known.from)) {
            self.close_gap();
        }
        found
    }

    /// Takes note that the scan has read all that is before `end`.
    pub(super) fn reach(&mut self, end: i64) {
        let (Some(known), gap) = (&mut self.known, &mut self.gap) else { return };
        let scan = gap.as_mut().unwrap_or(known);
        scan.next = scan.next.max(end);
        let next = scan.next;
        if self.gap.is_some() && self.known.is_some_and(|known| next >= known.from) {
            self.close_gap();
        }
    }

    /// The next question that the scan has passed the end of. The waiter stays, for a reply that
    /// may come later, until it is forgotten.
    pub(super) fn settle(&mut self) -> Option<(T, Verdict)> {
        // While a gap is read, what lies behind it waits.
        let known = self.known.filter(|_| self.gap.is_none() && self.wanted.is_none())?;
        let (tag, earliest) = self.waiters.pop_due(known.next)?;
        Some((tag, earliest.map_or(Verdict::Passed, |earliest| Verdict::Lost { earliest })))
    }

    /// The lowest end of an open question that lies ahead of the scan.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.waiters.next_due()
    }

    /// The end of the partition, as it was observed last.
    pub(super) fn end(&self) -> i64 {
        self.ends.high
    }

    /// Takes back the question of a waiter, which waits on.
    pub(super) fn hold(&mut self, id: CorrelationId, tag: T) {
        self.waiters.hold(id, tag);
    }

    /// Takes a waiter out.
    pub(super) fn forget(&mut self, id: CorrelationId, tag: T) {
        self.waiters.forget(id, tag);
    }

    /// Joins the gap, which has been read, and the known stretch.
    fn close_gap(&mut self) {
        if let (Some(known), Some(gap)) = (&mut self.known, self.gap) {
            known.from = known.from.min(gap.from);
        }
        self.end_gap();
    }

    fn end_gap(&mut self) {
        self.gap = None;
        self.gaps += 1;
    }

    /// Goes on at the first record that is left, and notes whose reply may be lost.
    fn skip_removed(&mut self) {
        let Ends { low, high } = self.ends;
        let Some(known) = &mut self.known else { return };
        let rest = Stretch { from: low, next: low };
        if let Some(gap) = &mut self.gap {
            self.waiters.lose(Some(self.gaps), low, low, high);
            *gap = rest;
            if low < known.from {
                return;
            }
        }
        if known.next < low {
            self.waiters.lose(None, low, low, high);
            *known = rest;
        }
        if self.gap.is_some() {
            // It lies behind the beginning now, and what is known stays known.
            self.end_gap();
        }
    }

    /// The partition is shorter than what was read of it: it was emptied and filled again, or the
    /// topic was made anew. What is there now is read from its beginning.
    fn start_over(&mut self) {
        let Ends { low, high } = self.ends;
        self.kept.clear();
        self.known = None;
        self.end_gap();
        self.wanted = (!self.waiters.is_empty()).then_some(low);
        self.waiters.lose(None, i64::MAX, low, high);
    }
}

impl Stretch {
    /// A reply in it is kept no longer: what is known begins behind it.
    fn evict(&mut self, offset: i64) {
        if (self.from..self.next).contains(&offset) {
            self.from = offset + 1;
        }
    }
}
