//! Creates and deletes topics, on request only.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Login;
use super::TopicError;
use super::topics::{explained_count, lookup_client};
use crate::blocking::on_own_thread;
use crate::config::KafkaSettings;

/// How long to wait before it is looked again whether a topic that was just made can be seen.
const AGAIN: Duration = Duration::from_millis(50);

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

/// A topic that is to exist, and how it is made if it does not.
///
/// ```
/// # use std::time::Duration;
/// use antiphon_common::kafka::WantedTopic;
///
/// let replies = WantedTopic::new("quotes.replies", 12)
///     .replication(3)
///     .retention(Duration::from_secs(3600));
/// # let _ = replies;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTopic {
    name: String,
    partitions: i32,
    replication: Option<i32>,
    retention: Option<Duration>,
    compacted: bool,
}

impl WantedTopic {
    /// A topic of this name and number of partitions, with the brokers' own replication and
    /// retention.
    #[must_use]
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication: None, retention: None, compacted: false }
    }

    /// The number of replicas of each partition.
    #[must_use]
    pub fn replication(mut self, replicas: i32) -> Self {
        self.replication = Some(replicas);
        self
    }

    /// How long records are kept. For replies, the longest time-out and the longest time that a
    /// ticket may wait.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    /// Of several records with the same key only the last is kept, and also that one no longer than
    /// the retention (`cleanup.policy=compact,delete`): for the topic of a durable dedupe store.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.compacted = true;
        self
    }
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
    let wanted: Vec<_> = topics.iter().map(|name| WantedTopic::new(*name, partitions)).collect();
    ensure_topics(kafka, &wanted, timeout).await
}

/// Creates those of the topics that do not exist, and returns when they can be seen. Others stay as
/// they are, and need no right to create any.
///
/// # Errors
/// [`ManageError`] if the brokers refuse, or none answers within `timeout`.
///
/// # Panics
/// If the look-up, which has a thread of its own, cannot be started.
pub async fn ensure_topics(
    kafka: &KafkaSettings,
    wanted: &[WantedTopic],
    timeout: Duration,
) -> Result<(), ManageError> {
    let lookup = kafka.clone();
    let names: Vec<String> = wanted.iter().map(|topic| topic.name.clone()).collect();
    let missing = on_own_thread("antiphon-lookup", move || missing(&lookup, names, timeout))
        .await
        .expect("the look-up starts and does not panic")?;
    if missing.is_empty() {
        return Ok(());
    }
    let admin = administrator(kafka)?;
    let absent = wanted.iter().filter(|topic| missing.contains(&topic.name));
    let absent: Vec<_> = absent.map(|topic| (topic, topic.retention_ms())).collect();
    let wanted: Vec<_> = absent
        .iter()
        .map(|(topic, retention)| {
            // -1 asks for the broker's own default.
            let replication = TopicReplication::Fixed(topic.replication.unwrap_or(-1));
            let new = NewTopic::new(&topic.name, topic.partitions, replication);
            let new = match retention {
                Some(retention) => new.set("retention.ms", retention),
                None => new,
            };
            if topic.compacted { new.set("cleanup.policy", "compact,delete") } else { new }
        })
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
    let lookup = kafka.clone();
    on_own_thread("antiphon-lookup", move || until_seen(&lookup, missing, timeout))
        .await
        .expect("the look-up starts and does not panic")
}

impl WantedTopic {
    fn retention_ms(&self) -> Option<String> {
        self.retention.map(|retention| retention.as_millis().to_string())
    }
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
    let admin = administrator(kafka)?;
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

fn administrator(kafka: &KafkaSettings) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
    let admin: AdminClient<DefaultClientContext> = kafka.admin().create()?;
    Login::of(kafka, admin.inner())?;
    Ok(admin)
}

/// Those of the topics that cannot be seen. Unlike an administrative client, a consumer says why
/// it reaches no broker.
fn missing(
    lookup: &KafkaSettings,
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

/// Waits until topics that were just made can be seen. Brokers hear of a topic a moment after it is
/// made, and until then say that there is none.
fn until_seen(
    lookup: &KafkaSettings,
    topics: Vec<String>,
    timeout: Duration,
) -> Result<(), ManageError> {
    let consumer = lookup_client(lookup)?;
    let deadline = Instant::now() + timeout;
    let left = || deadline.saturating_duration_since(Instant::now());
    for topic in topics {
        // If it cannot be seen for other reasons, whoever looks next is told.
        while matches!(explained_count(&consumer, &topic, left()), Err(TopicError::Missing(_)))
            && left() > AGAIN
        {
            thread::sleep(AGAIN);
        }
    }
    Ok(())
}
