//! Looks up topics without creating them.

use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::watermarks::{has_no_leader, until_led};
use super::{Login, Observer};
use crate::blocking::on_own_thread;
use crate::config::KafkaSettings;

/// A topic could not be looked up.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The brokers do not know the topic.
    #[error("the topic `{0}` does not exist; create it, or give --create-topics to the command")]
    Missing(String),
    /// The brokers do not let this principal see the topic.
    #[error(
        "not authorized for the topic `{0}`; `antiphon doctor --acls` prints the rights to grant"
    )]
    Unauthorized(String),
    /// No broker answered.
    #[error("cannot look up the topic `{topic}`: {source}{cause}")]
    Unreachable {
        /// The topic.
        topic: String,
        /// What the client said.
        source: Box<KafkaError>,
        /// Why, as far as the client told: a phrase to append.
        cause: String,
    },
}

impl TopicError {
    /// Adds the cause that `observer` has heard of, if nobody could be reached.
    #[must_use]
    pub fn explained_by(mut self, observer: &Observer) -> Self {
        if let Self::Unreachable { cause, .. } = &mut self {
            *cause = observer.cause().phrase();
        }
        self
    }
}

/// The number of partitions of `topic`, asked for with a client of its own.
///
/// Good to do before the first request: to a producer, a topic that does not exist looks like one
/// that the brokers have not heard of yet, and it waits some seconds for it.
///
/// # Errors
/// [`TopicError`] if the topic is not there, not visible, or nobody answers within `timeout`.
///
/// # Panics
/// If the look-up, which has a thread of its own, cannot be started.
pub async fn look_up(
    kafka: &KafkaSettings,
    topic: &str,
    timeout: Duration,
) -> Result<i32, TopicError> {
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    let counted = on_own_thread("antiphon-lookup", move || {
        let consumer = lookup_client(&kafka).map_err(|source| unreachable(&topic, source))?;
        explained_count(&consumer, &topic, timeout)
    });
    counted.await.expect("the look-up starts and does not panic")
}

pub(super) fn lookup_client(kafka: &KafkaSettings) -> Result<BaseConsumer<Observer>, KafkaError> {
    let config = kafka.consumer(&[("group.id", "antiphon-lookup")]);
    let consumer: BaseConsumer<Observer> = config.create_with_context(Observer::default())?;
    Login::of(kafka, consumer.client())?;
    Ok(consumer)
}

/// [`partition_count`] with a client that reads nothing, which can tell why it reaches no broker.
pub(super) fn explained_count(
    consumer: &BaseConsumer<Observer>,
    topic: &str,
    timeout: Duration,
) -> Result<i32, TopicError> {
    partition_count(consumer.client(), topic, timeout).map_err(|error| {
        // The events that tell the cause wait for a poll; each error is one of them.
        while let Some(Err(_)) = consumer.poll(Duration::ZERO) {}
        error.explained_by(consumer.context())
    })
}

/// The number of partitions of `topic`.
///
/// Blocks for at most `timeout`; a topic that has just been made is asked about again until it has
/// leaders. Ask with a consumer's client: a producer's lookup may make a broker create the topic.
///
/// # Errors
/// [`TopicError`] if the topic is not there, not visible, or nobody answers.
pub fn partition_count<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<i32, TopicError> {
    let is_passing = |error: &TopicError| matches!(error, TopicError::Unreachable { source, .. } if has_no_leader(source));
    until_led(timeout, is_passing, |left| count_now(client, topic, left))
}

fn count_now<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<i32, TopicError> {
    let metadata =
        client.fetch_metadata(Some(topic), timeout).map_err(|source| unreachable(topic, source))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found else { return Err(TopicError::Missing(topic.to_owned())) };
    match found.error().map(RDKafkaErrorCode::from) {
        None if !found.partitions().is_empty() => {
            Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))
        }
        None | Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            Err(TopicError::Missing(topic.to_owned()))
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            Err(TopicError::Unauthorized(topic.to_owned()))
        }
        Some(code) => Err(unreachable(topic, KafkaError::MetadataFetch(code))),
    }
}

fn unreachable(topic: &str, source: KafkaError) -> TopicError {
    TopicError::Unreachable {
        topic: topic.to_owned(),
        source: Box::new(source),
        cause: String::new(),
    }
}
