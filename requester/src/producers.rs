//! The producers of requests: one for calls, and one that also reports what arrived.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use antiphon_common::config::KafkaSettings;
use antiphon_common::kafka::PacedProducer;
use antiphon_common::wire::{Pack, Packed, PackedItem, cancel_headers, most_packed};
use antiphon_common::{CorrelationId, Integrity};
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseRecord, PurgeConfig};
use tokio::runtime::Handle;

use crate::call::{CallErrorKind, Failure, Name};
use crate::deliveries::{Deliveries, PACKED, call_of};
use crate::packing::{Added, Packing, Together};

type RequestProducer = PacedProducer<Deliveries>;

/// Where requests go out.
///
/// Calls need no report of success: the reply is one. Tickets do, and so do calls whose
/// cancellation must reach the partition that the request is in. They share a second producer,
/// which is made when it is first needed.
pub(crate) struct Producers {
    kafka: KafkaSettings,
    message_max: String,
    deliveries: Deliveries,
    /// The topic whose brokers tell how far they are.
    near_topic: String,
    calls: RequestProducer,
    /// Signs cancel records.
    integrity: Option<Arc<Integrity>>,
    acknowledged: Mutex<Option<Arc<RequestProducer>>>,
    packing: Packing,
}

/// With so many calls in flight, requests that are made at about the same time may share a record. With
/// fewer it was measured to cost throughput.
const MANY: usize = 128;

impl Producers {
    pub(crate) fn new(
        kafka: &KafkaSettings,
        message_max: usize,
        deliveries: Deliveries,
        near_topic: &str,
        integrity: Option<Arc<Integrity>>,
    ) -> KafkaResult<Arc<Self>> {
        let message_max = message_max.to_string();
        let only_errors = [("delivery.report.only.error", "true")];
        let calls = make(kafka, &message_max, &deliveries, &only_errors, near_topic)?;
        Ok(Arc::new(Self {
            kafka: kafka.clone(),
            message_max,
            deliveries,
            near_topic: near_topic.to_owned(),
            calls,
            integrity,
            acknowledged: Mutex::new(None),
            packing: Packing::default(),
        }))
    }

    /// Queues a record. With `acknowledged`, its success is reported too.
    pub(crate) fn send(
        &self,
        record: BaseRecord<'_, [u8], [u8], usize>,
        acknowledged: bool,
    ) -> KafkaResult<()> {
        let under_way = self.under_way();
        let sent = if acknowledged {
            self.acknowledged()?.send(record, under_way)
        } else {
            self.calls.send(record, under_way)
        };
        sent.map_err(|(error, _)| error)
    }

    /// Gathers a small request with others that `runtime` makes at about the same time.
    pub(crate) fn gather(
        self: &Arc<Self>,
        runtime: &Handle,
        topic: &Name,
        now: Instant,
        write: impl FnOnce(&mut Pack),
    ) {
        let Added { is_first, full } =
            self.packing.add(topic, now, most_packed(self.under_way()), write);
        if let Some(full) = full {
            self.send_together(&full);
        }
        if is_first {
            let producers = Arc::downgrade(self);
            runtime.spawn(async move {
                // Comes back when nothing else is to be done.
                tokio::task::yield_now().await;
                if let Some(producers) = producers.upgrade()
                    && let Some(gathered) = producers.packing.take()
                {
                    producers.send_together(&gathered);
                }
            });
        }
    }

    /// Whether so many calls are in flight that requests are worth gathering.
    pub(crate) fn gathers(&self) -> bool {
        self.under_way() >= MANY
    }

    /// Sends what was gathered on a runtime that has not come back to it.
    pub(crate) fn send_late(&self) {
        if let Some(late) = self.packing.take_late() {
            self.send_together(&late);
        }
    }

    fn send_together(&self, together: &Together) {
        let Together { topic, pack, count } = together;
        if let (1, Some(Ok(item))) = (*count, Packed::read(pack.bytes()).next()) {
            // It has found no company.
            return self.send_alone(topic, &item);
        }
        let count = u64::try_from(*count).unwrap_or(u64::MAX);
        self.deliveries.calls.metrics().packed_requests.inc_by(count);
        let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, PACKED)
            .headers(Pack::headers())
            .payload(pack.bytes());
        if let Err(error) = self.send(record, false) {
            self.deliveries.fail_packed(pack.bytes(), || Failure::refused(error.clone()));
        }
    }

    fn send_alone(&self, topic: &Name, item: &PackedItem<'_>) {
        let Some(call) = call_of(item) else { return };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be 64 bits at compile time"
        )]
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, call as usize);
        record.payload = item.payload;
        if let Err(error) = self.send(record.headers(item.written_headers()), false) {
            self.deliveries.calls.fail(call, || Failure::refused(error));
        }
    }

    /// Sends the record that cancels a request. It is a kindness to the replier, so if it cannot
    /// be sent, nothing follows.
    pub(crate) fn send_cancel(&self, topic: &Name, partition: i32, id: CorrelationId) {
        // Its opaque value is no call's key: nobody is told if it is not delivered.
        let mut headers = cancel_headers(id);
        if let Some(integrity) = &self.integrity {
            headers = integrity.sign_request(headers, topic, None, None);
        }
        let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, usize::MAX)
            .partition(partition)
            .headers(headers);
        let send = |producer: Arc<RequestProducer>| {
            producer.send(record, self.under_way()).map_err(|(error, _)| error)
        };
        let sent = self.acknowledged().and_then(send);
        if let Err(error) = sent {
            tracing::debug!(%error, "a cancel record was not sent");
        }
    }

    /// Gives up what is still queued or under way. The reports that follow say which calls were
    /// not sent.
    pub(crate) fn purge(&self) {
        if let Some(gathered) = self.packing.take() {
            let closed = || Failure::not_sent(CallErrorKind::Closed);
            self.deliveries.fail_packed(gathered.pack.bytes(), closed);
        }
        let all = || PurgeConfig::default().queue().inflight();
        self.calls.purge(all);
        if let Some(acknowledged) = &*self.lock() {
            acknowledged.purge(all);
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

    fn under_way(&self) -> usize {
        self.deliveries.calls.budget.count()
    }

    fn acknowledged(&self) -> KafkaResult<Arc<RequestProducer>> {
        let mut acknowledged = self.lock();
        if let Some(producer) = &*acknowledged {
            return Ok(Arc::clone(producer));
        }
        let producer = Arc::new(make(
            &self.kafka,
            &self.message_max,
            &self.deliveries,
            &[],
            &self.near_topic,
        )?);
        *acknowledged = Some(Arc::clone(&producer));
        Ok(producer)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<RequestProducer>>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is still queued when it is dropped belongs to calls that have ended as "may have been
/// executed".
fn make(
    kafka: &KafkaSettings,
    message_max: &str,
    deliveries: &Deliveries,
    fixed: &[(&str, &str)],
    near_topic: &str,
) -> KafkaResult<RequestProducer> {
    let mut properties = vec![("message.max.bytes", message_max)];
    properties.extend(fixed);
    PacedProducer::new(kafka, &properties, deliveries.clone(), Some(near_topic))
}
