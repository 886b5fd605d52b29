//! The Kafka that the tests share, and topics of a test's own.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon_testkit::TestBroker;

/// No wait of a test ends later than this. A healthy one takes a small part of it.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// A real Kafka, shared by the tests that run at the same time. The last one to let it go deletes
/// its files, which a static would leave behind.
pub(crate) fn kafka() -> Arc<TestBroker> {
    static KAFKA: Mutex<Weak<TestBroker>> = Mutex::new(Weak::new());
    let mut shared = KAFKA.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let started = Arc::new(TestBroker::kafka().start().unwrap());
        *shared = Arc::downgrade(&started);
        started
    })
}

/// Creates a request topic and its reply topic, and returns the name of the latter.
pub(crate) fn create_topics(broker: &TestBroker, request: &str, partitions: i32) -> String {
    let replies = format!("{request}.replies");
    broker.create_topic(request, partitions).unwrap();
    broker.create_topic(&replies, partitions).unwrap();
    replies
}

/// How Antiphon's clients reach the broker.
pub(crate) fn settings(broker: &TestBroker) -> KafkaSettings {
    KafkaSettings::new(broker.bootstrap())
}
