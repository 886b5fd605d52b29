//! The thread that commits: what it does when, and what follows from how a transaction ended.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_common::InstanceId;
use antiphon_common::metrics::ReplierMetrics;
use rdkafka::consumer::Consumer as _;

use super::destinations::Destinations;
use super::offsets::Sent;
use super::producer::{Fault, Refused, Terms, TransactionalProducer};
use super::queue::Message;
use super::verdict::Verdict;
use crate::intake::member::{self, Consumer, Current};
use crate::sending::outgoing::Outgoing;

/// How long the thread sleeps when it has nothing to do. Offsets of requests that need no reply
/// are committed that late.
const IDLE: Duration = Duration::from_millis(100);
/// The longest it sleeps before it looks whether it is told to end.
const NAP: Duration = Duration::from_millis(50);
/// How long it waits after a transaction that failed, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long one question for committed offsets may take.
const ASK_FOR: Duration = Duration::from_secs(5);

/// Everything that the thread owns.
pub(super) struct Worker {
    pub(super) terms: Terms,
    pub(super) consumer: Arc<Consumer>,
    /// Where another is found when that one is of no more use.
    member: Current,
    pub(super) metrics: ReplierMetrics,
    interval: Duration,
    queue: Receiver<Message>,
    producer: Option<TransactionalProducer>,
    /// How many producers there were.
    made: u64,
    pub(super) destinations: Destinations,
    /// Requests that are not committed yet, oldest first.
    pub(super) batch: Vec<Outgoing>,
    /// Requests that wait, and until when, since a record of theirs was refused.
    pub(super) aside: Vec<(Instant, Outgoing)>,
    /// The most requests of the next transaction. Halved to find the one that is at fault.
    pub(super) most: usize,
    /// A transaction of so many requests that may have been committed.
    doubt: Option<(Sent, usize)>,
    /// The stamp of transactions: unique to this thread, and a number.
    stamp: (InstanceId, u64),
    /// When the next transaction may begin.
    not_before: Instant,
    back_off: Duration,
    /// When to end.
    end_by: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        terms: Terms,
        member: Current,
        metrics: ReplierMetrics,
        interval: Duration,
        queue: Receiver<Message>,
    ) -> Self {
        Self {
            terms,
            consumer: member.get(),
            member,
            metrics,
            interval,
            queue,
            producer: None,
            made: 0,
            destinations: Destinations::default(),
            batch: Vec::new(),
            aside: Vec::new(),
            most: usize::MAX,
            doubt: None,
            stamp: (InstanceId::random(), 0),
            not_before: Instant::now(),
            back_off: BACK_OFF.0,
            end_by: None,
        }
    }

    /// Commits until it is told to end and all is done, or its time is over.
    pub(super) fn run(&mut self) {
        // The first producer is made before there is anything to send.
        self.step();
        loop {
            self.collect();
            let has_work = self.has_work();
            if let Some(end_by) = self.end_by
                && (!has_work || Instant::now() >= end_by)
            {
                break;
            }
            if has_work && Instant::now() >= self.not_before {
                self.step();
            }
        }
        if let Some(producer) = self.producer.take() {
            producer.close();
        }
    }

    fn has_work(&self) -> bool {
        let waits = !self.batch.is_empty() || !self.aside.is_empty() || self.doubt.is_some();
        waits || !self.consumer.context().behind().is_empty()
    }

    /// Takes what is in the queue. Waits for it only if there is nothing to do.
    fn collect(&mut self) {
        let left = self.not_before.saturating_duration_since(Instant::now());
        let first = if self.has_work() {
            // Meanwhile requests gather, and nobody is woken for each.
            thread::sleep(left.min(NAP));
            None
        } else {
            match self.queue.recv_timeout(IDLE) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Message::End(Instant::now())),
            }
        };
        for message in first.into_iter().chain(self.queue.try_iter()) {
            match message {
                Message::Send(outgoing) => self.batch.push(*outgoing),
                Message::End(by) => self.end_by = Some(self.end_by.map_or(by, |old| old.min(by))),
            }
        }
        if let Some(producer) = &mut self.producer {
            producer.tend();
        }
    }

    /// Takes over the consumer that is the member now. What was taken in under another is released.
    fn follow(&mut self) {
        let now = self.member.get();
        if !Arc::ptr_eq(&now, &self.consumer) {
            member::close(std::mem::replace(&mut self.consumer, now));
        }
    }

    /// Does the next thing that is to be done.
    fn step(&mut self) {
        self.follow();
        let begun = Instant::now();
        let by = self.by();
        let done = self.ready(by).and_then(|()| self.resolve());
        let done = done.and_then(|()| self.transact(by));
        match done {
            Ok(()) => {
                self.back_off = BACK_OFF.0;
                // Not from its end on: what gathered while it was under way has waited enough.
                self.not_before = begun + self.interval;
            }
            Err(fault) => {
                self.terms.observer.warn("a transaction failed", &fault.text);
                self.not_before = Instant::now() + self.back_off;
                self.back_off = (self.back_off * 2).min(BACK_OFF.1);
            }
        }
    }

    /// Until when a step may take.
    fn by(&self) -> Instant {
        let by = Instant::now() + self.terms.patience;
        self.end_by.map_or(by, |end_by| end_by.min(by))
    }

    /// Makes a producer if there is none. That ends whatever an earlier one left: the coordinator
    /// answers only when the last transaction of this id is committed or aborted everywhere.
    fn ready(&mut self, by: Instant) -> Result<(), Fault> {
        if self.producer.is_none() {
            self.producer = Some(self.terms.make(by)?);
            self.made += 1;
            if self.made > 1 {
                self.metrics.transactions("rebuilt").inc();
            }
        }
        Ok(())
    }

    /// Finds out whether the transaction in doubt was committed. A new producer was made since, so
    /// the answer cannot change any more; and what the group has committed is told only when no
    /// transaction that would change it is open (the consumer reads committed).
    ///
    /// So there is exactly one committed reply: if it was committed, the requests are complete, and
    /// if not, none of its replies can be seen, and they are sent again.
    fn resolve(&mut self) -> Result<(), Fault> {
        let Some((sent, count)) = &self.doubt else { return Ok(()) };
        let questions = sent.questions();
        let committed = if questions.count() == 0 {
            // Others have the partitions, and go on from what was committed, whatever it is.
            false
        } else {
            let found = self.consumer.committed_offsets(questions, ASK_FOR);
            let found = found.map_err(|error| Fault::of_question(&error))?;
            sent.were_committed(&found).ok_or_else(Fault::no_answer)?
        };
        let count = *count;
        let Some((sent, _)) = self.doubt.take() else { return Ok(()) };
        if committed {
            self.committed(&sent, count);
        } else {
            self.metrics.transactions("aborted").inc();
        }
        Ok(())
    }

    /// One transaction, from its begin to its end.
    fn transact(&mut self, by: Instant) -> Result<(), Fault> {
        // The order counts. A partition that is still held after the membership was read was held
        // by that membership or a later one. If it goes to another member, the group is of a later
        // generation, and does not take offsets of this one: the commit is refused, whenever that
        // happens between here and there. (While an assignment is lost, the membership may be the
        // empty one, which no generation would fence.)
        let Some(group) = self.consumer.group_metadata() else { return Ok(()) };
        if self.consumer.assignment_lost() {
            return Ok(());
        }
        self.retain_held();
        self.take_back();
        let Some(producer) = self.producer.take() else { return Ok(()) };
        let count = self.check_destinations(&producer).min(self.most);
        let (unique, number) = &mut self.stamp;
        *number += 1;
        let stamp = format!("{:015x}-{number}", unique.bits());
        let mut count = count;
        let behind = self.consumer.context().behind();
        let mut sent = Sent::of(&self.batch[..count], behind.clone(), stamp.clone());
        if !sent.is_whole() {
            // What the offsets cannot say is complete would be answered again after a crash. It
            // waits for the next transaction, when there may be fewer gaps below it.
            let mut rest = self.batch.split_off(count);
            let (covered, above) = std::mem::take(&mut self.batch)
                .into_iter()
                .partition::<Vec<_>, _>(|outgoing| sent.covers(outgoing));
            self.batch = covered;
            count = self.batch.len();
            self.batch.extend(above);
            self.batch.append(&mut rest);
            sent = Sent::of(&self.batch[..count], behind, stamp);
        }
        if sent.is_empty() && count == 0 {
            self.producer = Some(producer);
            return Ok(());
        }
        let mut refused = Vec::new();
        let ended = (|| {
            producer.begin()?;
            for (index, outgoing) in self.batch[..count].iter().enumerate() {
                for (record, is_reply) in outgoing.records() {
                    producer.produce(index, is_reply, record);
                }
            }
            let delivered = producer.deliver(by);
            refused = producer.take_refused();
            delivered?;
            let list = sent.list().map_err(|error| Fault::of_question(&error))?;
            // Even if records were refused: the answer names the cause where the reports do not.
            producer.send_offsets(&list, &group, by)?;
            match refused.first() {
                Some(first) => Err(Fault::refused(first.code)),
                None => producer.commit(by),
            }
        })();
        match ended {
            Ok(()) => {
                self.producer = Some(producer);
                self.committed(&sent, count);
                Ok(())
            }
            Err(fault) => self.failed(fault, producer, sent, &refused, count, by),
        }
    }

    /// The first so many requests are done, and so are their offsets.
    fn committed(&mut self, sent: &Sent, count: usize) {
        self.metrics.transactions("committed").inc();
        for outgoing in self.batch.drain(..count) {
            outgoing.duty.complete();
        }
        sent.committed();
        self.most = self.most.saturating_mul(2);
    }

    /// Ends a transaction that failed, so that the next one may begin. An error is returned if that
    /// should wait.
    fn failed(
        &mut self,
        fault: Fault,
        producer: TransactionalProducer,
        sent: Sent,
        refused: &[Refused],
        count: usize,
        by: Instant,
    ) -> Result<(), Fault> {
        match fault.verdict {
            Verdict::Abort | Verdict::Resume => {
                self.metrics.transactions("aborted").inc();
                // At the end of the drain too, an open transaction would be in the way of others.
                match producer.abort(by.max(Instant::now() + NAP)) {
                    Ok(()) => self.producer = Some(producer),
                    Err(fault) => {
                        self.terms.observer.warn("a producer is made anew", &fault.text);
                        producer.close();
                    }
                }
            }
            Verdict::Rebuild => {
                self.metrics.transactions("aborted").inc();
                producer.close();
            }
            Verdict::InDoubt => {
                producer.close();
                self.doubt = Some((sent, count));
                return Err(fault);
            }
        }
        if self.blame(&fault, refused, count) { Ok(()) } else { Err(fault) }
    }
}
