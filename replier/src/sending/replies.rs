//! Replies go out; a request is complete when the broker has acknowledged its reply, or all the
//! records of its stream.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use antiphon_common::blocking::on_own_thread;
use antiphon_common::config::KafkaSettings;
use antiphon_common::kafka::{LogGate, Observer, PacedProducer};
use antiphon_common::metrics::ReplierMetrics;
use antiphon_common::wire::{Pack, most_packed};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext};
use tokio::sync::mpsc;

use crate::sending::burst::{self, Leaving, Together};
use crate::sending::outgoing::{Lookup, Outgoing, Remedy, Reply};
use crate::sending::packed::PackedReplies;

/// How long a reply that was not taken waits before it is sent again.
const BACK_OFF: Duration = Duration::from_millis(100);
/// The same for a record that must come before a reply.
const BLOCKED_BACK_OFF: Duration = Duration::from_secs(1);
/// How long a look-up of a reply topic may take.
const LOOK_FOR: Duration = Duration::from_secs(2);
/// The most that librdkafka lets a record be. What the brokers let it be is theirs to say.
const LARGEST_RECORD: usize = 1_000_000_000;
/// Room for headers and framing beside the payload.
const RECORD_OVERHEAD: usize = 16 * 1024;

/// Sends replies.
pub(crate) struct Replies {
    producer: PacedProducer<Acknowledgements>,
    max_bytes: usize,
}

/// What is in a record: its opaque value, while it is under way.
enum Sent {
    Alone(Box<Outgoing>),
    Together(PackedReplies),
}

/// The context of the reply producer.
struct Acknowledgements {
    observer: Observer,
    metrics: ReplierMetrics,
    again: mpsc::UnboundedSender<Box<Outgoing>>,
    blocked: mpsc::UnboundedSender<Box<Outgoing>>,
    /// For the lines about those: other faults are not to be silenced by them.
    gate: LogGate,
    next: mpsc::UnboundedSender<Box<Outgoing>>,
    written: Mutex<Written>,
}

/// The reply topics that have taken a reply. There are no more of them than the cluster has.
#[derive(Default)]
struct Written {
    all: HashSet<Arc<str>>,
    /// The last one: most replies go where the one before went, and need not be looked up.
    last: Option<Arc<str>>,
}

/// Gathers replies while it lives.
pub(crate) struct Burst<'r>(Option<&'r Replies>);

impl Drop for Burst<'_> {
    fn drop(&mut self) {
        if let Some(replies) = self.0 {
            burst::end().into_iter().for_each(|leaving| replies.leave(leaving));
        }
    }
}

/// Its length is bounded by `max_outstanding`: all that is in it is outstanding.
type Queue = mpsc::UnboundedReceiver<Box<Outgoing>>;

impl Replies {
    /// Makes the sender, and the tasks that send what follows and what failed. They end when the
    /// sender is dropped. With `forwards`, requests' own records may have to be written, whatever
    /// their size.
    pub(crate) fn start(
        kafka: &KafkaSettings,
        observer: Observer,
        metrics: ReplierMetrics,
        max_bytes: usize,
        forwards: bool,
        near_topic: Option<&str>,
    ) -> KafkaResult<Arc<Self>> {
        let (again, failed) = mpsc::unbounded_channel();
        let (blocked, unwritable) = mpsc::unbounded_channel();
        let (next, acknowledged) = mpsc::unbounded_channel();
        let message_max = largest_record(max_bytes, forwards).to_string();
        let acknowledgements = Acknowledgements {
            observer,
            metrics,
            again,
            blocked,
            gate: LogGate::default(),
            next,
            written: Mutex::default(),
        };
        let own = [("message.max.bytes", message_max.as_str())];
        let producer = PacedProducer::new(kafka, &own, acknowledgements, near_topic)?;
        let replies = Arc::new(Self { producer, max_bytes });
        tokio::spawn(Self::send_next(Arc::downgrade(&replies), acknowledged));
        tokio::spawn(Self::send_again(Arc::downgrade(&replies), failed, BACK_OFF));
        // Apart from replies, which must not wait until a topic that cannot be written is found.
        tokio::spawn(Self::send_again(Arc::downgrade(&replies), unwritable, BLOCKED_BACK_OFF));
        Ok(replies)
    }

