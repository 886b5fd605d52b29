//! The headers of a request: read by the replier, written by the requester.

use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};

use super::caps::Meter;
use super::deadline::{accepts_packed, deadline_millis, number, with_packed};
use super::{Caps, HeaderFault, Headers, names};
use crate::deadline::Deadline;
use crate::id::CorrelationId;
use crate::integrity::Canonical;
use crate::payloads::PayloadId;

/// The headers of a request as they arrived, not yet interpreted.
///
/// Of several headers of one name the last one counts, as at the peers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RequestHeaders<'a> {
    correlation_id: Option<&'a [u8]>,
    reply_topic: Option<&'a [u8]>,
    reply_partition: Option<&'a [u8]>,
    deadline: Option<&'a [u8]>,
    endpoint: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    attempt: Option<&'a [u8]>,
    idempotency_key: Option<&'a [u8]>,
    claim: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
    sealed: Option<&'a [u8]>,
    cancellable: bool,
    cancel: bool,
    application: Headers,
}

const NOT_A_TIME: HeaderFault =
    HeaderFault::Invalid { name: names::DEADLINE, expected: "a number of Unix milliseconds" };

impl<'a> RequestHeaders<'a> {
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
            let field = match () {
                () if is(names::CORRELATION_ID) => &mut read.correlation_id,
                () if is(names::REPLY_TOPIC) => &mut read.reply_topic,
                () if is(names::REPLY_PARTITION) => &mut read.reply_partition,
                () if is(names::DEADLINE) => &mut read.deadline,
                () if is(names::ENDPOINT) => &mut read.endpoint,
                () if is(names::CONTENT_TYPE) => &mut read.content_type,
                () if is(names::ATTEMPT) => &mut read.attempt,
                () if is(names::IDEMPOTENCY_KEY) => &mut read.idempotency_key,
                () if is(names::CLAIM) => &mut read.claim,
                () if is(names::SIGNATURE) => &mut read.signature,
                () if is(names::SEALED) => &mut read.sealed,
                () if is(names::CANCELLABLE) => {
                    read.cancellable = true;
                    continue;
                }
                () if is(names::CANCEL) => {
                    read.cancel = true;
                    continue;
                }
                () if names::PROTOCOL.into_iter().any(is) => continue,
                () => {
                    read.application.push_wire(name, value);
                    continue;
                }
            };
            *field = value;
        }
        Ok(read)
    }

    /// The bytes to echo.
    ///
    /// # Errors
    /// If the header is missing or empty.
    pub fn correlation_id(&self) -> Result<&'a [u8], HeaderFault> {
        non_empty(self.correlation_id, names::CORRELATION_ID)
    }

    /// The claim check of a payload that is not in the record, as it came.
    #[must_use]
    pub fn claim(&self) -> Option<&'a [u8]> {
        self.claim
    }

    /// The topic to answer to. Nothing says yet that it is allowed.
    ///
    /// # Errors
    /// If the header is missing, empty or not UTF-8.
    pub fn reply_topic(&self) -> Result<&'a str, HeaderFault> {
        utf8(non_empty(self.reply_topic, names::REPLY_TOPIC)?, names::REPLY_TOPIC)
    }

    /// Whether a topic to answer to is named at all.
    #[must_use]
    pub fn has_reply_topic(&self) -> bool {
        self.reply_topic.is_some_and(|topic| !topic.is_empty())
    }

    /// Whether `topic` is to be answered to.
    #[must_use]
    pub fn is_to(&self, topic: &str) -> bool {
        self.reply_topic == Some(topic.as_bytes())
    }

    /// The partition to answer to, `None` in shared routing.
    ///
    /// # Errors
    /// If the value is not four bytes, or negative.
    pub fn reply_partition(&self) -> Result<Option<i32>, HeaderFault> {
        let Some(value) = self.reply_partition else { return Ok(None) };
        let partition = value.try_into().map(i32::from_be_bytes).ok().filter(|p| *p >= 0);
        partition.map(Some).ok_or(HeaderFault::Invalid {
            name: names::REPLY_PARTITION,
            expected: "a partition number of 4 bytes, big-endian",
        })
    }

    /// The deadline as it was written: Unix milliseconds by the caller's clock. A number too large
    /// for 64 bits is the largest one; `None` if the caller set none.
    ///
    /// # Errors
    /// If the value is not a number.
    pub fn deadline_unix_millis(&self) -> Result<Option<u64>, HeaderFault> {
        let Some(value) = self.deadline else { return Ok(None) };
        deadline_millis(value).map(Some).ok_or(NOT_A_TIME)
    }

    /// The deadline, at most `max` from now; `None` if the caller set none.
    ///
    /// # Errors
    /// If the value is not a number.
    pub fn deadline(&self, max: Duration) -> Result<Option<Deadline>, HeaderFault> {
        let Some(value) = self.deadline else { return Ok(None) };
        Deadline::from_wire(number(value), max).map(Some).ok_or(NOT_A_TIME)
    }

    /// The endpoint, `None` if the caller named none.
    ///
    /// # Errors
    /// If the value is not UTF-8.
    pub fn endpoint(&self) -> Result<Option<&'a str>, HeaderFault> {
        self.endpoint.map(|value| utf8(value, names::ENDPOINT)).transpose()
    }

    /// The media type of the payload, if it was given.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.content_type
    }

    /// Which attempt of its caller the request is: 1 unless a sensible number says otherwise.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.and_then(decimal).and_then(|attempt| attempt.try_into().ok()).unwrap_or(1)
    }

    /// The caller's own key, which is the same over all attempts of one request.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&'a [u8]> {
        self.idempotency_key.filter(|key| !key.is_empty())
    }

    /// Whether a cancel record may follow.
    #[must_use]
    pub fn is_cancellable(&self) -> bool {
        self.cancellable
    }

    /// Whether the record is no request, but cancels the one that has its correlation id.
    #[must_use]
    pub fn is_cancel(&self) -> bool {
        self.cancel
    }

    /// Whether its reply may share a record with others.
    #[must_use]
    pub fn accepts_packed(&self) -> bool {
        self.deadline.is_some_and(accepts_packed)
    }

    /// The signature, as it came.
    pub(crate) fn signature(&self) -> Option<&'a [u8]> {
        self.signature
    }

    /// Adds what a signature covers. The order is that of docs/wire.md.
    pub(crate) fn sign_into(&self, message: &mut Canonical) {
        for field in [
            self.correlation_id,
            self.reply_topic,
            self.reply_partition,
            self.deadline,
            self.endpoint,
            self.content_type,
            self.attempt,
            self.idempotency_key,
            self.claim,
        ] {
            message.field(field);
        }
        message.flag(self.cancellable);
        message.flag(self.cancel);
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

    /// Adds what a sealed payload is bound to. The order is that of docs/wire.md. The deadline is not
    /// among it: a dead letter is replayed with another.
    pub(crate) fn bind_into(&self, message: &mut Canonical) {
        for field in [
            self.sealed,
            self.correlation_id,
            self.reply_topic,
            self.reply_partition,
            self.endpoint,
            self.content_type,
            self.idempotency_key,
            self.claim,
        ] {
            message.field(field);
        }
    }

    /// Takes the headers that are not the protocol's.
    #[must_use]
    pub fn take_application(&mut self) -> Headers {
        std::mem::take(&mut self.application)
    }
}

