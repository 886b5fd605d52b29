//! [`KafkaBuilder`]: what a real cluster is to be, and the checks of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::config::{Settings, property_problem};
use super::listeners::Wanted;
use super::node::Launch;
use super::{KafkaCluster, jars, java};
use crate::{TestBroker, TestkitError, TopicSpec};

/// Sets up a real Kafka cluster: see [`TestBroker::kafka`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct KafkaBuilder {
    brokers: usize,
    topics: Vec<TopicSpec>,
    settings: Settings,
    java: Option<PathBuf>,
    libs: Option<PathBuf>,
}

impl KafkaBuilder {
    pub(crate) fn new() -> Self {
        Self {
            brokers: 1,
            topics: Vec::new(),
            settings: Settings::default(),
            java: None,
            libs: None,
        }
    }

    /// Sets the number of nodes, each of them broker and controller. The default is 1.
    ///
    /// Three or more go on when one is lost: topics then have three replicas, of which two must
    /// acknowledge a record.
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers;
        self
    }

    /// Adds a topic to create at the start.
    pub fn topic(self, name: impl Into<String>, partitions: i32) -> Self {
        self.topic_with(TopicSpec::new(name).partitions(partitions))
    }

    /// Adds a topic to create at the start.
    pub fn topic_with(mut self, topic: TopicSpec) -> Self {
        self.topics.push(topic);
        self
    }

    /// Sets a property of every node, as in `server.properties`. It replaces what the testkit would
    /// set.
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.properties.insert(key.into(), value.into());
        self
    }

    /// Adds a listener on `localhost` to a cluster of one node. Its protocol is a property.
    pub(crate) fn listener(mut self, name: &str, port: u16) -> Self {
        self.settings.listeners.push((name.to_owned(), port));
        self
    }

    /// Adds a plaintext listener to every node, at an address of this machine and a port that the
    /// kernel chooses: see [`TestBroker::listener`].
    pub fn listener_at(mut self, name: impl Into<String>, address: Ipv4Addr) -> Self {
        self.settings.wanted.push(Wanted { name: name.into(), address, advertised: Vec::new() });
        self
    }

    /// Adds a plaintext listener to every node that clients reach by another address, one for each
    /// node: that of a [`Proxy`](crate::Proxy).
    pub fn listener_behind(mut self, name: impl Into<String>, advertised: Vec<SocketAddr>) -> Self {
        let address = Ipv4Addr::LOCALHOST;
        self.settings.wanted.push(Wanted { name: name.into(), address, advertised });
        self
    }

    /// Makes the cluster notice a lost node within about two seconds instead of about nine. Leave it
    /// out to see what users of a default cluster see.
    pub fn fast_failover(mut self) -> Self {
        self.settings.fast_failover = true;
        self
    }

    /// Runs the nodes as for production, with 768 MB of heap and the full compiler, instead of for a
    /// quick start. Throughput means nothing without it.
    pub fn benchmark(mut self) -> Self {
        self.settings.benchmark = true;
        self
    }

    /// Names the `java` program. The default is that of `JAVA_HOME`, else the one on the `PATH`.
    pub fn java(mut self, program: impl Into<PathBuf>) -> Self {
        self.java = Some(program.into());
        self
    }

    /// Names the folder with Kafka's jars, such as `libs` in a Kafka download. The default is what
    /// `ANTIPHON_KAFKA_LIBS` names, else the cache that Maven fills.
    pub fn libs(mut self, folder: impl Into<PathBuf>) -> Self {
        self.libs = Some(folder.into());
        self
    }

    /// Starts the cluster and returns when every node sees all the others, a group coordinator can
    /// be found and the topics have leaders: some seconds, and more on a busy machine.
    ///
    /// # Errors
    /// [`TestkitError::InvalidSetting`] for wrong values, [`TestkitError::ProgramMissing`],
    /// [`TestkitError::JavaTooOld`], [`TestkitError::NoKafkaLibs`] or [`TestkitError::Fetch`] if
    /// something is not installed, [`TestkitError::Format`], [`TestkitError::NodeExited`] or
    /// [`TestkitError::NotReady`] with the nodes' logs if it does not start, and
    /// [`TestkitError::Topic`] if a topic is refused.
    pub fn start(self) -> Result<TestBroker, TestkitError> {
        self.check()?;
        let java = java::locate(self.java.as_deref())?;
        let libs = jars::locate(self.libs.as_deref())?;
        let launch = |log4j| Launch {
            java: java.clone(),
            libs: libs.clone(),
            log4j,
            settings: self.settings.clone(),
        };
        let cluster = KafkaCluster::start(self.brokers, launch)?;
        if !self.topics.is_empty() {
            cluster.create_topics(&self.topics)?;
        }
        Ok(TestBroker::from_kafka(cluster))
    }

    fn check(&self) -> Result<(), TestkitError> {
        let invalid = |field, problem| Err(TestkitError::InvalidSetting { field, problem });
        if !(1..=100).contains(&self.brokers) {
            return invalid("brokers", format!("{} is not between 1 and 100", self.brokers));
        }
        for (key, value) in &self.settings.properties {
            if let Some(problem) = property_problem(key, value) {
                return invalid("property", problem);
            }
        }
        self.topics.iter().try_for_each(|topic| topic.check(self.brokers))
    }
}
