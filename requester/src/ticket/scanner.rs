//! The thread that reads the reply topic for tickets: the edge between the pure search and Kafka.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use antiphon_common::config::KafkaSettings;
use antiphon_common::kafka::{Login, Observer, partition_count};
use prometheus::IntCounter;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::answer::Answer;
use super::index::Ends;
use super::mailbox::{Mailbox, Sink};
use super::search::Search;
use crate::guard::ReplyGuard;

/// How long one poll waits while somebody waits: the bound on how late a new question is seen.
const POLL: Duration = Duration::from_millis(10);
/// How many records are read before anything else is looked after.
const BATCH: usize = 1024;
/// How long one look-up may hold up the thread.
const LOOK_FOR: Duration = Duration::from_secs(1);
/// How long after a look-up that failed the next one is tried.
const RETRY: Duration = Duration::from_millis(200);
/// How often deadlines and waiters that are gone are looked for.
const SWEEP: Duration = Duration::from_millis(50);
/// How long a partition may give nothing while its end is ahead, until it is read afresh.
const STALL: Duration = Duration::from_millis(100);

/// What a scan is of, and its bounds.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kafka: KafkaSettings,
    pub(super) topic: String,
    /// How many bytes of replies are kept for tickets that come later.
    pub(super) index_bytes: usize,
    /// How long the thread outlives the last waiter.
    pub(super) idle: Duration,
    /// Counts the scans that were started.
    pub(super) scans: IntCounter,
    /// Only signed replies count.
    pub(super) guard: ReplyGuard,
}

/// Everything that the thread owns.
pub(super) struct Scanner {
    plan: Arc<Plan>,
    mailbox: Arc<Mailbox>,
    consumer: BaseConsumer<Observer>,
    search: Search<Answer, Sink>,
    /// How many partitions the topic has; 0 before it was looked up.
    count: i32,
    /// The partition that failed to be looked up last, and when the next one is tried.
    failed: (i32, Instant),
    /// For each partition an offset that had been written when it was last assigned.
    assigned: HashMap<i32, i64>,
    /// When each partition last gave something.
    moved: HashMap<i32, Instant>,
    /// When to assign all partitions again, after a position turned out to be wrong.
    reassign: Option<Instant>,
    swept: Instant,
}

impl Scanner {
    pub(super) fn new(plan: Arc<Plan>, mailbox: Arc<Mailbox>) -> KafkaResult<Self> {
        let consumer = consumer(&plan.kafka)?;
        let now = Instant::now();
        Ok(Self {
            search: Search::new(plan.index_bytes),
            plan,
            mailbox,
            consumer,
            count: 0,
            failed: (0, now),
            assigned: HashMap::new(),
            moved: HashMap::new(),
            reassign: None,
            swept: now,
        })
    }

    /// Scans until nobody has waited for a while, or the mailbox is closed.
    pub(super) fn run(mut self) {
        loop {
            let wait = self.search.is_idle().then_some(self.plan.idle);
            let Some(questions) = self.mailbox.take(wait) else { return };
            let now = unix_now();
            for question in questions {
                self.search.enlist(question.sought, now, question.sink);
            }
            let moved = self.look_up_ends();
            self.tell();
            if self.search.is_idle() && !moved {
                continue;
            }
            if moved || self.is_stalled() || self.reassign.is_some_and(|at| at <= Instant::now()) {
                self.assign();
            }
            if self.read() {
                self.assign();
            }
            self.sweep();
            self.tell();
        }
    }

    /// Looks up the ends of the partitions that somebody asks about. Returns whether the position
    /// in one of them has changed.
    fn look_up_ends(&mut self) -> bool {
        let mut partitions = self.search.unlooked();
        let (failed, retry) = self.failed;
        if partitions.is_empty() || Instant::now() < retry {
            return false;
        }
        if partitions.last().is_some_and(|last| *last >= self.count) {
            if let Err(error) = self.count_partitions() {
                self.fail(failed, error);
                return false;
            }
            partitions.retain(|partition| *partition < self.count);
        }
        // The one that failed comes last: it must not keep the others from being looked up.
        let turn = partitions.partition_point(|partition| *partition <= failed);
        partitions.rotate_left(turn);
        let scans = self.search.scans();
        let mut moved = false;
        for partition in partitions {
            match self.consumer.fetch_watermarks(&self.plan.topic, partition, LOOK_FOR) {
                Ok((low, high)) => {
                    moved |= self.search.looked(partition, Ends { low, high });
                    self.moved.insert(partition, Instant::now());
                    self.mailbox.note(None);
                }
                Err(error) => {
                    let cause = self.consumer.context().cause().phrase();
                    let what = format!("the end of partition {partition}: {error}{cause}");
                    self.fail(partition, what);
                    break;
                }
            }
        }
        self.plan.scans.inc_by(self.search.scans() - scans);
        moved
    }

