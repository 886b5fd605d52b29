//! The headers of a reply: read by the requester, written by the replier.

use rdkafka::message::OwnedHeaders;

use super::caps::Meter;
use super::request::{decimal, non_empty, put};
use super::{Caps, HeaderFault, Headers, names};
use crate::integrity::Canonical;
use crate::payloads::PayloadId;
use crate::status::{Code, Status};

/// The headers of a reply as they arrived.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReplyHeaders<'a> {
    correlation_id: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    seq: Option<&'a [u8]>,
    claim: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
    sealed: Option<&'a [u8]>,
    end: bool,
    application: Headers,
}

/// Where a reply stands in a stream of replies to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPosition {
    /// The number of items before this record.
    pub seq: u64,
    /// The record ends the stream, and is no item itself.
    pub end: bool,
}

impl<'a> ReplyHeaders<'a> {
    /// Sorts the headers of a record.
    ///
    /// # Errors
    /// [`HeaderFault`] if there are more than `caps` allows.
    pub fn read(
        headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        caps: Caps,
    ) -> Result<Self, HeaderFault> {
        let mut read = Self::default();
        let mut meter = Meter::new(caps);
        for (name, value) in headers {
            meter.add(name, value)?;
            // Compared as bytes, which need not be looked through for UTF-8 first.
            let is = |known: &str| name == known.as_bytes();
            match () {
                () if is(names::CORRELATION_ID) => read.correlation_id = value,
                () if is(names::STATUS) => read.status = value,
                () if is(names::ERROR) => read.error = value,
                () if is(names::SEQ) => read.seq = value,
                () if is(names::CLAIM) => read.claim = value,
                () if is(names::CONTENT_TYPE) => read.content_type = value,
                () if is(names::SIGNATURE) => read.signature = value,
                () if is(names::SEALED) => read.sealed = value,
                () if is(names::END) => read.end = true,
                () if names::PROTOCOL.into_iter().any(is) => {}
                () => read.application.push_wire(name, value),
            }
        }
        Ok(read)
    }

    /// The echoed correlation id.
    ///
    /// # Errors
    /// If the header is missing or empty.
    pub fn correlation_id(&self) -> Result<&'a [u8], HeaderFault> {
        non_empty(self.correlation_id, names::CORRELATION_ID)
    }

    /// The place of the reply in a stream; `None` for a reply that is the only one.
    ///
    /// # Errors
    /// If the position is not a number, or missing at the end of a stream.
    pub fn position(&self) -> Result<Option<StreamPosition>, HeaderFault> {
        let Some(seq) = self.seq else {
            return if self.end { Err(HeaderFault::Missing(names::SEQ)) } else { Ok(None) };
        };
        let expected = "a number in ASCII decimal";
        let seq = decimal(seq).ok_or(HeaderFault::Invalid { name: names::SEQ, expected })?;
        Ok(Some(StreamPosition { seq, end: self.end }))
    }

    /// The code; [`Code::Ok`] if the reply has none.
    #[must_use]
    pub fn code(&self) -> Code {
        self.status.map_or(Code::Ok, Code::from_name)
    }

    /// The message of an error; what is not UTF-8 in it is replaced.
    #[must_use]
    pub fn error_message(&self) -> String {
        String::from_utf8_lossy(self.error.unwrap_or_default()).into_owned()
    }

    /// The media type of the payload, as it came.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.content_type
    }

    /// The claim check of a payload that is not in the record, as it came.
    #[must_use]
    pub fn claim(&self) -> Option<&'a [u8]> {
        self.claim
    }

    /// The signature, as it came.
    pub(crate) fn signature(&self) -> Option<&'a [u8]> {
        self.signature
    }

    /// Adds what a signature covers. The order is that of docs/wire.md.
    pub(crate) fn sign_into(&self, message: &mut Canonical) {
        for field in
            [self.correlation_id, self.status, self.error, self.seq, self.content_type, self.claim]
        {
            message.field(field);
        }
        message.flag(self.end);
        self.application.sign_into(message);
        // Only where it is: peers that seal nothing need not know of it. The fields before it come in
        // pairs, so it is taken for none of them.
        if self.sealed.is_some() {
            message.field(self.sealed);
        }
    }

    /// Which key the payload is sealed with, as it came; `None` if it is plain.
    #[must_use]
    pub fn sealed(&self) -> Option<&'a [u8]> {
        self.sealed
    }

    /// Adds what a sealed payload is bound to. The order is that of docs/wire.md.
    pub(crate) fn bind_into(&self, message: &mut Canonical) {
        for field in
            [self.sealed, self.correlation_id, self.status, self.seq, self.content_type, self.claim]
        {
            message.field(field);
        }
        message.flag(self.end);
    }

    /// Takes the headers that are not the protocol's.
    #[must_use]
    pub fn take_application(&mut self) -> Headers {
        std::mem::take(&mut self.application)
    }
}

