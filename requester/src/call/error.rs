//! How a call fails: what happened, and what that means for the request.

use std::fmt;
use std::time::Duration;

use antiphon_common::kafka::TopicError;
use antiphon_common::payloads::PayloadStoreError;
use antiphon_common::{CodecError, CorrelationId, EnvelopeFault, Outcome, Status};
use rdkafka::error::KafkaError;

use super::name::Name;
use crate::store::StoreError;
use crate::ticket::TicketError;

/// A call that ended without a good reply.
///
/// [`CallError::outcome`] says whether the request may have been executed, which decides whether
/// it may be sent again.
#[derive(Debug)]
pub struct CallError(Box<Context>);

/// What made a call fail.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The replier answered with an error.
    Status(Status),
    /// No reply came by the deadline.
    Timeout,
    /// The request could not be written to its topic.
    Produce(KafkaError),
    /// The partitions of the request topic cannot be found out.
    RequestTopic(TopicError),
    /// The brokers do not let the requester read its reply topic, so that no reply would be seen.
    ReplyTopic(TopicError),
    /// Too much is in flight; the text names the limit.
    Overloaded(String),
    /// The payload is larger than the requester's `max_request_bytes`.
    TooLarge {
        /// The payload's bytes.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// The payload, the key and the headers together are larger than `max_in_flight_bytes`: they
    /// would not fit if nothing else were in flight.
    NeverFits {
        /// The bytes of all three.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// The call was put together wrongly; the text names the field and the fix.
    Invalid(String),
    /// The request has no payload form.
    Encode(CodecError),
    /// The reply's payload cannot be read.
    Decode(CodecError),
    /// The requester was closed.
    Closed,
    /// The ticket is refused.
    Ticket(TicketError),
    /// Retention has removed records of the reply topic among which the reply may have been.
    ReplyRemoved {
        /// The partition of the reply topic.
        partition: i32,
        /// The offset from which the reply could be there.
        start: i64,
        /// The earliest offset that is left.
        earliest: i64,
    },
    /// The reply topic could not be read to its end in time; the text says why.
    RepliesUnread(String),
    /// A payload that is kept in a store of its own could not be put there, or not be taken out. Of
    /// streams and of anonymous replies it never is.
    LargePayload(PayloadStoreError),
    /// The reply is sealed and does not open, or is not sealed where it must be.
    Sealed(EnvelopeFault),
    /// The store of pending requests failed.
    Store(StoreError),
    /// The caller's cancellation token was cancelled.
    Cancelled,
    /// The reply reader has no position yet, so the reply could be missed. A requester that starts
    /// lazily waits for it.
    NotPositioned,
    /// A reply in the middle of a stream is missing; the next one is number `next`.
    Gap {
        /// The number of the item that is missing.
        missing: u64,
        /// The number of an item that came after it, or the number of all.
        next: u64,
    },
    /// The answer is a stream without items, where one reply was expected.
    EmptyStream,
    /// More replies of a stream were waiting than `stream_buffer` allows.
    Overflow {
        /// The limit.
        max: usize,
        /// The first that they wait for; `None` if they wait to be taken.
        missing: Option<u64>,
    },
}

#[derive(Debug)]
struct Context {
    failure: Failure,
    topic: Name,
    correlation_id: Option<CorrelationId>,
    elapsed: Duration,
}

/// The end of a call before it knows which call it is.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: CallErrorKind,
    pub(crate) outcome: Outcome,
    /// The attempt that failed, of a call that is made of several.
    pub(crate) id: Option<Box<CorrelationId>>,
}

impl CallError {
    pub(crate) fn new(
        failure: Failure,
        topic: Name,
        correlation_id: Option<CorrelationId>,
        elapsed: Duration,
    ) -> Self {
        let correlation_id = failure.id.as_deref().copied().or(correlation_id);
        Self(Box::new(Context { failure, topic, correlation_id, elapsed }))
    }

    /// The failure, to be part of another call's.
    pub(crate) fn into_failure(self) -> Failure {
        let Context { failure, correlation_id, .. } = *self.0;
        Failure { id: correlation_id.map(Box::new), ..failure }
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &CallErrorKind {
        &self.0.failure.kind
    }

    /// Whether the request was not sent, may have been executed, or was executed.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.failure.outcome
    }

