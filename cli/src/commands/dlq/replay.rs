//! `antiphon dlq replay`: hands requests back to their request topic.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use antiphon::kafka::look_up;
use antiphon::wire::{DeadLetter, deadline_millis, names};
use clap::Args;
use futures::future::join_all;
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use serde_json::json;

use super::Where;
use super::delete::delete;
use super::filter::Filter;
use super::letter::Letter;
use super::position::Position;
use super::producer::{Place, Producer};
use super::read::{self, Opened, Span, Spans};
use super::replayed::Replayed;
use crate::exit::{ERROR_REPLY, Failure, UNKNOWN};
use crate::output::print_line;
use crate::topics::START;

/// How many requests are on their way at once.
const BATCH: usize = 100;

/// Hands requests back to their request topic, as they were before they failed, and prints each
/// once the broker has acknowledged it.
///
/// Their deadlines have passed, so they are handed back without. Replies to them still go to the
/// reply topics that they name, where most likely nobody waits for them any more. Nothing remembers
/// what was handed back: to do it twice runs the handlers twice, unless they dedupe.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    place: Where,
    /// Only those at these places of the dead-letter topic; without any, all that the filters leave.
    #[arg(value_name = "PARTITION:OFFSET")]
    positions: Vec<Position>,
    #[command(flatten)]
    filter: Filter,
    /// Hand them to this topic instead, whatever topic they come from.
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Keep the deadlines; a request whose deadline has passed is not handled.
    #[arg(long)]
    keep_deadline: bool,
    /// Leave out where replies go, for handlers that send none.
    #[arg(long)]
    no_reply: bool,
    /// At most so many a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Afterwards delete the dead letters from the beginning of each partition up to the first one
    /// that was not handed back.
    #[arg(long)]
    purge: bool,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON object for each request.
    #[arg(long)]
    json: bool,
}

/// What requests are handed back by.
struct Target<'a> {
    replay: &'a Replay,
    producer: Producer,
    topic: &'a str,
    partitions: i32,
}

/// How the replay went so far.
#[derive(Default)]
struct Progress {
    replayed: Replayed,
    done: u64,
    refused: u64,
}

pub(super) async fn run(replay: &Replay) -> Result<(), Failure> {
    let settings = replay.place.settings()?;
    let dead_letters = replay.place.dead_letters(&settings);
    let topic = replay.to.as_deref().unwrap_or(&replay.place.topic);
    let partitions = look_up(&settings.kafka, topic, START)
        .await
        .map_err(|error| Failure::not_sent(format!("request topic: {error}")))?;
    let producer = Producer::new(&settings.kafka)
        .map_err(|error| Failure::usage(format!("kafka client: {error}")))?;
    let target = Target { replay, producer, topic, partitions };

    let opened = read::open(&settings.kafka, &dead_letters).await?;
    let mut progress = Progress::default();
    let ended = target.all(opened, &mut progress).await;
    let verb = if replay.dry_run { "would be handed" } else { "handed" };
    eprintln!("{} {verb} back to `{topic}`", progress.done);
    ended?;
    if replay.purge && replay.dry_run {
        for (partition, offset) in progress.replayed.before() {
            eprintln!("partition {partition} would be deleted before {offset}");
        }
    } else if replay.purge {
        delete(&settings.kafka, &dead_letters, progress.replayed.before()).await?;
    }
    if progress.refused > 0 { Err(Failure::said(ERROR_REPLY)) } else { Ok(()) }
}

