//! What can be asked: a typed request, or bytes for a topic.

use antiphon_common::{Codec, CodecError, Request};
use bytes::Bytes;

use super::name::Name;
use super::reply::Reply;

/// A question as a call sees it. Implemented for typed requests and for [`RawRequest`].
pub trait Ask: sealed::Sealed + Send + 'static {
    /// What the call yields.
    type Answer: Send + 'static;
    #[doc(hidden)]
    fn topic(&self) -> Name;
    #[doc(hidden)]
    fn endpoint(&self) -> Option<Name>;
    #[doc(hidden)]
    fn content_type(&self) -> Option<Name>;
    /// The payload, encoded into `scratch` unless it is bytes already.
    #[doc(hidden)]
    fn payload<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError>;
    /// The payload to keep.
    #[doc(hidden)]
    fn into_payload(self) -> Result<Bytes, CodecError>;
    #[doc(hidden)]
    fn decode(reply: Reply) -> Result<Self::Answer, CodecError>;
}

/// A question in bytes; its answer is a [`Reply`].
///
/// ```
/// use antiphon_requester::RawRequest;
///
/// let request = RawRequest::new("quotes", "ACME").endpoint("get-quote").content_type("text/plain");
/// ```
#[derive(Debug, Clone)]
pub struct RawRequest {
    topic: Name,
    payload: Bytes,
    endpoint: Option<Name>,
    content_type: Option<Name>,
}

impl RawRequest {
    /// A request for a topic.
    #[must_use]
    pub fn new(topic: impl Into<Name>, payload: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), endpoint: None, content_type: None }
    }

    /// Names the endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<Name>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Names the media type of the payload.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<Name>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }
}

impl sealed::Sealed for RawRequest {}

impl Ask for RawRequest {
    type Answer = Reply;

    fn topic(&self) -> Name {
        self.topic.clone()
    }

    fn endpoint(&self) -> Option<Name> {
        self.endpoint.clone()
    }

    fn content_type(&self) -> Option<Name> {
        self.content_type.clone()
    }

    fn payload<'a>(&'a self, _: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        Ok(&self.payload)
    }

    fn into_payload(self) -> Result<Bytes, CodecError> {
        Ok(self.payload)
    }

    fn decode(reply: Reply) -> Result<Reply, CodecError> {
        Ok(reply)
    }
}

/// A typed request on its way.
#[derive(Debug)]
pub struct Typed<R>(pub(crate) R);

impl<R: Request> sealed::Sealed for Typed<R> {}

impl<R: Request> Ask for Typed<R> {
    type Answer = R::Reply;

    fn topic(&self) -> Name {
        Name::from(R::TOPIC)
    }

    fn endpoint(&self) -> Option<Name> {
        Some(Name::from(R::ENDPOINT))
    }

    fn content_type(&self) -> Option<Name> {
        Some(Name::from(<R::Codec as Codec<R>>::CONTENT_TYPE))
    }

    fn payload<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        <R::Codec as Codec<R>>::encode(&self.0, scratch)?;
        Ok(scratch)
    }

    fn into_payload(self) -> Result<Bytes, CodecError> {
        let mut payload = Vec::new();
        <R::Codec as Codec<R>>::encode(&self.0, &mut payload)?;
        Ok(payload.into())
    }

    fn decode(reply: Reply) -> Result<R::Reply, CodecError> {
        <R::Codec as Codec<R::Reply>>::decode(&reply.payload)
    }
}

mod sealed {
    pub trait Sealed {}
}
