//! The waiting calls of one requester, and every way a call can end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use antiphon_common::metrics::RequesterMetrics;
use antiphon_common::{CorrelationId, Deadline, InstanceId, Outcome};
use tokio::sync::oneshot;

use super::alarm::Alarm;
use super::budget::{Budget, Exhausted};
use super::shards::Shards;
use crate::call::Reply;
use crate::call::{CallErrorKind, Failure};

pub(crate) type Ended = Result<Reply, Failure>;

/// What is kept of a call while it waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    done: oneshot::Sender<Ended>,
    sent_at: Instant,
    size: usize,
}

/// The calls of one instance.
///
/// Whoever takes an entry out of the table ends the call; since an entry leaves once, a call ends
/// once, whatever races.
#[derive(Debug)]
pub(crate) struct Calls {
    instance: InstanceId,
    table: Shards<Waiting>,
    budget: Budget,
    alarm: Alarm,
    /// New calls are refused.
    closed: AtomicBool,
    /// All calls have ended: the threads end too.
    finished: AtomicBool,
    metrics: RequesterMetrics,
}

impl Calls {
    pub(crate) fn new(budget: Budget, metrics: RequesterMetrics) -> Arc<Self> {
        Arc::new(Self {
            instance: InstanceId::random(),
            table: Shards::new(),
            budget,
            alarm: Alarm::new(),
            closed: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            metrics,
        })
    }

    pub(crate) fn instance(&self) -> InstanceId {
        self.instance
    }

    pub(crate) fn metrics(&self) -> &RequesterMetrics {
        &self.metrics
    }

    /// Registers a call, before its request is produced: a reply cannot come too early.
    pub(crate) fn register(
        &self,
        now: Instant,
        deadline: Deadline,
        size: usize,
    ) -> Result<(CorrelationId, oneshot::Receiver<Ended>), Failure> {
        self.budget.reserve(size).map_err(overloaded)?;
        let (done, ended) = oneshot::channel();
        let mut waiting = Waiting { done, sent_at: now, size };
        let id = loop {
            let id = CorrelationId::random(self.instance);
            match self.table.insert(id.call(), deadline.instant(), waiting) {
                Ok(()) => break id,
                Err(refused) => waiting = refused,
            }
        };
        self.metrics.in_flight.inc();
        self.alarm.set(deadline.instant());
        // Looked at after the entry is in the table: either this sees that the requester was
        // closed, or closing sees the entry.
        if self.closed.load(Ordering::SeqCst) && self.take(id.call()).is_some() {
            return Err(Failure::not_sent(CallErrorKind::Closed));
        }
        Ok((id, ended))
    }

    /// Takes out the call that a reply is for; `None`, and counted, if none waits for it.
    pub(crate) fn answered(&self, call: u64) -> Option<Waiting> {
        let waiting = self.take(call);
        if waiting.is_none() {
            self.metrics.late_replies.inc();
        }
        waiting
    }

    /// Ends a call that was [`answered`](Self::answered).
    pub(crate) fn reply(&self, waiting: Waiting, reply: Ended) {
        self.metrics.round_trip.observe(waiting.sent_at.elapsed().as_secs_f64());
        self.end(waiting, reply);
    }

    /// Ends a call whose request failed on its way out.
    pub(crate) fn fail(&self, call: u64, failure: impl FnOnce() -> Failure) {
        if let Some(waiting) = self.take(call) {
            self.end(waiting, Err(failure()));
        }
    }

    /// Forgets a call whose caller has gone.
    pub(crate) fn cancel(&self, call: u64) {
        if self.take(call).is_some() {
            self.metrics.cancelled.inc();
        }
    }

    /// Takes a call back that was never sent; the caller reports it.
    pub(crate) fn withdraw(&self, call: u64) {
        self.take(call);
    }

    /// Counts a call that failed before it was registered or was withdrawn.
    pub(crate) fn count_not_sent(&self) {
        self.metrics.not_sent.inc();
    }

    /// Ends calls as their deadlines pass, until [`Calls::close`].
    pub(crate) fn run_deadlines(&self) {
        self.alarm.run(|now| {
            self.table.expire(now, |_, waiting| {
                self.freed(&waiting);
                self.end(waiting, Err(Failure::unknown(CallErrorKind::Timeout)));
            })
        });
    }

    /// Refuses new calls.
    pub(crate) fn refuse(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Refuses new calls, and ends all that wait.
    pub(crate) fn close(&self) {
        self.refuse();
        self.table.drain(|_, waiting| {
            self.freed(&waiting);
            self.end(waiting, Err(Failure::unknown(CallErrorKind::Closed)));
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

    fn take(&self, call: u64) -> Option<Waiting> {
        let waiting = self.table.remove(call)?;
        self.freed(&waiting);
        Some(waiting)
    }

    fn freed(&self, waiting: &Waiting) {
        self.budget.release(waiting.size);
        self.metrics.in_flight.dec();
    }

    fn end(&self, waiting: Waiting, ended: Ended) {
        match &ended {
            Ok(_) => &self.metrics.replies,
            Err(Failure { kind: CallErrorKind::Status(_), .. }) => &self.metrics.error_replies,
            Err(Failure { kind: CallErrorKind::Timeout, .. }) => &self.metrics.timeouts,
            Err(Failure { outcome: Outcome::NotSent, .. }) => &self.metrics.not_sent,
            Err(_) => &self.metrics.unknown,
        }
        .inc();
        // A caller that has just gone does not mind.
        let _ = waiting.done.send(ended);
    }
}

fn overloaded(exhausted: Exhausted) -> Failure {
    Failure::not_sent(CallErrorKind::Overloaded(match exhausted {
        Exhausted::Count(max) => format!("max_in_flight is {max} calls"),
        Exhausted::Bytes(max) => format!("max_in_flight_bytes is {max}"),
    }))
}
