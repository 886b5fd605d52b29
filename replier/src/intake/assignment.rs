//! The partitions that this replier holds, and what happens when they come and go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use antiphon_common::kafka::Observer;
use antiphon_common::metrics::ReplierMetrics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::dedupe::windows::Windows;
use crate::intake::tracker::{Outstanding, Tracker};
use crate::readiness::Readiness;

/// The context of the group's consumer. All of its methods run on the intake thread, inside poll.
pub(crate) struct Assignment {
    pub(crate) observer: Observer,
    pub(crate) outstanding: Arc<Outstanding>,
    metrics: ReplierMetrics,
    drain: Duration,
    readiness: Arc<Readiness>,
    /// `None` if requests that come again are handled again.
    windows: Option<Windows>,
    /// Partitions that are paused until their windows are ready.
    restoring: Mutex<Vec<Arc<Tracker>>>,
    trackers: Mutex<Trackers>,
    /// Set by a rebalance: partitions that were just assigned are not paused.
    changed: AtomicBool,
    /// When this replier is draining, the instant by which that ends.
    drain_by: Mutex<Option<Instant>>,
}

type Trackers = HashMap<Arc<str>, HashMap<i32, Arc<Tracker>>>;

impl Assignment {
    pub(crate) fn new(
        observer: Observer,
        metrics: ReplierMetrics,
        drain: Duration,
        readiness: Arc<Readiness>,
        windows: Option<Windows>,
    ) -> Self {
        Self {
            observer,
            outstanding: Outstanding::new(metrics.clone()),
            metrics,
            drain,
            readiness,
            windows,
            restoring: Mutex::default(),
            trackers: Mutex::default(),
            changed: AtomicBool::new(false),
            drain_by: Mutex::default(),
        }
    }

    /// The progress of a partition, if it is held.
    pub(crate) fn tracker(&self, topic: &str, partition: i32) -> Option<Arc<Tracker>> {
        self.trackers().get(topic)?.get(&partition).cloned()
    }

    /// Whether the assignment changed since the last call.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// Pauses the partitions whose windows are not ready. Inside a rebalance, nothing is fetched of
    /// them before that.
    pub(crate) fn pause_restoring(&self, consumer: &BaseConsumer<Self>) {
        let trackers = self.trackers();
        let all = trackers.values().flat_map(HashMap::values);
        let restoring: Vec<_> = all.filter(|tracker| !tracker.is_ready()).cloned().collect();
        drop(trackers);
        if !restoring.is_empty() {
            // If this fails they are taken in, and wait for their windows in the lane.
            let _ = consumer.pause(&partitions(&restoring));
        }
        *self.restoring.lock().unwrap_or_else(PoisonError::into_inner) = restoring;
    }

    /// Resumes those that have become ready.
    pub(crate) fn resume_ready(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        let mut restoring = self.restoring.lock().unwrap_or_else(PoisonError::into_inner);
        if restoring.iter().any(|tracker| tracker.is_ready()) {
            let ready: Vec<_> = restoring.extract_if(.., |tracker| tracker.is_ready()).collect();
            consumer.resume(&partitions(&ready))?;
        }
        Ok(())
    }

    /// Bounds all draining from here on, the one at the revocation that closing brings included.
    pub(crate) fn drain_by(&self, deadline: Instant) {
        *self.drain_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        for tracker in self.trackers().values().flat_map(HashMap::values) {
            tracker.close_window();
        }
    }

    /// Stores the offsets that rose, for the client to commit.
    pub(crate) fn store_risen(&self, consumer: &BaseConsumer<Self>) {
        let (mut lag, mut blocked) = (0, 0);
        for tracker in self.trackers().values().flat_map(HashMap::values) {
            if let Some(next) = tracker.take_risen() {
                store(consumer, tracker, next);
            }
            lag += tracker.commit_lag();
            blocked += i64::from(tracker.is_blocked());
        }
        self.metrics.blocked_partitions.set(blocked);
        self.metrics.commit_lag.set(lag);
    }

    fn assigned(&self, list: &TopicPartitionList) {
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
        self.readiness.begin();
    }

    /// Lets what is under way on these partitions end, within the drain time, and stores its
    /// offsets; closing the assignment then commits them.
    fn revoked(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let revoked: Vec<_> = {
            let mut trackers = self.trackers();
            let elements = list.elements();
            let removed = elements
                .iter()
                .filter_map(|e| trackers.get_mut(e.topic())?.remove(&e.partition()))
                .collect();
            self.count_held(&trackers);
            removed
        };
        for tracker in &revoked {
            tracker.close_window();
        }
        // Partitions that are lost belong to others already: nothing may be stored for them.
        if consumer.assignment_lost() {
            return;
        }
        let drain_by = *self.drain_by.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = drain_by.unwrap_or_else(|| Instant::now() + self.drain);
        for tracker in &revoked {
            if !tracker.wait_idle(deadline) {
                let what = format!("{} [{}]", tracker.topic, tracker.partition);
                self.observer.warn("requests were not done in the drain time, on", &what);
            }
            if let Some(next) = tracker.committable() {
                store(consumer, tracker, next);
            }
        }
    }

    fn count_held(&self, trackers: &Trackers) {
        let held: usize = trackers.values().map(HashMap::len).sum();
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

/// A store after a revocation is refused by the client, and rightly.
fn store(consumer: &BaseConsumer<Assignment>, tracker: &Tracker, next: i64) {
    // The client stores the offset after the one it is given.
    if let Err(error) = consumer.store_offset(&tracker.topic, tracker.partition, next - 1) {
        tracing::debug!(%error, topic = &*tracker.topic, tracker.partition, "offset not stored");
    }
}

impl ConsumerContext for Assignment {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.metrics.rebalances.inc();
        self.changed.store(true, Ordering::Relaxed);
        match rebalance {
            Rebalance::Assign(list) => self.assigned(list),
            Rebalance::Revoke(list) => self.revoked(consumer, list),
            Rebalance::Error(error) => self.observer.warn("rebalance", error),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.pause_restoring(consumer);
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            // Having nothing to commit is no fault.
            if error.rdkafka_error_code() != Some(rdkafka::error::RDKafkaErrorCode::NoOffset) {
                self.observer.warn("cannot commit offsets", &error);
            }
            return;
        }
        for element in offsets.elements() {
            if let (Offset::Offset(next), Ok(())) = (element.offset(), element.error())
                && let Some(tracker) = self.tracker(element.topic(), element.partition())
            {
                tracker.committed(next);
            }
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
