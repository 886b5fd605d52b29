//! Makes a call as often as its plan says, and waits where it may.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use antiphon_common::backoff::random;
use antiphon_common::payloads::LargePayloads;
use antiphon_common::{Deadline, Outcome};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Hedge, RetryPolicy, Room};
use crate::call::{Call, CallError, CallErrorKind, Decode, Failure, Name, Prepared, Reply, Task};
use crate::claim_check;
use crate::routing::Inbox;
use crate::session::Session;
use crate::table::{Calls, Done, Ended};

/// How often a call may be made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) hedge: Option<Hedge>,
    /// Large payloads are kept in a store.
    pub(crate) large: Option<LargePayloads>,
}

/// One call, whatever the number of times that it is made.
struct Attempts {
    /// Not kept alive by it: the last handle's drop ends all calls.
    session: Weak<Session>,
    calls: Arc<Calls>,
    inbox: Arc<Inbox>,
    prepared: Prepared,
    plan: Plan,
    deadline: Deadline,
    made: AtomicU32,
}

impl Plan {
    /// The call is made once, and nothing is to be awaited before it or after it.
    pub(crate) fn is_plain(&self) -> bool {
        self.retry.is_none() && self.hedge.is_none() && self.large.is_none()
    }
}

impl Session {
    /// Makes a call in a task of its own.
    pub(crate) fn attempt(
        self: &Arc<Self>,
        prepared: Prepared,
        plan: Plan,
        started: Instant,
    ) -> (Task, oneshot::Receiver<Box<Ended>>) {
        let (done, ended) = oneshot::channel();
        let topic = prepared.topic.clone();
        let deadline = prepared.options.deadline_from(started);
        let attempts = Attempts {
            session: Arc::downgrade(self),
            calls: Arc::clone(&self.calls),
            inbox: Arc::clone(&self.inbox),
            prepared,
            plan,
            deadline,
            made: AtomicU32::new(0),
        };
        let task = self.tasks.spawn(async move {
            let ended = attempts.run().await;
            // The caller may have gone.
            let _ = done.send(Box::new(ended));
        });
        (Task { handle: task.abort_handle(), topic }, ended)
    }

    /// Asks a question that is kept.
    pub(crate) fn ask<T>(
        self: &Arc<Self>,
        prepared: Prepared,
        plan: Plan,
        decode: Decode<T>,
    ) -> Call<T> {
        let now = Instant::now();
        if !plan.is_plain() {
            let (task, ended) = self.attempt(prepared, plan, now);
            return Call::made_by(task, ended, now, decode);
        }
        let (done, ended) = oneshot::channel();
        let deadline = prepared.options.deadline_from(now);
        match self.send(&prepared.question(1), deadline, now, Done::Future(done)) {
            Ok(entry) => Call::waiting(ended, entry, now, decode),
            Err((failure, _)) if self.waits_for(&failure.kind) => {
                let (task, ended) = self.attempt(prepared, plan, now);
                Call::made_by(task, ended, now, decode)
            }
            Err((failure, _)) => self.refuse(failure, prepared.topic, now, decode),
        }
    }

    /// A call that was not sent, counted as such.
    pub(crate) fn refuse<T>(
        &self,
        failure: Failure,
        topic: Name,
        started: Instant,
        decode: Decode<T>,
    ) -> Call<T> {
        self.calls.count_not_sent();
        Call::refused(failure, topic, started, decode)
    }

    /// Whether a call that fails like this waits instead.
    pub(crate) fn waits_for(&self, kind: &CallErrorKind) -> bool {
        match kind {
            CallErrorKind::Overloaded(_) => self.settings.waits_when_full(),
            CallErrorKind::NotPositioned => true,
            _ => false,
        }
    }

    /// Whether any call of this requester may have to wait before it is sent.
    pub(crate) fn may_wait(&self) -> bool {
        self.settings.waits_when_full() || self.inbox.partition().is_err()
    }
}

impl Attempts {
    async fn run(mut self) -> Ended {
        if let Some(large) = &self.plan.large {
            let kept = claim_check::check_in(large, &mut self.prepared, self.deadline).await;
            kept.inspect_err(|_| self.calls.count_not_sent())?;
        }
        let reply = self.all().await?;
        claim_check::redeem(self.plan.large.as_ref(), reply, self.deadline).await
    }