/// The headers that a requester puts on a request.
#[derive(Debug)]
pub struct RequestHeadersOut<'a> {
    /// The call.
    pub correlation_id: CorrelationId,
    /// Where to answer to; `None` if no answer is wanted.
    pub reply_topic: Option<&'a str>,
    /// Which partition to answer to, `None` in shared routing.
    pub reply_partition: Option<i32>,
    /// When the caller stops waiting, in Unix milliseconds; `None` if nobody waits.
    pub deadline_ms: Option<u64>,
    /// Which handler is meant.
    pub endpoint: Option<&'a str>,
    /// The media type of the payload.
    pub content_type: Option<&'a str>,
    /// Which attempt this is; the first one is not written.
    pub attempt: u32,
    /// The caller's own key.
    pub idempotency_key: Option<&'a [u8]>,
    /// Where the payload is, if it is not in the record.
    pub claim: Option<PayloadId>,
    /// Whether a cancel record may follow.
    pub cancellable: bool,
    /// Whether the reply may share a record with others. It is said with the deadline, so it is not
    /// without one.
    pub accepts_packed: bool,
    /// The application's own headers.
    pub application: &'a Headers,
}

/// Writes the header block of a record that cancels a request.
#[must_use]
pub fn cancel_headers(correlation_id: CorrelationId) -> OwnedHeaders {
    let block = OwnedHeaders::new_with_capacity(2);
    let block = put(block, names::CORRELATION_ID, &correlation_id.to_bytes());
    put(block, names::CANCEL, b"1")
}

impl RequestHeadersOut<'_> {
    /// Writes the header block.
    #[must_use]
    pub fn write(&self) -> OwnedHeaders {
        let mut block = Some(OwnedHeaders::new_with_capacity(11 + self.application.len()));
        self.each(|name, value| block = block.take().map(|block| put(block, name, value)));
        block.unwrap_or_default()
    }

    /// Hands out the headers, in their order.
    pub(super) fn each(&self, mut put: impl FnMut(&str, &[u8])) {
        put(names::CORRELATION_ID, &self.correlation_id.to_bytes());
        if let Some(topic) = self.reply_topic {
            put(names::REPLY_TOPIC, topic.as_bytes());
        }
        if let Some(partition) = self.reply_partition {
            put(names::REPLY_PARTITION, &partition.to_be_bytes());
        }
        if let Some(deadline) = self.deadline_ms {
            match self.accepts_packed {
                true => put(names::DEADLINE, with_packed(deadline, &mut [0; _])),
                false => put(names::DEADLINE, itoa::Buffer::new().format(deadline).as_bytes()),
            }
        }
        if let Some(endpoint) = self.endpoint {
            put(names::ENDPOINT, endpoint.as_bytes());
        }
        if let Some(content_type) = self.content_type {
            put(names::CONTENT_TYPE, content_type.as_bytes());
        }
        if self.attempt > 1 {
            put(names::ATTEMPT, self.attempt.to_string().as_bytes());
        }
        if let Some(key) = self.idempotency_key {
            put(names::IDEMPOTENCY_KEY, key);
        }
        if let Some(claim) = self.claim {
            put(names::CLAIM, claim.to_string().as_bytes());
        }
        if self.cancellable {
            put(names::CANCELLABLE, b"1");
        }
        self.application.written().for_each(|(name, value)| put(name, value));
    }
}

