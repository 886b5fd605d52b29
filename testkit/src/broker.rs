//! [`TestBroker`]: one handle for both kinds of broker, so that a test can take either.

use std::net::SocketAddr;
use std::path::Path;

use crate::kafka::{KafkaBuilder, KafkaCluster};
use crate::mock::{self, MockBroker, MockBuilder};
use crate::{TestkitError, TopicSpec};

/// A broker, or a cluster of them, that lives as long as this handle.
///
/// Other processes can connect to it as well, by its [`bootstrap`](Self::bootstrap) address on the
/// loopback interface.
#[derive(Debug)]
pub struct TestBroker {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Mock(MockBroker),
    Kafka(KafkaCluster),
}

impl TestBroker {
    /// An embedded broker in this process: it starts in milliseconds and needs nothing installed.
    ///
    /// It is librdkafka's mock cluster behind real sockets. It is good for fast tests of the normal
    /// course of events, and it knows produce, fetch, consumer groups and offset commits. Its limits:
    ///
    /// - Clients should set [`client_properties`](Self::client_properties), or an empty fetch takes
    ///   half a second.
    /// - There is no admin API: topics are created through this handle, are never deleted, and have
    ///   no properties. A client that asks for an unknown topic and allows it to be created (a
    ///   producer does by default) gets it with 4 partitions.
    /// - A partition keeps its newest 5 MiB or 100,000 batches, whichever is less.
    /// - Transactions are accepted, and isolate nothing. Looking offsets up by time finds nothing.
    /// - There is no TLS, no authentication and no quota, and nodes cannot be killed.
    ///
    /// So never assert latency, retention or exactly-once on it: use [`TestBroker::kafka`].
    ///
    /// ```
    /// use antiphon_testkit::TestBroker;
    ///
    /// let broker = TestBroker::mock().brokers(1).topic("quotes", 4).start()?;
    /// assert!(broker.bootstrap().starts_with("127.0.0.1:"));
    /// # Ok::<(), antiphon_testkit::TestkitError>(())
    /// ```
    pub fn mock() -> MockBuilder {
        MockBuilder::new()
    }

    /// Real Apache Kafka 4 in KRaft mode, one Java process for each node, started from its jars.
    ///
    /// It needs Java 17. The jars are taken from the folder that `ANTIPHON_KAFKA_LIBS` names, else
    /// from the cache (`$XDG_CACHE_HOME/antiphon`, or `~/.cache/antiphon`), which Maven fills once
    /// if it is installed.
    ///
    /// ```no_run
    /// use antiphon_testkit::TestBroker;
    ///
    /// let cluster = TestBroker::kafka().brokers(3).topic("quotes", 4).start()?;
    /// cluster.kill(2)?;
    /// cluster.restart(2)?;
    /// # Ok::<(), antiphon_testkit::TestkitError>(())
    /// ```
    pub fn kafka() -> KafkaBuilder {
        KafkaBuilder::new()
    }

