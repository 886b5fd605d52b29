//! The one error type of the testkit. Each message says what is wrong and how to put it right.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a test broker could not be started, or could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestkitError {
    /// A builder or a topic was given a value that cannot work.
    #[error("{field}: {problem}")]
    InvalidSetting {
        /// The setting that is wrong.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },

    /// A program that a real Kafka needs is not installed.
    #[error("cannot run `{program}`: {fix}")]
    ProgramMissing {
        /// The program that was looked for.
        program: String,
        /// How to get it.
        fix: &'static str,
    },

    /// A secured node does not change a right or a password.
    #[error("cannot {operation}: {problem}")]
    Rights {
        /// What was asked for.
        operation: &'static str,
        /// What the node says.
        problem: String,
    },

    /// The Java that was found is too old for Kafka.
    #[error(
        "`{program}` is Java {found}, and Apache Kafka 4 needs Java 17 or newer: install it, or \
         name it by JAVA_HOME or KafkaBuilder::java"
    )]
    JavaTooOld {
        /// The program that was run.
        program: String,
        /// Its major version.
        found: u32,
    },

    /// A folder that was named as Kafka's library folder is none.
    #[error(
        "{} holds no kafka_*.jar: name the `libs` folder of an Apache Kafka 4 by \
         ANTIPHON_KAFKA_LIBS or KafkaBuilder::libs, or leave both unset to have it fetched",
        folder.display()
    )]
    NoKafkaLibs {
        /// The folder that was looked at.
        folder: PathBuf,
    },

    /// Maven did not fetch the jars of Kafka.
    #[error(
        "Maven could not fetch the jars of Apache Kafka {version}: {problem}. Put it right, or \
         name a folder that holds the jars by ANTIPHON_KAFKA_LIBS.\n{log}"
    )]
    Fetch {
        /// The version that was asked for.
        version: String,
        /// How it ended.
        problem: String,
        /// The end of what Maven printed.
        log: String,
    },

    /// A node could not prepare its storage.
    #[error("node {node} could not format its storage ({problem}); its log ends with:\n{log}")]
    Format {
        /// The node, from 1.
        node: i32,
        /// How the program ended.
        problem: String,
        /// The end of the node's log.
        log: String,
    },

    /// A node ended by itself.
    #[error("node {node} ended by itself ({status}); its log ends with:\n{log}")]
    NodeExited {
        /// The node, from 1.
        node: i32,
        /// Its exit status.
        status: String,
        /// The end of the node's log.
        log: String,
    },

    /// The cluster did not get into the state that was waited for.
    #[error(
        "the cluster was not ready after {} s: {missing}. If the machine is only slow, run fewer \
         tests at once.\n{log}",
        waited.as_secs()
    )]
    NotReady {
        /// How long it was waited for.
        waited: Duration,
        /// What was still missing.
        missing: String,
        /// The ends of the nodes' logs.
        log: String,
    },

    /// A node did not shut down in time, and was killed.
    #[error(
        "node {node} did not shut down within {} s and was killed: a node cannot leave in good \
         order without a majority of the nodes, so stop fewer of them or use `kill`",
        waited.as_secs()
    )]
    StopTimedOut {
        /// The node, from 1.
        node: i32,
        /// How long it was waited for.
        waited: Duration,
    },

    /// There is no such node.
    #[error("there is no node {node}: the nodes of this cluster are 1 to {nodes}")]
    UnknownNode {
        /// The node that was named.
        node: i32,
        /// How many there are.
        nodes: usize,
    },

    /// The node is not running, and the operation needs it to.
    #[error("cannot {operation} node {node}, because it is not running: `restart` it first")]
    NodeNotRunning {
        /// The node, from 1.
        node: i32,
        /// What was asked for.
        operation: &'static str,
    },

    /// The embedded broker cannot do this.
    #[error("the embedded broker cannot {operation}: use TestBroker::kafka() in this test")]
    Unsupported {
        /// What was asked for.
        operation: &'static str,
    },

    /// The broker refused an operation on a topic.
    #[error("cannot {operation} topic `{topic}`: {code}")]
    Topic {
        /// What was asked for.
        operation: &'static str,
        /// The topic.
        topic: String,
        /// The broker's answer.
        code: RDKafkaErrorCode,
    },

    /// A Kafka client of the testkit's own failed.
    #[error("cannot {doing}: {source}")]
    Client {
        /// What it was doing.
        doing: &'static str,
        /// What the client said.
        source: KafkaError,
    },

    /// The operating system refused something.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done, with the path or program.
        doing: String,
        /// What the system said.
        source: io::Error,
    },

    /// The thread of the embedded broker is gone, which means that it panicked.
    #[error("the thread of the embedded broker has ended: its panic message is on stderr")]
    MockEnded,
}

impl TestkitError {
    /// Adds what was being done to an error of the operating system.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> TestkitError {
        let doing = doing.into();
        move |source| TestkitError::Io { doing, source }
    }

    /// Adds what was being done to an error of a Kafka client.
    pub(crate) fn client(doing: &'static str) -> impl FnOnce(KafkaError) -> TestkitError {
        move |source| TestkitError::Client { doing, source }
    }
}
