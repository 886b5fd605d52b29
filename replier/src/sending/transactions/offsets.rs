//! The offsets of one transaction, and how to find out later whether they were committed.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::intake::gaps;
use crate::intake::tracker::{Commit, Tracker};
use crate::sending::outgoing::Outgoing;

/// What separates the stamp from metadata before it.
const STAMP: &str = " txn=";

/// What one transaction commits.
#[derive(Debug)]
pub(super) struct Sent {
    entries: Vec<Entry>,
    stamp: String,
}

/// One partition of it.
#[derive(Debug)]
struct Entry {
    tracker: Arc<Tracker>,
    commit: Commit,
    /// Requests that are answered in this transaction, in order.
    also: Vec<i64>,
}

impl Sent {
    /// The offsets of the partitions of these requests, as if the requests were complete, and of
    /// those partitions that are behind anyway.
    ///
    /// Every partition whose requests are answered is among them, even if its offset stays: the
    /// next owner of a partition waits for transactions that have its offsets, and for no others,
    /// before it reads them. A transaction that answers a request without them could be committed
    /// after the next owner has begun to answer it too.
    pub(super) fn of(requests: &[Outgoing], behind: Vec<Arc<Tracker>>, stamp: String) -> Self {
        let mut partitions: HashMap<*const Tracker, (Arc<Tracker>, Vec<i64>)> = HashMap::new();
        let of_requests = requests
            .iter()
            .map(|request| (Arc::clone(request.duty.tracker()), request.duty.completes()));
        for (tracker, completes) in of_requests.chain(behind.into_iter().map(|t| (t, None))) {
            let entry = partitions.entry(Arc::as_ptr(&tracker));
            entry.or_insert_with(|| (tracker, Vec::new())).1.extend(completes);
        }
        let entries = partitions.into_values().filter_map(|(tracker, mut also)| {
            also.sort_unstable();
            let commit = tracker.committable_with(&also)?;
            Some(Entry { tracker, commit, also })
        });
        Self { entries: entries.collect(), stamp }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// As the client takes them.
    pub(super) fn list(&self) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for Entry { tracker, commit, .. } in &self.entries {
            let (topic, partition) = (&tracker.topic, tracker.partition);
            let mut entry = list.add_partition(topic, partition);
            entry.set_offset(Offset::Offset(commit.next))?;
            entry.set_metadata(stamped(commit.done.as_deref().unwrap_or_default(), &self.stamp));
        }
        Ok(list)
    }

    /// Notes that they were committed. The requests must be complete before.
    pub(super) fn committed(&self) {
        for Entry { tracker, commit, .. } in &self.entries {
            let done = commit.done.as_deref().unwrap_or_default();
            tracker.committed(commit.next, done.as_bytes());
        }
    }

    /// Whether all of its requests would be passed over after a restart. One that is far above many
    /// gaps would not, since there is no room to say so.
    pub(super) fn is_whole(&self) -> bool {
        self.entries.iter().all(Entry::is_whole)
    }

    /// Whether this request would be passed over after a restart.
    pub(super) fn covers(&self, request: &Outgoing) -> bool {
        let Some(offset) = request.duty.completes() else { return true };
        let tracker = request.duty.tracker();
        let entry = self.entries.iter().find(|entry| Arc::ptr_eq(&entry.tracker, tracker));
        entry.is_none_or(|entry| offset < entry.covered())
    }

    /// The partitions to ask about when nobody knows whether these were committed; none if it is
    /// of no concern, since others have all of the partitions now.
    pub(super) fn questions(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        let trackers = self.entries.iter().map(|entry| &entry.tracker);
        for tracker in trackers.filter(|tracker| !tracker.is_released()) {
            list.add_partition(&tracker.topic, tracker.partition);
        }
        list
    }

    /// Whether these offsets were committed, by what is committed for the partitions still held:
    /// nobody else commits for those, so that the stamp is either there or never was. Offsets alone
    /// would not say: one stays where it is as long as the request there is not complete. `None` if
    /// the answer is not good for any of them.
    pub(super) fn were_committed(&self, found: &TopicPartitionList) -> Option<bool> {
        let mut known = None;
        for element in found.elements() {
            if element.error().is_err() {
                continue;
            }
            let ours = stamp_of(element.metadata()) == Some(&self.stamp);
            known = Some(known.unwrap_or(false) || ours);
        }
        known
    }
}

