//! The partitions that this replier holds, and what happens when they come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use antiphon_common::config::ReplierSettings;
use antiphon_common::kafka::Observer;
use antiphon_common::metrics::ReplierMetrics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::dedupe::windows::Windows;
use crate::intake::commits::Commits;
use crate::intake::outstanding::Outstanding;
use crate::intake::partitions::{PartitionChange, Told};
use crate::intake::tracker::Tracker;
use crate::readiness::Readiness;

/// How long reading the committed offsets of new partitions may take.
const RESTORE: Duration = Duration::from_secs(5);

/// The context of the group's consumer. All of its methods run on the intake thread, inside poll.
pub(crate) struct Assignment {
    pub(crate) observer: Observer,
    pub(crate) outstanding: Arc<Outstanding>,
    metrics: ReplierMetrics,
    drain: Duration,
    /// Offsets are committed in transactions, by whoever takes them from here.
    transactional: bool,
    readiness: Arc<Readiness>,
    /// `None` if requests that come again are handled again.
    windows: Option<Arc<Windows>>,
    told: Told,
    trackers: Mutex<Trackers>,
    commits: Commits,
    /// Set by a rebalance: partitions that were just assigned are not paused.
    changed: AtomicBool,
    /// The group has let it in.
    joined: AtomicBool,
    /// The group has refused to let it commit.
    refused: AtomicBool,
    /// Another took its place, and what it held is not its own any more.
    forsaken: AtomicBool,
    /// When this replier is draining, the instant by which that ends.
    drain_by: Mutex<Option<Instant>>,
}

/// By topic and partition.
pub(crate) type Trackers = BTreeMap<Arc<str>, BTreeMap<i32, Arc<Tracker>>>;

impl Assignment {
    pub(crate) fn new(
        observer: Observer,
        metrics: ReplierMetrics,
        settings: &ReplierSettings,
        readiness: Arc<Readiness>,
        windows: Option<Arc<Windows>>,
        told: Told,
    ) -> Self {
        Self {
            observer,
            outstanding: Outstanding::new(metrics.clone()),
            metrics,
            drain: settings.drain(),
            transactional: settings.transactions.enabled,
            readiness,
            windows,
            told,
            trackers: Mutex::default(),
            commits: Commits::new(Duration::from_millis(settings.commit_interval_ms)),
            changed: AtomicBool::new(false),
            joined: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            forsaken: AtomicBool::new(false),
            drain_by: Mutex::default(),
        }
    }

    /// The assignment of another consumer, which takes this one's place. It holds nothing yet; what
    /// was taken in under this one counts there too, as long as it is not done.
    pub(crate) fn anew(&self) -> Self {
        Self {
            observer: self.observer.clone(),
            outstanding: Arc::clone(&self.outstanding),
            metrics: self.metrics.clone(),
            drain: self.drain,
            transactional: self.transactional,
            readiness: Arc::clone(&self.readiness),
            windows: self.windows.clone(),
            told: self.told.clone(),
            trackers: Mutex::default(),
            commits: self.commits.anew(),
            changed: AtomicBool::new(true),
            joined: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            forsaken: AtomicBool::new(false),
            drain_by: Mutex::default(),
        }
    }

    /// Gives up all partitions as lost: what runs goes on to its reply, what waits does not start,
    /// and nothing is committed any more. What the consumer still says afterwards is not listened to.
    pub(crate) fn forsake(&self) {
        self.forsaken.store(true, Ordering::Relaxed);
        self.changed.store(true, Ordering::Relaxed);
        let lost = std::mem::take(&mut *self.trackers());
        for tracker in lost.values().flat_map(BTreeMap::values) {
            tracker.revoke();
            tracker.close_window();
            tracker.release();
            self.told.tell(&tracker.topic, tracker.partition, PartitionChange::Lost);
        }
        self.metrics.assigned_partitions.set(0);
    }

