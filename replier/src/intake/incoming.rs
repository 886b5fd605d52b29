//! What a record must be to become a request: everything in it is checked before anything runs.

use std::sync::Arc;

use antiphon_common::Status;
use antiphon_common::config::ReplierSettings;
use antiphon_common::wire::{Caps, HeaderFault, RequestHeaders};
use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message};

use crate::handlers::context::{Context, RawRequest};
use crate::intake::cancellations::{Cancellable, Cancellations};
use crate::intake::reply_to::{ReplyPolicy, ReplyRefused};
use crate::intake::tracker::Taken;

/// A request that can be answered.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) request: RawRequest,
    pub(crate) context: Context,
    /// `None` if nobody waits for an answer.
    pub(crate) reply_to: Option<ReplyTo>,
    /// The claim check of a payload that is in a store.
    pub(crate) claim: Option<Bytes>,
    /// What is wrong with it, if no handler may see it.
    pub(crate) fault: Option<Status>,
    /// Its place in the table of its partition, if it may be cancelled.
    pub(crate) cancellable: Option<Box<Cancellable>>,
    pub(crate) taken: Taken,
}

/// Where a reply goes: checked.
#[derive(Debug, Clone)]
pub(crate) struct ReplyTo {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: Option<i32>,
}

/// A record that cannot even be answered. It is counted and passed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejected {
    #[error("{0}")]
    Headers(HeaderFault),
    #[error("{0}")]
    ReplyHeaders(HeaderFault),
    #[error("the reply topic `{}` is refused: {why}", topic.escape_debug())]
    ReplyTopic { topic: String, why: ReplyRefused },
}

impl Rejected {
    /// The label of the metric.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Headers(_) => "headers",
            Self::ReplyHeaders(_) => "reply_headers",
            Self::ReplyTopic { .. } => "reply_topic",
        }
    }
}

/// Reads requests out of records.
#[derive(Debug)]
pub(crate) struct RecordReader {
    policy: ReplyPolicy,
    settings: ReplierSettings,
    /// The last reply topic that was allowed: most requests name the same one.
    last: Option<Arc<str>>,
}

/// A request, before it is known to be taken.
pub(crate) struct Parsed {
    request: RawRequest,
    context: Context,
    reply_to: ReplyTo,
    claim: Option<Bytes>,
    fault: Option<Status>,
    cancellable: bool,
}

/// Reads the headers of a record, which may be a request or cancel one.
pub(crate) fn headers<'a>(record: &'a BorrowedMessage<'_>) -> Result<RequestHeaders<'a>, Rejected> {
    let raw =
        antiphon_native::headers(record).map_err(|_| Rejected::Headers(HeaderFault::Malformed))?;
    RequestHeaders::read(raw, Caps::default()).map_err(Rejected::Headers)
}

/// The id in the headers of a record.
pub(crate) fn correlation_id<'a>(headers: &RequestHeaders<'a>) -> Result<&'a [u8], Rejected> {
    headers.correlation_id().map_err(Rejected::ReplyHeaders)
}

impl RecordReader {
    pub(crate) fn new(policy: ReplyPolicy, settings: ReplierSettings) -> Self {
        Self { policy, settings, last: None }
    }

    /// Checks a request and copies it: it belongs to a fetch buffer, which must not be held while
    /// a handler runs.
    pub(crate) fn read(
        &mut self,
        record: &BorrowedMessage<'_>,
        mut headers: RequestHeaders<'_>,
        topic: &Arc<str>,
    ) -> Result<Parsed, Rejected> {
        let correlation_id = correlation_id(&headers)?;
        let reply_to = ReplyTo {
            topic: self.allowed(topic, headers.reply_topic().map_err(Rejected::ReplyHeaders)?)?,
            partition: headers.reply_partition().map_err(Rejected::ReplyHeaders)?,
        };
        let deadline = headers.deadline(self.settings.max_deadline());
        let endpoint = headers.endpoint();
        let fault = deadline.err().or(endpoint.err());
        Ok(Parsed {
            request: RawRequest {
                payload: record.payload().map_or_else(Bytes::new, Bytes::copy_from_slice),
                endpoint: endpoint.ok().flatten().map(Box::from),
                content_type: headers.content_type().map(Bytes::copy_from_slice),
            },
            context: Context {
                topic: Arc::clone(topic),
                partition: record.partition(),
                offset: record.offset(),
                key: record.key().map(Bytes::copy_from_slice),
                headers: headers.take_application(),
                correlation_id: Bytes::copy_from_slice(correlation_id),
                deadline: deadline.ok().flatten(),
                attempt: headers.attempt(),
                idempotency_key: headers.idempotency_key().map(Bytes::copy_from_slice),
                cancelled: None,
            },
            reply_to,
            claim: headers.claim().map(Bytes::copy_from_slice),
            fault: fault.map(|fault| Status::invalid_argument(fault.to_string())),
            cancellable: headers.is_cancellable(),
        })
    }

    fn allowed(&mut self, topic: &str, reply_topic: &str) -> Result<Arc<str>, Rejected> {
        // The last one was allowed for its request topic; if there is only one, then for this too.
        if let Some(last) = self.last.as_ref().filter(|last| ***last == *reply_topic)
            && self.policy.serves_one_topic()
        {
            return Ok(Arc::clone(last));
        }
        self.policy
            .check(topic, reply_topic)
            .map_err(|why| Rejected::ReplyTopic { topic: reply_topic.to_owned(), why })?;
        let allowed = Arc::from(reply_topic);
        self.last = Some(Arc::clone(&allowed));
        Ok(allowed)
    }
}

impl Parsed {
    /// In a box, since it is handed from the polling thread to the lane to a task.
    pub(crate) fn taken(self, taken: Taken, cancellations: &Arc<Cancellations>) -> Box<Incoming> {
        let Self { request, mut context, reply_to, claim, fault, cancellable } = self;
        let cancellable = cancellable
            .then(|| Box::new(cancellations.register(Bytes::clone(&context.correlation_id))));
        context.cancelled = cancellable.as_ref().map(|request| request.token().clone());
        let reply_to = Some(reply_to);
        Box::new(Incoming { request, context, reply_to, claim, fault, cancellable, taken })
    }
}
