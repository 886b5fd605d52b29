//! How a call fails: what happened, and what that means for the request.

use std::fmt;
use std::time::Duration;

use antiphon_common::{CodecError, CorrelationId, Outcome, Status};
use rdkafka::error::KafkaError;

use crate::call::Topic;

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
    /// Too much is in flight; the text names the limit.
    Overloaded(String),
    /// The payload is larger than the requester's `max_request_bytes`.
    TooLarge {
        /// The payload's bytes.
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
}

#[derive(Debug)]
struct Context {
    failure: Failure,
    topic: Topic,
    correlation_id: Option<CorrelationId>,
    elapsed: Duration,
}

/// The end of a call before it knows which call it is.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: CallErrorKind,
    pub(crate) outcome: Outcome,
}

impl CallError {
    pub(crate) fn new(
        failure: Failure,
        topic: Topic,
        correlation_id: Option<CorrelationId>,
        elapsed: Duration,
    ) -> Self {
        Self(Box::new(Context { failure, topic, correlation_id, elapsed }))
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
        Self { kind, outcome: Outcome::NotSent }
    }

    pub(crate) fn unknown(kind: CallErrorKind) -> Self {
        Self { kind, outcome: Outcome::Unknown }
    }

    pub(crate) fn executed(kind: CallErrorKind) -> Self {
        Self { kind, outcome: Outcome::Executed }
    }
}

impl fmt::Display for CallErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Timeout => f.write_str("no reply by the deadline"),
            Self::Produce(error) => write!(f, "cannot produce the request: {error}"),
            Self::Overloaded(limit) => write!(f, "too much in flight: {limit}"),
            Self::TooLarge { size, max } => write!(
                f,
                "the payload of {size} bytes is over max_request_bytes ({max}); \
                 send less, or raise the limit here and on the brokers"
            ),
            Self::Invalid(what) => f.write_str(what),
            Self::Encode(error) | Self::Decode(error) => error.fmt(f),
            Self::Closed => f.write_str("the requester is closed"),
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
            CallErrorKind::Encode(error) | CallErrorKind::Decode(error) => Some(error),
            _ => None,
        }
    }
}
