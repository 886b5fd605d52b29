//! What the brokers tell of themselves and of some topics, and of the configurations of these.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon::kafka::Observer;
use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;

use crate::topics::START;

/// How long the brokers may take to tell configurations.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the brokers.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) brokers: usize,
    pub(super) topics: BTreeMap<String, Found>,
}

/// What is known of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Missing,
    Unauthorized,
    Unknown(String),
    There(Shape),
}

/// How a topic is laid out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shape {
    pub(super) partitions: i32,
    /// The least that any partition has.
    pub(super) replication: usize,
    /// Partitions without a leader.
    pub(super) offline: usize,
    /// Partitions of which a replica is behind or gone.
    pub(super) behind: usize,
}

/// The properties of topics, or why they cannot be read.
pub(super) type Configs = Result<BTreeMap<String, BTreeMap<String, String>>, String>;

/// Looks at the brokers and topics.
///
/// # Errors
/// In words, if no broker answers.
pub(super) async fn look(kafka: &KafkaSettings, topics: &[String]) -> Result<Cluster, String> {
    let config =
        kafka.consumer(&[("group.id", "antiphon-doctor"), ("enable.auto.commit", "false")]);
    let topics = topics.to_vec();
    let looked = antiphon::blocking::on_own_thread("antiphon-doctor", move || {
        let consumer: BaseConsumer<Observer> =
            config.create_with_context(Observer::default()).map_err(|error| error.to_string())?;
        ask(&consumer, &topics).map_err(|error| {
            // The events that tell the cause wait for a poll; each error is one of them.
            while let Some(Err(_)) = consumer.poll(Duration::ZERO) {}
            format!("{error}{}", consumer.context().cause().phrase())
        })
    });
    looked.await.map_err(|error| error.to_string())?
}

fn ask(consumer: &BaseConsumer<Observer>, topics: &[String]) -> Result<Cluster, KafkaError> {
    let mut cluster = Cluster::default();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), START)?;
        cluster.brokers = cluster.brokers.max(metadata.brokers().len());
        let told = metadata.topics().iter().find(|told| told.name() == topic);
        cluster.topics.insert(topic.clone(), told.map_or(Found::Missing, found));
    }
    Ok(cluster)
}

fn found(topic: &MetadataTopic) -> Found {
    match topic.error().map(RDKafkaErrorCode::from) {
        None if topic.partitions().is_empty() => Found::Missing,
        None => {
            let partitions = topic.partitions();
            let replicas = partitions.iter().map(|partition| partition.replicas().len());
            let count = |bad: &dyn Fn(&rdkafka::metadata::MetadataPartition) -> bool| {
                partitions.iter().filter(|partition| bad(partition)).count()
            };
            Found::There(Shape {
                partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
                replication: replicas.min().unwrap_or(0),
                offline: count(&|partition| partition.leader() < 0),
                behind: count(&|partition| partition.isr().len() < partition.replicas().len()),
            })
        }
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            Found::Missing
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Found::Unauthorized,
        Some(code) => Found::Unknown(code.to_string()),
    }
}

/// Reads the configurations of topics that exist.
pub(super) async fn configs(kafka: &KafkaSettings, topics: &[&str]) -> Configs {
    let admin: AdminClient<DefaultClientContext> =
        kafka.admin().create().map_err(|error| error.to_string())?;
    let wanted: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let told =
        admin.describe_configs(&wanted, &options).await.map_err(|error| error.to_string())?;
    let mut configs = BTreeMap::new();
    for resource in told {
        // One that is refused is missing among the others, which says as much.
        let Ok(resource) = resource else { continue };
        let OwnedResourceSpecifier::Topic(topic) = resource.specifier else { continue };
        let entries = resource.entries.into_iter();
        configs.insert(topic, entries.filter_map(|e| Some((e.name, e.value?))).collect());
    }
    Ok(configs)
}
