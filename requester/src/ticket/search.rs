//! The search for many replies in many partitions: one index for each partition, and for each
//! waiter what its partitions have told so far.
//!
//! Pure: whoever drives it looks up the ends of partitions, reads records and keeps the time. A
//! reply in one partition is enough; that there is none takes all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use antiphon_common::CorrelationId;

use super::index::{Asked, Ends, Index, Verdict};
use super::token::ReplyStart;

/// All waiters of one reply topic. `A` is an answer, `S` what is given back with a waiter's end.
#[derive(Debug)]
pub(super) struct Search<A, S> {
    /// The most bytes of replies that are kept for each partition.
    cap: usize,
    indexes: BTreeMap<i32, Index<A, u64>>,
    waiters: HashMap<u64, Waiter<S>>,
    next_tag: u64,
    /// The partitions whose ends have to be looked up, and for whom.
    unlooked: BTreeMap<i32, BTreeSet<u64>>,
    ended: Vec<(S, Ending<A>)>,
    scans: u64,
}

/// What is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Sought {
    pub(super) id: CorrelationId,
    pub(super) starts: Vec<ReplyStart>,
    pub(super) deadline_unix_ms: u64,
    /// Ends when the partitions have been read to their ends, instead of waiting for more.
    pub(super) once: bool,
}

/// How a search for one reply ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending<A> {
    /// Here it is.
    Found(A),
    /// It is not there yet, and may come.
    NotYet,
    /// It was not there when the deadline had passed.
    TimedOut,
    /// It is not in what retention has left.
    Removed { start: ReplyStart, earliest: i64 },
}

#[derive(Debug)]
struct Waiter<S> {
    sought: Sought,
    /// The partitions that have not told yet whether they have the reply.
    open: BTreeSet<i32>,
    /// The deadline had passed when the question was asked.
    late: bool,
    removed: Option<(ReplyStart, i64)>,
    sink: S,
}