    /// The replier's error, if that is what ended the call.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self.kind() {
            CallErrorKind::Status(status) => Some(status),
            _ => None,
        }
    }

    /// The request topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The call's id; `None` if it failed before it had one.
    #[must_use]
    pub fn correlation_id(&self) -> Option<CorrelationId> {
        self.0.correlation_id
    }

    /// The time from the start of the call to its end.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }
}

impl Failure {
    pub(crate) fn not_sent(kind: CallErrorKind) -> Self {
        Self { kind, outcome: Outcome::NotSent, id: None }
    }

    pub(crate) fn unknown(kind: CallErrorKind) -> Self {
        Self { kind, outcome: Outcome::Unknown, id: None }
    }

    /// The same, of one call among several.
    pub(crate) fn of(self, id: CorrelationId) -> Self {
        Self { id: Some(Box::new(id)), ..self }
    }

    pub(crate) fn executed(kind: CallErrorKind) -> Self {
        Self { kind, outcome: Outcome::Executed, id: None }
    }
}

impl fmt::Display for CallErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Timeout => f.write_str("no reply by the deadline"),
            Self::Produce(error) => write!(f, "cannot produce the request: {error}"),
            Self::RequestTopic(error) => error.fmt(f),
            Self::ReplyTopic(error) => write!(f, "replies cannot be read: {error}"),
            Self::Overloaded(limit) => write!(f, "too much in flight: {limit}"),
            Self::TooLarge { size, max } => write!(
                f,
                "the payload of {size} bytes is over max_request_bytes ({max}); \
                 send less, or raise the limit here and on the brokers"
            ),
            Self::NeverFits { size, max } => write!(
                f,
                "the request of {size} bytes, with its key and headers, is over \
                 max_in_flight_bytes ({max}); send less, or raise the limit"
            ),
            Self::Invalid(what) => f.write_str(what),
            Self::Encode(error) | Self::Decode(error) => error.fmt(f),
            Self::Closed => f.write_str("the requester is closed"),
            Self::Ticket(error) => error.fmt(f),
            Self::ReplyRemoved { partition, start, earliest } => write!(
                f,
                "the reply may have been removed: it was to be looked for in partition {partition} \
                 of the reply topic from offset {start}, and retention has left nothing before \
                 {earliest}; redeem tickets earlier, or raise `retention.ms` of the reply topic"
            ),
            Self::RepliesUnread(why) => write!(f, "cannot read the reply topic: {why}"),
            Self::LargePayload(error) => error.fmt(f),
            Self::Sealed(fault) => write!(f, "the reply cannot be read: {fault}"),
            Self::Store(error) => error.fmt(f),
            Self::Cancelled => f.write_str("the call was cancelled"),
            Self::NotPositioned => f.write_str(
                "the reply reader has no position yet: no broker has answered since the start",
            ),
            Self::Gap { missing, next } => {
                write!(f, "reply {missing} of the stream is missing; {next} was the next to come")
            }
            Self::EmptyStream => f.write_str("the answer is a stream without items"),
            Self::Overflow { max, missing: None } => write!(
                f,
                "more than {max} replies waited to be taken; take them faster, or raise \
                 stream_buffer"
            ),
            Self::Overflow { max, missing: Some(missing) } => {
                write!(f, "{max} replies wait for reply {missing} of the stream, which is missing")
            }
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call to `{}`: {} ({})", self.topic(), self.kind(), self.outcome())?;
        if let Some(id) = self.correlation_id() {
            write!(f, " [correlation id {id}, {:.3} s]", self.elapsed().as_secs_f64())?;
        }
        Ok(())
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            CallErrorKind::Status(status) => Some(status),
            CallErrorKind::Produce(error) => Some(error),
            CallErrorKind::RequestTopic(error) => Some(error),
            CallErrorKind::Ticket(error) => Some(error),
            CallErrorKind::LargePayload(error) => Some(error),
            CallErrorKind::Sealed(fault) => Some(fault),
            CallErrorKind::Store(error) => Some(error),
            CallErrorKind::Encode(error) | CallErrorKind::Decode(error) => Some(error),
            _ => None,
        }
    }
}
