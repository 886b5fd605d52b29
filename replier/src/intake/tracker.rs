//! The progress of one assigned partition, shared by intake, handlers and delivery reports.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::dedupe::partition::{First, Handled};
use crate::intake::cancellations::Cancellations;
use crate::intake::gaps;
use crate::intake::outstanding::Outstanding;
use crate::intake::several::Several;
use crate::intake::watermark::{Start, Watermark};

/// One partition from assignment to revocation.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Tells it from the tracker that the partition had before, or has in another assignment.
    pub(crate) serial: u64,
    pub(crate) cancellations: Arc<Cancellations>,
    /// How many requests of this partition are taken in and not complete.
    taken: AtomicUsize,
    outstanding: Arc<Outstanding>,
    progress: Mutex<Progress>,
    /// Woken when nobody works on any request.
    idle: Condvar,
    /// Something was completed since the offset was last taken.
    dirty: AtomicBool,
    /// Requests with a record that must be written and cannot be.
    blocked: AtomicUsize,
    /// The partition is another's to handle now.
    released: AtomicBool,
    /// What has been handled lately, if that is kept. Set before the first request is taken in.
    pub(crate) window: OnceLock<Arc<Handled>>,
}

#[derive(Debug, Default)]
struct Progress {
    mark: Watermark,
    /// Requests that were started and not let go of.
    at_work: usize,
    /// The partition is given up: nothing more is started.
    revoked: bool,
    /// What was last taken to be committed.
    taken: Option<Commit>,
    /// What was last committed.
    committed: Option<Commit>,
    /// The first offset taken in.
    first: Option<i64>,
    /// The largest run of offsets that were expected and did not come.
    jump: Option<Range<i64>>,
}

/// What is committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The next offset to read.
    pub(crate) next: i64,
    /// What is complete above that, if anything is.
    pub(crate) done: Option<String>,
}

/// The duty to complete one request. Dropped without [`Taken::complete`] or
/// [`Taken::mark_complete`], it leaves the request incomplete for good: the offset is not committed,
/// and the request is handled again elsewhere.
#[must_use = "a request that is not completed holds the watermark back"]
#[derive(Debug)]
pub(crate) struct Taken {
    tracker: Arc<Tracker>,
    offset: i64,
    /// Somebody works on it, and a revocation waits for that.
    at_work: bool,
    /// It is counted as taken in, with so many bytes.
    counted: bool,
    bytes: usize,
    completed: bool,
    blocks: bool,
    /// It is known whether another like it has run.
    looked_up: bool,
    /// Its record, if that has other requests too.
    record: Option<Arc<Several>>,
    /// The right to run it, if others like it are told what it comes to.
    first: Option<Box<First>>,
}

