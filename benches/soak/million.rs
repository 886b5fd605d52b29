//! A million calls in flight at once: what each costs while it waits, that each is answered, and how
//! long that takes from when their replies can be read.

use std::time::{Duration, Instant};

use antiphon::config::{KafkaSettings, ReplyPartition, RequesterSettings, WhenFull};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, Requester};
use antiphon_testkit::TestBroker;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;

use crate::Outcome;
use crate::holder::WRITTEN;
use crate::memory::Memory;
use crate::role::{GO, Role};

const CALLS: usize = 1_000_000;
const PAYLOAD: usize = 128;
/// What a call may cost while it waits, its future in the caller's hands included.
const MAX_HEAP_PER_CALL: usize = 300;
/// So many requests may be on their way to the broker. Those behind them are not sent yet, so the
/// producer's queue stays small: its memory is no cost of waiting.
const ON_THEIR_WAY: usize = 20_000;
/// Longer than the whole takes.
const TIMEOUT_MS: u64 = 20 * 60 * 1000;

const TOPIC: &str = "million";
const REPLIES: &str = "million.replies";
const PARTITIONS: i32 = 4;

pub(crate) fn run() -> Outcome {
    let broker =
        TestBroker::kafka().benchmark().topic(TOPIC, PARTITIONS).topic(REPLIES, 1).start()?;
    tokio::runtime::Runtime::new()?.block_on(measure(&broker))
}

async fn measure(broker: &TestBroker) -> Outcome {
    let written = Written::new(broker)?;
    let settings = RequesterSettings {
        reply_partition: ReplyPartition::Fixed(0),
        timeout_ms: TIMEOUT_MS,
        when_full: WhenFull::Wait,
        max_in_flight: CALLS,
        ..RequesterSettings::default()
    };
    let requester = Requester::builder(KafkaSettings::new(broker.bootstrap()))
        .reply_topic(REPLIES)
        .settings(settings)
        .build()
        .await?;

    let before = Memory::now()?;
    let started = Instant::now();
    let mut calls: Vec<Call<Reply>> = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        if number % 1_000 == 0 {
            written.wait_for(number.saturating_sub(ON_THEIR_WAY))?;
        }
        calls.push(requester.ask(RawRequest::new(TOPIC, payload(number))).send());
    }
    written.wait_for(CALLS)?;
    let seconds_to_send = started.elapsed().as_secs_f64();
    let in_flight = requester.in_flight();
    let waiting = Memory::now()?;

    let count = CALLS.to_string();
    let mut holder = Role::start(&["holder", broker.bootstrap(), TOPIC, REPLIES, &count])?;
    let mut completed = 0;
    let mut failed = 0;
    match holder.line() {
        Ok(line) if line == WRITTEN => {}
        unexpected => return Err(format!("not all is answered: {unexpected:?}").into()),
    }
    if requester.in_flight() != CALLS {
        return Err("replies could be read too early".into());
    }
    let started = Instant::now();
    holder.tell(GO)?;
    for (number, call) in calls.into_iter().enumerate() {
        match call.await {
            Ok(reply) if reply.payload == payload(number) => completed += 1,
            Ok(_) => return Err(format!("call {number} was answered wrongly").into()),
            Err(error) => {
                eprintln!("{error}");
                failed += 1;
            }
        }
    }
    let seconds_to_complete = started.elapsed().as_secs_f64();
    let after = Memory::now()?;

    let heap = (waiting.heap - before.heap) / CALLS;
    println!(
        "{}",
        json!({
            "calls": CALLS,
            "payload_bytes": PAYLOAD,
            "in_flight": in_flight,
            "bytes_per_call_heap": heap,
            "of_which_future": size_of::<Call<Reply>>(),
            "bytes_per_call_rss": waiting.resident.saturating_sub(before.resident) / CALLS,
            "heap_bytes_left_after": after.heap.saturating_sub(before.heap),
            "seconds_to_send": seconds_to_send,
            "seconds_to_complete": seconds_to_complete,
            "completed": completed,
            "failed": failed,
            "in_flight_after": requester.in_flight(),
        })
    );
    let in_flight_after = requester.in_flight();
    requester.close(Duration::ZERO).await;
    if in_flight != CALLS || completed != CALLS || in_flight_after != 0 {
        return Err("not every call was in flight at once, and answered".into());
    }
    if heap > MAX_HEAP_PER_CALL {
        return Err(format!("a call may cost {MAX_HEAP_PER_CALL} bytes, not {heap}").into());
    }
    Ok(())
}

/// The number of the call, filled up.
fn payload(number: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(PAYLOAD, b'.');
    payload
}

/// How many requests the broker has, asked of the broker itself.
struct Written(BaseConsumer);

impl Written {
    fn new(broker: &TestBroker) -> Result<Self, rdkafka::error::KafkaError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap()).set("group.id", "million.watch");
        Ok(Self(config.create()?))
    }

    /// Waits until so many are there.
    fn wait_for(&self, wanted: usize) -> Outcome {
        let started = Instant::now();
        loop {
            let mut written = 0;
            for partition in 0..PARTITIONS {
                written += self.0.fetch_watermarks(TOPIC, partition, Duration::from_secs(30))?.1;
            }
            if usize::try_from(written)? >= wanted {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(120) {
                return Err(format!("only {written} of {wanted} requests are written").into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