    /// What clients set as `bootstrap.servers`: every broker's `host:port`, joined by commas.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        match &self.kind {
            Kind::Mock(mock) => mock.bootstrap(),
            Kind::Kafka(cluster) => cluster.bootstrap(),
        }
    }

    /// Where a node listens by a listener that the builder was given. Real Kafka only.
    ///
    /// # Errors
    /// [`TestkitError::UnknownNode`], [`TestkitError::InvalidSetting`] if there is no listener of
    /// this name, and [`TestkitError::Unsupported`] on the embedded broker.
    pub fn listener(&self, name: &str, node: i32) -> Result<SocketAddr, TestkitError> {
        self.real("tell listeners")?.listener(name, node)
    }

    /// The librdkafka properties that clients should set to be quick with this broker. Empty for
    /// real Kafka.
    #[must_use]
    pub fn client_properties(&self) -> &[(&'static str, &'static str)] {
        match &self.kind {
            Kind::Mock(_) => mock::CLIENT_PROPERTIES,
            Kind::Kafka(_) => &[],
        }
    }

    /// The number of brokers. Their node ids are 1 and up.
    #[must_use]
    pub fn brokers(&self) -> usize {
        match &self.kind {
            Kind::Mock(mock) => mock.brokers(),
            Kind::Kafka(cluster) => cluster.brokers(),
        }
    }

    /// The folder with one `node-N` folder for each node, which holds its configuration, its
    /// `node.log` and its data. It is deleted with the handle. `None` for the embedded broker.
    #[must_use]
    pub fn data_dir(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Mock(_) => None,
            Kind::Kafka(cluster) => Some(cluster.data_dir()),
        }
    }

    /// Creates a topic with as many replicas as there are brokers, at most three.
    ///
    /// On real Kafka it returns when every running node knows all the partitions and their leaders.
    ///
    /// # Errors
    /// As [`create_topic_with`](Self::create_topic_with).
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), TestkitError> {
        self.create_topic_with(&TopicSpec::new(name).partitions(partitions))
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`TestkitError::InvalidSetting`] for a value that no broker accepts,
    /// [`TestkitError::Topic`] if the broker refuses, for example because the topic exists,
    /// [`TestkitError::NotReady`] if it has no leaders in time, and
    /// [`TestkitError::Unsupported`] for properties on the embedded broker.
    pub fn create_topic_with(&self, topic: &TopicSpec) -> Result<(), TestkitError> {
        match &self.kind {
            Kind::Mock(mock) => mock.create_topic(topic),
            Kind::Kafka(cluster) => cluster.create_topics(std::slice::from_ref(topic)),
        }
    }

    /// Deletes a topic, and returns when no running node knows it any more. Real Kafka only.
    ///
    /// # Errors
    /// [`TestkitError::Topic`] if the broker refuses, for example because there is no such topic,
    /// [`TestkitError::Unsupported`] on the embedded broker.
    pub fn delete_topic(&self, name: &str) -> Result<(), TestkitError> {
        self.real("delete topics")?.delete_topic(name)
    }

    /// Kills a node by SIGKILL, and returns when it is gone. Real Kafka only.
    ///
    /// # Errors
    /// [`TestkitError::NodeNotRunning`], [`TestkitError::UnknownNode`], and
    /// [`TestkitError::Unsupported`] on the embedded broker.
    pub fn kill(&self, node: i32) -> Result<(), TestkitError> {
        self.real("kill nodes")?.kill(node)
    }

    /// Lets a node shut down in good order, and returns when it is gone. Real Kafka only.
    ///
    /// # Errors
    /// [`TestkitError::StopTimedOut`] if it did not shut down within 30 s: it is then killed.
    /// Otherwise as [`kill`](Self::kill).
    pub fn stop(&self, node: i32) -> Result<(), TestkitError> {
        self.real("stop nodes")?.stop(node)
    }

    /// Freezes a node by SIGSTOP: it keeps its connections and answers nothing. Real Kafka only.
    ///
    /// # Errors
    /// As [`kill`](Self::kill).
    pub fn pause(&self, node: i32) -> Result<(), TestkitError> {
        self.real("pause nodes")?.pause(node)
    }

    /// Lets a paused node go on. Real Kafka only.
    ///
    /// # Errors
    /// As [`kill`](Self::kill).
    pub fn resume(&self, node: i32) -> Result<(), TestkitError> {
        self.real("resume nodes")?.resume(node)
    }

    /// Starts a node again on its old ports and data; stops it first if it is running. Real Kafka
    /// only.
    ///
    /// If a majority of the nodes is then running, this returns when the node serves clients and
    /// every running node sees all of them. Without a majority nothing can become ready, so it
    /// returns at once, and the restart that completes the majority waits for all. The node may
    /// need some more seconds until it is in sync with the leaders of its partitions.
    ///
    /// # Errors
    /// [`TestkitError::NodeExited`] or [`TestkitError::NotReady`] if it does not come back, and
    /// otherwise as [`stop`](Self::stop).
    pub fn restart(&self, node: i32) -> Result<(), TestkitError> {
        self.real("restart nodes")?.restart(node)
    }

    /// Whether the node's process exists. A paused one does. Real Kafka only.
    ///
    /// # Errors
    /// [`TestkitError::UnknownNode`], and [`TestkitError::Unsupported`] on the embedded broker.
    pub fn is_running(&self, node: i32) -> Result<bool, TestkitError> {
        Ok(self.real("tell processes")?.process_id(node)?.is_some())
    }

    /// The process id of the node's Java process, for measuring it. Real Kafka only.
    ///
    /// # Errors
    /// As [`kill`](Self::kill).
    pub fn process_id(&self, node: i32) -> Result<u32, TestkitError> {
        self.real("tell processes")?
            .process_id(node)?
            .ok_or(TestkitError::NodeNotRunning { node, operation: "measure" })
    }

    pub(crate) fn from_mock(mock: MockBroker) -> Self {
        Self { kind: Kind::Mock(mock) }
    }

    pub(crate) fn from_kafka(cluster: KafkaCluster) -> Self {
        Self { kind: Kind::Kafka(cluster) }
    }

    fn real(&self, operation: &'static str) -> Result<&KafkaCluster, TestkitError> {
        match &self.kind {
            Kind::Mock(_) => Err(TestkitError::Unsupported { operation }),
            Kind::Kafka(cluster) => Ok(cluster),
        }
    }
}
