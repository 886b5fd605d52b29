//! Logs, and what becomes of a record on its way to one.

use bytes::Bytes;
use fastrand::Rng;
use rdkafka::message::{OwnedHeaders, OwnedMessage, Timestamp};

/// How long a producer waits before it sends again what was not acknowledged, in milliseconds.
const AGAIN: u64 = 30;

/// A record before it has an offset.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Bytes,
    pub(crate) headers: OwnedHeaders,
}

/// What becomes of one record that a producer sends. A producer's batches may overtake each other
/// when one is sent again, and what is sent again may be there twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    /// After how many milliseconds it is appended: more than once if an acknowledgement was lost.
    pub(crate) arrivals: Vec<u64>,
    /// When the producer hears of it.
    pub(crate) told: u64,
    /// Whether it hears that the record is there.
    pub(crate) acknowledged: bool,
}

impl Way {
    /// A way that the record takes. If the network is `calm` nothing goes wrong on it.
    pub(crate) fn choose(random: &mut Rng, calm: bool) -> Self {
        let mut at = random.u64(1..8);
        let mut arrivals = Vec::new();
        for _ in 0..4 {
            match random.u8(..100) {
                // The request is lost.
                0..4 if !calm => {}
                // It arrives, and its acknowledgement is lost.
                4..9 if !calm => arrivals.push(at),
                _ => {
                    let late = !calm && random.u8(..20) == 0;
                    at += if late { random.u64(20..400) } else { 0 };
                    arrivals.push(at);
                    let told = at + random.u64(1..8);
                    return Self { arrivals, told, acknowledged: true };
                }
            }
            at += AGAIN + random.u64(..AGAIN);
            if random.u8(..4) == 0 {
                break;
            }
        }
        Self { arrivals, told: at, acknowledged: false }
    }
}

/// The record at an offset.
pub(crate) fn message(topic: &str, partition: i32, offset: usize, record: Record) -> OwnedMessage {
    let Record { key, payload, headers } = record;
    let offset = i64::try_from(offset).expect("short logs");
    let (payload, topic) = (Some(payload.to_vec()), topic.to_owned());
    let time = Timestamp::NotAvailable;
    OwnedMessage::new(payload, key, topic, time, partition, offset, Some(headers))
}
