//! How many requests wait in each partition: what the group has not committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon::kafka::Observer;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::replicas::Replicas;

/// How long one answer of the brokers may take: the lag is only shown beside the rest.
pub(in crate::commands) const PATIENCE: Duration = Duration::from_secs(2);
/// The most groups that are looked into: their names are what repliers say.
const GROUPS: usize = 16;

pub(in crate::commands) type Place = (String, i32);

/// Looks into groups without joining them, which needs the right to read them.
pub(super) struct Lags {
    kafka: KafkaSettings,
    groups: BTreeMap<String, Arc<BaseConsumer<Observer>>>,
}

impl Lags {
    pub(super) fn new(kafka: &KafkaSettings) -> Self {
        Self { kafka: kafka.clone(), groups: BTreeMap::new() }
    }

    /// Adds the lag of each partition that a replica holds, as far as it can be seen.
    pub(super) async fn add_to(&mut self, replicas: &mut Replicas) {
        let mut places: BTreeMap<&str, BTreeSet<Place>> = BTreeMap::new();
        for replica in replicas.all.values() {
            let held = places.entry(&replica.info.group).or_default();
            held.extend(replica.held.iter().cloned());
        }
        let mut lags = BTreeMap::new();
        for (group, held) in places.into_iter().take(GROUPS) {
            let Some(consumer) = self.consumer(group) else { continue };
            let look = move || look(&consumer, &held);
            let found = antiphon::blocking::on_own_thread("antiphon-lag", look).await;
            lags.extend(found.ok().flatten().unwrap_or_default());
        }
        replicas.lags = lags;
    }

    fn consumer(&mut self, group: &str) -> Option<Arc<BaseConsumer<Observer>>> {
        if let Some(consumer) = self.groups.get(group) {
            return Some(Arc::clone(consumer));
        }
        if group.is_empty() || self.groups.len() >= GROUPS {
            return None;
        }
        let config = self.kafka.consumer(&[("group.id", group), ("enable.auto.commit", "false")]);
        let consumer = Arc::new(config.create_with_context(Observer::default()).ok()?);
        self.groups.insert(group.to_owned(), Arc::clone(&consumer));
        Some(consumer)
    }
}

/// The lags of these partitions, `None` if the group cannot be seen.
pub(in crate::commands) fn look(
    consumer: &BaseConsumer<Observer>,
    held: &BTreeSet<Place>,
) -> Option<BTreeMap<Place, i64>> {
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in held {
        asked.add_partition(topic, *partition);
    }
    let committed = consumer.committed_offsets(asked, PATIENCE).ok()?;
    let mut lags = BTreeMap::new();
    for element in committed.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).ok()?;
        let next = match element.offset() {
            Offset::Offset(next) => next.max(low),
            // Nothing is committed, so the group begins at the beginning.
            _ => low,
        };
        lags.insert((topic.to_owned(), partition), (high - next).max(0));
    }
    Some(lags)
}
