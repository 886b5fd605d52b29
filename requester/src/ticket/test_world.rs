//! An embedded broker with a reply topic, and tickets for replies in it.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use antiphon_common::config::KafkaSettings;
use antiphon_common::wire::{Headers, ReplyHeadersOut, StreamPosition};
use antiphon_common::{CorrelationId, Deadline, InstanceId, Status};
use antiphon_testkit::TestBroker;
use prometheus::IntCounter;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::scanner::Plan;
use super::{Redeemer, ReplyStart, RequestPosition, Ticket, TicketError};
use crate::call::{CallErrorKind, Failure};
use crate::guard::ReplyGuard;

pub(super) const TOPIC: &str = "quotes.replies";
/// More than any test takes, so that none depends on the clock.
pub(super) const LONG: Duration = Duration::from_secs(60);
const HOUR_MS: u64 = 3_600_000;

pub(super) struct World {
    pub(super) broker: TestBroker,
    producer: ThreadedProducer<DefaultProducerContext>,
    pub(super) scans: IntCounter,
}

impl World {
    pub(super) fn new(partitions: i32) -> Self {
        let broker = TestBroker::mock().topic(TOPIC, partitions).start().unwrap();
        let producer = settings(&broker).producer(&[]).create().unwrap();
        let scans = IntCounter::new("scans", "Scans started.").unwrap();
        Self { broker, producer, scans }
    }

    pub(super) fn redeemer(&self) -> Redeemer {
        self.planned(1 << 20, LONG)
    }

    pub(super) fn planned(&self, index_bytes: usize, idle: Duration) -> Redeemer {
        let (kafka, scans) = (settings(&self.broker), self.scans.clone());
        let plan = Plan {
            kafka,
            topic: TOPIC.to_owned(),
            index_bytes,
            idle,
            scans,
            guard: ReplyGuard::off(),
        };
        Redeemer::planned(plan, None, LONG)
    }

    pub(super) fn reply(&self, call: u64, partition: i32, payload: &[u8]) {
        self.write(call, partition, payload, None, None);
    }

    pub(super) fn write(
        &self,
        call: u64,
        partition: i32,
        payload: &[u8],
        status: Option<&Status>,
        position: Option<StreamPosition>,
    ) {
        let headers = ReplyHeadersOut {
            correlation_id: &id(call).to_bytes(),
            status,
            content_type: None,
            position,
            claim: None,
            application: &Headers::new(),
        };
        let record = BaseRecord::<(), [u8]>::to(TOPIC).partition(partition).payload(payload);
        self.producer.send(record.headers(headers.write())).map_err(|(error, _)| error).unwrap();
    }

    pub(super) fn flush(&self) {
        self.producer.flush(LONG).unwrap();
    }
}

pub(super) fn settings(broker: &TestBroker) -> KafkaSettings {
    let kafka = KafkaSettings::new(broker.bootstrap());
    broker
        .client_properties()
        .iter()
        .fold(kafka, |kafka, (name, value)| kafka.property(*name, *value))
}

pub(super) fn id(call: u64) -> CorrelationId {
    CorrelationId::new(InstanceId::from_bits(3), call)
}

pub(super) fn ticket_in(call: u64, starts: &[(i32, i64)], deadline: u64) -> Ticket {
    let request = RequestPosition { topic: "quotes".to_owned(), partition: 0, offset: 0 };
    let starts = starts.iter().copied().map(ReplyStart::from).collect();
    Ticket::new(id(call), request, TOPIC, starts, deadline).unwrap()
}

pub(super) fn ticket(call: u64) -> Ticket {
    ticket_in(call, &[(0, 0)], Deadline::after(LONG).to_unix_millis() + HOUR_MS)
}

pub(super) fn late_ticket(call: u64) -> Ticket {
    ticket_in(call, &[(0, 0)], 1)
}

pub(super) fn refusal(failure: Failure) -> TicketError {
    match failure.kind {
        CallErrorKind::Ticket(error) => error,
        other => panic!("{other}"),
    }
}

pub(super) fn long() -> Deadline {
    Deadline::after(LONG)
}
