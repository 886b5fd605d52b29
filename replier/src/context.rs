//! What a handler is given besides the request, and raw requests and replies.

use std::borrow::Cow;
use std::sync::Arc;

use antiphon_common::Deadline;
use antiphon_common::wire::Headers;
use bytes::Bytes;

/// Where a request came from and what came with it.
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) headers: Headers,
    pub(crate) correlation_id: Bytes,
    pub(crate) deadline: Option<Deadline>,
}

impl Context {
    /// The request topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition of the request topic.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The offset of the request in its partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The key of the request.
    #[must_use]
    pub fn key(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// The headers that are not the protocol's. Anyone who may ask may set them.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The correlation id as the caller sent it. It stays the same over redeliveries.
    #[must_use]
    pub fn correlation_id(&self) -> &Bytes {
        &self.correlation_id
    }

    /// When the caller stops waiting, if it said so. Give it to the calls that the handler makes.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }
}

/// A request in bytes, for handlers that are not typed.
#[derive(Debug, Clone)]
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
