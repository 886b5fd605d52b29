//! The producers of requests: one for calls, and one that also reports what arrived.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_common::CorrelationId;
use antiphon_common::config::KafkaSettings;
use antiphon_common::kafka::close_behind;
use antiphon_common::wire::cancel_headers;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig, ThreadedProducer};

use crate::call::Name;
use crate::deliveries::Deliveries;

type RequestProducer = ThreadedProducer<Deliveries>;

/// Where requests go out.
///
/// Calls need no report of success: the reply is one. Tickets do, and so do calls whose
/// cancellation must reach the partition that the request is in. They share a second producer,
/// which is made when it is first needed.
pub(crate) struct Producers {
    kafka: KafkaSettings,
    message_max: String,
    deliveries: Deliveries,
    /// Taken out when this is dropped.
    calls: Option<RequestProducer>,
    acknowledged: Mutex<Option<Arc<RequestProducer>>>,
}

impl Producers {
    pub(crate) fn new(
        kafka: &KafkaSettings,
        message_max: usize,
        deliveries: Deliveries,
    ) -> KafkaResult<Arc<Self>> {
        let mut producers = Self {
            kafka: kafka.clone(),
            message_max: message_max.to_string(),
            deliveries,
            calls: None,
            acknowledged: Mutex::new(None),
        };
        producers.calls = Some(producers.make(&[("delivery.report.only.error", "true")])?);
        Ok(Arc::new(producers))
    }

    /// Queues a record. With `acknowledged`, its success is reported too.
    pub(crate) fn send(
        &self,
        record: BaseRecord<'_, [u8], [u8], usize>,
        acknowledged: bool,
    ) -> KafkaResult<()> {
        if acknowledged {
            return self.acknowledged()?.send(record).map_err(|(error, _)| error);
        }
        let calls = self.calls.as_ref().expect("the producer lives as long as its holder");
        calls.send(record).map_err(|(error, _)| error)
    }

    /// Sends the record that cancels a request. It is a kindness to the replier, so if it cannot
    /// be sent, nothing follows.
    pub(crate) fn send_cancel(&self, topic: &Name, partition: i32, id: CorrelationId) {
        // Its opaque value is no call's key: nobody is told if it is not delivered.
        let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, usize::MAX)
            .partition(partition)
            .headers(cancel_headers(id));
        let sent = self.acknowledged().and_then(|p| p.send(record).map_err(|(error, _)| error));
        if let Err(error) = sent {
            tracing::debug!(%error, "a cancel record was not sent");
        }
    }

    /// Gives up what is still queued or under way. The reports that follow say which calls were
    /// not sent.
    pub(crate) fn purge(&self) {
        let all = || PurgeConfig::default().queue().inflight();
        if let Some(calls) = &self.calls {
            calls.purge(all());
        }
        if let Some(acknowledged) = &*self.lock() {
            acknowledged.purge(all());
        }
    }

    /// Waits, at most for `limit`, until cancel records and submitted requests are out.
    pub(crate) fn flush(&self, limit: Duration) {
        let acknowledged = self.lock().clone();
        if let Some(producer) = acknowledged
            && producer.in_flight_count() > 0
        {
            // What is not out by then is given up with the producer.
            let _ = producer.flush(limit);
        }
    }

    fn acknowledged(&self) -> KafkaResult<Arc<RequestProducer>> {
        let mut acknowledged = self.lock();
        if let Some(producer) = &*acknowledged {
            return Ok(Arc::clone(producer));
        }
        let producer = Arc::new(self.make(&[])?);
        *acknowledged = Some(Arc::clone(&producer));
        Ok(producer)
    }

    fn make(&self, fixed: &[(&str, &str)]) -> KafkaResult<RequestProducer> {
        let mut properties = vec![("message.max.bytes", self.message_max.as_str())];
        properties.extend(fixed);
        self.kafka.producer(&properties).create_with_context(self.deliveries.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<RequestProducer>>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Producers {
    fn drop(&mut self) {
        // What is still queued belongs to calls that have ended as "may have been executed".
        let acknowledged = self.lock().take().and_then(Arc::into_inner);
        for producer in [self.calls.take(), acknowledged].into_iter().flatten() {
            close_behind(producer);
        }
    }
}
