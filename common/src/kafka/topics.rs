//! Looks up topics without creating them.

use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A topic could not be looked up.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The brokers do not know the topic.
    #[error("the topic `{0}` does not exist; create it, or give --create-topics to the command")]
    Missing(String),
    /// The brokers do not let this principal see the topic.
    #[error("not authorized for the topic `{0}`")]
    Unauthorized(String),
    /// No broker answered.
    #[error("cannot look up the topic `{topic}`: {source}")]
    Unreachable {
        /// The topic.
        topic: String,
        /// What the client said.
        source: Box<KafkaError>,
    },
}

/// The number of partitions of `topic`.
///
/// Blocks for at most `timeout`. Ask with a consumer's client: a producer's lookup may make a
/// broker create the topic.
///
/// # Errors
/// [`TopicError`] if the topic is not there, not visible, or nobody answers.
pub fn partition_count<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<i32, TopicError> {
    let unreachable =
        |source| TopicError::Unreachable { topic: topic.to_owned(), source: Box::new(source) };
    let metadata = client.fetch_metadata(Some(topic), timeout).map_err(unreachable)?;
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
        Some(code) => Err(unreachable(KafkaError::MetadataFetch(code))),
    }
}
