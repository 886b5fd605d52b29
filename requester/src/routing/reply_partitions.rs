//! Which partitions of the reply topic are read, and from where.

use std::time::{Duration, Instant};

use antiphon_common::config::{KafkaSettings, ReplyPartition};
use antiphon_common::kafka::{Observer, partition_count};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::build_error::BuildError;

/// How often new partitions are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a look may hold up the reader, which has nothing to read while no broker answers.
const LOOK_FOR: Duration = Duration::from_millis(500);

/// A consumer whose position in the reply topic is fixed.
pub(crate) struct ReplyPartitions {
    consumer: BaseConsumer<Observer>,
    observer: Observer,
    topic: String,
    routing: ReplyPartition,
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
        observer: Observer,
        topic: String,
        routing: ReplyPartition,
        timeout: Duration,
    ) -> Result<Self, BuildError> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let config = kafka.consumer(&[
            // Needed by the client even where no group is joined.
            ("group.id", "antiphon-reply-reader"),
            ("enable.auto.commit", "false"),
            // The offset is explicit. Should retention pass it, what is left is read.
            ("auto.offset.reset", "earliest"),
        ]);
        let consumer: BaseConsumer<Observer> =
            config.create_with_context(observer.clone()).map_err(BuildError::Client)?;
        let count = partition_count(consumer.client(), &topic, left())
            .map_err(|error| BuildError::ReplyTopic(error.explained_by(&observer)))?;
        let partitions = match routing {
            ReplyPartition::Shared => 0..count,
            ReplyPartition::Fixed(wanted) if wanted < count => wanted..wanted + 1,
            ReplyPartition::Fixed(wanted) => {
                return Err(BuildError::NoSuchPartition { topic, wanted, count });
            }
        };
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            let (_, high) = consumer
                .fetch_watermarks(&topic, partition, left())
                .map_err(|e| BuildError::Position(e, observer.cause().phrase()))?;
            assignment
                .add_partition_offset(&topic, partition, Offset::Offset(high))
                .map_err(BuildError::Client)?;
        }
        consumer.assign(&assignment).map_err(BuildError::Client)?;
        Ok(Self { consumer, observer, topic, routing, count, looked: Instant::now() })
    }

    pub(crate) fn consumer(&self) -> &BaseConsumer<Observer> {
        &self.consumer
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// In shared routing, reads partitions that were added to the topic, once every few seconds.
    ///
    /// They are read from their beginning: whatever is in them was written after this requester
    /// had started, so a reply that came before the look is late at most, not lost.
    pub(crate) fn look_for_more(&mut self) {
        if self.routing != ReplyPartition::Shared || self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        let looked = partition_count(self.consumer.client(), &self.topic, LOOK_FOR);
        self.looked = Instant::now();
        // If nobody answers, or the topic is gone for now, the next look is soon enough.
        let Ok(count) = looked else { return };
        if count <= self.count {
            return;
        }
        let mut added = TopicPartitionList::new();
        for partition in self.count..count {
            added.add_partition(&self.topic, partition);
        }
        let assigned = added
            .set_all_offsets(Offset::Beginning)
            .and_then(|()| self.consumer.incremental_assign(&added));
        match assigned {
            Ok(()) => {
                tracing::info!(
                    topic = self.topic,
                    from = self.count,
                    to = count,
                    "partitions added"
                );
                self.count = count;
            }
            Err(error) => self.observer.warn("cannot read partitions that were added", &error),
        }
    }
}
