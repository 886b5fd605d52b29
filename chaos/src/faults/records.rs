//! Records that nobody should write: forged replies, and requests that name no good place to answer
//! to; and records that are deleted before they are read.

use std::time::{Duration, Instant};

use antiphon::wire::names;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

use crate::Outcome;

const ANSWER: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(10);

/// Writes replies with correlation ids that nobody gave out, at a rate, and tells how many.
pub(crate) fn forge(bootstrap: &str, topic: &str, rate: u32, length: Duration) -> Outcome<u64> {
    let producer = producer(bootstrap)?;
    let began = Instant::now();
    let mut number = 0_u64;
    while began.elapsed() < length {
        let due = began.elapsed().as_micros() * u128::from(rate) / 1_000_000;
        while u128::from(number) < due {
            let id = (u128::from(number) << 64 | 0x1234_5678_9abc_def0).rotate_left(29);
            send(
                &producer,
                topic,
                header(OwnedHeaders::new(), names::CORRELATION_ID, &id.to_be_bytes()),
            )?;
            number += 1;
        }
        producer.poll(Duration::ZERO);
        std::thread::sleep(TICK);
    }
    producer.flush(ANSWER)?;
    Ok(number)
}

/// Writes requests whose reply partition is none, and requests with odd headers, each so often.
pub(crate) fn poison(bootstrap: &str, topic: &str, times: u32) -> Outcome {
    let producer = producer(bootstrap)?;
    let replies = format!("{topic}.replies");
    for number in 0..times {
        let id = u128::from(number).to_be_bytes();
        let named = || header(OwnedHeaders::new(), names::CORRELATION_ID, &id);
        let to = || header(named(), names::REPLY_TOPIC, replies.as_bytes());
        let flood = (0..1_000).fold(to(), |all, _| header(all, "x", b"\0"));
        for headers in [
            header(to(), names::REPLY_PARTITION, &9_999_i32.to_be_bytes()),
            header(to(), names::REPLY_PARTITION, &(-1_i32).to_be_bytes()),
            header(to(), names::REPLY_PARTITION, b"abc"),
            header(named(), names::REPLY_TOPIC, b"\xff\xfe"),
            header(named(), names::REPLY_TOPIC, b"__consumer_offsets"),
            header(to(), names::DEADLINE, b"99999999999999999999999999"),
            header(header(to(), names::REPLY_TOPIC, b"other"), names::CORRELATION_ID, b""),
            flood,
        ] {
            send(&producer, topic, headers)?;
        }
    }
    Ok(producer.flush(ANSWER)?)
}

fn header(headers: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

fn producer(bootstrap: &str) -> Outcome<BaseProducer> {
    Ok(ClientConfig::new().set("bootstrap.servers", bootstrap).create()?)
}

/// Sends one, and waits for room where there is none.
fn send(producer: &BaseProducer, topic: &str, headers: OwnedHeaders) -> Outcome {
    let mut record = BaseRecord::<(), [u8]>::to(topic).payload(b"\x00poison\xff").headers(headers);
    let until = Instant::now() + ANSWER;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again))
                if Instant::now() < until =>
            {
                record = again;
                producer.poll(TICK);
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}
