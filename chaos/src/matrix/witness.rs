//! The witness of a row: it reads the request topic and the reply topic, and asks for committed
//! offsets. What is in the logs is the truth about acknowledgements, whatever a process says.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon::wire::names;
use antiphon_chaos::history::{End, Id, Kind, Writer};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Outcome;
use crate::workers::payload;

const ANSWER: Duration = Duration::from_secs(2);
/// How often committed offsets are asked for.
const COMMITS: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(20);
/// Replies without a request that are remembered: more than any row forges.
const MOST_UNKNOWN: usize = 500_000;
/// How long the last look may take, when the brokers are well again.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// A witness that looks on.
#[derive(Debug)]
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

/// Which call each correlation id is of. A reply may be read before its request, from another topic.
#[derive(Default)]
struct Calls {
    known: HashMap<Vec<u8>, Id>,
    unknown: HashMap<Vec<u8>, Vec<Answer>>,
}

/// A reply: where it lies, and its status if it is an error.
struct Answer {
    topic: String,
    partition: i32,
    status: Option<Vec<u8>>,
}

struct Looking {
    reader: BaseConsumer,
    asker: BaseConsumer,
    bootstrap: String,
    writer: Writer,
    topic: String,
    partitions: i32,
    /// Which call a correlation id is of.
    calls: Calls,
    /// Offsets that were found, and are told when the replies before them are.
    committed: HashMap<i32, i64>,
    /// How far each partition has been read: by topic and partition.
    read: HashMap<(String, i32), i64>,
}

impl Witness {
    /// Begins to look, from the beginning of both topics. The group has the topic's name.
    pub(crate) fn start(
        folder: &Path,
        bootstrap: &str,
        topic: &str,
        partitions: i32,
    ) -> Outcome<Self> {
        let replies = format!("{topic}.replies");
        let reader = client(bootstrap, "chaos.witness")?;
        let mut start = TopicPartitionList::new();
        for partition in 0..partitions {
            start.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        start.add_partition_offset(&replies, 0, Offset::Beginning)?;
        reader.assign(&start)?;
        let mut looking = Looking {
            reader,
            asker: client(bootstrap, topic)?,
            bootstrap: bootstrap.to_owned(),
            writer: Writer::create(folder, "witness")?,
            topic: topic.to_owned(),
            partitions,
            calls: Calls::default(),
            committed: HashMap::new(),
            read: HashMap::new(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || looking.run(&told));
        Ok(Self { stop, thread })
    }

    /// Lets it read both topics to their ends, and ends it.
    pub(crate) fn finish(self) -> Outcome {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "the witness panicked")?
    }
}

impl Looking {
    fn run(&mut self, told: &AtomicBool) -> Outcome {
        let mut asked = Instant::now();
        while !told.load(Ordering::Acquire) {
            self.read_for(POLL)?;
            if asked.elapsed() >= COMMITS {
                // Brokers that are down are what some rows are about; the last look must succeed.
                let _ = self.commits(ANSWER)?;
                asked = Instant::now();
            }
        }
        let until = Instant::now() + LAST_LOOK;
        while !self.commits(ANSWER)? {
            if Instant::now() > until {
                return Err("the witness cannot read both topics to their ends".into());
            }
        }
        Ok(())
    }

    /// Reads what has come.
    fn read_for(&mut self, limit: Duration) -> Outcome {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut events = Vec::new();
            let mut place = None;
            match self.reader.poll(left) {
                None => return Ok(()),
                Some(Ok(record)) => {
                    let at = (record.topic().to_owned(), record.partition());
                    place = Some((at, record.offset() + 1));
                    seen(&record, &self.topic, &mut self.calls, &mut events);
                }
                // Reported again and again while brokers are down; it goes on by itself.
                Some(Err(_)) => {}
            }
            self.writer.note_all(events)?;
            if let Some((at, next)) = place {
                self.read.insert(at, next);
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    /// Tells committed offsets once all replies are told that came before them. Says whether both
    /// topics have been read to the ends that they had.
    fn commits(&mut self, limit: Duration) -> Outcome<bool> {
        let mut wanted = TopicPartitionList::new();
        for partition in 0..self.partitions {
            wanted.add_partition(&self.topic, partition);
        }
        let Ok(found) = self.asker.committed_offsets(wanted, limit) else {
            // One that has seen all brokers go may look for the group's coordinator for minutes.
            self.asker = client(&self.bootstrap, &self.topic)?;
            return Ok(false);
        };
        let replies = format!("{}.replies", self.topic);
        let mut ends = Vec::new();
        let requests = (0..self.partitions).map(|partition| (self.topic.clone(), partition));
        for (topic, partition) in requests.chain([(replies, 0)]) {
            let Ok((low, high)) = self.asker.fetch_watermarks(&topic, partition, limit) else {
                return Ok(false);
            };
            ends.push(((topic, partition), low, high));
        }
        let until = Instant::now() + limit;
        let is_read = |this: &Self| {
            ends.iter().all(|(at, low, high)| {
                low == high || this.read.get(at).is_some_and(|next| next >= high)
            })
        };
        while !is_read(self) {
            if Instant::now() > until {
                return Ok(false);
            }
            self.read_for(POLL)?;
        }
        let mut events = Vec::new();
        for element in found.elements() {
            let Offset::Offset(offset) = element.offset() else { continue };
            let partition = element.partition();
            if self.committed.insert(partition, offset) != Some(offset) {
                let (group, topic) = (self.topic.clone(), self.topic.clone());
                events.push(Kind::Commit { group, topic, partition, offset });
            }
        }
        self.writer.note_all(events)?;
        Ok(true)
    }
}

fn client(bootstrap: &str, group: &str) -> Outcome<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("reconnect.backoff.max.ms", "500");
    Ok(config.create()?)
}

/// What a record says has happened.
fn seen(record: &BorrowedMessage<'_>, requests: &str, calls: &mut Calls, events: &mut Vec<Kind>) {
    let header = |name: &str| {
        record.headers()?.iter().find(|header| header.key == name)?.value.map(<[u8]>::to_vec)
    };
    let Some(correlation) = header(names::CORRELATION_ID) else { return };
    let (topic, partition) = (record.topic().to_owned(), record.partition());
    if topic == requests {
        if let Some((id, _)) = record.payload().and_then(payload::read) {
            let offset = record.offset();
            events.push(Kind::Acked { id, topic, partition, offset });
            for answer in calls.unknown.remove(&correlation).unwrap_or_default() {
                answered(id, answer, events);
            }
            calls.known.insert(correlation, id);
        }
        return;
    }
    let answer = Answer { topic, partition, status: header(names::STATUS) };
    match calls.known.get(&correlation) {
        Some(id) => answered(*id, answer, events),
        // Its request comes yet, or it is forged.
        None if calls.unknown.len() < MOST_UNKNOWN => {
            calls.unknown.entry(correlation).or_default().push(answer);
        }
        None => {}
    }
}

fn answered(id: Id, answer: Answer, events: &mut Vec<Kind>) {
    match answer.status {
        Some(status) if status == b"DEADLINE_EXCEEDED" => {
            events.push(Kind::Ended { id, how: End::Expired });
        }
        Some(_) => events.push(Kind::Ended { id, how: End::Rejected }),
        None => {}
    }
    events.push(Kind::ReplyAcked { id, topic: answer.topic, partition: answer.partition });
}
