//! The reply reader: reads the reply topic and completes calls.

use std::mem;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use antiphon_common::kafka::{Holes, Observer, Suspect};
use antiphon_common::wire::{Caps, HeaderFault, Packed, ReplyHeaders, is_packed};
use antiphon_native::allowed::may_read_topic;
use prometheus::IntGauge;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};

use super::delivery::Delivery;
use super::inbox::Inbox;
use super::lease::Moved;
use super::reply_partitions::ReplyPartitions;
use super::retiring::Retiring;
use crate::guard::ReplyGuard;
use crate::producers::Producers;
use crate::received::Received;
use crate::table::Calls;

/// How many replies are taken before their callers are woken. Callers that wake together send
/// their next requests together, which makes for fewer produce requests.
const BATCH: usize = 256;
/// How often it is looked whether the reply topic may be read again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long one look may take.
const LOOK_FOR: Duration = Duration::from_millis(500);

/// Completes calls with the replies that it reads.
pub(crate) struct Reader {
    partitions: ReplyPartitions,
    inbox: Arc<Inbox>,
    calls: Arc<Calls>,
    /// Leases of other partitions, as they come.
    moves: Option<Receiver<Moved>>,
    /// A lease that could not be followed yet.
    behind: Option<Moved>,
    retiring: Retiring,
    /// Calls take large payloads out of a store.
    redeems: bool,
    guard: ReplyGuard,
    /// Batches that cannot be unpacked.
    holes: Holes,
    /// The number of partitions that are read, as the gauge has it.
    reading: Reading,
    /// The brokers do not let this requester read: when it was last looked whether they do.
    unauthorized: Option<Instant>,
    /// Who may have requests that have waited for too long.
    producers: Weak<Producers>,
    /// What a turn has read, kept for its room.
    batch: Vec<Delivery>,
    read: Vec<(i32, i64)>,
}

/// A share of the gauge of partitions, given back at the end.
struct Reading {
    count: i64,
    gauge: IntGauge,
}

impl Reader {
    pub(crate) fn new(
        partitions: ReplyPartitions,
        inbox: Arc<Inbox>,
        calls: Arc<Calls>,
        moves: Option<Receiver<Moved>>,
        redeems: bool,
        guard: ReplyGuard,
        holes: Holes,
    ) -> Self {
        let mut reading = Reading { count: 0, gauge: calls.metrics().reply_partitions.clone() };
        reading.add(partitions.starts().len());
        Self {
            partitions,
            inbox,
            calls,
            moves,
            behind: None,
            retiring: Retiring::default(),
            redeems,
            guard,
            holes,
            reading,
            unauthorized: None,
            producers: Weak::new(),
            batch: Vec::with_capacity(BATCH),
            read: Vec::new(),
        }
    }

    /// Sends requests of these that wait for others on a runtime that does not come back to them.
    pub(super) fn look_after(&mut self, producers: Weak<Producers>) {
        self.producers = producers;
    }

    pub(super) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// What is read.
    pub(super) fn consumer(&self) -> &Arc<BaseConsumer<Observer>> {
        self.partitions.consumer()
    }

    /// Takes what has been read, a batch at most, and tells the calls. Waits for the first of it, for
    /// `wait` at most. Whether a whole batch was there.
    pub(super) fn turn(&mut self, mut wait: Duration) -> bool {
        let (mut batch, mut read) = (mem::take(&mut self.batch), mem::take(&mut self.read));
        let mut left = BATCH;
        while left > 0 {
            match self.partitions.consumer().poll(wait) {
                None => break,
                Some(Ok(record)) => {
                    note(&mut read, &record);
                    left = left.saturating_sub(self.take(&record, &mut batch));
                }
                // It joins no group, so what it may not do with one does not matter.
                Some(Err(error)) if is_about_group(&error) => {
                    tracing::debug!(%error, "told of a group that is not joined");
                }
                Some(Err(error)) if is_about_topic(&error) => self.refused(),
                Some(Err(error)) if Holes::is_told_by(&error) => self.look_for_hole(),
                Some(Err(error)) => {
                    self.partitions.observer().warn("cannot read replies", &error);
                }
            }
            (wait, left) = (Duration::ZERO, left.saturating_sub(1));
        }
        if !read.is_empty() {
            self.inbox.read_up_to(read.drain(..));
        }
        // Read once for all of them, which came together.
        let now = self.calls.now();
        for delivery in batch.drain(..) {
            delivery.deliver(&self.calls, now);
        }
        (self.batch, self.read) = (batch, read);
        left == 0
    }

    /// Adds the calls that a record is for, and what it says. Returns how many replies it has beside one.
    fn take(&self, record: &BorrowedMessage<'_>, batch: &mut Vec<Delivery>) -> usize {
        let raw = || antiphon_native::headers(record).map_err(|_| HeaderFault::Malformed);
        let received = Received::of(record, self.inbox.topic());
        if !raw().is_ok_and(is_packed) {
            let headers = raw().and_then(|raw| ReplyHeaders::read(raw, Caps::default()));
            if let Some(mut headers) = self.well_formed(headers) {
                batch.extend(self.delivery(&received, &mut headers));
            }
            return 0;
        }
        let mut count = 0_usize;
        for item in Packed::read(received.payload.unwrap_or_default()) {
            count += 1;
            let read = item
                .and_then(|item| Ok((item, ReplyHeaders::read(item.headers(), Caps::default())?)));
            if let Some((item, mut headers)) = self.well_formed(read) {
                batch.extend(self.delivery(&received.packed(&item), &mut headers));
            }
        }
        count.saturating_sub(1)
    }