    /// Refuses whoever looks in a partition that there is not.
    fn count_partitions(&mut self) -> Result<(), String> {
        let counted = partition_count(self.consumer.client(), &self.plan.topic, LOOK_FOR);
        let observer = self.consumer.context();
        self.count = counted.map_err(|error| error.explained_by(observer).to_string())?;
        let (count, shares) = (self.count, usize::try_from(self.count.max(1)).unwrap_or(1));
        self.search.keep(self.plan.index_bytes / shares);
        for (sink, partition) in self.search.refuse(|partition| partition < count) {
            sink.refuse(partition, count);
        }
        Ok(())
    }

    fn fail(&mut self, partition: i32, what: String) {
        self.failed = (partition, Instant::now() + RETRY);
        self.consumer.context().warn("cannot look for the replies of tickets", &what);
        self.mailbox.note(Some(what));
    }

    /// Reads what is there. Returns whether the position in a partition has jumped ahead.
    fn read(&mut self) -> bool {
        let mut wait = POLL;
        let mut jumped = false;
        for _ in 0..BATCH {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(record)) => {
                    jumped |= take(&mut self.search, &mut self.moved, &record, &self.plan.guard);
                }
                Some(Err(error)) => fault(self, error),
            }
            if jumped {
                break;
            }
            wait = Duration::ZERO;
        }
        jumped
    }

    /// Whether a partition gives nothing although an end that somebody asks about is ahead: what
    /// is left of it may be records that never arrive, such as the ends of transactions. Read
    /// afresh from there, the client tells when it is at the end.
    fn is_stalled(&self) -> bool {
        self.search.due().any(|(partition, due)| {
            self.search.position(partition).is_some_and(|position| position < due)
                && self.assigned.get(&partition).is_none_or(|written| *written < due)
                && self.moved.get(&partition).is_none_or(|moved| moved.elapsed() > STALL)
        })
    }

    /// Reads each partition from its position, and nothing that was fetched before.
    fn assign(&mut self) {
        self.reassign = None;
        let mut assignment = TopicPartitionList::new();
        for (partition, position) in self.search.positions() {
            let offset = Offset::Offset(position);
            // Positions are never negative, so that none is refused.
            let added = assignment.add_partition_offset(&self.plan.topic, partition, offset);
            added.expect("an offset that is not negative is a valid one");
            self.assigned.insert(partition, self.search.end_of(partition));
            self.moved.insert(partition, Instant::now());
        }
        if let Err(error) = self.consumer.assign(&assignment) {
            self.reassign = Some(Instant::now() + RETRY);
            self.consumer.context().warn("cannot read the reply topic for tickets", &error);
        }
    }

    fn sweep(&mut self) {
        if self.swept.elapsed() >= SWEEP {
            self.search.sweep(unix_now(), Sink::is_closed);
            self.swept = Instant::now();
        }
    }

    fn tell(&mut self) {
        for (sink, ending) in self.search.take_ended() {
            sink.tell(ending);
        }
    }
}

/// Takes a record. Returns whether its partition is known from here on, and can be read on behind
/// what is known.
fn take(
    search: &mut Search<Answer, Sink>,
    moved: &mut HashMap<i32, Instant>,
    record: &BorrowedMessage<'_>,
    guard: &ReplyGuard,
) -> bool {
    let (partition, offset) = (record.partition(), record.offset());
    let reply = Answer::read(record, guard).map(|(id, answer)| (id, answer.size(), answer));
    search.read(partition, offset, reply);
    moved.insert(partition, Instant::now());
    search.position(partition).is_some_and(|position| position > offset + 1)
}

fn fault(scanner: &mut Scanner, error: KafkaError) {
    match error {
        // A partition was read to its end, and since it was assigned: so beyond what had been
        // written before.
        KafkaError::PartitionEOF(partition) => {
            if let Some(written) = scanner.assigned.get(&partition) {
                scanner.search.reach(partition, *written);
            }
        }
        error if is_out_of_range(&error) => {
            // It does not say where. Each partition is looked up and read from where it is known.
            scanner.search.doubt();
            scanner.reassign = Some(Instant::now() + RETRY);
        }
        error => {
            let observer = scanner.consumer.context();
            observer.warn("cannot read the reply topic for tickets", &error);
        }
    }
}

fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}

fn consumer(kafka: &KafkaSettings) -> KafkaResult<BaseConsumer<Observer>> {
    let mut config = kafka.consumer(&[
        // Needed by the client even where no group is joined.
        ("group.id", "antiphon-tickets"),
        // What is fetched ahead, while others are looked after, is bounded.
        ("queued.max.messages.kbytes", "16384"),
    ]);
    // What the search relies on, whatever the user has set: removed records are noticed, the end
    // of a partition is told, and a follower's end is not taken for the leader's.
    config.set("auto.offset.reset", "error");
    config.set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true");
    config.set("client.rack", "");
    let consumer: BaseConsumer<Observer> = config.create_with_context(Observer::default())?;
    Login::of(kafka, consumer.client())?;
    Ok(consumer)
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