impl Entry {
    /// Whether all of its requests would be passed over after a restart.
    fn is_whole(&self) -> bool {
        self.also.last().is_none_or(|last| *last < self.covered())
    }

    /// The offset up to which it is known what is complete.
    fn covered(&self) -> i64 {
        let Commit { next, done } = &self.commit;
        let runs = gaps::decode(*next, done.as_deref().unwrap_or_default().as_bytes());
        runs.last().map_or(*next, |run| run.end)
    }
}

/// Metadata with the stamp of a transaction behind it.
fn stamped(metadata: &str, stamp: &str) -> String {
    format!("{metadata}{STAMP}{stamp}")
}

fn stamp_of(metadata: &str) -> Option<&str> {
    metadata.rsplit_once(STAMP).map(|(_, stamp)| stamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::outstanding::Outstanding;
    use crate::sending::duty::Duty;
    use antiphon_common::metrics::ReplierMetrics;

    fn bare(duty: Duty) -> Outgoing {
        let lookup = Default::default();
        Outgoing { before: Vec::new(), reply: None, duty, lookup }
    }

    fn trackers() -> [Arc<Tracker>; 2] {
        let outstanding = Outstanding::new(ReplierMetrics::new());
        [0, 1].map(|partition| Tracker::new("t".into(), partition, Arc::clone(&outstanding)))
    }

    fn offsets(sent: &Sent) -> Vec<(i32, Offset)> {
        let list = sent.list().expect("valid offsets");
        let mut offsets: Vec<_> =
            list.elements().iter().map(|e| (e.partition(), e.offset())).collect();
        offsets.sort_by_key(|(partition, _)| *partition);
        offsets
    }

    #[test]
    fn offsets_rise_as_if_the_requests_were_complete_and_each_partition_is_there() {
        let [first, second] = trackers();
        let _running = second.take(7).expect("new");
        let batch = [
            bare(Duty::Whole(first.take(3).expect("new"))),
            bare(Duty::Whole(first.take(4).expect("new"))),
            bare(Duty::Whole(second.take(8).expect("new"))),
        ];
        let sent = Sent::of(&batch, vec![Arc::clone(&first)], "1".into());
        assert_eq!(offsets(&sent), [(0, Offset::Offset(5)), (1, Offset::Offset(7))]);
        assert_eq!(first.committable(), None, "nothing is complete before the commit");
        assert!(sent.is_whole() && batch.iter().all(|request| sent.covers(request)));
        let part = Sent::of(&batch[1..], Vec::new(), "2".into());
        assert_eq!(offsets(&part), [(0, Offset::Offset(3)), (1, Offset::Offset(7))]);
    }

    #[test]
    fn the_stamp_says_whether_a_transaction_was_committed() {
        let [first, second] = trackers();
        let batch = [
            bare(Duty::Whole(first.take(3).expect("new"))),
            bare(Duty::Whole(second.take(8).expect("new"))),
        ];
        let earlier = Sent::of(&batch, Vec::new(), "a-1".into()).list().expect("valid");
        let sent = Sent::of(&batch, Vec::new(), "a-2".into());
        assert_eq!(sent.were_committed(&earlier), Some(false));
        assert_eq!(sent.were_committed(&sent.list().expect("valid")), Some(true));
        assert_eq!(sent.were_committed(&sent.questions()), Some(false), "nothing was committed");
        assert_eq!(sent.were_committed(&TopicPartitionList::new()), None);
        first.release();
        assert_eq!(sent.questions().count(), 1);
        second.release();
        assert_eq!(sent.questions().count(), 0);
    }

    #[test]
    fn a_stamp_comes_behind_other_metadata() {
        assert_eq!(stamp_of(&stamped("v1 00ff", "a-1")), Some("a-1"));
        assert_eq!(stamp_of("v1 00ff"), None);
    }
}
