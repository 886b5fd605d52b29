//! The waiting calls of one requester, and every way a call can end.

use std::sync::Arc;
use std::time::Instant;

use antiphon_common::metrics::RequesterMetrics;
use antiphon_common::{Code, CorrelationId, Deadline, InstanceId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;
use super::adaptive::AdaptiveLimit;
use super::alarm::Alarm;
use super::budget::{Budget, Exhausted};
use super::cancels::CancelRecords;
use super::moment::{Epoch, Moment};
use super::shards::Shards;
use super::sync::atomic::{AtomicBool, Ordering};
use super::waiting::{Answered, Cancel, Done, Ended, Other, Position, Waiting};
use crate::call::{CallErrorKind, Failure, Name};

/// The bit of a call's 62 that tells a ticket's request, whose reply nobody waits for here.
const TICKET: u64 = 1 << 61;

/// The calls of one instance.
///
/// Whoever takes an entry out of the table ends the call; since an entry leaves once, a call ends
/// once, whatever races.
#[derive(Debug)]
pub(crate) struct Calls {
    instance: InstanceId,
    table: Shards<Waiting>,
    pub(crate) budget: Budget,
    epoch: Epoch,
    alarm: Alarm,
    /// New calls are refused.
    closed: AtomicBool,
    /// All calls have ended: the threads end too.
    finished: AtomicBool,
    /// Cancelled when new calls are refused, for those who wait to make one.
    pub(crate) closing: CancellationToken,
    /// Told when a call ends after new ones are refused.
    drained: Notify,
    pub(crate) cancels: CancelRecords,
    pub(crate) accounts: Accounts,
}

impl Calls {
    pub(crate) fn new(
        budget: Budget,
        limit: Option<AdaptiveLimit>,
        metrics: RequesterMetrics,
    ) -> Arc<Self> {
        Self::of(InstanceId::random(), Epoch::now(), budget, limit, metrics)
    }

    /// The calls of this instance, since `epoch`.
    pub(crate) fn of(
        instance: InstanceId,
        epoch: Epoch,
        budget: Budget,
        limit: Option<AdaptiveLimit>,
        metrics: RequesterMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            instance,
            table: Shards::new(),
            budget,
            epoch,
            alarm: Alarm::new(epoch),
            closed: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            closing: CancellationToken::new(),
            drained: Notify::new(),
            cancels: CancelRecords::default(),
            accounts: Accounts::new(limit, metrics),
        })
    }

    pub(crate) fn metrics(&self) -> &RequesterMetrics {
        &self.accounts.metrics
    }

    pub(crate) fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The id of a call of this instance.
    pub(crate) fn id(&self, call: u64) -> CorrelationId {
        CorrelationId::new(self.instance, call)
    }

    /// Registers a call, before its request is produced: a reply cannot come too early. Gives
    /// `done` back if the call is refused.
    pub(crate) fn register(
        &self,
        now: Instant,
        deadline: Deadline,
        size: usize,
        cancel: Cancel,
        done: Done,
    ) -> Result<u64, (Failure, Done)> {
        let draw = || CorrelationId::random(self.instance).call();
        self.register_as(now, deadline, size, cancel, done, draw)
    }

    /// The same, with ids that `draw` makes.
    pub(crate) fn register_as(
        &self,
        now: Instant,
        deadline: Deadline,
        size: usize,
        cancel: Cancel,
        done: Done,
        mut draw: impl FnMut() -> u64,
    ) -> Result<u64, (Failure, Done)> {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        if let Err(exhausted) = self.budget.reserve(size as usize, self.accounts.limit()) {
            return Err((overloaded(exhausted), done));
        }
        let deadline = self.epoch.moment(deadline.instant());
        let mut waiting = Waiting { done, sent_at: self.epoch.moment(now), size, cancel };
        let ticket = if waiting.done.is_submitted() { TICKET } else { 0 };
        let call = loop {
            let call = draw() & !TICKET | ticket;
            match self.table.insert(call, deadline, waiting) {
                Ok(()) => break call,
                Err(refused) => waiting = refused,
            }
        };
        self.metrics().in_flight.inc();
        self.alarm.set(deadline);
        // Looked at after the entry is in the table: either this sees that the requester was
        // closed, or closing sees the entry.
        if self.closed.load(Ordering::SeqCst)
            && let Some(waiting) = self.take(call)
        {
            return Err((Failure::not_sent(CallErrorKind::Closed), waiting.done));
        }
        Ok(call)
    }

    /// The call that a reply is for; `None`, and counted, if none waits for it.
    pub(crate) fn answered(&self, call: u64) -> Option<Answered> {
        let answered = self.table.remove_unless(call, |waiting| match &waiting.done {
            Done::Future(_) => None,
            Done::Other(other) => match &**other {
                Other::Then(_) => None,
                Other::Replies(pieces) => Some(Some(pieces.clone())),
                // The reply of a ticket is found by its position; one that nobody waits for stays
                // where it is until the acknowledgement, which cannot be far.
                Other::Submitted(_) | Other::Cancelled(_) => Some(None),
            },
        });
        match answered {
            Some(Ok(waiting)) => Some(Answered::Once(waiting)),
            Some(Err(Some(pieces))) => Some(Answered::Several(pieces)),
            // Whoever holds a ticket looks for its reply when he likes. It may be here before the
            // acknowledgement of its request.
            Some(Err(None)) | None if call & TICKET != 0 => {
                self.metrics().ticket_replies.inc();
                None
            }
            Some(Err(None)) => None,
            None => {
                self.metrics().late_replies.inc();
                None
            }
        }
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Moment {
        self.epoch.moment(Instant::now())
    }

    /// Ends a call that was [`answered`](Self::answered).
    pub(crate) fn reply(&self, call: u64, waiting: Waiting, reply: Box<Ended>, now: Moment) {
        // Not before: of a batch of replies, those that are still to be told count as in flight.
        self.freed(&waiting);
        self.end(call, waiting, reply, now);
    }

    /// Ends a call whose replies nobody takes, and cancels it at its replier if that is wanted.
    pub(crate) fn overflow(&self, call: u64, max: usize, topic: &Name) {
        let Some(waiting) = self.take(call) else { return };
        if let Cancel::Behind(partition) = waiting.cancel {
            self.cancels.send(topic, partition, self.id(call));
        }
        let overflow = CallErrorKind::Overflow { max, missing: None };
        self.end(call, waiting, Box::new(Err(Failure::executed(overflow))), self.now());
    }

    /// Ends a call that took several replies, and has them; the last one may be an error.
    pub(crate) fn complete(&self, call: u64, good: bool) {
        if let Some(waiting) = self.take(call) {
            let error = (!good).then_some(Code::Unknown);
            self.accounts.answered(waiting.sent_at, error, self.budget.count(), self.now());
        }
    }

    /// Whether a call has not ended.
    pub(crate) fn is_waiting(&self, call: u64) -> bool {
        self.table.remove_unless(call, |_| Some(())).is_some()
    }

    /// Notes that a request is in its topic.
    pub(crate) fn acknowledged(&self, call: u64, position: Position) {
        let taken = self.table.remove_unless(call, |waiting| {
            waiting.cancel = match waiting.cancel {
                Cancel::Quiet => Cancel::Quiet,
                _ => Cancel::Behind(position.partition),
            };
            match &waiting.done {
                Done::Other(other) => match **other {
                    Other::Submitted(_) | Other::Cancelled(_) => None,
                    Other::Then(_) | Other::Replies(_) => Some(()),
                },
                Done::Future(_) => Some(()),
            }
        });
        let Some(Ok(waiting)) = taken else { return };
        self.freed(&waiting);
        if let Done::Other(other) = waiting.done {
            match *other {
                Other::Submitted(submitted) => drop(submitted.send(Ok(position))),
                Other::Cancelled(topic) => {
                    self.cancels.send(&topic, position.partition, self.id(call));
                }
                Other::Then(_) | Other::Replies(_) => {}
            }
        }
    }

    /// Ends a call whose request failed on its way out.
    pub(crate) fn fail(&self, call: u64, failure: impl FnOnce() -> Failure) {
        if let Some(waiting) = self.take(call) {
            self.end(call, waiting, Box::new(Err(failure())), self.now());
        }
    }

    /// Forgets a call whose caller has gone.
    pub(crate) fn cancel(&self, call: u64, topic: &Name) {
        let taken = self.table.remove_unless(call, |waiting| {
            let unacknowledged = waiting.cancel == Cancel::Unacknowledged;
            unacknowledged.then(|| {
                // Only a pointer is swapped under the lock; what it pointed to is dropped outside.
                let cancelled = Box::new(Other::Cancelled(topic.clone()));
                std::mem::replace(&mut waiting.done, Done::Other(cancelled))
            })
        });
        let Some(taken) = taken else { return };
        self.metrics().cancelled.inc();
        if let Ok(waiting) = taken {
            self.freed(&waiting);
            if let Cancel::Behind(partition) = waiting.cancel {
                self.cancels.send(topic, partition, self.id(call));
            }
        }
    }

    /// Takes a call back that was never sent; the caller reports it.
    pub(crate) fn withdraw(&self, call: u64) -> Option<Done> {
        Some(self.take(call)?.done)
    }

    /// Counts a call that failed before it was registered or was withdrawn.
    pub(crate) fn count_not_sent(&self) {
        self.metrics().not_sent.inc();
    }

    /// Ends calls as their deadlines pass, until [`Calls::close`].
    pub(crate) fn run_deadlines(&self) {
        self.alarm.run(|now| self.expire(now));
    }

    /// Refuses new calls.
    pub(crate) fn refuse(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.closing.cancel();
    }

    /// Refuses new calls, and ends all that wait.
    pub(crate) fn close(&self) {
        self.refuse();
        self.table.drain(|call, waiting| {
            self.freed(&waiting);
            let closed = Failure::unknown(CallErrorKind::Closed);
            self.end(call, waiting, Box::new(Err(closed)), self.now());
        });
        self.finished.store(true, Ordering::SeqCst);
        self.alarm.stop();
    }

    /// Whether [`Calls::close`] has run: nothing waits, and nothing will.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }

    /// The number of calls that wait.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns when no call waits any more, after [`Calls::refuse`].
    pub(crate) async fn drained(&self) {
        while self.len() > 0 {
            let drained = self.drained.notified();
            if self.len() > 0 {
                drained.await;
            }
        }
    }

    /// Whether a call waits that was begun at `instant` or before. It looks at all of them.
    pub(crate) fn any_since_before(&self, instant: Instant) -> bool {
        let moment = self.epoch.moment(instant);
        self.table.any(|waiting| waiting.sent_at <= moment)
    }

    /// Ends the calls whose deadlines have passed. Returns when to look again.
    fn expire(&self, now: Moment) -> Option<Moment> {
        self.table.expire(now, |call, waiting| {
            self.freed(&waiting);
            let timeout = Failure::unknown(CallErrorKind::Timeout);
            self.end(call, waiting, Box::new(Err(timeout)), now);
        })
    }

    /// Ends the calls whose deadlines have passed by `now`. Returns when to look again.
    #[cfg(feature = "simulation")]
    pub(crate) fn expire_at(&self, now: Instant) -> Option<Instant> {
        let next = self.expire(self.epoch.moment(now));
        next.map(|next| self.epoch.instant(next))
    }

    fn take(&self, call: u64) -> Option<Waiting> {
        let waiting = self.table.remove(call)?;
        self.freed(&waiting);
        Some(waiting)
    }

    fn freed(&self, waiting: &Waiting) {
        self.budget.release(waiting.size as usize);
        self.metrics().in_flight.dec();
        if self.closed.load(Ordering::SeqCst) && self.budget.count() == 0 {
            self.drained.notify_waiters();
        }
    }

    fn end(&self, call: u64, waiting: Waiting, ended: Box<Ended>, now: Moment) {
        if !waiting.is_cancelled() {
            self.accounts.ended(&waiting, &ended, self.budget.count(), now);
        }
        waiting.done.tell(Some(self.id(call)), ended);
    }
}

fn overloaded(exhausted: Exhausted) -> Failure {
    Failure::not_sent(CallErrorKind::Overloaded(match exhausted {
        Exhausted::Count(max) => format!("max_in_flight is {max} calls"),
        Exhausted::Bytes(max) => format!("max_in_flight_bytes is {max}"),
    }))
}

#[cfg(test)]
mod tests;
