//! Creates topics, on request only.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::KafkaSettings;

/// A topic could not be created.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The brokers refused.
    #[error("cannot create the topic `{topic}`: {code}")]
    Refused {
        /// The topic.
        topic: String,
        /// Why.
        code: RDKafkaErrorCode,
    },
    /// No broker took the request.
    #[error("cannot create topics: {0}")]
    Client(#[from] KafkaError),
}

/// Creates topics with this number of partitions and the brokers' default replication. Topics
/// that exist already stay as they are.
///
/// # Errors
/// [`CreateError`] if the brokers refuse, or none answers within `timeout`.
pub async fn create_topics(
    kafka: &KafkaSettings,
    topics: &[&str],
    partitions: i32,
    timeout: Duration,
) -> Result<(), CreateError> {
    let admin: AdminClient<DefaultClientContext> = kafka.admin().create()?;
    // -1 asks for the broker's own default.
    let wanted: Vec<_> = topics
        .iter()
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(-1)))
        .collect();
    let options =
        AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    for result in admin.create_topics(&wanted, &options).await? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(CreateError::Refused { topic, code }),
        }
    }
    Ok(())
}
