//! The witness of a row: it reads the request topic and the reply topic, and asks for committed
//! offsets. What is in the logs is the truth about acknowledgements, whatever a process says.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_chaos::contents::Calls;
use antiphon_chaos::history::{Kind, Writer, now_us};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Outcome;
use crate::workers::payload;

const ANSWER: Duration = Duration::from_secs(2);
/// How often committed offsets are asked for.
const COMMITS: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(20);
/// How long one topic is waited for before the other is looked at again.
const SHORT: Duration = Duration::from_millis(2);
/// How long the last look may take, when the brokers are well again.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// How long the rest of a partition may have no records before it is asked whether that is its end.
const QUIET: Duration = Duration::from_millis(300);

/// What became of a topic that is read.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    /// Whether it is another topic of the same name, which begins anew.
    pub(crate) is_new: bool,
}

/// A witness that looks on.
#[derive(Debug)]
pub(crate) struct Witness {
    wanted: Arc<AtomicU8>,
    changes: Sender<Changed>,
    thread: Option<JoinHandle<Outcome>>,
}

/// What is wanted of a witness: to look on, to look once more and end, or to end.
const LOOK_ON: u8 = 0;
const LOOK_LAST: u8 = 1;
const FORGET: u8 = 2;

/// A topic that is read.
struct Source {
    topic: String,
    partitions: i32,
    reader: BaseConsumer,
    /// How far each partition has been read.
    read: HashMap<i32, i64>,
    /// Partitions whose end was met since they were last sought.
    ended: HashSet<i32>,
}

struct Looking {
    requests: Source,
    replies: Source,
    changes: Receiver<Changed>,
    asker: BaseConsumer,
    /// Is told of what open transactions have written, too.
    impatient: BaseConsumer,
    bootstrap: String,
    writer: Writer,
    /// Which call a correlation id is of.
    calls: Calls,
}

impl Witness {
    /// Begins to look, from the beginning of both topics. The group has the topic's name.
    pub(crate) fn start(
        folder: &Path,
        bootstrap: &str,
        topic: &str,
        (partitions, reply_partitions): (i32, i32),
    ) -> Outcome<Self> {
        let (changes, changed) = mpsc::channel();
        let mut looking = Looking {
            requests: Source::new(bootstrap, topic.to_owned(), partitions)?,
            replies: Source::new(bootstrap, format!("{topic}.replies"), reply_partitions)?,
            changes: changed,
            asker: client(bootstrap, topic)?,
            impatient: impatient(bootstrap)?,
            bootstrap: bootstrap.to_owned(),
            writer: Writer::create(folder, "witness")?,
            calls: Calls::default(),
        };
        let wanted = Arc::new(AtomicU8::new(LOOK_ON));
        let told = Arc::clone(&wanted);
        let thread = Some(thread::spawn(move || looking.run(&told)));
        Ok(Self { wanted, changes, thread })
    }

    /// Whom to tell what becomes of the topics.
    pub(crate) fn changes(&self) -> Sender<Changed> {
        self.changes.clone()
    }

    /// Lets it read both topics to their ends, and ends it.
    pub(crate) fn finish(mut self) -> Outcome {
        self.wanted.store(LOOK_LAST, Ordering::Release);
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| "the witness panicked")?,
            None => Ok(()),
        }
    }
}

impl Drop for Witness {
    /// Of a row that did not come to its end: the processes of the next one would inherit the sockets.
    fn drop(&mut self) {
        self.wanted.store(FORGET, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // What it says is no longer of interest.
            let _ = thread.join();
        }
    }
}

impl Source {
    fn new(bootstrap: &str, topic: String, partitions: i32) -> Outcome<Self> {
        let reader = client(bootstrap, "chaos.witness")?;
        let (read, ended) = (HashMap::new(), HashSet::new());
        let mut source = Self { topic, partitions, reader, read, ended };
        source.assign()?;
        Ok(source)
    }

    /// Reads each partition from where it was read to.
    fn assign(&mut self) -> Outcome {
        let mut start = TopicPartitionList::new();
        for partition in 0..self.partitions {
            let known = self.read.get(&partition);
            let from = known.map_or(Offset::Beginning, |next| Offset::Offset(*next));
            start.add_partition_offset(&self.topic, partition, from)?;
        }
        Ok(self.reader.assign(&start)?)
    }

    /// A client believes for minutes what it knew of the topic before, so there is another one.
    fn change(&mut self, changed: &Changed, bootstrap: &str) -> Outcome {
        let read = std::mem::take(&mut self.read);
        *self = Self::new(bootstrap, changed.topic.clone(), changed.partitions)?;
        if !changed.is_new {
            self.read = read;
            self.assign()?;
        }
        Ok(())
    }

