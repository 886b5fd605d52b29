//! A producer with a thread that looks at its reports, and sleeps while there are none.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use antiphon_native::topics::Topics;
use antiphon_native::wake::OnReadable;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, ProducerContext};

/// How long the thread sleeps at most. It is told of everything, so this is for the case that it was
/// not.
const SLEEP: Duration = Duration::from_secs(1);

/// What `ThreadedProducer` of the rdkafka crate is: its thread polls for a tenth of a second at a time,
/// and since that is cut to whole milliseconds for librdkafka, it spins for most of the last one, also
/// while nothing is sent. This one is told when there is something.
pub struct QuietProducer<C: ProducerContext + 'static> {
    producer: Topics<C>,
    ends: Arc<AtomicBool>,
    /// Taken out when this is dropped.
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> FromClientConfigAndContext<C> for QuietProducer<C> {
    fn from_config_and_context(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let producer = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let ends = Arc::new(AtomicBool::new(false));
        let work = {
            let (producer, ends) = (Arc::clone(&producer), Arc::clone(&ends));
            move || look(&producer, &ends)
        };
        let thread = thread::Builder::new().name("antiphon-reports".into()).spawn(work);
        let thread = thread.map_err(|error| {
            KafkaError::ClientCreation(format!("the thread for reports cannot be started: {error}"))
        })?;
        Ok(Self { producer: Topics::of(producer), ends, thread: Some(thread) })
    }
}

fn look<C: ProducerContext + 'static>(producer: &Arc<BaseProducer<C>>, ends: &AtomicBool) {
    let this = thread::current();
    let readable = OnReadable::of_producer(Arc::clone(producer), move || this.unpark());
    loop {
        while readable.is_readable() {
            // One event: a batch of reports, or something else.
            producer.poll(Duration::ZERO);
        }
        if ends.load(Ordering::Relaxed) {
            return;
        }
        thread::park_timeout(SLEEP);
    }
}

impl<C: ProducerContext + 'static> Deref for QuietProducer<C> {
    type Target = Topics<C>;

    fn deref(&self) -> &Topics<C> {
        &self.producer
    }
}

/// Waits for the thread, and for librdkafka's own.
impl<C: ProducerContext + 'static> Drop for QuietProducer<C> {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It ends by itself; a panic was of a context's.
            let _ = thread.join();
        }
    }
}

impl<C: ProducerContext + 'static> fmt::Debug for QuietProducer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuietProducer").finish_non_exhaustive()
    }
}
