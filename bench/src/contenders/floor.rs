//! The yardstick: request-reply written by hand on rdkafka, with no more than it needs.
//!
//! The requester is one thread that reads replies and sends the next requests; it has no table of
//! calls, no deadlines and no errors but a panic. So nothing with those can be expected to cost
//! less by itself; it can only make better use of the broker.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::{Contender, Role};
use crate::Outcome;
use crate::contract::{Figures, Order};
use crate::figures::Meter;

/// A call that takes longer has failed, and with it the measurement.
const LONGEST: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(10);
const ID: &str = "correlation-id";
const REPLY_TO: &str = "reply-to";
const DEADLINE: &str = "deadline";

/// The requester.
pub(super) struct Requester {
    consumer: BaseConsumer,
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
    replies: String,
    payload: Vec<u8>,
    /// What ids count from.
    epoch: Instant,
}

impl Requester {
    pub(super) fn start(role: &Role) -> Outcome<Self> {
        let replies = format!("{}.replies", role.topic);
        let consumer: BaseConsumer = consumer(role).set("group.id", "floor-requester").create()?;
        let metadata = consumer.fetch_metadata(Some(&replies), ANSWER)?;
        let topic = metadata.topics().first().ok_or("the reply topic is not there")?;
        let mut positions = TopicPartitionList::new();
        for partition in topic.partitions() {
            let (_, end) = consumer.fetch_watermarks(&replies, partition.id(), ANSWER)?;
            positions.add_partition_offset(&replies, partition.id(), Offset::Offset(end))?;
        }
        consumer.assign(&positions)?;
        Ok(Self {
            consumer,
            producer: producer(role).create()?,
            topic: role.topic.clone(),
            replies,
            payload: vec![b'x'; role.payload],
            epoch: Instant::now(),
        })
    }

    pub(super) fn measure(&mut self, order: Order) -> Outcome<Figures> {
        let mut meter = Meter::start();
        let mut sent = 0;
        let mut heard = Instant::now();
        while meter.ended() < order.requests {
            let room = order.in_flight as u64 + meter.ended();
            let mut wait = Duration::from_millis(100);
            while sent < order.requests.min(room) {
                let due = match order.rate {
                    None => Instant::now(),
                    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 calls")]
                    Some(rate) => meter.started() + Duration::from_secs_f64(sent as f64 / rate),
                };
                let early = due.saturating_duration_since(Instant::now());
                if !early.is_zero() {
                    wait = early;
                    break;
                }
                self.send(due)?;
                sent += 1;
            }
            let Some(reply) = self.consumer.poll(wait) else {
                if heard.elapsed() > LONGEST {
                    return Err("replies are missing".into());
                }
                continue;
            };
            heard = Instant::now();
            // What comes from before is no part of this measurement.
            if let Some(due) = self.due(&reply?)
                && due >= meter.started()
            {
                meter.answered(due.elapsed());
            }
        }
        Ok(meter.finish())
    }

    /// A request's id is the time at which it was due.
    fn send(&self, due: Instant) -> Outcome {
        let nanos = u64::try_from((due - self.epoch).as_nanos())?.to_be_bytes();
        let headers = OwnedHeaders::new_with_capacity(3)
            .insert(Header { key: ID, value: Some(&nanos[..]) })
            .insert(Header { key: REPLY_TO, value: Some(self.replies.as_bytes()) })
            .insert(Header { key: DEADLINE, value: Some(b"1790000000000".as_slice()) });
        let record = BaseRecord::<[u8], [u8]>::to(&self.topic);
        let sent = self.producer.send(record.payload(&self.payload).headers(headers));
        sent.map_err(|(error, _)| error)?;
        Ok(())
    }

    fn due(&self, reply: &BorrowedMessage<'_>) -> Option<Instant> {
        let nanos = id(reply)?.try_into().ok().map(u64::from_be_bytes)?;
        Some(self.epoch + Duration::from_nanos(nanos))
    }
}

/// The replier: one thread that echoes.
pub(super) fn echo(role: &Role) -> Outcome {
    let consumer: BaseConsumer = consumer(role)
        .set("group.id", &role.topic)
        .set("auto.offset.reset", "earliest")
        .create()?;
    let producer: ThreadedProducer<DefaultProducerContext> = producer(role).create()?;
    consumer.subscribe(&[&role.topic])?;
    loop {
        let Some(request) = consumer.poll(Duration::from_millis(100)) else { continue };
        let request = request?;
        let Some(to) = header(&request, REPLY_TO) else { continue };
        let to = std::str::from_utf8(to)?;
        let headers =
            OwnedHeaders::new_with_capacity(1).insert(Header { key: ID, value: id(&request) });
        let reply = BaseRecord::<[u8], [u8]>::to(to).headers(headers);
        let reply = reply.payload(request.payload().unwrap_or_default());
        producer.send(reply).map_err(|(error, _)| error)?;
    }
}

fn id<'a>(record: &'a BorrowedMessage<'_>) -> Option<&'a [u8]> {
    header(record, ID)
}

fn header<'a>(record: &'a BorrowedMessage<'_>, key: &str) -> Option<&'a [u8]> {
    record.headers()?.iter().find(|header| header.key == key)?.value
}

fn producer(role: &Role) -> ClientConfig {
    let mut config = client(role);
    if role.contender == Contender::Stock {
        return config;
    }
    config
        .set("acks", &role.acks)
        .set("linger.ms", "0")
        // With no linger each record would choose a partition of its own.
        .set("sticky.partitioning.linger.ms", "10")
        .set("queue.buffering.max.messages", "1000000")
        .set("message.max.bytes", "2000000")
        .set("max.in.flight.requests.per.connection", "1");
    if role.contender.is_idempotent() {
        config.set("enable.idempotence", "true");
    }
    config
}

fn consumer(role: &Role) -> ClientConfig {
    let mut config = client(role);
    // A floor that commits would be a little slower; what it answers twice is not its concern.
    config.set("enable.auto.commit", "false");
    if role.contender != Contender::Stock {
        config.set("fetch.wait.max.ms", "50").set("fetch.queue.backoff.ms", "5");
    }
    config
}

fn client(role: &Role) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &role.bootstrap);
    config
}
