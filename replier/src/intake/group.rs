//! Joins the consumer group: which protocol, which properties, which topics.

use std::sync::Arc;

use antiphon_common::config::{KafkaSettings, ReplierSettings};
use antiphon_common::kafka::{Login, partition_count};
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::failures::Failures;
use crate::failures::topics::FailureTopics;
use crate::intake::assignment::Assignment;
use crate::replier::RunError;

/// What a member of the group is made of.
pub(crate) struct Joining {
    pub(crate) kafka: KafkaSettings,
    pub(crate) settings: ReplierSettings,
    /// The request topics.
    pub(crate) topics: Vec<String>,
    pub(crate) failures: Arc<Failures>,
}

impl Joining {
    /// The topics that are read: those of requests, and those in which they wait to be tried again.
    pub(crate) fn read(&self) -> Vec<String> {
        let retries = self.failures.topics.retries().into_iter().map(str::to_owned);
        self.topics.iter().cloned().chain(retries).collect()
    }

    /// Makes the group's consumer, once all the topics are known to exist.
    pub(crate) fn join(
        &self,
        assignment: Assignment,
    ) -> Result<(BaseConsumer<Assignment>, Login), RunError> {
        let Self { kafka, settings, topics, failures } = self;
        join(kafka, settings, assignment, topics, &failures.topics)
    }
}

fn join(
    kafka: &KafkaSettings,
    settings: &ReplierSettings,
    assignment: Assignment,
    topics: &[String],
    failures: &FailureTopics,
) -> Result<(BaseConsumer<Assignment>, Login), RunError> {
    let interval = settings.commit_interval_ms.to_string();
    let mut own = vec![
        ("group.id", settings.group.as_str()),
        // Only stored offsets are committed, and only what the watermark has passed is stored. In
        // transactions the producer commits them.
        ("enable.auto.commit", if settings.transactions.enabled { "false" } else { "true" }),
        ("auto.commit.interval.ms", interval.as_str()),
        // Requests that were sent before the group first came up are answered too.
        ("auto.offset.reset", "earliest"),
        // With the classic protocol, members see for themselves that a topic has grown. By default
        // they look every five minutes: for so long nobody would answer what is sent there.
        ("topic.metadata.refresh.interval.ms", "5000"),
    ];
    // A member by this name keeps its partitions while it restarts.
    if !settings.instance_id.is_empty() {
        own.push(("group.instance.id", settings.instance_id.as_str()));
    }
    // With the newer group protocol (KIP-848) the broker decides on these, and the client refuses
    // them. A replier that dies takes its callers' time until the group notices, so that is soon;
    // heartbeats do not depend on handlers. The others hear of a rebalance with their next
    // heartbeat, and until all have heard, partitions that are given up are nobody's.
    if kafka.properties.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
        own.push(("partition.assignment.strategy", "cooperative-sticky"));
        own.push(("session.timeout.ms", "10000"));
        own.push(("heartbeat.interval.ms", "500"));
    }
    let mut config = kafka.taking_in(&own);
    if settings.transactions.enabled {
        // What the group has committed is told when no transaction is open that changes it, so that
        // nobody starts before the last transaction of whoever had the partition.
        config.set("isolation.level", "read_committed");
        config.set("enable.auto.commit", "false");
    }
    let observer = assignment.observer.clone();
    let consumer: BaseConsumer<Assignment> =
        config.create_with_context(assignment).map_err(RunError::Client)?;
    let login = Login::of(kafka, consumer.client()).map_err(RunError::Client)?;
    for topic in topics {
        partition_count(consumer.client(), topic, settings.start_timeout())
            .map_err(|error| RunError::RequestTopic(error.explained_by(&observer)))?;
    }
    let count = |topic: &str| {
        partition_count(consumer.client(), topic, settings.start_timeout())
            .map_err(|error| error.explained_by(&observer))
    };
    for topic in failures.retries() {
        count(topic).map_err(RunError::RetryTopic)?;
    }
    for topic in failures.dead_letters() {
        count(topic).map_err(RunError::DeadLetterTopic)?;
    }
    let names: Vec<&str> = topics.iter().map(String::as_str).chain(failures.retries()).collect();
    consumer.subscribe(&names).map_err(RunError::Client)?;
    Ok((consumer, login))
}