/// A number in ASCII decimal, if it is one of at most 19 digits.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let short = (1..=19).contains(&digits.len());
    let digits = (short && digits.iter().all(u8::is_ascii_digit)).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

pub(super) fn put(block: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    block.insert(Header { key, value: Some(value) })
}

pub(super) fn non_empty<'a>(
    value: Option<&'a [u8]>,
    name: &'static str,
) -> Result<&'a [u8], HeaderFault> {
    value.filter(|value| !value.is_empty()).ok_or(HeaderFault::Missing(name))
}

fn utf8<'a>(value: &'a [u8], name: &'static str) -> Result<&'a str, HeaderFault> {
    std::str::from_utf8(value).map_err(|_| HeaderFault::Invalid { name, expected: "UTF-8" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::InstanceId;
    use proptest::prelude::*;
    use rdkafka::message::Headers as _;

    type Wire = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn read(wire: &Wire, caps: Caps) -> Result<RequestHeaders<'_>, HeaderFault> {
        RequestHeaders::read(wire.iter().map(|(n, v)| (&n[..], v.as_deref())), caps)
    }

    fn one(name: &str, value: &[u8]) -> Wire {
        vec![(name.into(), Some(value.into()))]
    }

    #[test]
    fn what_is_written_is_read() {
        let mut application = Headers::new();
        application.push("tenant", "blue");
        let out = RequestHeadersOut {
            correlation_id: CorrelationId::random(InstanceId::random()),
            reply_topic: Some("quotes.replies"),
            reply_partition: Some(7),
            deadline_ms: Some(Deadline::after(Duration::from_secs(5)).to_unix_millis()),
            endpoint: Some("get-quote"),
            content_type: Some("application/json"),
            attempt: 2,
            idempotency_key: Some(b"order-7"),
            claim: Some(PayloadId::random()),
            cancellable: true,
            accepts_packed: true,
            application: &application,
        };
        let block = out.write();
        let wire = block.iter().map(|h| (h.key.as_bytes(), h.value));
        let mut read = RequestHeaders::read(wire, Caps::default()).expect("within the caps");
        assert_eq!(read.correlation_id(), Ok(&out.correlation_id.to_bytes()[..]));
        assert_eq!(read.reply_topic(), Ok("quotes.replies"));
        assert_eq!(read.reply_partition(), Ok(Some(7)));
        let deadline = read.deadline(Duration::from_secs(60)).expect("valid").expect("present");
        assert!(deadline.remaining() > Duration::ZERO);
        assert_eq!(read.endpoint(), Ok(Some("get-quote")));
        assert_eq!(read.attempt(), 2);
        assert_eq!(read.idempotency_key(), Some(&b"order-7"[..]));
        assert!(read.is_cancellable() && !read.is_cancel());
        assert!(read.accepts_packed());
        assert_eq!(read.take_application(), application);
    }

    #[test]
    fn a_cancel_record_names_its_request() {
        let id = CorrelationId::random(InstanceId::random());
        let block = cancel_headers(id);
        let wire = block.iter().map(|h| (h.key.as_bytes(), h.value));
        let read = RequestHeaders::read(wire, Caps::default()).expect("within the caps");
        assert!(read.is_cancel());
        assert_eq!(read.correlation_id(), Ok(&id.to_bytes()[..]));
    }

    #[test]
    fn caps_hold() {
        let many: Wire = (0..65).map(|i| (vec![i], None)).collect();
        assert_eq!(read(&many, Caps::default()), Err(HeaderFault::TooMany(64)));
        let large = one("x", &[0; 8192]);
        assert_eq!(read(&large, Caps::default()), Err(HeaderFault::TooLarge(8192)));
    }

    #[test]
    fn the_last_of_several_counts() {
        let mut wire = one(names::REPLY_TOPIC, b"first");
        wire.extend(one(names::REPLY_TOPIC, b"last"));
        assert_eq!(read(&wire, Caps::default()).expect("fits").reply_topic(), Ok("last"));
    }

    #[test]
    fn bad_reply_partitions_are_refused() {
        for bad in [&b""[..], b"abc", &[0xff; 4], b"00000"] {
            let wire = one(names::REPLY_PARTITION, bad);
            assert!(read(&wire, Caps::default()).expect("fits").reply_partition().is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_headers_never_panic(wire: Wire) {
            if let Ok(read) = read(&wire, Caps::default()) {
                let _ = (read.correlation_id(), read.reply_topic(), read.reply_partition());
                let _ = (read.deadline(Duration::MAX), read.endpoint(), read.content_type());
            }
        }
    }
}
