//! Closes a producer where waiting for its threads disturbs nobody.

use std::time::Duration;

use rdkafka::producer::{Producer, ProducerContext};

use super::quiet::QuietProducer;

/// How long what is still queued may take to go out.
const FLUSH: Duration = Duration::from_secs(1);

/// Flushes and drops a producer on a thread of its own: a drop waits for the producer's threads,
/// which must not happen on an async worker.
pub fn close_behind<C: ProducerContext + 'static>(producer: QuietProducer<C>) {
    // If no thread can be started, the producer is dropped here.
    let _ = std::thread::Builder::new().name("antiphon-close".into()).spawn(move || {
        let _ = producer.flush(FLUSH);
        drop(producer);
    });
}