impl Target<'_> {
    /// Replays all that is meant, a batch at a time.
    async fn all(&self, opened: Opened, progress: &mut Progress) -> Result<(), Failure> {
        let spans = self.spans(&opened.spans)?;
        let positions: BTreeSet<Position> = self.replay.positions.iter().copied().collect();
        let (now, started) = (SystemTime::now(), Instant::now());
        let mut letters = opened.read(spans)?;
        let (mut taken, mut batch, mut missing) = (0, Vec::new(), positions.clone());
        while self.replay.filter.limit != Some(taken)
            && let Some(letter) = letters.next().await
        {
            let letter = letter?;
            missing.remove(&letter.position());
            let named = positions.is_empty() || positions.contains(&letter.position());
            if named && self.replay.filter.takes(&letter, now) {
                batch.push((letter, true));
                taken += 1;
            } else {
                batch.push((letter, false));
            }
            if batch.len() >= self.batch() {
                self.send(&mut batch, progress).await?;
                self.pause(started, progress.done).await;
            }
        }
        self.send(&mut batch, progress).await?;
        if let Some(position) = missing.first().filter(|_| self.replay.filter.limit.is_none()) {
            return Err(Failure::usage(format!(
                "there is no dead letter at {position}; `antiphon dlq ls` shows what there is"
            )));
        }
        Ok(())
    }

    /// What has to be read: for places that are named, no more than these, except that only who has
    /// read all from the beginning knows what may be deleted.
    fn spans(&self, there: &Spans) -> Result<Spans, Failure> {
        let positions = &self.replay.positions;
        if positions.is_empty() {
            return Ok(there.clone());
        }
        let mut spans = Spans::new();
        for position in positions {
            let Position { partition, offset } = *position;
            let within =
                there.get(&partition).filter(|span| (span.low..span.high).contains(&offset));
            let Some(span) = within else {
                return Err(Failure::usage(format!(
                    "there is no dead letter at {position}; `antiphon dlq ls` shows what there is"
                )));
            };
            let first = if self.replay.purge { span.low } else { offset };
            let read = spans.entry(partition).or_insert(Span { low: first, high: offset + 1 });
            *read = Span { low: read.low.min(first), high: read.high.max(offset + 1) };
        }
        Ok(spans)
    }

    /// Sends what is meant of these records, and waits until each is acknowledged.
    async fn send(
        &self,
        batch: &mut Vec<(Letter, bool)>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let sent = batch.iter().map(|(letter, meant)| async move {
            if *meant { Some(self.one(letter).await) } else { None }
        });
        let outcomes = join_all(sent).await;
        let mut lost = None;
        for ((letter, _), outcome) in batch.drain(..).zip(outcomes) {
            match outcome {
                Some(Ok(place)) => {
                    progress.done += 1;
                    progress.replayed.done(letter.partition, letter.offset);
                    self.print(&letter, place);
                    continue;
                }
                Some(Err(Unsent::Refused(why))) => {
                    progress.refused += 1;
                    eprintln!("error: {} is not handed back: {why}", letter.position());
                }
                Some(Err(Unsent::Failed(error))) => {
                    let place = letter.position();
                    eprintln!("error: {place} is not known to be handed back: {error}");
                    lost = Some(Failure::said(UNKNOWN));
                }
                None => {}
            }
            progress.replayed.kept(letter.partition);
        }
        lost.map_or(Ok(()), Err)
    }

    /// Sends one request, and says where it is then: nowhere yet in a dry run.
    async fn one(&self, letter: &Letter) -> Result<Option<Place>, Unsent> {
        let read = letter
            .read()
            .map_err(|fault| Unsent::Refused(format!("it is no dead letter: {fault}")))?;
        let partition = self.partition(&read)?;
        if self.replay.dry_run {
            return Ok(None);
        }
        let headers = self.headers(letter, &read);
        let sent = self.producer.send(|waiting| BaseRecord {
            partition,
            key: letter.key.as_deref(),
            payload: letter.payload.as_deref(),
            headers: Some(headers),
            ..BaseRecord::with_opaque_to(self.topic, waiting)
        });
        sent.await.map(Some).map_err(Unsent::Failed)
    }

    /// The partition that the request was in, if the topic is the same and still has it: the key
    /// may not lead there, since whoever asked may have chosen another way.
    ///
    /// The origin is a header, and whoever may write to a dead-letter topic may write any: it
    /// chooses no topic.
    fn partition(&self, read: &DeadLetter<'_>) -> Result<Option<i32>, Unsent> {
        let origin = &read.origin;
        if origin.topic == self.topic {
            return Ok(Some(origin.partition).filter(|partition| *partition < self.partitions));
        }
        if self.replay.to.is_some() {
            return Ok(None);
        }
        Err(Unsent::Refused(format!(
            "it is from the topic `{}`; name that one, or --to {}",
            origin.topic.escape_debug(),
            self.topic
        )))
    }

    fn headers(&self, letter: &Letter, read: &DeadLetter<'_>) -> OwnedHeaders {
        let deadline = letter.header(names::DEADLINE).filter(|_| self.replay.keep_deadline);
        let block = read.replay(deadline.and_then(deadline_millis));
        if !self.replay.no_reply {
            return block;
        }
        let to_reply = [names::REPLY_TOPIC, names::REPLY_PARTITION];
        let kept = block.iter().filter(|header| !to_reply.contains(&header.key));
        kept.fold(OwnedHeaders::new(), OwnedHeaders::insert)
    }

    fn print(&self, letter: &Letter, place: Option<Place>) {
        let (from, topic) = (letter.position(), self.topic);
        if self.replay.json {
            let (partition, offset) = place.unzip();
            print_line(
                &json!({
                    "partition": from.partition,
                    "offset": from.offset,
                    "to": {"topic": topic, "partition": partition, "offset": offset},
                })
                .to_string(),
            );
            return;
        }
        print_line(&match place {
            Some((partition, offset)) => format!("{from} is {topic} {partition}:{offset}"),
            None => format!("{from} would go to {topic}"),
        });
    }

    /// A batch is no more than a tenth of a second at the rate.
    fn batch(&self) -> usize {
        self.replay.rate.map_or(BATCH, |rate| (rate as usize / 10).clamp(1, BATCH))
    }

    /// Waits until so many may have been sent.
    async fn pause(&self, started: Instant, sent: u64) {
        let Some(rate) = self.replay.rate.filter(|_| !self.replay.dry_run) else { return };
        let due = Duration::from_secs_f64(sent as f64 / f64::from(rate));
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
    }
}

/// Why a request was not handed back.
enum Unsent {
    /// It cannot be.
    Refused(String),
    /// It was tried.
    Failed(KafkaError),
}