    /// Whether the group has let this member in.
    pub(crate) fn has_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Whether the group has refused a commit since the last call.
    pub(crate) fn take_refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }

    /// The progress of a partition, if it is held.
    pub(crate) fn tracker(&self, topic: &str, partition: i32) -> Option<Arc<Tracker>> {
        self.trackers().get(topic)?.get(&partition).cloned()
    }

    /// Does something for each partition that is held.
    pub(crate) fn for_each(&self, visit: impl FnMut(&Arc<Tracker>)) {
        self.trackers().values().flat_map(BTreeMap::values).for_each(visit);
    }

    /// Whether the assignment changed since it was last taken note of.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    /// Whether the assignment changed since the last call.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// Pauses the partitions whose windows are not ready. Inside a rebalance, nothing is fetched of
    /// them before that; the flow of partitions resumes them.
    fn pause_restoring(&self, consumer: &BaseConsumer<Self>) {
        let mut restoring = Vec::new();
        self.for_each(|tracker| {
            if !tracker.is_ready() {
                restoring.push(Arc::clone(tracker));
            }
        });
        if !restoring.is_empty() {
            // If this fails they are taken in, and wait for their windows in the lane.
            let _ = consumer.pause(&partitions(&restoring));
        }
    }

    /// Bounds all draining from here on, the one at the revocation that closing brings included.
    pub(crate) fn drain_by(&self, deadline: Instant) {
        *self.drain_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        for tracker in self.trackers().values().flat_map(BTreeMap::values) {
            tracker.close_window();
        }
    }

    /// Hands the offsets that rose to the client, which commits them at its own interval; in
    /// transactions, that is done elsewhere.
    pub(crate) fn store_risen(&self, consumer: &BaseConsumer<Self>) {
        if !self.transactional {
            self.store(consumer, &self.take_risen());
            self.commit_gaps(consumer);
        }
        let (mut lag, mut blocked) = (0, 0);
        for tracker in self.trackers().values().flat_map(BTreeMap::values) {
            lag += tracker.commit_lag();
            blocked += i64::from(tracker.is_blocked());
            self.notice_deleted(consumer, tracker);
        }
        self.metrics.blocked_partitions.set(blocked);
        self.metrics.commit_lag.set(lag);
    }

    /// What is to be committed for the partitions where it changed since the last call: the next
    /// offset, and as metadata what is complete above it. Whoever takes it commits it, or puts it
    /// back.
    ///
    /// Partitions that are being revoked are among them until their requests have ended.
    pub(crate) fn take_risen(&self) -> TopicPartitionList {
        self.commits.list(&self.trackers(), Tracker::take_risen)
    }

    /// What was taken by [`Assignment::take_risen`] was not committed: it is to be taken again.
    pub(crate) fn put_back(&self, list: &TopicPartitionList) {
        for element in list.elements() {
            if let Some(tracker) = self.tracker(element.topic(), element.partition()) {
                tracker.put_back();
            }
        }
    }

    /// Notes what was committed.
    pub(crate) fn committed(&self, list: &TopicPartitionList) {
        for (metadata, element) in antiphon_native::metadata(list).into_iter().zip(list.elements())
        {
            if let (Offset::Offset(next), Ok(())) = (element.offset(), element.error())
                && let Some(tracker) = self.tracker(element.topic(), element.partition())
            {
                tracker.committed(next, metadata);
                let change = PartitionChange::Committed(next);
                self.told.tell(element.topic(), element.partition(), change);
            }
        }
    }

    /// Partitions with offsets that may be committed and are not.
    pub(crate) fn behind(&self) -> Vec<Arc<Tracker>> {
        let trackers = self.trackers();
        let held = trackers.values().flat_map(BTreeMap::values);
        held.filter(|tracker| tracker.commit_lag() > 0).cloned().collect()
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let mut trackers = self.trackers();
        for element in list.elements() {
            let topic: Arc<str> = match trackers.get_key_value(element.topic()) {
                Some((topic, _)) => Arc::clone(topic),
                None => element.topic().into(),
            };
            let tracker =
                Tracker::new(Arc::clone(&topic), element.partition(), self.outstanding.clone());
            let windows = self.windows.as_ref();
            if let Some(window) = windows.and_then(|w| w.open(&topic, element.partition())) {
                // It was just made, so there is none.
                let _ = tracker.window.set(window);
            }
            trackers.entry(topic).or_default().insert(element.partition(), tracker);
        }
        self.count_held(&trackers);
        drop(trackers);
        self.told.tell_all(list, PartitionChange::Assigned);
        if list.count() > 0 {
            self.restore(consumer, list);
        }
        self.joined.store(true, Ordering::Relaxed);
        self.readiness.begin();
    }

    /// Reads what these partitions' last owners have completed above the offsets they committed.
    fn restore(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let mut asked = TopicPartitionList::with_capacity(list.count());
        for element in list.elements() {
            asked.add_partition(element.topic(), element.partition());
        }
        let found = match consumer.committed_offsets(asked, RESTORE) {
            Ok(found) => found,
            Err(error) => {
                let what = "cannot read which requests are complete already; \
                            some may be handled again";
                return self.observer.warn(what, &error);
            }
        };
        for (metadata, element) in
            antiphon_native::metadata(&found).into_iter().zip(found.elements())
        {
            if let (Offset::Offset(next), Ok(())) = (element.offset(), element.error())
                && let Some(tracker) = self.tracker(element.topic(), element.partition())
            {
                tracker.restore(next, metadata);
            }
        }
    }

    /// Lets what runs on these partitions end, within the drain time, and stores its offsets;
    /// closing the assignment then commits them. What has not started is left to the next owner.
    fn revoked(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let elements = list.elements();
        let revoked: Vec<_> =
            elements.iter().filter_map(|e| self.tracker(e.topic(), e.partition())).collect();
        for tracker in &revoked {
            tracker.revoke();
            tracker.close_window();
        }
        // Partitions that are lost belong to others already: nothing may be stored for them.
        let is_lost = consumer.assignment_lost();
        if !is_lost {
            self.end(consumer, &revoked);
        }
        let mut trackers = self.trackers();
        for tracker in &revoked {
            tracker.release();
            trackers.get_mut(&tracker.topic).and_then(|topic| topic.remove(&tracker.partition));
        }
        self.count_held(&trackers);
        drop(trackers);
        let change = if is_lost { PartitionChange::Lost } else { PartitionChange::Revoked };
        self.told.tell_all(list, change);
    }

    fn end(&self, consumer: &BaseConsumer<Self>, revoked: &[Arc<Tracker>]) {
        let drain_by = *self.drain_by.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = drain_by.unwrap_or_else(|| Instant::now() + self.drain);
        let mut last = TopicPartitionList::new();
        for tracker in revoked {
            let ended = match self.transactional {
                true => tracker.wait_committed(deadline),
                false => tracker.wait_idle(deadline),
            };
            if !ended {
                let what = format!("{} [{}]", tracker.topic, tracker.partition);
                self.observer.warn("requests were not done in the drain time, on", &what);
            }
            if let Some(commit) = tracker.committable() {
                self.commits.add(&mut last, tracker, &commit);
            }
        }
        if !self.transactional {
            self.store(consumer, &last);
        }
    }

    fn store(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        if list.count() == 0 {
            return;
        }
        if let Err(error) = consumer.store_offsets(list) {
            tracing::debug!(%error, "offsets not stored");
            self.put_back(list);
        }
    }

    /// Commits what is complete above offsets that do not rise: the client commits by itself only
    /// when an offset rises.
    fn commit_gaps(&self, consumer: &BaseConsumer<Self>) {
        if !self.commits.is_due() || consumer.assignment_lost() {
            return;
        }
        let list = self.commits.list(&self.trackers(), Tracker::uncommitted_gaps);
        if list.count() == 0 {
            return;
        }
        match antiphon_native::commit(consumer.client(), &list) {
            Ok(()) => self.commits.sent(),
            Err(error) => tracing::debug!(%error, "gaps not committed"),
        }
    }

    /// Tells if requests were deleted before they were read, by retention or by hand.
    fn notice_deleted(&self, consumer: &BaseConsumer<Self>, tracker: &Tracker) {
        let Some(jump) = tracker.take_jump() else { return };
        // Offsets without records are nothing unusual; the log begins behind them only if deleted.
        let start =
            antiphon_native::log_start(consumer.client(), &tracker.topic, tracker.partition);
        let deleted = start.map_or(0, |start| start.min(jump.end) - jump.start);
        if deleted > 0 {
            self.metrics.deleted.inc_by(u64::try_from(deleted).unwrap_or_default());
            let what = format!(
                "{deleted} offsets from {} on, of {} [{}]",
                jump.start, tracker.topic, tracker.partition
            );
            self.observer.warn("requests were deleted before they were read", &what);
        }
    }

    fn count_held(&self, trackers: &Trackers) {
        let held: usize = trackers.values().map(BTreeMap::len).sum();
        self.metrics.assigned_partitions.set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    fn trackers(&self) -> MutexGuard<'_, Trackers> {
        self.trackers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn partitions(trackers: &[Arc<Tracker>]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(trackers.len());
    for tracker in trackers {
        list.add_partition(&tracker.topic, tracker.partition);
    }
    list
}

impl ConsumerContext for Assignment {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if self.forsaken.load(Ordering::Relaxed) {
            return;
        }
        self.metrics.rebalances.inc();
        self.changed.store(true, Ordering::Relaxed);
        self.commits.answered();
        match rebalance {
            Rebalance::Assign(list) => self.assigned(consumer, list),
            Rebalance::Revoke(list) => self.revoked(consumer, list),
            Rebalance::Error(error) => self.observer.warn("rebalance", error),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.pause_restoring(consumer);
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.commits.answered();
        let refused = |error: &KafkaError| {
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::OffsetMetadataTooLarge)
        };
        let errors = offsets
            .elements()
            .iter()
            .any(|element| element.error().err().as_ref().is_some_and(refused));
        if (errors || result.as_ref().err().is_some_and(refused)) && self.commits.without_gaps() {
            let what = "offset.metadata.max.bytes is small; a crash will repeat more requests";
            self.observer.warn("the brokers refuse to keep what is complete above gaps", &what);
            // What was refused is stored again, without.
            self.put_back(offsets);
        }
        match result {
            Ok(()) => self.committed(offsets),
            Err(error) => match error.rdkafka_error_code() {
                // Having nothing to commit is no fault, and in a rebalance it is committed later.
                Some(
                    RDKafkaErrorCode::NoOffset
                    | RDKafkaErrorCode::RebalanceInProgress
                    | RDKafkaErrorCode::StaleMemberEpoch,
                ) => {}
                // It is told of by the intake, once.
                Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                    self.refused.store(true, Ordering::Relaxed);
                    self.put_back(offsets);
                }
                _ => self.observer.warn("cannot commit offsets", &error),
            },
        }
    }
}

impl ClientContext for Assignment {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.observer.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.observer.error(error, reason);
    }
}
