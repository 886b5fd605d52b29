//! Replies go out; a request is complete when the broker has acknowledged its reply, or all the
//! records of its stream.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use antiphon_common::blocking::on_own_thread;
use antiphon_common::config::KafkaSettings;
use antiphon_common::kafka::{Observer, close_behind};
use antiphon_common::metrics::ReplierMetrics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::mpsc;

use crate::outgoing::{Lookup, Outgoing, Remedy};

/// How long a reply that was not taken waits before it is sent again.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long a look-up of a reply topic may take.
const LOOK_FOR: Duration = Duration::from_secs(2);
/// Room for headers and framing beside the payload.
const RECORD_OVERHEAD: usize = 16 * 1024;

/// Sends replies.
pub(crate) struct Replies {
    /// Taken out when the sender is dropped.
    producer: Option<ThreadedProducer<Acknowledgements>>,
    max_bytes: usize,
}

/// The context of the reply producer. A record's opaque value is the reply itself.
struct Acknowledgements {
    observer: Observer,
    metrics: ReplierMetrics,
    again: mpsc::UnboundedSender<Box<Outgoing>>,
}

impl Replies {
    /// Makes the sender, and the task that sends again what failed. The task ends when the sender
    /// is dropped. Its queue is bounded by `max_outstanding`: each reply in it is outstanding.
    pub(crate) fn start(
        kafka: &KafkaSettings,
        observer: Observer,
        metrics: ReplierMetrics,
        max_bytes: usize,
    ) -> KafkaResult<Arc<Self>> {
        let (again, mut failed) = mpsc::unbounded_channel::<Box<Outgoing>>();
        let message_max = (max_bytes + RECORD_OVERHEAD).to_string();
        let producer = kafka
            .producer(&[("message.max.bytes", message_max.as_str())])
            .create_with_context(Acknowledgements { observer, metrics, again })?;
        let replies = Arc::new(Self { producer: Some(producer), max_bytes });
        let sender = Arc::downgrade(&replies);
        tokio::spawn(async move {
            while let Some(first) = failed.recv().await {
                tokio::time::sleep(BACK_OFF).await;
                let Some(replies) = sender.upgrade() else { break };
                let mut batch = vec![first];
                while let Ok(next) = failed.try_recv() {
                    batch.push(next);
                }
                replies.look_up(&mut batch).await;
                for outgoing in batch {
                    replies.produce(outgoing);
                }
            }
        });
        Ok(replies)
    }

    /// Sends a reply.
    pub(crate) fn send(&self, mut outgoing: Outgoing) {
        outgoing.limit(self.max_bytes);
        self.produce(Box::new(outgoing));
    }

    /// Looks up the topics of replies whose partition is not known: it may just have been added,
    /// and by itself the producer looks every few minutes only.
    async fn look_up(self: &Arc<Self>, batch: &mut [Box<Outgoing>]) {
        let mut topics = BTreeSet::new();
        for outgoing in batch.iter_mut().filter(|outgoing| outgoing.lookup == Lookup::Wanted) {
            outgoing.lookup = Lookup::Done;
            topics.insert(outgoing.to.reply_to.topic.clone());
        }
        if topics.is_empty() {
            return;
        }
        let replies = Arc::clone(self);
        let look = move || {
            let Some(producer) = &replies.producer else { return };
            for topic in topics {
                // What is not found is not known when the reply is sent again either.
                let _ = producer.client().fetch_metadata(Some(&topic), LOOK_FOR);
            }
        };
        let _ = on_own_thread("antiphon-lookup", look).await;
    }

    fn produce(&self, outgoing: Box<Outgoing>) {
        let Some(producer) = &self.producer else { return };
        let (payload, key) = (outgoing.payload(), outgoing.to.key.clone());
        let (to, headers) = (outgoing.to.reply_to.clone(), outgoing.headers());
        let bare = outgoing.is_bare();
        let mut record = BaseRecord::with_opaque_to(&to.topic, outgoing).headers(headers);
        record.payload = (!bare).then_some(&payload[..]);
        record.key = key.as_deref();
        record.partition = to.partition;
        if let Err((error, refused)) = producer.send(record) {
            producer.context().failed(&error, refused.delivery_opaque);
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            close_behind(producer);
        }
    }
}

impl Acknowledgements {
    fn failed(&self, error: &KafkaError, mut outgoing: Box<Outgoing>) {
        match Remedy::of(error.rdkafka_error_code()) {
            Remedy::Leave => {}
            Remedy::ReplyTooLarge if outgoing.can_shrink() => {
                outgoing.too_large("the broker or the producer does not take a reply of this size");
                // The channel is closed only when the replier is gone, and its duties with it.
                let _ = self.again.send(outgoing);
            }
            Remedy::LookUp if outgoing.lookup == Lookup::NotNeeded => {
                outgoing.lookup = Lookup::Wanted;
                let _ = self.again.send(outgoing);
            }
            Remedy::Resend if !outgoing.to.deadline.has_passed() => {
                let _ = self.again.send(outgoing);
            }
            Remedy::Resend | Remedy::LookUp | Remedy::ReplyTooLarge | Remedy::GiveUp => {
                self.metrics.reply_failures.inc();
                self.observer.warn("a reply could not be delivered", error);
                // What would follow in the same stream has no better prospects.
                outgoing.duty.halt();
                outgoing.duty.complete();
            }
        }
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Box<Outgoing>;

    fn delivery(&self, result: &DeliveryResult<'_>, outgoing: Box<Outgoing>) {
        match result {
            Ok(_) => outgoing.duty.complete(),
            Err((error, _)) => self.failed(error, outgoing),
        }
    }
}

impl ClientContext for Acknowledgements {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.observer.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.observer.error(error, reason);
    }
}
