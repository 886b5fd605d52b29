//! What a commit says of each partition, and when gaps are committed by themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::intake::assignment::Trackers;
use crate::intake::tracker::{Commit, Tracker};

/// How commits are written. Offsets that rise are stored, and the client commits them at its own
/// interval: it knows best when the group and its coordinator can take a commit, and it commits once
/// more what it gives up. Only what is complete above an offset that stays is committed from here.
#[derive(Debug)]
pub(crate) struct Commits {
    interval: Duration,
    pace: Mutex<Pace>,
    /// The brokers take no metadata of this size.
    without_gaps: AtomicBool,
}

#[derive(Debug)]
struct Pace {
    due: Instant,
    /// A commit from here was not answered yet.
    sent: bool,
}

impl Commits {
    pub(crate) fn new(interval: Duration) -> Self {
        let pace = Pace { due: Instant::now(), sent: false };
        Self { interval, pace: Mutex::new(pace), without_gaps: AtomicBool::new(false) }
    }

    /// Those of another consumer of the same replier.
    pub(crate) fn anew(&self) -> Self {
        let commits = Self::new(self.interval);
        commits.without_gaps.store(!self.with_gaps(), Ordering::Relaxed);
        commits
    }

    /// Makes the list of what is to be committed.
    pub(crate) fn list(
        &self,
        trackers: &Trackers,
        commit: impl Fn(&Tracker) -> Option<Commit>,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for tracker in trackers.values().flat_map(|topic| topic.values()) {
            if let Some(commit) = commit(tracker) {
                self.add(&mut list, tracker, &commit);
            }
        }
        list
    }

    /// Adds what is to be committed for one partition.
    pub(crate) fn add(&self, list: &mut TopicPartitionList, tracker: &Tracker, commit: &Commit) {
        let mut element = list.add_partition(&tracker.topic, tracker.partition);
        // Only an offset that cannot be one is refused, and then nothing is committed.
        let _ = element.set_offset(Offset::Offset(commit.next));
        if let Some(done) = commit.done.as_ref().filter(|_| self.with_gaps()) {
            element.set_metadata(done);
        }
    }

    /// Whether gaps may be committed by themselves now: once in a commit interval, and not before
    /// the last such commit was answered.
    pub(crate) fn is_due(&self) -> bool {
        let mut pace = self.pace();
        let now = Instant::now();
        let due = now >= pace.due && !pace.sent && self.with_gaps();
        if due {
            pace.due = now + self.interval;
        }
        due
    }

    /// Gaps were sent.
    pub(crate) fn sent(&self) {
        self.pace().sent = true;
    }

    /// A commit was answered, or will never be.
    pub(crate) fn answered(&self) {
        self.pace().sent = false;
    }

    /// From here on, gaps are left out. `false` if they were before.
    pub(crate) fn without_gaps(&self) -> bool {
        !self.without_gaps.swap(true, Ordering::Relaxed)
    }

    fn with_gaps(&self) -> bool {
        !self.without_gaps.load(Ordering::Relaxed)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::outstanding::Outstanding;
    use antiphon_common::metrics::ReplierMetrics;

    #[test]
    fn gaps_are_sent_one_commit_at_a_time_and_an_interval_apart() {
        let commits = Commits::new(Duration::ZERO);
        assert!(commits.is_due());
        commits.sent();
        assert!(!commits.is_due());
        commits.answered();
        assert!(commits.is_due());
        let slow = Commits::new(Duration::from_secs(3600));
        assert!(slow.is_due() && !slow.is_due());
    }

    #[test]
    fn metadata_is_left_out_once_the_brokers_refuse_it() {
        let tracker = Tracker::new("t".into(), 3, Outstanding::new(ReplierMetrics::new()));
        let trackers = [("t".into(), [(3, tracker)].into())].into();
        let commits = Commits::new(Duration::ZERO);
        let commit = |_: &Tracker| Some(Commit { next: 7, done: Some("a1:x".into()) });
        let list = commits.list(&trackers, commit);
        assert_eq!(list.elements_for_topic("t")[0].offset(), Offset::Offset(7));
        assert_eq!(antiphon_native::metadata(&list), [b"a1:x"]);
        assert!(commits.without_gaps() && !commits.without_gaps());
        assert_eq!(antiphon_native::metadata(&commits.list(&trackers, commit)), [b""]);
        assert!(!commits.is_due());
    }
}
