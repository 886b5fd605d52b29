//! How large a request and its reply are on the wire and on disk, byte for byte: Kafka's record
//! format (version 2, uncompressed) with the headers of docs/wire.md.

use antiphon::wire::names;

/// What every batch of records begins with.
const BATCH: f64 = 61.0;
/// Unix milliseconds in decimal, for a long time, and that the reply may share a record.
const DEADLINE: usize = "1700000000000;packed".len();
/// Offsets in a batch and milliseconds since its first record: each fits into one byte below 64.
const DELTA: usize = 1;

/// Lengths of what has no fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) reply_topic: usize,
    /// Absent in requests that name none.
    pub(crate) endpoint: Option<usize>,
    pub(crate) content_type: Option<usize>,
}

impl Names {
    /// As a service may have them.
    pub(crate) const USUAL: Self =
        Self { reply_topic: 24, endpoint: Some(16), content_type: Some("application/json".len()) };
}

/// Bytes of the records that a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) request: usize,
    pub(crate) reply: usize,
}

impl Records {
    pub(crate) fn of(names: Names, request_payload: usize, reply_payload: usize) -> Self {
        let correlation_id = Some((names::CORRELATION_ID.len(), 16));
        let content_type = names.content_type.map(|length| (names::CONTENT_TYPE.len(), length));
        let request = [
            correlation_id,
            Some((names::REPLY_TOPIC.len(), names.reply_topic)),
            Some((names::REPLY_PARTITION.len(), 4)),
            Some((names::DEADLINE.len(), DEADLINE)),
            names.endpoint.map(|length| (names::ENDPOINT.len(), length)),
            content_type,
        ];
        let request: Vec<_> = request.into_iter().flatten().collect();
        let reply: Vec<_> = [correlation_id, content_type].into_iter().flatten().collect();
        Self { request: record(request_payload, &request), reply: record(reply_payload, &reply) }
    }

    /// Bytes of both, with so many batches for each record.
    #[expect(clippy::cast_precision_loss, reason = "records are far below 2^52 bytes")]
    pub(crate) fn both(self, request_batches: f64, reply_batches: f64) -> f64 {
        (self.request + self.reply) as f64 + BATCH * (request_batches + reply_batches)
    }
}

/// A record without a key.
fn record(payload: usize, headers: &[(usize, usize)]) -> usize {
    let of_one = |&(name, value): &(usize, usize)| prefixed(name) + prefixed(value);
    let headers: usize = number(headers.len()) + headers.iter().map(of_one).sum::<usize>();
    let attributes = 1;
    let no_key = 1;
    let body = attributes + DELTA + DELTA + no_key + prefixed(payload) + headers;
    number(body) + body
}

fn prefixed(length: usize) -> usize {
    number(length) + length
}

/// Bytes of a length as Kafka writes it: seven bits in each, of which one goes to the sign.
fn number(value: usize) -> usize {
    let bits = usize::BITS - (value << 1).leading_zeros();
    usize::try_from(bits.div_ceil(7).max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use antiphon::CorrelationId;
    use antiphon::wire::{Headers, ReplyHeadersOut, RequestHeadersOut};
    use rdkafka::message::{Headers as _, OwnedHeaders};

    use super::*;

    #[test]
    fn lengths_take_as_many_bytes_as_kafka_writes() {
        let lengths = [(0, 1), (63, 1), (64, 2), (8_191, 2), (8_192, 3), (1_048_575, 3)];
        for (value, bytes) in lengths {
            assert_eq!(number(value), bytes, "{value}");
        }
    }

    #[test]
    fn headers_are_those_that_are_written() {
        let sizes = |headers: OwnedHeaders| -> Vec<(usize, usize)> {
            let size = |header: rdkafka::message::Header<'_, &[u8]>| {
                (header.key.len(), header.value.map_or(0, <[u8]>::len))
            };
            headers.iter().map(size).collect()
        };
        let application = Headers::default();
        let request = RequestHeadersOut {
            correlation_id: CorrelationId::from_bytes(&[0x80; 16]).expect("one of ours"),
            reply_topic: Some("shop.quotes.v1.x.replies"),
            reply_partition: Some(7),
            deadline_ms: Some(1_700_000_000_000),
            endpoint: Some("quotes.get-price"),
            content_type: Some("application/json"),
            attempt: 1,
            idempotency_key: None,
            claim: None,
            accepts_packed: true,
            cancellable: false,
            application: &application,
        };
        let reply = ReplyHeadersOut {
            correlation_id: &[0x80; 16],
            status: None,
            content_type: Some("application/json"),
            position: None,
            claim: None,
            application: &application,
        };
        let known = Records::of(Names::USUAL, 128, 200);
        assert_eq!(known.request, record(128, &sizes(request.write())));
        assert_eq!(known.reply, record(200, &sizes(reply.write())));
    }

    #[test]
    fn a_batch_is_shared() {
        let records = Records { request: 300, reply: 200 };
        assert!((records.both(1.0, 1.0) - 622.0).abs() < 1e-9);
        assert!((records.both(0.5, 0.0) - 530.5).abs() < 1e-9);
    }
}
