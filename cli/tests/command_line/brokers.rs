//! The brokers that the tests share: an embedded one in this process, and a real one.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use antiphon_testkit::TestBroker;

/// Where nobody listens. The kernel gives this port to nobody by itself, unlike one that was free a
/// moment ago.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

/// The embedded broker. It holds nothing but memory, and ends with the process.
pub(crate) fn mock() -> &'static TestBroker {
    static MOCK: OnceLock<TestBroker> = OnceLock::new();
    MOCK.get_or_init(|| TestBroker::mock().start().unwrap())
}

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
