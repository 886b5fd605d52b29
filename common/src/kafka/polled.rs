//! A producer with a thread that takes its reports; closed where waiting for that disturbs nobody.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

/// How long one poll lasts, and so at most how long the thread lives on after its producer.
///
/// The crate's own `ThreadedProducer` polls for 100 ms. In what is left of each poll after its last
/// whole millisecond, which is librdkafka's unit, the crate spins: that makes one percent of a core for
/// each producer, whether it is of use or not.
const POLL: Duration = Duration::from_millis(500);
/// How long what is still queued may take to go out when a producer is dropped.
const FLUSH: Duration = Duration::from_secs(1);

/// A producer that needs no polling. When it is dropped, what is queued goes out behind its owner's
/// back: a drop would wait for librdkafka's threads, which must not happen on an async worker.
pub struct PolledProducer<C: ProducerContext + 'static> {
    /// Taken out when this is dropped.
    producer: Option<Arc<BaseProducer<C>>>,
    ended: Arc<AtomicBool>,
}

impl<C: ProducerContext + 'static> PolledProducer<C> {
    /// Makes a producer.
    ///
    /// # Errors
    /// If the client refuses its configuration, or there is no thread for it.
    pub fn create(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let producer: BaseProducer<C> = config.create_with_context(context)?;
        let (producer, ended) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let poll = {
            let (producer, ended) = (Arc::clone(&producer), Arc::clone(&ended));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    producer.poll(POLL);
                }
            }
        };
        let thread = thread::Builder::new().name("antiphon-reports".into()).spawn(poll);
        match thread {
            Ok(_) => Ok(Self { producer: Some(producer), ended }),
            Err(error) => Err(KafkaError::ClientCreation(format!("no thread to poll it: {error}"))),
        }
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        self.producer.as_ref().expect("it lives as long as its holder")
    }
}

impl<C: ProducerContext + 'static> Drop for PolledProducer<C> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let producer = self.producer.take();
        // Whoever is the last to have it drops it: this thread, the one that polls it, or, if no thread
        // can be started, the one that is here.
        let _ = thread::Builder::new().name("antiphon-close".into()).spawn(move || {
            if let Some(producer) = producer {
                let _ = producer.flush(FLUSH);
            }
        });
    }
}