    /// Sends what is to follow a record that is acknowledged.
    async fn send_next(sender: Weak<Self>, mut acknowledged: Queue) {
        while let Some(outgoing) = acknowledged.recv().await {
            let Some(replies) = sender.upgrade() else { break };
            replies.produce(outgoing);
        }
    }

    /// Sends again what was not taken.
    async fn send_again(sender: Weak<Self>, mut failed: Queue, back_off: Duration) {
        while let Some(first) = failed.recv().await {
            tokio::time::sleep(back_off).await;
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
    }

    /// Sends the records of a request, one after the other.
    pub(crate) fn send(&self, mut outgoing: Box<Outgoing>) {
        outgoing.limit(self.max_bytes);
        if let Some(leaving) = burst::add(self.own(), outgoing) {
            self.leave(leaving);
        }
    }

    /// Until what is returned is dropped, replies that this thread sends may share records.
    pub(crate) fn burst(&self) -> Burst<'_> {
        Burst(burst::begin(self.own(), most_packed(self.under_way())).then_some(self))
    }

    /// Tells it from other senders.
    fn own(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn leave(&self, leaving: Leaving) {
        match leaving {
            Leaving::Alone(outgoing) => self.produce(outgoing),
            Leaving::Together(together) => self.send_together(together),
        }
    }

    /// In one record.
    fn send_together(&self, Together { shared, pack }: Together) {
        let count = u64::try_from(shared.len()).unwrap_or(u64::MAX);
        self.producer.context().metrics.packed_replies.inc_by(count);
        let (topic, partition) = (Arc::clone(&shared.topic), shared.partition);
        let record = BaseRecord::with_opaque_to(&topic, Box::new(Sent::Together(shared)))
            .headers(Pack::headers())
            .partition(partition)
            .payload(pack.bytes());
        self.hand_over(record);
    }

    /// Looks up the topics of replies whose partition is not known: it may just have been added,
    /// and by itself the producer looks every few minutes only.
    async fn look_up(self: &Arc<Self>, batch: &mut [Box<Outgoing>]) {
        let mut topics = BTreeSet::new();
        for outgoing in batch.iter_mut().filter(|outgoing| outgoing.lookup == Lookup::Wanted) {
            outgoing.lookup = Lookup::Done;
            topics.extend(outgoing.next().map(|record| record.topic));
        }
        if topics.is_empty() {
            return;
        }
        let replies = Arc::clone(self);
        let look = move || {
            for topic in topics {
                // What is not found is not known when the reply is sent again either.
                let _ = replies.producer.look_up(&topic, LOOK_FOR);
            }
        };
        let _ = on_own_thread("antiphon-lookup", look).await;
    }

    fn produce(&self, outgoing: Box<Outgoing>) {
        let Some(sent) = outgoing.next() else { return outgoing.duty.complete() };
        let opaque = Box::new(Sent::Alone(outgoing));
        let mut record = BaseRecord::with_opaque_to(&sent.topic, opaque).headers(sent.headers);
        record.payload = sent.payload.as_deref();
        record.key = sent.key.as_deref();
        record.partition = sent.partition;
        self.hand_over(record);
    }

    /// How many requests are to be answered.
    fn under_way(&self) -> usize {
        usize::try_from(self.producer.context().metrics.outstanding.get()).unwrap_or_default()
    }

    fn hand_over(&self, record: BaseRecord<'_, [u8], [u8], Box<Sent>>) {
        let payload = record.payload;
        if let Err((error, sent)) = self.producer.send(record, self.under_way()) {
            self.producer.context().undelivered(&error, *sent, payload);
        }
    }
}

/// The most that a producer lets a record be: replies are bounded by `max_bytes`, other records by
/// nothing that is known here.
pub(super) fn largest_record(max_bytes: usize, forwards: bool) -> usize {
    let largest = if forwards { LARGEST_RECORD } else { max_bytes + RECORD_OVERHEAD };
    largest.min(LARGEST_RECORD)
}

fn is_unauthorized(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

impl Acknowledgements {
    fn delivered(&self, sent: Sent) {
        match sent {
            Sent::Alone(outgoing) => self.acknowledged(outgoing),
            Sent::Together(shared) => {
                self.note_written(&shared.topic);
                shared.complete();
            }
        }
    }

    fn undelivered(&self, error: &KafkaError, sent: Sent, payload: Option<&[u8]>) {
        match sent {
            Sent::Alone(outgoing) => self.failed(error, outgoing),
            // Any of them may be the cause, so each is sent again by itself.
            Sent::Together(shared) => {
                let payload = payload.unwrap_or_default();
                shared.split(payload).for_each(|outgoing| self.send_again(outgoing));
            }
        }
    }

    fn acknowledged(&self, mut outgoing: Box<Outgoing>) {
        outgoing.duty.unblock();
        if let Some(reply) = outgoing.reply.as_ref().filter(|_| outgoing.is_at_reply()) {
            self.note_written(&reply.to.reply_to.topic);
        }
        if outgoing.advance() {
            outgoing.duty.complete();
        } else {
            outgoing.lookup = Lookup::NotNeeded;
            // Its next record is sent by the task: this thread must not wait for room.
            let _ = self.next.send(outgoing);
        }
    }

    fn failed(&self, error: &KafkaError, mut outgoing: Box<Outgoing>) {
        let remedy = Remedy::of(error.rdkafka_error_code());
        if remedy == Remedy::Leave {
            // The producer has failed for good, and another takes its place; or it is being closed,
            // and then nobody is there to send this again.
            return self.send_again(outgoing);
        }
        let Some(reply) = outgoing.reply.as_ref().filter(|_| outgoing.is_at_reply()) else {
            return self.hold_back(error, remedy, outgoing);
        };
        match remedy {
            Remedy::ReplyTooLarge if reply.can_shrink() => {
                outgoing.too_large("the broker or the producer does not take a reply of this size");
                self.send_again(outgoing);
            }
            Remedy::LookUp if outgoing.lookup == Lookup::NotNeeded => {
                outgoing.lookup = Lookup::Wanted;
                self.send_again(outgoing);
            }
            Remedy::Resend if reply.is_wanted() => self.send_again(outgoing),
            // The right was taken away, and may be given back. Of a topic that never took a reply that
            // is not to be expected, and whoever names one is not to fill this replier with waiting.
            Remedy::GiveUp if is_unauthorized(error) && reply.is_wanted() && self.wrote(reply) => {
                if let Some(held_back) = self.gate.pass() {
                    let topic = &*reply.to.reply_to.topic;
                    tracing::error!(
                        held_back,
                        topic,
                        %error,
                        "replies wait until they may be written, at most until their deadlines"
                    );
                }
                self.send_again(outgoing);
            }
            _ => {
                self.metrics.reply_failures.inc();
                let what = format!(
                    "a reply to the topic `{}` could not be delivered",
                    reply.to.reply_to.topic
                );
                self.observer.warn(&what, error);
                // What would follow in the same stream has no better prospects.
                outgoing.duty.halt();
                outgoing.duty.complete();
            }
        }
    }

    /// Without this record the request may not be complete, whatever is wrong: so it is sent until
    /// it is written, and meanwhile its partition is not read any further.
    fn hold_back(&self, error: &KafkaError, remedy: Remedy, mut outgoing: Box<Outgoing>) {
        // No room in the producer's own queue says nothing of the topic.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            outgoing.duty.block();
        }
        if let Some(held_back) = self.gate.pass()
            && let Some(record) = outgoing.next()
        {
            tracing::error!(
                held_back,
                topic = &*record.topic,
                %error,
                "a record that must come before a reply cannot be written; the partition of its \
                 request is not read any further until it is"
            );
        }
        if matches!(remedy, Remedy::LookUp | Remedy::GiveUp) {
            // By itself the producer would look for a topic that is there again minutes later.
            outgoing.lookup = Lookup::Wanted;
        }
        // The channel is closed only when the replier is gone, and its duties with it.
        let _ = self.blocked.send(outgoing);
    }

    fn note_written(&self, topic: &Arc<str>) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).note(topic);
    }

    fn wrote(&self, reply: &Reply) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.all.contains(&reply.to.reply_to.topic)
    }

    /// After a while.
    fn send_again(&self, outgoing: Box<Outgoing>) {
        // The channel is closed only when the replier is gone, and its duties with it.
        let _ = self.again.send(outgoing);
    }
}

impl Written {
    fn note(&mut self, topic: &Arc<str>) {
        if self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, topic)) {
            return;
        }
        if !self.all.contains(topic) {
            self.all.insert(Arc::clone(topic));
        }
        self.last = Some(Arc::clone(topic));
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        match result {
            Ok(_) => self.delivered(*sent),
            Err((error, record)) => self.undelivered(error, *sent, record.payload()),
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