impl<A: Clone, S> Search<A, S> {
    /// Keeps replies of at most `cap` bytes for each partition.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            cap,
            indexes: BTreeMap::new(),
            waiters: HashMap::new(),
            next_tag: 0,
            unlooked: BTreeMap::new(),
            ended: Vec::new(),
            scans: 0,
        }
    }

    /// Sets the most bytes of replies that are kept for each partition that is not read yet.
    pub(super) fn keep(&mut self, cap: usize) {
        self.cap = cap;
    }

    /// Takes a waiter. It ends at once if its reply is kept.
    pub(super) fn enlist(&mut self, sought: Sought, now_unix_ms: u64, sink: S) {
        let partitions = sought.starts.iter().map(|start| start.partition);
        let kept = partitions.filter_map(|p| self.indexes.get(&p)?.find(sought.id)).next();
        if let Some(answer) = kept {
            self.ended.push((sink, Ending::Found(answer.clone())));
            return;
        }
        let (tag, late) = (self.next_tag, now_unix_ms >= sought.deadline_unix_ms);
        self.next_tag += 1;
        let waiter = Waiter { sought, open: BTreeSet::new(), late, removed: None, sink };
        self.waiters.insert(tag, waiter);
        self.question(tag);
    }

    /// The partitions whose ends somebody needs to know, for [`Search::looked`].
    pub(super) fn unlooked(&self) -> Vec<i32> {
        self.unlooked.keys().copied().collect()
    }

    /// Has the ends of all partitions that are read looked up: a position is not what it was.
    pub(super) fn doubt(&mut self) {
        for partition in self.indexes.keys() {
            self.unlooked.entry(*partition).or_default();
        }
    }

    /// Takes the ends of a partition, which were looked up just now. Returns whether the position
    /// in the partition has changed.
    pub(super) fn looked(&mut self, partition: i32, ends: Ends) -> bool {
        let cap = self.cap;
        let index = self.indexes.entry(partition).or_insert_with(|| Index::new(cap));
        let mut moved = index.observe(ends);
        let mut found = Vec::new();
        for tag in self.unlooked.remove(&partition).unwrap_or_default() {
            let Some(waiter) = self.waiters.get(&tag) else { continue };
            if let Asked::Found(answer) =
                index.ask(waiter.sought.id, waiter.start(partition).offset, tag)
            {
                found.push((tag, answer));
            }
        }
        if index.start_scan() {
            self.scans += 1;
            moved = true;
        }
        for (tag, answer) in found {
            self.end(tag, Ending::Found(answer));
        }
        self.settle(partition);
        moved
    }

    /// Takes a record that was read, with its reply if it is one.
    pub(super) fn read(
        &mut self,
        partition: i32,
        offset: i64,
        reply: Option<(CorrelationId, usize, A)>,
    ) {
        let Some(index) = self.indexes.get_mut(&partition) else { return };
        let answer = reply.as_ref().map(|(.., answer)| answer.clone());
        for tag in index.read(offset, reply) {
            if let Some(answer) = &answer {
                self.end(tag, Ending::Found(answer.clone()));
            }
        }
        self.settle(partition);
    }

    /// Takes note that a partition was read up to `end`.
    pub(super) fn reach(&mut self, partition: i32, end: i64) {
        if let Some(index) = self.indexes.get_mut(&partition) {
            index.reach(end);
        }
        self.settle(partition);
    }

    /// Lets go of waiters that are gone, and asks a last time for those whose deadline has passed.
    pub(super) fn sweep(&mut self, now_unix_ms: u64, is_gone: impl Fn(&S) -> bool) {
        let mut gone = Vec::new();
        let mut late = Vec::new();
        for (tag, waiter) in &mut self.waiters {
            if is_gone(&waiter.sink) {
                gone.push(*tag);
            } else if !waiter.late && now_unix_ms >= waiter.sought.deadline_unix_ms {
                waiter.late = true;
                late.push(*tag);
            }
        }
        gone.into_iter().for_each(|tag| drop(self.remove(tag)));
        late.into_iter().for_each(|tag| self.question(tag));
    }

    /// Takes out the waiters that look in partitions which `is_there` denies, with the partition.
    pub(super) fn refuse(&mut self, is_there: impl Fn(i32) -> bool) -> Vec<(S, i32)> {
        let absent = |waiter: &Waiter<S>| {
            waiter.sought.starts.iter().map(|s| s.partition).find(|p| !is_there(*p))
        };
        let refused: Vec<(u64, i32)> =
            self.waiters.iter().filter_map(|(tag, w)| Some((*tag, absent(w)?))).collect();
        let taken = refused.into_iter();
        taken.filter_map(|(tag, partition)| Some((self.remove(tag)?.sink, partition))).collect()
    }

    /// Those that have ended since the last time.
    pub(super) fn take_ended(&mut self) -> Vec<(S, Ending<A>)> {
        std::mem::take(&mut self.ended)
    }

    /// The partitions that are read, and where each goes on.
    pub(super) fn positions(&self) -> impl Iterator<Item = (i32, i64)> {
        let positions = self.indexes.iter();
        positions.filter_map(|(partition, index)| Some((*partition, index.position()?)))
    }

    pub(super) fn position(&self, partition: i32) -> Option<i64> {
        self.indexes.get(&partition)?.position()
    }

    /// The end of a partition, as it was looked up last.
    pub(super) fn end_of(&self, partition: i32) -> i64 {
        self.indexes.get(&partition).map_or(0, Index::end)
    }

    /// The partitions in which an open question ends ahead of the scan, and the lowest such end.
    pub(super) fn due(&self) -> impl Iterator<Item = (i32, i64)> {
        self.indexes.iter().filter_map(|(partition, index)| Some((*partition, index.next_due()?)))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiters.is_empty()
    }

    /// The number of scans that were started, in all partitions.
    pub(super) fn scans(&self) -> u64 {
        self.scans
    }

    /// Opens a question in every partition of a waiter, in place of one that may be open.
    fn question(&mut self, tag: u64) {
        let Some(waiter) = self.waiters.get_mut(&tag) else { return };
        waiter.removed = None;
        for start in &waiter.sought.starts {
            waiter.open.insert(start.partition);
            self.unlooked.entry(start.partition).or_default().insert(tag);
            if let Some(index) = self.indexes.get_mut(&start.partition) {
                index.hold(waiter.sought.id, tag);
            }
        }
    }

    fn settle(&mut self, partition: i32) {
        let next = |search: &mut Self| search.indexes.get_mut(&partition)?.settle();
        while let Some((tag, verdict)) = next(self) {
            self.tell(partition, tag, verdict);
        }
    }

    fn tell(&mut self, partition: i32, tag: u64, verdict: Verdict) {
        let Some(waiter) = self.waiters.get_mut(&tag) else { return };
        let was_open = waiter.open.remove(&partition);
        if let Verdict::Lost { earliest } = verdict {
            if !was_open {
                // The loss came while nothing was asked: now all partitions have to tell.
                self.question(tag);
                return;
            }
            waiter.removed = Some((waiter.start(partition), earliest));
        }
        if !waiter.open.is_empty() {
            return;
        }
        match waiter.removed {
            Some((start, earliest)) => self.end(tag, Ending::Removed { start, earliest }),
            None if waiter.late => self.end(tag, Ending::TimedOut),
            None if waiter.sought.once => self.end(tag, Ending::NotYet),
            None => {}
        }
    }

    fn end(&mut self, tag: u64, ending: Ending<A>) {
        if let Some(waiter) = self.remove(tag) {
            self.ended.push((waiter.sink, ending));
        }
    }

    fn remove(&mut self, tag: u64) -> Option<Waiter<S>> {
        let waiter = self.waiters.remove(&tag)?;
        for start in &waiter.sought.starts {
            if let Some(index) = self.indexes.get_mut(&start.partition) {
                index.forget(waiter.sought.id, tag);
            }
            if let Some(tags) = self.unlooked.get_mut(&start.partition) {
                tags.remove(&tag);
                if tags.is_empty() {
                    self.unlooked.remove(&start.partition);
                }
            }
        }
        Some(waiter)
    }
}

impl<S> Waiter<S> {
    fn start(&self, partition: i32) -> ReplyStart {
        let start = self.sought.starts.iter().find(|start| start.partition == partition);
        start.copied().unwrap_or(ReplyStart { partition, offset: 0 })
    }
}
