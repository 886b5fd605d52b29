//! Which partitions of the reply topic are read, and from where.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_common::InstanceId;
use antiphon_common::config::{KafkaSettings, ReplyPartition};
use antiphon_common::kafka::{Login, Observer, partition_count, watermarks};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::choice;
use crate::build_error::BuildError;

/// The group of those who read replies, which the client needs even where none is joined.
pub(super) const READER: &str = "antiphon-reply-reader";
/// How often new partitions are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a look may hold up the reader, which has nothing to read while no broker answers.
const LOOK_FOR: Duration = Duration::from_millis(500);

/// A consumer whose position in the reply topic is fixed.
pub(crate) struct ReplyPartitions {
    consumer: Arc<BaseConsumer<Observer>>,
    login: Login,
    observer: Observer,
    topic: String,
    /// Partitions and the offsets they were first read from.
    starts: Vec<(i32, i64)>,
    /// The one that replies are asked to come to; `None` where they may come to any.
    chosen: Option<i32>,
    /// How many partitions the topic had when it was last looked at.
    count: i32,
    looked: Instant,
}

impl ReplyPartitions {
    /// Makes a consumer that is positioned: every reply that is written from now on will be read.
    ///
    /// The high watermark of each partition is asked for, and assigned as an explicit offset. (An
    /// assignment at "the end" is resolved later, and loses what is written until then.)
    pub(crate) fn positioned(
        kafka: &KafkaSettings,
        observer: &Observer,
        topic: &str,
        routing: ReplyPartition,
        instance: InstanceId,
        timeout: Duration,
    ) -> Result<Self, BuildError> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let config = kafka.handing_on(&[
            ("group.id", READER),
            ("enable.auto.commit", "false"),
            // The offset is explicit. Should retention pass it, what is left is read.
            ("auto.offset.reset", "earliest"),
        ]);
        let consumer: BaseConsumer<Observer> =
            config.create_with_context(observer.clone()).map_err(BuildError::Client)?;
        let login = Login::of(kafka, consumer.client()).map_err(BuildError::Client)?;
        let count = partition_count(consumer.client(), topic, left())
            .map_err(|error| BuildError::ReplyTopic(error.explained_by(observer)))?;
        let chosen = match routing {
            ReplyPartition::Shared => None,
            ReplyPartition::Auto => Some(choice::initial(instance, count)),
            ReplyPartition::Fixed(wanted) if wanted < count => Some(wanted),
            ReplyPartition::Fixed(wanted) => {
                return Err(BuildError::NoSuchPartition { topic: topic.to_owned(), wanted, count });
            }
        };
        let partitions = chosen.map_or(0..count, |chosen| chosen..chosen + 1);
        let mut starts = Vec::new();
        for partition in partitions {
            let (_, high) = watermarks(&consumer, topic, partition, left())
                .map_err(|e| BuildError::Position(e, observer.cause().phrase()))?;
            starts.push((partition, high));
        }
        let topic = topic.to_owned();
        let list = positions(&topic, &starts).map_err(BuildError::Client)?;
        consumer.assign(&list).map_err(BuildError::Client)?;
        let (observer, looked) = (observer.clone(), Instant::now());
        let consumer = Arc::new(consumer);
        Ok(Self { consumer, login, observer, topic, starts, chosen, count, looked })
    }

    /// Takes over a new password or token.
    pub(crate) fn follow_login(&mut self) {
        self.login.follow(self.consumer.client());
    }

    pub(crate) fn consumer(&self) -> &Arc<BaseConsumer<Observer>> {
        &self.consumer
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Partitions and the offsets from which they were read at the start.
    pub(crate) fn starts(&self) -> &[(i32, i64)] {
        &self.starts
    }

    /// The partition that replies are asked to come to; `None` where they may come to any.
    pub(crate) fn chosen(&self) -> Option<i32> {
        self.chosen
    }

    /// Reads one more partition, from `offset`.
    pub(crate) fn add(&self, partition: i32, offset: i64) -> KafkaResult<()> {
        self.consumer.incremental_assign(&positions(&self.topic, &[(partition, offset)])?)
    }

    /// Reads a partition no longer.
    pub(crate) fn remove(&self, partition: i32) -> KafkaResult<()> {
        let mut removed = TopicPartitionList::new();
        removed.add_partition(&self.topic, partition);
        self.consumer.incremental_unassign(&removed)
    }

    /// In shared routing, reads partitions that were added to the topic, once every few seconds.
    ///
    /// They are read from their beginning: whatever is in them was written after this requester
    /// had started, so a reply that came before the look is late at most, not lost. Returns those
    /// that were added.
    pub(crate) fn look_for_more(&mut self) -> Vec<(i32, i64)> {
        if self.chosen.is_some() || self.looked.elapsed() < LOOK_EVERY {
            return Vec::new();
        }
        let looked = partition_count(self.consumer.client(), &self.topic, LOOK_FOR);
        self.looked = Instant::now();
        // If nobody answers, or the topic is gone for now, the next look is soon enough.
        let Ok(count) = looked else { return Vec::new() };
        if count <= self.count {
            return Vec::new();
        }
        let added: Vec<_> = (self.count..count).map(|partition| (partition, 0)).collect();
        let assigned =
            positions(&self.topic, &added).and_then(|list| self.consumer.incremental_assign(&list));
        match assigned {
            Ok(()) => {
                tracing::info!(
                    topic = self.topic,
                    from = self.count,
                    to = count,
                    "more partitions"
                );
                self.count = count;
                added
            }
            Err(error) => {
                self.observer.warn("cannot read partitions that were added", &error);
                Vec::new()
            }
        }
    }
}

fn positions(topic: &str, starts: &[(i32, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in starts {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}
