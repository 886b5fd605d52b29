//! One call, put together step by step and then sent.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_common::Deadline;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::ask::Ask;
use super::ending::Ending;
use super::error::{CallError, CallErrorKind, Failure};
use super::name::Name;
use super::options::{Options, Prepared, Question};
use super::pending::{Call, Decode, Entry};
use super::produce::Refused;
use crate::attempts::{Hedge, Plan, RetryPolicy};
use crate::session::Session;
use crate::table::Done;

/// A scratch buffer larger than this is not kept.
const KEPT_SCRATCH: usize = 64 * 1024;

/// A call that is not sent yet. Awaiting it sends it.
#[must_use = "a call is sent by `.await` or `.send()`"]
#[derive(Debug)]
pub struct CallBuilder<'r, A> {
    pub(crate) session: &'r Arc<Session>,
    ask: A,
    options: Options,
    plan: Plan,
    pub(crate) cancel_on: Option<CancellationToken>,
    pub(crate) note: Bytes,
}

impl<'r, A: Ask> CallBuilder<'r, A> {
    pub(crate) fn new(session: &'r Arc<Session>, ask: A) -> Self {
        let settings = &session.settings;
        let options = Options::new(settings.timeout(), settings.cancel_requests);
        let plan = Plan { large: session.large.clone(), ..Plan::default() };
        Self { session, ask, options, plan, cancel_on: None, note: Bytes::new() }
    }

    /// Sends the request to another topic than its type names: to one for urgent requests, say.
    pub fn topic(mut self, topic: impl Into<Name>) -> Self {
        self.options.topic = Some(topic.into());
        self
    }

