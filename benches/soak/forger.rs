//! The role that writes forged replies to the reply topic: for calls that have ended, for calls
//! that never were, for other requesters, and nonsense.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use antiphon::wire::names;
use antiphon::{CorrelationId, InstanceId};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use serde_json::json;

use crate::flood::{FORGED, FORGED_PER_SECOND, SECONDS};
use crate::role::GO;
use crate::{Outcome, role};

/// What is wrong with a forged reply.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// It is for a call of this instance that has ended.
    Ended,
    /// It is for a call of this instance that never was.
    Guessed,
    /// It is for another instance.
    Foreign,
    /// It has no correlation id.
    Nameless,
    /// Its place in a stream is no number.
    Misplaced,
    /// It has more headers than are read.
    Overloaded,
}

/// So that every fifth is nonsense.
const KINDS: [Kind; 15] = [
    Kind::Ended,
    Kind::Guessed,
    Kind::Foreign,
    Kind::Ended,
    Kind::Nameless,
    Kind::Ended,
    Kind::Guessed,
    Kind::Foreign,
    Kind::Ended,
    Kind::Misplaced,
    Kind::Ended,
    Kind::Guessed,
    Kind::Foreign,
    Kind::Ended,
    Kind::Overloaded,
];

/// More than a requester reads of one record.
const TOO_MANY_HEADERS: usize = 65;

pub(crate) fn run(bootstrap: &str, topic: &str, instance: &str) -> Outcome {
    let instance = InstanceId::from_bits(instance.parse()?);
    let mut ended = Vec::new();
    for line in std::io::stdin().lock().lines() {
        match line? {
            line if line == GO => break,
            id => ended.push(CorrelationId::from_bytes(&id.parse::<u128>()?.to_be_bytes())),
        }
    }
    let ended: Vec<CorrelationId> = ended.into_iter().flatten().collect();
    if ended.is_empty() {
        return Err("no call has ended".into());
    }
    role::end_with_the_measurement();

    let written = Written::default();
    let producer: ThreadedProducer<Written> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "1000000")
        .create_with_context(written.clone())?;
    let started = Instant::now();
    let length = Duration::from_secs(SECONDS);
    let (mut ours, mut foreign, mut malformed) = (0_u64, 0_u64, 0_u64);
    let mut forged = 0;
    while started.elapsed() < length {
        let due = FORGED_PER_SECOND as f64 * started.elapsed().as_secs_f64();
        while (forged as f64) < due {
            let kind = KINDS[forged % KINDS.len()];
            let id = match kind {
                Kind::Ended => ended[forged % ended.len()],
                Kind::Foreign => CorrelationId::random(InstanceId::random()),
                _ => CorrelationId::random(instance),
            };
            match send(&producer, topic, headers(kind, id)) {
                Ok(()) => {}
                // The broker is slower than this: what it manages is what is measured.
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => break,
                Err(error) => return Err(error.into()),
            }
            forged += 1;
            match kind {
                Kind::Ended | Kind::Guessed => ours += 1,
                Kind::Foreign => foreign += 1,
                Kind::Nameless | Kind::Misplaced | Kind::Overloaded => malformed += 1,
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    producer.flush(Duration::from_secs(60))?;
    let seconds = started.elapsed().as_secs_f64();
    let written = written.0.load(Ordering::Relaxed);
    if written != forged as u64 {
        return Err(format!("{written} of {forged} forged replies were written").into());
    }
    println!(
        "{}",
        json!({
            "forged": forged,
            "seconds": seconds,
            "ours": ours,
            "foreign": foreign,
            "malformed": malformed,
        })
    );
    // The measurement reads the line, and ends this process.
    loop {
        thread::park();
    }
}

fn send(
    producer: &ThreadedProducer<Written>,
    topic: &str,
    headers: OwnedHeaders,
) -> Result<(), KafkaError> {
    let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).payload(FORGED).headers(headers);
    producer.send(record).map_err(|(error, _)| error)
}

fn headers(kind: Kind, id: CorrelationId) -> OwnedHeaders {
    fn header<'a, V: ?Sized>(key: &'a str, value: &'a V) -> Header<'a, &'a V> {
        Header { key, value: Some(value) }
    }
    let named = || OwnedHeaders::new().insert(header(names::CORRELATION_ID, &id.to_bytes()));
    match kind {
        Kind::Ended | Kind::Guessed | Kind::Foreign => named(),
        Kind::Nameless => OwnedHeaders::new().insert(header(names::CONTENT_TYPE, "text/plain")),
        Kind::Misplaced => named().insert(header(names::SEQ, "first")),
        Kind::Overloaded => {
            (0..TOO_MANY_HEADERS).fold(named(), |headers, _| headers.insert(header("x", "")))
        }
    }
}

/// Counts the records that the broker has.
#[derive(Debug, Clone, Default)]
struct Written(Arc<AtomicU64>);

impl ClientContext for Written {}

impl ProducerContext for Written {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
