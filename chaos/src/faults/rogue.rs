//! A replier that answers as none should: twice, in any order, and too late. What it sends besides
//! the one good reply to a request belongs to nobody, so that whoever takes it is found out.

use std::path::Path;
use std::time::{Duration, Instant};

use antiphon::wire::names;
use antiphon_chaos::contents::{Item, items};
use antiphon_chaos::history::{Kind, Writer};
use fastrand::Rng;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Outcome;
use crate::workers::payload;

const ANSWER: Duration = Duration::from_secs(30);
/// Replies are shuffled among those of this time.
const BATCH: Duration = Duration::from_millis(50);
/// How long after the last call has ended its late reply comes.
const LATER: Duration = Duration::from_millis(200);
/// Each request of so many is answered too late only.
const LATE_OF: u64 = 10;

/// What it has sent.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) good: u64,
    pub(crate) again: u64,
    pub(crate) late: u64,
}

/// A request: which call it is of, and what its reply is to say.
struct Asked {
    correlation: Vec<u8>,
    payload: Vec<u8>,
    came: Instant,
}

impl Asked {
    /// `None` if it cannot be answered.
    fn of(item: &Item<'_>, came: Instant) -> Option<Self> {
        let correlation = item.header(names::CORRELATION_ID)?.to_vec();
        Some(Self { correlation, payload: item.payload?.to_vec(), came })
    }
}

/// Answers what comes from now on for so long, in place of all repliers. Calls end after `timeout`.
pub(crate) fn answer(
    folder: &Path,
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    (length, timeout): (Duration, Duration),
) -> Outcome<Sent> {
    let history = Writer::create(folder, "rogue")?;
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "chaos.rogue")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut from = TopicPartitionList::new();
    for partition in 0..partitions {
        let (_, end) = reader.fetch_watermarks(topic, partition, ANSWER)?;
        from.add_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    reader.assign(&from)?;
    let mut rogue = Rogue {
        producer: ClientConfig::new().set("bootstrap.servers", bootstrap).create()?,
        replies: format!("{topic}.replies"),
        history,
        random: Rng::with_seed(35),
        late: Vec::new(),
        number: 0,
        sent: Sent::default(),
    };
    let until = Instant::now() + length;
    while Instant::now() < until || !rogue.late.is_empty() {
        let mut batch = Vec::new();
        let turn = Instant::now() + BATCH;
        while let left = turn.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            // Errors are told again, or have no consequence.
            let Some(Ok(record)) = reader.poll(left) else { continue };
            let came = Instant::now();
            if came < until {
                batch.extend(items(&record).iter().filter_map(|item| Asked::of(item, came)));
            }
        }
        rogue.answer(batch)?;
        rogue.answer_late(timeout + LATER)?;
    }
    rogue.producer.flush(ANSWER)?;
    Ok(rogue.sent)
}

struct Rogue {
    producer: BaseProducer,
    replies: String,
    history: Writer,
    random: Rng,
    /// In the order in which they came.
    late: Vec<Asked>,
    number: u64,
    sent: Sent,
}

impl Rogue {
    /// First the good reply to each, in any order; then another one, in another order.
    fn answer(&mut self, batch: Vec<Asked>) -> Outcome {
        let mut now = Vec::new();
        for asked in batch {
            self.number += 1;
            if self.number.is_multiple_of(LATE_OF) {
                self.late.push(asked);
            } else {
                now.push(asked);
            }
        }
        self.random.shuffle(&mut now);
        for asked in &now {
            let Some((id, _)) = payload::read(&asked.payload) else { continue };
            self.history.note(Kind::Effect { id })?;
            self.send(&asked.correlation, &asked.payload)?;
            self.sent.good += 1;
        }
        self.random.shuffle(&mut now);
        for asked in &now {
            self.send(&asked.correlation, b"again, and another")?;
            self.sent.again += 1;
        }
        Ok(())
    }

    fn answer_late(&mut self, after: Duration) -> Outcome {
        let ready = self.late.iter().take_while(|asked| asked.came.elapsed() > after).count();
        for asked in self.late.drain(..ready).collect::<Vec<_>>() {
            self.send(&asked.correlation, b"too late")?;
            self.sent.late += 1;
        }
        Ok(())
    }

    fn send(&self, correlation: &[u8], payload: &[u8]) -> Outcome {
        let header = Header { key: names::CORRELATION_ID, value: Some(correlation) };
        let record = BaseRecord::<(), [u8]>::to(&self.replies)
            .partition(0)
            .payload(payload)
            .headers(OwnedHeaders::new().insert(header));
        self.producer.send(record).map_err(|(error, _)| error)?;
        self.producer.poll(Duration::ZERO);
        Ok(())
    }
}