    async fn all(&self) -> Ended {
        if let Some(session) = self.session.upgrade() {
            session.retries.deposit(Instant::now());
        }
        let mut surest = Outcome::NotSent;
        let mut tries = 0;
        let mut before: Option<Failure> = None;
        loop {
            let mut failure = match self.hedged().await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            // The wait may have taken longer than it was meant to. What the last attempt came to
            // says more than that there was no time for this one.
            if is_too_late(&failure)
                && let Some(before) = before
            {
                return Err(before);
            }
            tries += 1;
            let retry = self.back_off(tries, &failure);
            // What an earlier attempt may have done is not undone by a later one.
            surest = surest.max(failure.outcome);
            failure.outcome = surest;
            match retry {
                Some(delay) => tokio::select! {
                    () = sleep(delay) => {}
                    // No attempt follows any more, so it ends with the last one.
                    () = self.calls.closing.cancelled() => return Err(failure),
                },
                None => return Err(failure),
            }
            before = Some(failure);
        }
    }

    fn back_off(&self, tries: u32, failure: &Failure) -> Option<std::time::Duration> {
        let policy = self.plan.retry.as_ref()?;
        if !may_pass(&failure.kind) {
            return None;
        }
        let code = match &failure.kind {
            CallErrorKind::Status(status) => Some(status.code()),
            _ => None,
        };
        let delay = policy.next(
            tries,
            failure.outcome,
            self.prepared.options.idempotent,
            code,
            self.deadline.remaining(),
            random(),
        )?;
        let session = self.session.upgrade()?;
        session.retries.withdraw(Instant::now()).then_some(delay)
    }

    /// Makes the call, and makes it again beside the first if that takes long.
    async fn hedged(&self) -> Ended {
        let Some(hedge) = self.plan.hedge else { return self.once().await };
        let mut running = FuturesUnordered::new();
        running.push(self.once());
        let mut left = hedge.max;
        let mut surest = Outcome::NotSent;
        let mut slow = Box::pin(sleep(hedge.after));
        loop {
            tokio::select! {
                Some(ended) = running.next() => match ended {
                    Ok(reply) => return Ok(reply),
                    Err(mut failure) => {
                        surest = surest.max(failure.outcome);
                        if running.is_empty() {
                            failure.outcome = surest;
                            return Err(failure);
                        }
                    }
                },
                () = &mut slow, if left > 0 => {
                    left -= 1;
                    slow.as_mut().reset((Instant::now() + hedge.after).into());
                    let session = self.session.upgrade();
                    if session.is_some_and(|session| session.retries.withdraw(Instant::now())) {
                        running.push(self.once());
                    }
                }
            }
        }
    }

    async fn once(&self) -> Ended {
        let attempt = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        if attempt > 1 {
            self.calls.metrics().attempts.inc();
        }
        let room = Room { calls: &self.calls, inbox: &self.inbox, deadline: self.deadline };
        let sent = room.wait(|failure| self.waits_for(&failure.kind), || self.send(attempt)).await;
        let call = sent.inspect_err(|_| self.calls.count_not_sent())?;
        call.await.map_err(CallError::into_failure)
    }

    fn send(&self, attempt: u32) -> Result<Call<Reply>, Failure> {
        let Some(session) = self.session.upgrade() else {
            return Err(Failure::not_sent(CallErrorKind::Closed));
        };
        let now = Instant::now();
        let (done, ended) = oneshot::channel();
        let question = self.prepared.question(attempt);
        match session.send(&question, self.deadline, now, Done::Future(done)) {
            Ok(entry) => Ok(Call::waiting(ended, entry, now, Ok)),
            Err((failure, _)) => Err(failure),
        }
    }

    fn waits_for(&self, kind: &CallErrorKind) -> bool {
        match self.session.upgrade() {
            Some(session) => session.waits_for(kind),
            // Whoever would have waited hears at once that the requester is gone.
            None => matches!(kind, CallErrorKind::Overloaded(_) | CallErrorKind::NotPositioned),
        }
    }
}

/// Whether an attempt was not begun since the deadline had passed.
fn is_too_late(failure: &Failure) -> bool {
    matches!(failure.kind, CallErrorKind::Timeout) && failure.outcome == Outcome::NotSent
}

/// Whether trying again may help, if it is allowed.
pub(crate) fn may_pass(kind: &CallErrorKind) -> bool {
    matches!(
        kind,
        CallErrorKind::Status(_)
            | CallErrorKind::Produce(_)
            | CallErrorKind::Overloaded(_)
            | CallErrorKind::NotPositioned
    )
}
