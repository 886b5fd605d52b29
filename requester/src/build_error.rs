//! Why a requester could not start.

use antiphon_common::kafka::{ManageError, TopicError};
use rdkafka::error::KafkaError;

/// A requester could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is missing or out of range; the text names it.
    #[error("{0}")]
    Setting(String),
    /// The Kafka client refused its configuration.
    #[error("kafka client: {0}")]
    Client(#[source] KafkaError),
    /// The reply topic cannot be read.
    #[error("reply topic: {0}")]
    ReplyTopic(#[source] TopicError),
    /// The reply topic has no such partition.
    #[error("the reply topic `{topic}` has {count} partitions, so there is no partition {wanted}")]
    NoSuchPartition {
        /// The reply topic.
        topic: String,
        /// The partition that was asked for.
        wanted: i32,
        /// How many there are.
        count: i32,
    },
    /// A topic could not be created.
    #[error("{0}")]
    Topics(#[source] ManageError),
    /// The end of a reply partition could not be found.
    #[error("cannot find the end of the reply topic: {0}{1}")]
    Position(#[source] KafkaError, String),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}