impl Tracker {
    pub(crate) fn new(topic: Arc<str>, partition: i32, outstanding: Arc<Outstanding>) -> Arc<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            topic,
            partition,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            cancellations: Arc::default(),
            taken: AtomicUsize::new(0),
            outstanding,
            progress: Mutex::default(),
            idle: Condvar::new(),
            dirty: AtomicBool::new(false),
            blocked: AtomicUsize::new(0),
            released: AtomicBool::new(false),
            window: OnceLock::new(),
        })
    }

    /// Begins where the group has committed to, and with what was complete above that. Called
    /// before anything is taken in.
    pub(crate) fn restore(&self, next: i64, metadata: &[u8]) {
        let known = gaps::decode(next, metadata);
        let done = (!known.is_empty()).then(|| String::from_utf8_lossy(metadata).into_owned());
        let mut progress = self.lock();
        progress.mark = Watermark::restore(next, known);
        progress.committed = Some(Commit { next, done });
    }

    /// How many requests of this partition are taken in and not complete.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes a request in; `None` if it was taken in before, or is known to be complete.
    pub(crate) fn take(self: &Arc<Self>, offset: i64) -> Option<Taken> {
        let mut progress = self.lock();
        let expected = progress.mark.expected();
        let started = progress.mark.start(offset);
        if let Some(jump) = expected.map(|expected| expected..offset)
            && jump.end - jump.start
                > progress.jump.as_ref().map_or(0, |jump| jump.end - jump.start)
        {
            progress.jump = Some(jump);
        }
        progress.first.get_or_insert(offset);
        drop(progress);
        match started {
            Start::New => Some(self.count(offset, None)),
            Start::Known => {
                self.outstanding.metrics.skipped.inc();
                self.dirty.store(true, Ordering::Release);
                None
            }
            Start::Again => None,
        }
    }

    /// Takes in one of several requests of a record that was taken in.
    pub(crate) fn take_part(self: &Arc<Self>, offset: i64, record: &Arc<Several>) -> Taken {
        self.count(offset, Some(Arc::clone(record)))
    }

    fn count(self: &Arc<Self>, offset: i64, record: Option<Arc<Several>>) -> Taken {
        self.outstanding.add();
        self.taken.fetch_add(1, Ordering::Relaxed);
        Taken {
            tracker: Arc::clone(self),
            offset,
            at_work: false,
            counted: true,
            bytes: 0,
            completed: false,
            blocks: false,
            looked_up: false,
            record,
            first: None,
        }
    }

    /// So many requests with so many bytes are let go of.
    fn subtract(&self, requests: usize, bytes: usize) {
        self.taken.fetch_sub(requests, Ordering::Relaxed);
        self.outstanding.subtract(requests, bytes);
    }

    /// The offset that should come next; `None` if none is known.
    pub(crate) fn expected(&self) -> Option<i64> {
        self.lock().mark.expected()
    }

    /// What is to be committed, if it changed since the last call.
    pub(crate) fn take_risen(&self) -> Option<Commit> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return None;
        }
        let commit = self.committable()?;
        let mut progress = self.lock();
        if progress.taken.as_ref() == Some(&commit) {
            return None;
        }
        progress.taken = Some(commit.clone());
        Some(commit)
    }

    /// What was taken to be committed, if only the part above the offset is not committed yet.
    pub(crate) fn uncommitted_gaps(&self) -> Option<Commit> {
        let progress = self.lock();
        let (taken, committed) = (progress.taken.as_ref()?, progress.committed.as_ref()?);
        (taken.next == committed.next && taken.done != committed.done).then(|| taken.clone())
    }

    /// The offsets that were expected since the last call and did not come, if they are many.
    pub(crate) fn take_jump(&self) -> Option<Range<i64>> {
        self.lock().jump.take()
    }

    /// What was taken by [`Tracker::take_risen`] could not be committed: it is to be taken again.
    pub(crate) fn put_back(&self) {
        self.lock().taken = None;
        self.dirty.store(true, Ordering::Release);
    }

    /// The partition goes to another member: what has not been started is left to it.
    pub(crate) fn revoke(&self) {
        self.lock().revoked = true;
    }

    /// The offset behind which everything is complete, and what is complete above it.
    pub(crate) fn committable(&self) -> Option<Commit> {
        let progress = self.lock();
        let next = progress.mark.committable()?;
        Some(Commit { next, done: gaps::encode(next, progress.mark.runs()) })
    }

    /// The offset behind which everything would be complete if these requests were as well; where
    /// the partition was first read if that is nothing. For a transaction, which may be aborted: a
    /// request is complete only when its transaction is committed.
    pub(crate) fn committable_with(&self, also: &[i64]) -> Option<Commit> {
        let mut mark = self.lock().mark.clone();
        for offset in also {
            mark.complete(*offset);
        }
        let next = mark.position()?;
        Some(Commit { next, done: gaps::encode(next, mark.runs()) })
    }

    /// Notes what was committed.
    pub(crate) fn committed(&self, next: i64, metadata: &[u8]) {
        let done = (!metadata.is_empty()).then(|| String::from_utf8_lossy(metadata).into_owned());
        self.lock().committed = Some(Commit { next, done });
        self.idle.notify_all();
    }

    /// Notes that the partition is no longer this replier's.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    /// Whether the partition is no longer this replier's: others handle what is not committed.
    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    /// How far the commit is behind the watermark, in offsets.
    pub(crate) fn commit_lag(&self) -> i64 {
        self.lock().lag()
    }

    /// Whether a record that must be written cannot be.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) > 0
    }

    /// Whether requests may run: what was handled before is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.window.get().is_none_or(|window| window.is_ready())
    }

    /// Lets go of requests that wait until it is known what was handled before: they are not worth
    /// waiting for when the partition is given up.
    pub(crate) fn close_window(&self) {
        if let Some(window) = self.window.get() {
            window.close();
        }
    }

    /// Waits until nobody works on any request; `false` if that is not so by `deadline`.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let waited = self
            .idle
            .wait_timeout_while(self.lock(), left, |progress| progress.at_work > 0)
            .unwrap_or_else(PoisonError::into_inner);
        waited.0.at_work == 0
    }

    /// Waits until nobody works on any request and all that is complete is committed; `false` if
    /// that is not so by `deadline`. For those whose offsets are committed in transactions.
    pub(crate) fn wait_committed(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let busy = |progress: &mut Progress| progress.at_work > 0 || progress.lag() > 0;
        let waited = self.idle.wait_timeout_while(self.lock(), left, busy);
        !busy(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Nobody works on so many of the requests any more.
    fn leave(&mut self, left: usize, idle: &Condvar) {
        self.at_work -= left;
        if left > 0 && self.at_work == 0 {
            idle.notify_all();
        }
    }

    fn lag(&self) -> i64 {
        let committed = self.committed.as_ref().map(|commit| commit.next).or(self.first);
        let both = self.mark.committable().zip(committed);
        both.map_or(0, |(next, committed)| (next - committed).max(0))
    }
}

impl Taken {
    /// The progress of the request's partition.
    pub(crate) fn tracker(&self) -> &Arc<Tracker> {
        &self.tracker
    }

    /// Whether its record has other requests too.
    pub(crate) fn shares(&self) -> bool {
        self.record.is_some()
    }

    /// The request's offset.
    pub(crate) fn offset(&self) -> i64 {
        self.offset
    }

    /// Notes that somebody works on the request from now on, until this is dropped; a revocation
    /// waits for that. `false` if the partition is given up: the request is then not to be started,
    /// but dropped, since the next owner of the partition reads it again.
    pub(crate) fn start(&mut self) -> bool {
        let mut progress = self.tracker.lock();
        if progress.revoked {
            return false;
        }
        if !std::mem::replace(&mut self.at_work, true) {
            progress.at_work += 1;
        }
        true
    }

    /// Counts the bytes of the request, until it is let go of.
    pub(crate) fn weigh(&mut self, bytes: usize) {
        self.tracker.outstanding.add_bytes(bytes);
        self.bytes += bytes;
    }

    /// The request is answered, or needs no answer: its offset may be committed.
    pub(crate) fn complete(mut self) {
        if self.first.is_some() {
            // Before anybody hears that nobody works on it, those like it are told; see `drop`.
            return self.mark_complete();
        }
        self.unblock();
        self.completed = true;
        // Not under the lock: the record is complete with its last request.
        let shares = self.record.take().map(drop).is_some();
        let mut progress = self.tracker.lock();
        if !shares && progress.mark.complete(self.offset) {
            // Known before a revocation hears that nobody works on it, and stores what has risen.
            self.tracker.dirty.store(true, Ordering::Release);
        }
        if std::mem::take(&mut self.at_work) {
            progress.leave(1, &self.tracker.idle);
        }
    }

    /// The same for many, which touches what threads share once for those of one partition that come after
    /// each other.
    pub(crate) fn complete_all(requests: Vec<Self>) {
        let (mut plain, others): (Vec<_>, Vec<_>) = requests.into_iter().partition(Self::is_plain);
        others.into_iter().for_each(Self::complete);
        for run in plain.chunk_by_mut(|one, next| Arc::ptr_eq(&one.tracker, &next.tracker)) {
            let Some(tracker) = run.first().map(|first| Arc::clone(&first.tracker)) else {
                continue;
            };
            let (mut risen, mut left, mut bytes) = (false, 0, 0);
            let mut progress = tracker.lock();
            for taken in &mut *run {
                taken.completed = true;
                taken.counted = false;
                bytes += std::mem::take(&mut taken.bytes);
                risen |= progress.mark.complete(taken.offset);
                left += usize::from(std::mem::take(&mut taken.at_work));
            }
            if risen {
                // As in `complete`.
                tracker.dirty.store(true, Ordering::Release);
            }
            progress.leave(left, &tracker.idle);
            drop(progress);
            tracker.subtract(run.len(), bytes);
        }
    }

    /// Nothing is to be done for it but to complete it.
    fn is_plain(&self) -> bool {
        self.record.is_none() && self.first.is_none() && !self.blocks
    }

    /// The same, but a revocation still waits until this is dropped.
    pub(crate) fn mark_complete(&mut self) {
        self.completed = true;
        if let Some(record) = self.record.take() {
            return drop(record);
        }
        if self.tracker.lock().mark.complete(self.offset) {
            self.tracker.dirty.store(true, Ordering::Release);
        }
    }

    /// Whether it is to be seen first if another like it has run.
    pub(crate) fn is_to_be_looked_up(&self) -> bool {
        !self.looked_up && self.window().is_some()
    }

    /// It has been seen to.
    pub(crate) fn looked_up(&mut self) {
        self.looked_up = true;
    }

    /// What has been handled in its partition, if that is kept.
    pub(crate) fn window(&self) -> Option<&Arc<Handled>> {
        self.tracker.window.get()
    }

    /// It runs, and others like it do not.
    pub(crate) fn run_as(&mut self, first: First) {
        self.first = Some(Box::new(first));
    }

    /// The right to run it.
    pub(crate) fn first_mut(&mut self) -> Option<&mut First> {
        self.first.as_deref_mut()
    }

    /// A record that must be written before this request is complete cannot be.
    pub(crate) fn block(&mut self) {
        if !std::mem::replace(&mut self.blocks, true) {
            self.tracker.blocked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It is written.
    pub(crate) fn unblock(&mut self) {
        if std::mem::replace(&mut self.blocks, false) {
            self.tracker.blocked.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.unblock();
        if let Some(record) = &self.record {
            record.leave();
        }
        if let Some(first) = self.first.take().filter(|_| self.completed) {
            first.settle();
        }
        let tracker = &self.tracker;
        if self.at_work {
            // Nobody works on it any more, complete or not: there is nothing to wait for.
            tracker.lock().leave(1, &tracker.idle);
        }
        if self.counted {
            tracker.subtract(1, self.bytes);
        }
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
