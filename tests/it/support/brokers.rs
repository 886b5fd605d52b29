//! Brokers: an embedded one for each test, and one real Kafka for all tests that do not break it.

use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use antiphon::config::KafkaSettings;
use antiphon_testkit::TestBroker;
use rdkafka::ClientConfig;

/// The request topic of all tests on an embedded broker.
pub(crate) const QUOTES: &str = "quotes";
/// Its reply topic.
pub(crate) const REPLIES: &str = "quotes.replies";
/// A request topic that no replier reads. A replier answers at the deadline at the latest, which may
/// be just before its caller gives up; a test that wants the caller's own time-out asks here.
pub(crate) const UNREAD: &str = "unread";

/// An embedded broker with the request topic and its reply topic, of so many partitions each.
pub(crate) fn embedded(partitions: i32) -> TestBroker {
    TestBroker::mock()
        .topic(QUOTES, partitions)
        .topic(REPLIES, partitions)
        .topic(UNREAD, partitions)
        .start()
        .unwrap()
}

/// The real Kafka that tests share: one node.
pub(crate) fn kafka() -> &'static TestBroker {
    static SHARED: OnceLock<(TestBroker, ChildStdin)> = OnceLock::new();
    let (broker, _) = SHARED.get_or_init(|| {
        let broker = quick_groups().start().unwrap();
        let sweeper = sweep_when_this_process_ends(&broker);
        (broker, sweeper)
    });
    broker
}

/// A real Kafka of one node, whose groups of the newer protocol (KIP-848) hear of changes soon. By
/// default their members ask every five seconds.
pub(crate) fn quick_groups() -> antiphon_testkit::KafkaBuilder {
    TestBroker::kafka()
        .property("group.consumer.min.heartbeat.interval.ms", "200")
        .property("group.consumer.heartbeat.interval.ms", "200")
}

/// Creates a request topic and its reply topic on the shared Kafka.
pub(crate) fn topics(name: &str, partitions: i32) -> (String, String) {
    let replies = format!("{name}.replies");
    kafka().create_topic(name, partitions).unwrap();
    kafka().create_topic(&replies, partitions).unwrap();
    (name.to_owned(), replies)
}

/// The settings of requesters and repliers for a broker.
pub(crate) fn settings(broker: &TestBroker) -> KafkaSettings {
    let settings = KafkaSettings::new(broker.bootstrap())
        // Members of a group of the classic protocol hear of a rebalance at their heartbeat.
        .property("heartbeat.interval.ms", "200")
        // Half a minute would hide that a client comes back at all.
        .property("reconnect.backoff.max.ms", "500");
    // The newer protocol leaves heartbeats to the broker, and the client refuses to be told.
    let settings =
        match broker.client_properties().iter().any(|(name, _)| *name == "group.protocol") {
            true => without_heartbeat(settings),
            false => settings,
        };
    broker
        .client_properties()
        .iter()
        .fold(settings, |settings, (name, value)| settings.property(*name, *value))
}

/// The same for the newer group protocol.
pub(crate) fn without_heartbeat(mut settings: KafkaSettings) -> KafkaSettings {
    settings.properties.remove("heartbeat.interval.ms");
    settings
}

/// The configuration of a plain client.
pub(crate) fn client(broker: &TestBroker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    for (name, value) in broker.client_properties() {
        config.set(*name, *value);
    }
    config
}

/// Statics are not dropped, so nobody would delete the broker's folder: a shell does, when the
/// pipe to it closes, which it does however this process ends.
#[expect(clippy::zombie_processes, reason = "the shell outlives this process, if only just")]
fn sweep_when_this_process_ends(broker: &TestBroker) -> ChildStdin {
    const SWEEP: &str = "read -r _; for _ in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf \"$1\" && exit; sleep 0.2; done";
    let folder = broker.data_dir().unwrap();
    let mut shell = Command::new("/bin/sh")
        .args(["-c", SWEEP, "sweep"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap()
}
