//! Creates and deletes topics, on request only.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::TopicError;
use super::topics::{explained_count, lookup_client, lookup_config};
use crate::blocking::on_own_thread;
use crate::config::KafkaSettings;

/// A topic could not be created or deleted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// The brokers refused.
    #[error("the brokers refuse to {action} the topic `{topic}`: {code}")]
    Refused {
        /// What they were asked to do.
        action: &'static str,
        /// The topic.
        topic: String,
        /// Why.
        code: RDKafkaErrorCode,
    },
    /// No broker answered.
    #[error("{0}")]
    Unreachable(#[source] TopicError),
    /// No broker took the request.
    #[error("cannot create or delete topics: {0}")]
    Client(#[from] KafkaError),
}

/// Creates topics with this number of partitions and the brokers' default replication. Topics
/// that exist already stay as they are, and need no right to create any.
///
/// # Errors
/// [`ManageError`] if the brokers refuse, or none answers within `timeout`.
///
/// # Panics
/// If the look-up, which has a thread of its own, cannot be started.
pub async fn create_topics(
    kafka: &KafkaSettings,
    topics: &[&str],
    partitions: i32,
    timeout: Duration,
) -> Result<(), ManageError> {
    let lookup = lookup_config(kafka);
    let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
    let missing = on_own_thread("antiphon-lookup", move || missing(&lookup, topics, timeout))
        .await
        .expect("the look-up starts and does not panic")?;
    if missing.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = kafka.admin().create()?;
    // -1 asks for the broker's own default.
    let wanted: Vec<_> = missing
        .iter()
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(-1)))
        .collect();
    let options =
        AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    for result in admin.create_topics(&wanted, &options).await? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(ManageError::Refused { action: "create", topic, code });
            }
        }
    }
    Ok(())
}

/// Deletes topics and all that is in them. Topics that do not exist are no fault.
///
/// # Errors
/// [`ManageError`] if the brokers refuse, or none answers within `timeout`.
pub async fn delete_topics(
    kafka: &KafkaSettings,
    topics: &[&str],
    timeout: Duration,
) -> Result<(), ManageError> {
    let admin: AdminClient<DefaultClientContext> = kafka.admin().create()?;
    let options = AdminOptions::new().request_timeout(Some(timeout));
    for result in admin.delete_topics(topics, &options).await? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((topic, code)) => {
                return Err(ManageError::Refused { action: "delete", topic, code });
            }
        }
    }
    Ok(())
}

/// Those of the topics that cannot be seen. Unlike an administrative client, a consumer says why
/// it reaches no broker.
fn missing(
    lookup: &ClientConfig,
    topics: Vec<String>,
    timeout: Duration,
) -> Result<Vec<String>, ManageError> {
    let consumer = lookup_client(lookup)?;
    let mut missing = Vec::new();
    for topic in topics {
        match explained_count(&consumer, &topic, timeout) {
            Ok(_) => {}
            Err(TopicError::Missing(_) | TopicError::Unauthorized(_)) => missing.push(topic),
            Err(unreachable) => return Err(ManageError::Unreachable(unreachable)),
        }
    }
    Ok(missing)
}
