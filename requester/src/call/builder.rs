//! One call, put together step by step and then sent.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use antiphon_common::Deadline;
use antiphon_common::wire::{Caps, Headers, RequestHeadersOut};
use bytes::Bytes;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::BaseRecord;

use super::error::{CallErrorKind, Failure};
use super::pending::{Call, CancelGuard};
use crate::call::Ask;
use crate::session::Session;

/// A scratch buffer larger than this is not kept.
const KEPT_SCRATCH: usize = 64 * 1024;

/// A call that is not sent yet. Awaiting it sends it.
#[must_use = "a call is sent by `.await` or `.send()`"]
#[derive(Debug)]
pub struct CallBuilder<'r, A> {
    session: &'r Session,
    ask: A,
    key: Option<Bytes>,
    partition: Option<i32>,
    headers: Headers,
    timeout: Duration,
    deadline: Option<Deadline>,
}

impl<'r, A: Ask> CallBuilder<'r, A> {
    pub(crate) fn new(session: &'r Session, ask: A) -> Self {
        Self {
            session,
            ask,
            key: None,
            partition: None,
            headers: Headers::new(),
            timeout: session.settings.timeout(),
            deadline: None,
        }
    }

    /// Sets the record's key, which chooses the partition of the request topic.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Names the partition of the request topic.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Adds a header of the application's own.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(name.into(), value);
        self
    }

    /// Sets how long the call may take, at most 24 hours.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the instant by which the call ends, at most 24 hours from now; it wins over a
    /// time-out.
    pub fn deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sends the request, and returns the future of its answer.
    ///
    /// It never blocks, and never fails by itself: a call that cannot be sent is a future that is
    /// ready with the error.
    pub fn send(self) -> Call<A::Answer> {
        let started = Instant::now();
        let topic = self.ask.topic();
        match self.try_send(started) {
            Ok((ended, guard)) => Call::waiting(ended, guard, topic, started, A::decode),
            Err(failure) => {
                self.session.calls.count_not_sent();
                Call::refused(failure, topic, started, A::decode)
            }
        }
    }

    fn try_send(&self, now: Instant) -> Result<Sent, Failure> {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        // Taken out, not borrowed: encoding runs the application's code, which may call again.
        let mut scratch = SCRATCH.take();
        scratch.clear();
        let sent = self.check().and_then(|()| match self.ask.payload(&mut scratch) {
            Ok(payload) => self.produce(payload, now),
            Err(error) => Err(Failure::not_sent(CallErrorKind::Encode(error))),
        });
        if scratch.capacity() <= KEPT_SCRATCH {
            SCRATCH.set(scratch);
        }
        sent
    }

    fn check(&self) -> Result<(), Failure> {
        let invalid = |what: String| Err(Failure::not_sent(CallErrorKind::Invalid(what)));
        let caps = Caps::default();
        if let Some(name) = self.headers.reserved() {
            return invalid(format!("the header `{name}` is the protocol's own; use another name"));
        }
        // The protocol's own headers take up to 8 and some hundred bytes of what a replier reads.
        if self.headers.len() > caps.count / 2 || self.headers.size() > caps.bytes / 2 {
            return invalid(format!(
                "the headers have {} entries and {} bytes; at most {} and {} are sent",
                self.headers.len(),
                self.headers.size(),
                caps.count / 2,
                caps.bytes / 2
            ));
        }
        if let Some(partition) = self.partition.filter(|partition| *partition < 0) {
            return invalid(format!("the partition {partition} is negative; give 0 or more"));
        }
        Ok(())
    }

    fn produce(&self, payload: &[u8], now: Instant) -> Result<Sent, Failure> {
        let session = self.session;
        let max = session.settings.max_request_bytes;
        if payload.len() > max {
            return Err(Failure::not_sent(CallErrorKind::TooLarge { size: payload.len(), max }));
        }
        let latest = Deadline::after_from(now, Deadline::MAX_TIMEOUT);
        let deadline = match self.deadline {
            Some(deadline) => deadline.earlier(latest),
            None => Deadline::after_from(now, self.timeout),
        };
        if deadline.instant() <= now {
            return Err(Failure::not_sent(CallErrorKind::Timeout));
        }
        let key = self.key.as_deref();
        let size = payload.len() + key.map_or(0, <[u8]>::len) + self.headers.size();
        let (id, ended) = session.calls.register(now, deadline, size)?;
        let guard = CancelGuard::new(session.calls.clone(), id);
        let headers = RequestHeadersOut {
            correlation_id: id,
            reply_topic: &session.reply_topic,
            reply_partition: session.reply_partition,
            deadline_ms: deadline.to_unix_millis_at(now),
            endpoint: self.ask.endpoint(),
            content_type: self.ask.content_type(),
            attempt: 1,
            idempotency_key: None,
            cancellable: false,
            application: &self.headers,
        };
        let topic = self.ask.topic();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be 64 bits at compile time"
        )]
        let mut record = BaseRecord::with_opaque_to(&topic, id.call() as usize)
            .payload(payload)
            .headers(headers.write());
        record.key = key;
        record.partition = self.partition;
        match session.producer().send(record) {
            Ok(()) => Ok((ended, guard)),
            Err((error, _)) => {
                guard.withdraw();
                Err(Failure::not_sent(refusal(error)))
            }
        }
    }
}

type Sent = (tokio::sync::oneshot::Receiver<crate::table::Ended>, CancelGuard);

/// A record's opaque value is a pointer's width, and a call's key is 62 bits.
const _: () = assert!(usize::BITS >= 64, "antiphon needs a 64-bit target");

impl<A: Ask> IntoFuture for CallBuilder<'_, A> {
    type Output = Result<A::Answer, crate::call::CallError>;
    type IntoFuture = Call<A::Answer>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}

fn refusal(error: KafkaError) -> CallErrorKind {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) {
        let limit = "the producer's queue is full (queue.buffering.max.messages, …kbytes)";
        return CallErrorKind::Overloaded(limit.to_owned());
    }
    CallErrorKind::Produce(error)
}