/// The headers that a replier puts on a reply.
#[derive(Debug)]
pub struct ReplyHeadersOut<'a> {
    /// The bytes of the request's correlation id, whatever they are.
    pub correlation_id: &'a [u8],
    /// The error, `None` for a reply that is good.
    pub status: Option<&'a Status>,
    /// The media type of the payload.
    pub content_type: Option<&'a str>,
    /// The place in a stream; `None` for a reply that is the only one.
    pub position: Option<StreamPosition>,
    /// Where the payload is, if it is not in the record.
    pub claim: Option<PayloadId>,
    /// The application's own headers.
    pub application: &'a Headers,
}

impl ReplyHeadersOut<'_> {
    /// Writes the header block. A good reply has no status header.
    #[must_use]
    pub fn write(&self) -> OwnedHeaders {
        let mut block = Some(OwnedHeaders::new_with_capacity(5 + self.application.len()));
        self.each(|name, value| block = block.take().map(|block| put(block, name, value)));
        block.unwrap_or_default()
    }

    /// Hands out the headers, in their order.
    pub(super) fn each(&self, mut put: impl FnMut(&str, &[u8])) {
        put(names::CORRELATION_ID, self.correlation_id);
        if let Some(status) = self.status {
            put(names::STATUS, status.code().name().as_bytes());
            put(names::ERROR, status.message().as_bytes());
        }
        if let Some(content_type) = self.content_type {
            put(names::CONTENT_TYPE, content_type.as_bytes());
        }
        if let Some(position) = self.position {
            put(names::SEQ, position.seq.to_string().as_bytes());
            if position.end {
                put(names::END, b"1");
            }
        }
        if let Some(claim) = self.claim {
            put(names::CLAIM, claim.to_string().as_bytes());
        }
        self.application.written().for_each(|(name, value)| put(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rdkafka::message::Headers as _;

    fn round_trip(out: &ReplyHeadersOut<'_>, check: impl FnOnce(ReplyHeaders<'_>)) {
        let block = out.write();
        let wire = block.iter().map(|h| (h.key.as_bytes(), h.value));
        check(ReplyHeaders::read(wire, Caps::default()).expect("within the caps"));
    }

    #[test]
    fn errors_survive_the_wire() {
        let status = Status::not_found("no such symbol: é");
        let none = Headers::new();
        let out = ReplyHeadersOut {
            correlation_id: &[0, 1, 255],
            status: Some(&status),
            content_type: None,
            position: None,
            claim: None,
            application: &none,
        };
        round_trip(&out, |read| {
            assert_eq!(read.correlation_id(), Ok(&[0, 1, 255][..]));
            assert_eq!(read.code(), Code::NotFound);
            assert_eq!(read.error_message(), status.message());
        });
    }

    #[test]
    fn a_good_reply_has_no_status() {
        let mut application = Headers::new();
        application.push("served-by", "a");
        let out = ReplyHeadersOut {
            correlation_id: b"id",
            status: None,
            content_type: Some("text/plain"),
            position: Some(StreamPosition { seq: 7, end: true }),
            claim: None,
            application: &application,
        };
        round_trip(&out, |mut read| {
            assert_eq!(read.code(), Code::Ok);
            assert_eq!(read.position(), Ok(Some(StreamPosition { seq: 7, end: true })));
            assert_eq!(read.take_application(), application);
        });
    }

    #[test]
    fn an_application_cannot_replace_the_protocols_own_headers() {
        let mut application = Headers::new();
        for name in ["kafka_correlationId", "kafka_correlationId\0x", "antiphon-status", "mine"] {
            application.push(name, "forged");
        }
        let out = ReplyHeadersOut {
            correlation_id: b"id",
            status: None,
            content_type: None,
            position: None,
            claim: None,
            application: &application,
        };
        round_trip(&out, |mut read| {
            assert_eq!(read.correlation_id(), Ok(&b"id"[..]));
            assert_eq!(read.code(), Code::Ok);
            assert_eq!(read.take_application().len(), 1);
        });
    }

    proptest! {
        #[test]
        fn arbitrary_headers_never_panic(wire: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
            let wire = wire.iter().map(|(n, v)| (&n[..], v.as_deref()));
            if let Ok(read) = ReplyHeaders::read(wire, Caps::default()) {
                let _ = (read.correlation_id(), read.code(), read.error_message(), read.position());
            }
        }
    }
}
