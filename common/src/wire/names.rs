//! Header names of the default wire profile.
//!
//! The first three are those of Spring's `KafkaHeaders` (`CORRELATION_ID`, `REPLY_TOPIC`,
//! `REPLY_PARTITION`), so that `ReplyingKafkaTemplate` and `@SendTo` work on the other side.

/// Both ways: 16 bytes that the replier echoes as they are.
pub const CORRELATION_ID: &str = "kafka_correlationId";
/// Request: the topic to answer to, in UTF-8.
pub const REPLY_TOPIC: &str = "kafka_replyTopic";
/// Request: the partition to answer to, four bytes big-endian; absent in shared routing.
pub const REPLY_PARTITION: &str = "kafka_replyPartition";
/// Request: Unix milliseconds in ASCII decimal, and parameters, each behind a `;`: `packed` says
/// that the reply may share a record with others. Unknown ones mean nothing.
pub const DEADLINE: &str = "antiphon-deadline";
/// Request: selects the handler, in UTF-8.
pub const ENDPOINT: &str = "antiphon-endpoint";
/// Reply: a gRPC code name; absent means OK.
pub const STATUS: &str = "antiphon-status";
/// Reply: the message of an error, in UTF-8.
pub const ERROR: &str = "antiphon-error";
/// Reply: the position of an item in a stream of replies, ASCII decimal from 0.
pub const SEQ: &str = "antiphon-seq";
/// Reply: ends a stream of replies. The record carries no item of its own; its [`SEQ`] is the
/// number of items. Present or absent; the value means nothing.
pub const END: &str = "antiphon-end";
/// Request: which attempt of its caller this is, ASCII decimal; absent means the first.
pub const ATTEMPT: &str = "antiphon-attempt";
/// Request: the caller's own key, the same over all attempts of one request.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Request: a cancel record may follow it. Present or absent.
pub const CANCELLABLE: &str = "antiphon-cancellable";
/// Present on a record that is no request but cancels one: the request in the same partition, ahead
/// of it, that has its correlation id.
pub const CANCEL: &str = "antiphon-cancel";
/// Retry and dead-letter topics: where the request was first, each of the three in UTF-8 or ASCII
/// decimal.
pub const ORIGIN_TOPIC: &str = "antiphon-origin-topic";
/// See [`ORIGIN_TOPIC`].
pub const ORIGIN_PARTITION: &str = "antiphon-origin-partition";
/// See [`ORIGIN_TOPIC`].
pub const ORIGIN_OFFSET: &str = "antiphon-origin-offset";
/// Retry and dead-letter topics: how often a handler has run for the request, ASCII decimal.
pub const RUNS: &str = "antiphon-runs";
/// Retry topics: when the request is to be handled again, Unix milliseconds in ASCII decimal.
pub const NOT_BEFORE: &str = "antiphon-not-before";
/// Dead-letter topics: when the request was given up, Unix milliseconds in ASCII decimal.
pub const FAILED_AT: &str = "antiphon-failed-at";
/// Dead-letter topics: the consumer group that gave the request up, in UTF-8.
pub const FAILED_GROUP: &str = "antiphon-failed-group";
/// Retry and dead-letter topics: how many names of the request's headers are escaped, since they
/// could not be written as they were, ASCII decimal; absent means none.
pub const ESCAPED: &str = "antiphon-escaped";
/// Both ways: where the payload is, if it is not in the record (a claim check), in UTF-8.
pub const CLAIM: &str = "antiphon-claim";
/// Both ways: `1.<key id>.<MAC>`, the MAC in base64url without padding: an HMAC with SHA-256 over the
/// record. See [`Integrity`](crate::Integrity).
pub const SIGNATURE: &str = "antiphon-signature";
/// Both ways: the payload is sealed; `1.<key id>`. See [`Envelope`](crate::Envelope).
pub const SEALED: &str = "antiphon-sealed";
/// The first header of a record that is no request or reply, but has several in its payload. Present or
/// absent.
pub const PACKED: &str = "antiphon-packed";
/// Both ways: the media type of the payload.
pub const CONTENT_TYPE: &str = "content-type";

/// Names that belong to the protocol, here or at a peer; they are not handed to applications.
pub(crate) const PROTOCOL: [&str; 26] = [
    CORRELATION_ID,
    REPLY_TOPIC,
    REPLY_PARTITION,
    DEADLINE,
    ENDPOINT,
    STATUS,
    ERROR,
    SEQ,
    END,
    ATTEMPT,
    IDEMPOTENCY_KEY,
    CANCELLABLE,
    CANCEL,
    ORIGIN_TOPIC,
    ORIGIN_PARTITION,
    ORIGIN_OFFSET,
    RUNS,
    NOT_BEFORE,
    FAILED_AT,
    FAILED_GROUP,
    ESCAPED,
    CLAIM,
    SIGNATURE,
    SEALED,
    PACKED,
    CONTENT_TYPE,
];

/// The protocol's name that an application's name would be read as. Kafka's C client cuts names at
/// a NUL, so what comes after one makes no other name of it.
pub(crate) fn read_as(name: &[u8]) -> Option<&'static str> {
    let read = name.split(|byte| *byte == 0).next().unwrap_or_default();
    PROTOCOL.into_iter().find(|reserved| reserved.as_bytes() == read)
}