    /// Sets the record's key, which chooses the partition of the request topic.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.options.key = Some(key.into());
        self
    }

    /// Names the partition of the request topic.
    pub fn partition(mut self, partition: i32) -> Self {
        self.options.partition = Some(partition);
        self
    }

    /// Adds a header of the application's own.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.options.headers.push(name.into(), value);
        self
    }

    /// Sets how long the call may take, at most 24 hours. Inside a handler it is also bounded by
    /// what is left of the deadline of the request that is being handled.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets the instant by which the call ends, at most 24 hours from now; it wins over a
    /// time-out.
    pub fn deadline(mut self, deadline: Deadline) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// Gives the request a key that is the same over all of its attempts, by which a replier knows
    /// a request that it has seen. It also declares the request [idempotent](Self::idempotent).
    ///
    /// A replier that keeps replies knows those of one partition only. So the idempotency key is the
    /// record's key too, and picks the partition, if the call names neither a [key](Self::key) nor a
    /// [partition](Self::partition).
    pub fn idempotency_key(mut self, key: impl Into<Bytes>) -> Self {
        self.options.idempotency_key = Some(key.into());
        self.idempotent()
    }

    /// Declares that running the request twice is as good as once, so that a retry or a hedge may
    /// send it again when it is not known whether it was executed.
    pub fn idempotent(mut self) -> Self {
        self.options.idempotent = true;
        self
    }

    /// Makes the call again when it fails and may be made again, within its deadline.
    ///
    /// A request that was not sent may always be; one that may have been executed only if it is
    /// declared [idempotent](Self::idempotent).
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.plan.retry = Some(policy);
        self
    }

    /// Makes the call once more if no reply has come after a delay, and takes the first reply. The
    /// request must be declared [idempotent](Self::idempotent), or the call is refused.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.plan.hedge = Some(hedge);
        self
    }

    /// Whether dropping the call cancels it at its replier too, by a record that follows the
    /// request in its partition. The default is the setting `cancel_requests`.
    ///
    /// Only for topics whose repliers know of it, as Antiphon's do: to others a cancel record
    /// looks like a request with no payload.
    pub fn cancellable(mut self, cancellable: bool) -> Self {
        self.options.cancellable = cancellable;
        self
    }

    /// Ends the call, as [`CallErrorKind::Cancelled`], when the token is cancelled.
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.cancel_on = Some(token);
        self
    }

    /// What is kept with the request in the [store](crate::RequesterBuilder::store), when it is
    /// submitted: what was asked, and for whom. At most 64 KiB.
    pub fn note(mut self, note: impl Into<Bytes>) -> Self {
        self.note = note.into();
        self
    }

    /// Sends the request, and returns the future of its answer.
    ///
    /// It never blocks, and never fails by itself: a call that cannot be sent is a future that is
    /// ready with the error.
    pub fn send(self) -> Call<A::Answer> {
        self.send_as(A::decode)
    }

    /// Calls `then` with the answer, on a thread where it may block; no other call is held up by
    /// it, and a panic in it hurts nobody. The threads are those of the runtime for blocking work,
    /// 512 unless the runtime says otherwise: while that many callbacks block, further ones wait.
    ///
    /// It is called once, also when the call could not be sent. There is nothing to drop: the call
    /// ends by its deadline.
    ///
    /// ```no_run
    /// # fn example(requester: antiphon_requester::Requester) {
    /// use antiphon_requester::RawRequest;
    ///
    /// requester.ask(RawRequest::new("quotes", "ACME")).on_reply(|answer| match answer {
    ///     Ok(reply) => println!("{:?}", reply.payload),
    ///     Err(error) => println!("{error}"),
    /// });
    /// # }
    /// ```
    pub fn on_reply(self, then: impl FnOnce(Result<A::Answer, CallError>) + Send + 'static) {
        let tasks = self.session.tasks.handle().clone();
        self.then(move |ending| {
            drop(tasks.spawn_blocking(move || then(ending.decode(A::decode))));
        });
    }

    /// Calls `then` on the thread that ends the call.
    pub(crate) fn then(mut self, then: impl FnOnce(Ending) + Send + 'static) {
        let started = Instant::now();
        let topic = self.topic_of();
        if !self.plan.is_plain() || self.cancel_on.is_some() || self.session.may_wait() {
            let tasks = self.session.tasks.handle().clone();
            let call = self.send_as(Ok);
            drop(tasks.spawn(async move {
                let ended = call.await.map_err(CallError::into_failure);
                let id = ended.as_ref().err().and_then(|failure| failure.id.as_deref().copied());
                then(Ending { ended, topic, id, started });
            }));
            return;
        }
        // A detached call is not cancelled by a drop, so that needs no preparation.
        self.options.cancellable = false;
        let done = Done::then(move |id, ended| then(Ending { ended, topic, id, started }));
        match self.try_send(started, done) {
            Ok(entry) => drop(entry.release()),
            Err((failure, done)) => {
                self.session.calls.count_not_sent();
                done.tell(None, Box::new(Err(failure)));
            }
        }
    }

    fn send_as<T>(mut self, decode: Decode<T>) -> Call<T> {
        let started = Instant::now();
        let cancel_on = self.cancel_on.take();
        if cancel_on.as_ref().is_some_and(CancellationToken::is_cancelled) {
            let cancelled = Failure::not_sent(CallErrorKind::Cancelled);
            return self.session.refuse(cancelled, self.topic_of(), started, decode);
        }
        let call = if self.plan.is_plain() {
            self.once(started, decode)
        } else {
            self.planned(started, decode)
        };
        call.cancelled_by(cancel_on)
    }

    fn once<T>(self, started: Instant, decode: Decode<T>) -> Call<T> {
        let (done, ended) = oneshot::channel();
        match self.try_send(started, Done::Future(done)) {
            Ok(entry) => Call::waiting(ended, entry, started, decode),
            Err((failure, _)) if self.session.waits_for(&failure.kind) => {
                self.planned(started, decode)
            }
            Err((failure, _)) => self.session.refuse(failure, self.topic_of(), started, decode),
        }
    }

    fn planned<T>(self, started: Instant, decode: Decode<T>) -> Call<T> {
        let (session, topic) = (self.session, self.topic_of());
        match self.prepare_plan() {
            Ok((prepared, plan)) => {
                let (task, ended) = session.attempt(prepared, plan, started);
                Call::made_by(task, ended, started, decode)
            }
            Err(failure) => session.refuse(failure, topic, started, decode),
        }
    }

    /// Encodes into a buffer that the thread keeps, and sends.
    pub(crate) fn try_send(&self, now: Instant, done: Done) -> Result<Entry, Refused> {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        // Taken out, not borrowed: encoding runs the application's code, which may call again.
        let mut scratch = SCRATCH.take();
        scratch.clear();
        let sent = match self.ask.payload(&mut scratch) {
            Ok(payload) => {
                let (topic, options) = (self.topic_of(), &self.options);
                let (endpoint, content_type) = (self.ask.endpoint(), self.ask.content_type());
                let question = Question {
                    topic: &topic,
                    endpoint: endpoint.as_ref(),
                    content_type: content_type.as_ref(),
                    payload,
                    claim: None,
                    attempt: 1,
                    options,
                };
                self.session.send(&question, options.deadline_from(now), now, done)
            }
            Err(error) => Err((Failure::not_sent(CallErrorKind::Encode(error)), done)),
        };
        if scratch.capacity() <= KEPT_SCRATCH {
            SCRATCH.set(scratch);
        }
        sent
    }

    /// The question in a form that can be kept, and how often it may be asked.
    pub(crate) fn prepare_plan(mut self) -> Result<(Prepared, Plan), Failure> {
        let plan = std::mem::take(&mut self.plan);
        if plan.hedge.is_some() && !self.options.idempotent {
            let what = "only a request that is declared idempotent may be hedged; call \
                        `.idempotent()` or `.idempotency_key(…)`, or leave out `.hedge(…)`";
            return Err(Failure::not_sent(CallErrorKind::Invalid(what.to_owned())));
        }
        Ok((self.prepare()?, plan))
    }

    /// The question in a form that can be kept.
    pub(crate) fn prepare(self) -> Result<Prepared, Failure> {
        let topic = self.topic_of();
        let (endpoint, content_type) = (self.ask.endpoint(), self.ask.content_type());
        let payload = self
            .ask
            .into_payload()
            .map_err(|error| Failure::not_sent(CallErrorKind::Encode(error)))?;
        Ok(Prepared { topic, endpoint, content_type, payload, claim: None, options: self.options })
    }

    pub(crate) fn deadline_from(&self, now: Instant) -> Deadline {
        self.options.deadline_from(now)
    }

    pub(crate) fn topic_of(&self) -> Name {
        self.options.topic.clone().unwrap_or_else(|| self.ask.topic())
    }
}

impl<A: Ask> IntoFuture for CallBuilder<'_, A> {
    type Output = Result<A::Answer, CallError>;
    type IntoFuture = Call<A::Answer>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}
