//! What a handler is given besides the request, and raw requests and replies.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use antiphon_common::payloads::PayloadId;
use antiphon_common::wire::Headers;
use antiphon_common::{Deadline, Status};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::failures::original::Original;
use crate::handlers::extract::Extensions;
use crate::handlers::id::Id;
use crate::intake::incoming::ReplyTo;

/// Where a request came from and what came with it.
#[derive(Debug, Clone)]
pub struct Context {
    /// In a box, since it moves from the polling thread to the lane, through layers and into futures.
    pub(crate) facts: Box<Facts>,
}

/// What is known of a request.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// What is to be done, until that begins.
    pub(crate) job: Job,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) headers: Headers,
    pub(crate) correlation_id: Id,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) attempt: u32,
    pub(crate) runs: u32,
    pub(crate) idempotency_key: Option<Bytes>,
    /// The claim check of a payload that is in a store.
    pub(crate) claim: Option<Bytes>,
    /// Of requests that may be cancelled.
    pub(crate) cancelled: Option<CancellationToken>,
    /// What layers, and the replier itself, hand to the handler.
    pub(crate) extensions: Extensions,
}

impl Context {
    /// The request topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.facts.topic
    }

    /// The partition of the request topic.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.facts.partition
    }

    /// The offset of the request in its partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.facts.offset
    }

    /// The key of the request.
    #[must_use]
    pub fn key(&self) -> Option<&Bytes> {
        self.facts.key.as_ref()
    }

    /// The headers that are not the protocol's. Anyone who may ask may set them.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.facts.headers
    }

    /// The correlation id as the caller sent it. It stays the same over redeliveries.
    #[must_use]
    pub fn correlation_id(&self) -> &[u8] {
        &self.facts.correlation_id
    }

    /// When the caller stops waiting, if it said so. Calls that the handler's own task makes
    /// inherit it; give it to those that are made in tasks that the handler spawns.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        self.facts.deadline
    }

    /// Which attempt of its caller this is: 1 for the first one. A request that Kafka delivers
    /// again keeps its number.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.facts.attempt
    }

    /// Which run of the handler for this request this is: 1 for the first one. Runs count that
    /// failed before in this replier, and those before the request waited in a retry topic. A
    /// request that Kafka delivers again begins anew.
    #[must_use]
    pub fn runs(&self) -> u32 {
        self.facts.runs
    }

    /// The caller's own key for what is asked, the same over all of its attempts: what was done
    /// under this key need not be done again.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&Bytes> {
        self.facts.idempotency_key.as_ref()
    }

    /// A token that is cancelled when the caller gives the request up. If the caller did not say
    /// that it might, it never is.
    ///
    /// The handler is not stopped by that: it looks at the token, or selects on it, where it can
    /// stop. Nothing that it returns afterwards is sent. To cancel the token oneself cancels only
    /// what was made of it.
    ///
    /// ```
    /// # use antiphon_common::{Code, Status};
    /// # use antiphon_replier::{Context, RawReply, RawRequest};
    /// # async fn work() -> RawReply { RawReply::default() }
    /// async fn handler(request: RawRequest, context: Context) -> Result<RawReply, Status> {
    ///     tokio::select! {
    ///         reply = work() => Ok(reply),
    ///         () = context.cancelled().cancelled_owned() => {
    ///             Err(Status::new(Code::Cancelled, "nobody waits any more"))
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> CancellationToken {
        self.facts
            .cancelled
            .as_ref()
            .map_or_else(CancellationToken::new, CancellationToken::child_token)
    }

    /// Puts a value where the handler, and the layers inside of this one, find it: who asks, say.
    /// It takes the place of one of its type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.facts.extensions.insert(value);
    }

    /// The value of this type that a layer has put here.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.facts.extensions.get()
    }

    /// Whether the caller has given the request up.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.facts.cancelled.as_ref().is_some_and(CancellationToken::is_cancelled)
    }
}

/// What is taken out of a context before a handler gets it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Job {
    pub(crate) request: RawRequest,
    /// `None` if nobody waits for an answer.
    pub(crate) reply_to: Option<ReplyTo>,
    /// What is wrong with it, if no handler may see it.
    pub(crate) fault: Option<Box<Status>>,
    /// Until when it waits; set for requests out of retry topics.
    pub(crate) not_before: Option<Instant>,
    /// Its record, if that may have to be written elsewhere.
    pub(crate) original: Option<Box<Original>>,
}

impl Context {
    /// What is to be done, for whoever begins with it.
    pub(crate) fn job(&self) -> &Job {
        &self.facts.job
    }
}

impl From<Facts> for Context {
    fn from(facts: Facts) -> Self {
        Self { facts: Box::new(facts) }
    }
}

/// A request in bytes, for handlers that are not typed.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RawRequest {
    /// The payload; empty if the record has none.
    pub payload: Bytes,
    /// The endpoint that the caller named.
    pub endpoint: Option<Box<str>>,
    /// The media type that the caller named.
    pub content_type: Option<Bytes>,
}

/// A reply in bytes.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RawReply {
    /// The payload.
    pub payload: Bytes,
    /// The media type of the payload.
    pub content_type: Option<Cow<'static, str>>,
    /// Headers of the application's own.
    pub headers: Headers,
    /// Where the payload is, if it is in a store and not here.
    pub(crate) claim: Option<PayloadId>,
}

impl RawReply {
    /// A reply with this payload.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// Names the media type of the payload.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Adds a header of the application's own; protocol headers are left out when it is sent.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(name.into(), value);
        self
    }
}

#[cfg(test)]
impl Context {
    /// Of a request to `t` that nothing is special about.
    pub(crate) fn for_tests() -> Self {
        Facts::for_tests().into()
    }
}

#[cfg(test)]
impl Facts {
    /// Of a request to `t` that nothing is special about.
    pub(crate) fn for_tests() -> Self {
        Self {
            job: Job::default(),
            topic: "t".into(),
            partition: 0,
            offset: 0,
            key: None,
            headers: Headers::new(),
            correlation_id: "id".into(),
            deadline: None,
            attempt: 1,
            runs: 1,
            idempotency_key: None,
            claim: None,
            cancelled: None,
            extensions: Extensions::default(),
        }
    }
}

#[cfg(test)]
impl RawRequest {
    /// A request with this payload.
    pub(crate) fn for_tests(payload: &'static str) -> Self {
        Self { payload: payload.into(), endpoint: None, content_type: None }
    }
}