    /// The call that a reply is for; `None` if it is for none.
    fn delivery(&self, reply: &Received<'_>, headers: &mut ReplyHeaders<'_>) -> Option<Delivery> {
        Delivery::of(&self.calls, reply, headers, self.redeems, &self.guard)
    }

    /// Counts what cannot be read.
    fn well_formed<T>(&self, read: Result<T, HeaderFault>) -> Option<T> {
        let note = |fault: &HeaderFault| {
            self.calls.metrics().malformed_replies.inc();
            self.partitions.observer().warn("skipped a record in the reply topic", fault);
        };
        read.inspect_err(note).ok()
    }

    /// Follows the lease and the growth of the topic. May wait for brokers.
    pub(super) fn tend(&mut self) {
        if let Some(producers) = self.producers.upgrade() {
            producers.send_late();
        }
        self.partitions.follow_login();
        self.look_for_right();
        self.step_over_holes();
        let moved = self.moves.as_ref().and_then(|moves| moves.try_iter().last());
        if let Some(moved) = moved.or_else(|| self.behind.take()) {
            self.follow(moved);
        }
        let calls = &self.calls;
        for partition in
            self.retiring.take_over(Instant::now(), |instant| calls.any_since_before(instant))
        {
            if let Err(error) = self.partitions.remove(partition) {
                self.partitions.observer().warn("cannot stop reading a partition", &error);
            }
            self.inbox.forget(partition);
            self.reading.remove_one();
        }
        let added = self.partitions.look_for_more();
        if !added.is_empty() {
            self.reading.add(added.len());
            self.inbox.read_up_to(added);
        }
    }

    /// Looks where a batch is that cannot be unpacked.
    fn look_for_hole(&mut self) {
        let topic: Arc<str> = self.inbox.topic().into();
        let suspect =
            |(partition, next)| Suspect { topic: Arc::clone(&topic), partition, next: Some(next) };
        self.holes.look(self.inbox.starts(None).into_iter().map(suspect).collect());
    }

    /// Steps over batches that cannot be unpacked. Calls whose replies are in there time out.
    fn step_over_holes(&mut self) {
        for hole in self.holes.take() {
            // What was read since the look began could be read.
            if !self.inbox.starts(None).contains(&(hole.partition, hole.offsets.start)) {
                continue;
            }
            if let Err(error) = hole.step_over(self.partitions.consumer()) {
                self.partitions.observer().warn("cannot step over a batch", &error);
                continue;
            }
            self.inbox.read_up_to([(hole.partition, hole.offsets.end)]);
            self.calls.metrics().malformed_replies.inc_by(hole.count());
            self.partitions.observer().warn("skipped replies that cannot be unpacked", &hole);
        }
    }

    /// The brokers tell this once, and nothing when it is over.
    fn refused(&mut self) {
        if self.unauthorized.replace(Instant::now()).is_some() {
            return;
        }
        self.inbox.set_unauthorized(true);
        self.calls.metrics().unauthorized.inc();
        tracing::error!(
            "not authorized to read the topic `{}`; calls are not sent until that is granted \
             (`antiphon doctor --acls` prints the rights)",
            self.inbox.topic()
        );
    }

    /// Looks, once in a while, whether the topic may be read again.
    fn look_for_right(&mut self) {
        let Some(looked) = &mut self.unauthorized else { return };
        if looked.elapsed() < LOOK_EVERY {
            return;
        }
        let client = self.partitions.consumer().client();
        // What the brokers do not say is asked again.
        let may = may_read_topic(client, self.inbox.topic(), LOOK_FOR);
        *looked = Instant::now();
        if may == Ok(true) {
            self.unauthorized = None;
            self.inbox.set_unauthorized(false);
            self.calls.metrics().unauthorized.dec();
            tracing::info!("authorized again: the topic `{}` may be read", self.inbox.topic());
        }
    }

    /// Sends the replies of new calls to another partition, and reads the old one until its calls
    /// have ended.
    fn follow(&mut self, moved: Moved) {
        let Moved { partition, offset, .. } = moved;
        let Ok(Some(old)) = self.inbox.partition() else { return };
        if old == partition {
            return;
        }
        if !self.retiring.take_back(partition) {
            if let Err(error) = self.partitions.add(partition, offset) {
                self.partitions.observer().warn("cannot read the partition leased", &error);
                self.behind = Some(moved);
                return;
            }
            self.inbox.read_up_to([(partition, offset)]);
            self.reading.add(1);
        }
        self.inbox.direct_to(Some(partition));
        self.calls.metrics().lease_moves.inc();
        // The clock is read after the change: a call that begins later goes by the new partition.
        self.retiring.add(old, Instant::now());
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.unauthorized.is_some() {
            self.calls.metrics().unauthorized.dec();
        }
    }
}

impl Reading {
    fn add(&mut self, partitions: usize) {
        let partitions = i64::try_from(partitions).unwrap_or(i64::MAX);
        self.count += partitions;
        self.gauge.add(partitions);
    }

    fn remove_one(&mut self) {
        self.count -= 1;
        self.gauge.dec();
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.gauge.sub(self.count);
    }
}

fn is_about_topic(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

fn is_about_group(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

/// Keeps the offset behind a record, per partition; there are a few at most.
fn note(read: &mut Vec<(i32, i64)>, record: &BorrowedMessage<'_>) {
    let (partition, next) = (record.partition(), record.offset() + 1);
    match read.iter_mut().find(|(known, _)| *known == partition) {
        Some((_, known)) => *known = next,
        None => read.push((partition, next)),
    }
}
