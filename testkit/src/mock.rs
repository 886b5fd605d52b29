//! The embedded broker: librdkafka's mock cluster, kept on a thread of its own because its handle
//! may not move between threads.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use crate::{TestBroker, TestkitError, TopicSpec};

/// What clients should set to be quick with the embedded broker.
///
/// It answers an empty fetch only after the client's full wait, which is 500 ms by default. It looks
/// for the start of a fetch batch by batch from the oldest one, so few large batches are fast and
/// many small ones slow: one produce request at a time. Its groups of the classic protocol may need
/// seconds until all members have joined, those of the newer one (KIP-848) do not.
pub(crate) const CLIENT_PROPERTIES: &[(&str, &str)] = &[
    ("fetch.wait.max.ms", "1"),
    ("max.in.flight.requests.per.connection", "1"),
    ("group.protocol", "consumer"),
];

/// How long a new group of the classic protocol waits for more members, in milliseconds.
const REBALANCE_DELAY: i32 = 0;
/// How often members of a group of the newer protocol hear of changes, in milliseconds.
const HEARTBEAT: i32 = 50;

/// How long a drop waits for the thread to end before it leaves it behind.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Sets up an embedded broker: see [`TestBroker::mock`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct MockBuilder {
    brokers: usize,
    topics: Vec<TopicSpec>,
}

impl MockBuilder {
    pub(crate) fn new() -> Self {
        Self { brokers: 1, topics: Vec::new() }
    }

    /// Sets how many brokers the cluster shows to its clients. The default is 1.
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

    /// Starts the broker, which takes some milliseconds.
    ///
    /// # Errors
    /// [`TestkitError::InvalidSetting`] for a wrong number of brokers or a wrong topic;
    /// [`TestkitError::Topic`] if a topic is named twice; [`TestkitError::Client`] or
    /// [`TestkitError::Io`] if the client or its thread could not be created.
    pub fn start(self) -> Result<TestBroker, TestkitError> {
        if !(1..=10_000).contains(&self.brokers) {
            return Err(TestkitError::InvalidSetting {
                field: "brokers",
                problem: format!("{} is not between 1 and 10000", self.brokers),
            });
        }
        let broker = MockBroker::start(self.brokers)?;
        for topic in &self.topics {
            broker.create_topic(topic)?;
        }
        Ok(TestBroker::from_mock(broker))
    }
}

/// A request to the thread that owns the cluster, and where its answer goes.
struct CreateTopic {
    name: String,
    partitions: i32,
    replicas: i32,
    answer: SyncSender<KafkaResult<()>>,
}

/// A running embedded broker.
#[derive(Debug)]
pub(crate) struct MockBroker {
    bootstrap: String,
    brokers: usize,
    // Taken away in a drop, which is what tells the thread to end.
    requests: Option<mpsc::Sender<CreateTopic>>,
    thread: Option<JoinHandle<()>>,
}

impl MockBroker {
    fn start(brokers: usize) -> Result<Self, TestkitError> {
        let (requests, inbox) = mpsc::channel();
        let (ready, started) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("antiphon-mock-broker".into())
            .spawn(move || run(brokers, &ready, &inbox))
            .map_err(TestkitError::io("start the thread of the embedded broker"))?;
        let bootstrap = started
            .recv()
            .map_err(|_| TestkitError::MockEnded)?
            .map_err(TestkitError::client("start the embedded broker"))?;
        Ok(Self { bootstrap, brokers, requests: Some(requests), thread: Some(thread) })
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(crate) fn brokers(&self) -> usize {
        self.brokers
    }

    pub(crate) fn create_topic(&self, topic: &TopicSpec) -> Result<(), TestkitError> {
        topic.check(self.brokers)?;
        if !topic.config.is_empty() {
            return Err(TestkitError::Unsupported { operation: "set properties of a topic" });
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let request = CreateTopic {
            name: topic.name.clone(),
            partitions: topic.partitions,
            replicas: topic.replicas(self.brokers),
            answer,
        };
        let requests = self.requests.as_ref().ok_or(TestkitError::MockEnded)?;
        requests.send(request).map_err(|_| TestkitError::MockEnded)?;
        let created = answered.recv().map_err(|_| TestkitError::MockEnded)?;
        created.map_err(|error| match error {
            KafkaError::MockCluster(code) => {
                TestkitError::Topic { operation: "create", topic: topic.name.clone(), code }
            }
            source => TestkitError::Client { doing: "create a topic", source },
        })
    }
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        self.requests.take();
        let Some(thread) = self.thread.take() else { return };
        // A thread that hangs in librdkafka is left behind: it must not hang the test as well.
        let deadline = Instant::now() + SHUTDOWN;
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // A panic of the thread has already been printed, and a drop must not add another.
        let _ = thread.join();
    }
}

/// The thread's whole life: create the client that owns the cluster, serve requests, end when
/// nobody can send any more.
fn run(brokers: usize, ready: &SyncSender<KafkaResult<String>>, inbox: &Receiver<CreateTopic>) {
    let created: KafkaResult<BaseProducer> = ClientConfig::new()
        .set("client.id", "antiphon-mock-broker")
        .set("test.mock.num.brokers", brokers.to_string())
        .create();
    // If nobody waits for an answer any more there is nobody to tell.
    let owner = match created {
        Ok(owner) => owner,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let Some(cluster) = owner.client().mock_cluster() else {
        let _ = ready.send(Err(KafkaError::MockCluster(RDKafkaErrorCode::Fail)));
        return;
    };
    // Without this the first rebalance of every group takes three seconds.
    antiphon_native::set_mock_group_delays(owner.client(), REBALANCE_DELAY, HEARTBEAT);
    let _ = ready.send(Ok(cluster.bootstrap_servers()));
    while let Ok(request) = inbox.recv() {
        let created = cluster.create_topic(&request.name, request.partitions, request.replicas);
        let _ = request.answer.send(created);
    }
}