    /// Takes one record, if there is one by then; tells what it says.
    fn poll(
        &mut self,
        limit: Duration,
        tell: impl FnOnce(&BorrowedMessage<'_>) -> Outcome,
    ) -> Outcome<bool> {
        let place = match self.reader.poll(limit) {
            None => return Ok(false),
            Some(Ok(record)) => {
                tell(&record)?;
                Some((record.partition(), record.offset() + 1))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.ended.insert(partition);
                None
            }
            // Reported again and again while brokers are down; it goes on by itself.
            Some(Err(_)) => None,
        };
        if let Some((partition, next)) = place {
            self.read.insert(partition, next);
        }
        Ok(true)
    }

    /// Where each partition that is not empty ends.
    fn ends(&self, asker: &BaseConsumer, limit: Duration) -> Option<Vec<(i32, i64)>> {
        let mut ends = Vec::new();
        for partition in 0..self.partitions {
            let (low, high) = asker.fetch_watermarks(&self.topic, partition, limit).ok()?;
            if low < high {
                ends.push((partition, high));
            }
        }
        Some(ends)
    }

    /// Whether all is read up to these ends. What transactions leave at the end of a partition is no
    /// record: whether there is nothing else, the reader says when it is sent there once more.
    fn is_read(&self, ends: &[(i32, i64)], is_sought: bool) -> bool {
        ends.iter().all(|(partition, end)| {
            is_sought && self.ended.contains(partition)
                || self.read.get(partition).is_some_and(|next| next >= end)
        })
    }

    /// Lets the reader say anew whether partitions have ended.
    fn seek_ends(&mut self, ends: &[(i32, i64)]) {
        self.ended.clear();
        for (partition, end) in ends {
            let Some(next) = self.read.get(partition).filter(|next| *next < end) else { continue };
            // If it fails, the end is not met, and that is looked at again.
            let _ = self.reader.seek(&self.topic, *partition, Offset::Offset(*next), ANSWER);
        }
    }
}

impl Looking {
    fn run(&mut self, told: &AtomicU8) -> Outcome {
        let mut asked = Instant::now();
        while told.load(Ordering::Acquire) == LOOK_ON {
            for changed in self.changes.try_iter().collect::<Vec<_>>() {
                let source = match changed.topic == self.requests.topic {
                    true => &mut self.requests,
                    false => &mut self.replies,
                };
                source.change(&changed, &self.bootstrap)?;
                self.asker = client(&self.bootstrap, &self.requests.topic)?;
                self.impatient = impatient(&self.bootstrap)?;
            }
            self.read_for(POLL)?;
            if asked.elapsed() >= COMMITS {
                // Brokers that are down are what some rows are about; the last look must succeed.
                let _ = self.commits(ANSWER)?;
                asked = Instant::now();
            }
        }
        let until = Instant::now() + LAST_LOOK;
        while told.load(Ordering::Acquire) == LOOK_LAST && !self.commits(ANSWER)? {
            if Instant::now() > until {
                return Err("the witness cannot read both topics to their ends".into());
            }
        }
        Ok(self.writer.note_all(self.calls.counted())?)
    }

    /// Reads what has come.
    fn read_for(&mut self, limit: Duration) -> Outcome {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (calls, writer) = (&mut self.calls, &self.writer);
            let of_requests = self.requests.poll(Duration::ZERO, |record| {
                let id_in = |said: &[u8]| payload::read(said).map(|(id, _)| id);
                Ok(writer.note_all(calls.asked(record, id_in))?)
            })?;
            let wait = if of_requests { Duration::ZERO } else { left.min(SHORT) };
            let (calls, writer) = (&mut self.calls, &self.writer);
            let of_replies =
                self.replies.poll(wait, |record| Ok(writer.note_all(calls.replied(record))?))?;
            if left.is_zero() || !of_requests && !of_replies && left <= SHORT {
                return Ok(());
            }
        }
    }

    /// Tells committed offsets once all replies are told that came before them. Says whether both
    /// topics have been read to the ends that they had.
    fn commits(&mut self, limit: Duration) -> Outcome<bool> {
        let group = self.requests.topic.clone();
        let mut wanted = TopicPartitionList::new();
        for partition in 0..self.requests.partitions {
            wanted.add_partition(&group, partition);
        }
        let asked_us = now_us();
        let Ok(found) = self.asker.committed_offsets(wanted, limit) else {
            // One that has seen all brokers go may look for the group's coordinator for minutes.
            self.asker = client(&self.bootstrap, &group)?;
            return Ok(false);
        };
        // A transaction may be over as far as offsets are concerned, and not yet in the reply topic.
        let replies = self.replies.ends(&self.impatient, limit);
        let (Some(requests), Some(replies)) = (self.requests.ends(&self.asker, limit), replies)
        else {
            // The same goes for those who are asked where the logs end.
            self.asker = client(&self.bootstrap, &group)?;
            self.impatient = impatient(&self.bootstrap)?;
            return Ok(false);
        };
        let began = Instant::now();
        let mut is_sought = false;
        while !(self.requests.is_read(&requests, false)
            && self.replies.is_read(&replies, is_sought))
        {
            if began.elapsed() > limit {
                return Ok(false);
            }
            if began.elapsed() > QUIET
                && !is_sought
                && let Some(stable) = self.replies.ends(&self.asker, limit)
                && replies
                    .iter()
                    .all(|(at, end)| stable.iter().any(|(p, now)| p == at && now >= end))
            {
                self.replies.seek_ends(&replies);
                is_sought = true;
            }
            self.read_for(POLL)?;
        }
        let commits = found.elements().into_iter().filter_map(|element| {
            let Offset::Offset(offset) = element.offset() else { return None };
            let (group, topic, partition) = (group.clone(), group.clone(), element.partition());
            Some(Kind::Commit { group, topic, partition, offset, asked_us: Some(asked_us) })
        });
        self.writer.note_all(commits)?;
        Ok(true)
    }
}

fn impatient(bootstrap: &str) -> Outcome<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "chaos.witness")
        .set("isolation.level", "read_uncommitted")
        .set("reconnect.backoff.max.ms", "500");
    Ok(config.create()?)
}

fn client(bootstrap: &str, group: &str) -> Outcome<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("reconnect.backoff.max.ms", "500");
    Ok(config.create()?)
}
