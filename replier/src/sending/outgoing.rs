//! The records on their way for one request, and what to do when the broker does not take one. Pure.

use std::sync::Arc;

use antiphon_common::wire::{Headers, MAX_ITEM_PAYLOAD, Pack, ReplyHeadersOut, StreamPosition};
use antiphon_common::{Code, Deadline, Status};
use bytes::Bytes;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;

use crate::handlers::context::RawReply;
use crate::handlers::id::Id;
use crate::intake::incoming::{ReplyPlace, ReplyTo};
use crate::sending::duty::Duty;

/// The records that a request leads to, and the duty that goes with the last of them. Each is sent
/// when the one before is acknowledged; in a transaction they are all sent at once.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// What must be written before the reply is sent, last first. It is never given up.
    pub(crate) before: Vec<Forward>,
    /// `None` if nobody is to be answered.
    pub(crate) reply: Option<Reply>,
    pub(crate) duty: Duty,
    /// Whether the topic of its record was looked up because the partition was not known.
    pub(crate) lookup: Lookup,
}

/// A record that is not a reply: a dead letter, say.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) topic: Arc<str>,
    /// Where the partitioner puts it if `None`.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Bytes>,
    /// A tombstone if `None`.
    pub(crate) payload: Option<Bytes>,
    pub(crate) headers: OwnedHeaders,
}

/// A reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) to: Recipient,
    pub(crate) answer: Result<RawReply, Status>,
    /// Its place in a stream, if it is in one.
    pub(crate) position: Option<StreamPosition>,
}

/// A record as a producer takes it.
pub(crate) struct Record {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Bytes>,
    pub(crate) payload: Option<Bytes>,
    pub(crate) headers: OwnedHeaders,
}

/// Whether the reply topic is looked up before a reply is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Lookup {
    #[default]
    NotNeeded,
    Wanted,
    Done,
}

/// Whom a reply is for.
#[derive(Debug, Clone)]
pub(crate) struct Recipient {
    pub(crate) reply_to: ReplyTo,
    pub(crate) correlation_id: Id,
    pub(crate) key: Option<Bytes>,
    /// Until when a reply is worth sending.
    pub(crate) deadline: Deadline,
}

/// What a failed delivery calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Send it again.
    Resend,
    /// The partition may be newer than what the producer knows: look, and send it again, once.
    LookUp,
    /// Send a small error instead.
    ReplyTooLarge,
    /// It can never be delivered: count it, and let the request be complete.
    GiveUp,
    /// This process is ending: leave the request incomplete, so that it is handled again.
    Leave,
}

impl Outgoing {
    /// The records of a request: those before the reply (last first), and the reply. In a box, for
    /// the producer to hand back.
    pub(crate) fn new(before: Vec<Forward>, reply: Option<Reply>, duty: Duty) -> Box<Self> {
        Box::new(Self { before, reply, duty, lookup: Lookup::NotNeeded })
    }

    /// The record to send next; `None` if there is none, and the duty is done.
    pub(crate) fn next(&self) -> Option<Record> {
        let before = self.before.last().map(Forward::record);
        before.or_else(|| self.reply.as_ref().map(Reply::record))
    }

    /// All records in the order in which they are sent, and whether each is the reply.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Record, bool)> {
        let before = self.before.iter().rev().map(|forward| (forward.record(), false));
        before.chain(self.reply.iter().map(|reply| (reply.record(), true)))
    }

    /// Where each of these records goes, and whether it is the reply.
    pub(crate) fn destinations(&self) -> Vec<(ReplyTo, bool)> {
        let before = self.before.iter().rev().map(|forward| {
            let topic = Arc::clone(&forward.topic);
            let place = ReplyPlace::new(forward.partition, false);
            (ReplyTo { topic, place, protection: None }, false)
        });
        let reply = self.reply.iter().map(|reply| (reply.to.reply_to.clone(), true));
        before.chain(reply).collect()
    }

    /// Notes that the record that was next is acknowledged, or can never be. `true` if it was the
    /// last.
    pub(crate) fn advance(&mut self) -> bool {
        if self.before.pop().is_none() {
            self.reply = None;
        }
        self.before.is_empty() && self.reply.is_none()
    }

    /// Where a reply goes that may share its record, and how many bytes it has; `None` if it may not.
    pub(super) fn packs(&self) -> Option<(&Arc<str>, i32, usize)> {
        let reply = self.reply.as_ref().filter(|_| self.before.is_empty())?;
        let ReplyTo { topic, place: ReplyPlace::SharedIn(partition), .. } = &reply.to.reply_to
        else {
            return None;
        };
        let bytes = reply.payload_len();
        (bytes <= MAX_ITEM_PAYLOAD).then_some((topic, *partition, bytes))
    }

    /// Whether the record to send next is the reply.
    pub(crate) fn is_at_reply(&self) -> bool {
        self.before.is_empty()
    }

    /// Replaces a reply that is larger than `max` bytes by a small error.
    pub(crate) fn limit(&mut self, max: usize) {
        let size = self.reply.as_ref().map_or(0, Reply::payload_len);
        if size > max {
            self.too_large(&format!("the reply of {size} bytes is over max_reply_bytes ({max})"));
        }
    }

    /// Replaces the reply by a small error that says why. In a stream, that ends it: this record
    /// is the end, after the items before it.
    pub(crate) fn too_large(&mut self, why: &str) {
        let Some(reply) = &mut self.reply else { return };
        reply.answer = Err(Status::new(Code::ResourceExhausted, why.to_owned()));
        if let Some(position) = &mut reply.position {
            position.end = true;
        }
        self.duty.halt();
    }
}

impl Forward {
    fn record(&self) -> Record {
        Record {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            key: self.key.clone(),
            payload: self.payload.clone(),
            headers: self.headers.clone(),
        }
    }
}

impl Reply {
    pub(crate) fn record(&self) -> Record {
        let ReplyTo { topic, place, protection } = &self.to.reply_to;
        let (key, mut payload) =
            (self.to.key.clone(), (!self.is_bare()).then(|| self.payload().clone()));
        let mut headers = self.headers();
        if let Some(protection) = protection {
            (headers, payload) = protection.apply(headers, topic, key.as_deref(), payload);
        }
        let (topic, partition) = (Arc::clone(topic), place.partition());
        Record { topic, partition, key, payload, headers }
    }

    /// Writes it behind others.
    pub(super) fn pack_into(&self, pack: &mut Pack) {
        if self.to.reply_to.protection.is_some() {
            let record = self.record();
            pack.push_written(&record.headers, record.key.as_deref(), record.payload.as_deref());
            return;
        }
        let key = self.to.key.as_deref();
        let payload = (!self.is_bare()).then_some(&self.payload()[..]);
        self.with_headers(|headers| pack.push_reply(headers, key, payload));
    }

    fn headers(&self) -> OwnedHeaders {
        self.with_headers(|headers| headers.write())
    }

    fn with_headers<T>(&self, with: impl FnOnce(&ReplyHeadersOut<'_>) -> T) -> T {
        let none = Headers::new();
        let (status, claim, content_type, application) = match &self.answer {
            Ok(reply) => (None, reply.claim, reply.content_type.as_deref(), &reply.headers),
            Err(status) => (Some(status), None, None, &none),
        };
        with(&ReplyHeadersOut {
            correlation_id: &self.to.correlation_id,
            status,
            content_type,
            position: self.position,
            claim,
            application,
        })
    }

    fn payload(&self) -> &Bytes {
        match &self.answer {
            Ok(reply) => &reply.payload,
            Err(status) => status.details(),
        }
    }

    fn payload_len(&self) -> usize {
        self.payload().len()
    }

    /// Whether the record has no payload at all: the plain end of a stream, which is no item.
    fn is_bare(&self) -> bool {
        self.position.is_some_and(|position| position.end) && self.payload_len() == 0
    }

    /// Whether it can be replaced by something smaller.
    pub(crate) fn can_shrink(&self) -> bool {
        self.answer.is_ok() || self.payload_len() > 0
    }

    /// Whether it is still worth sending.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.to.deadline.has_passed()
    }
}

impl Remedy {
    /// What a delivery error calls for.
    pub(crate) fn of(code: Option<RDKafkaErrorCode>) -> Self {
        use RDKafkaErrorCode as E;
        match code {
            Some(E::UnknownPartition) => Self::LookUp,
            Some(E::MessageSizeTooLarge) => Self::ReplyTooLarge,
            Some(
                E::UnknownTopic
                | E::UnknownTopicOrPartition
                | E::InvalidTopic
                | E::TopicAuthorizationFailed
                | E::InvalidRecord,
            ) => Self::GiveUp,
            Some(E::PurgeQueue | E::PurgeInflight) => Self::Leave,
            _ => Self::Resend,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::intake::outstanding::Outstanding;
    use crate::intake::tracker::Tracker;
    use crate::sending::duty::Streamed;
    use antiphon_common::metrics::ReplierMetrics;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    /// A reply whose caller takes packed ones.
    pub(crate) fn reply_to(partition: Option<i32>, answer: RawReply) -> Box<Outgoing> {
        let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
        let duty = Duty::Whole(tracker.take(0).expect("new"));
        let (topic, protection) = ("t.replies".into(), None);
        let to = Recipient {
            reply_to: ReplyTo { topic, place: ReplyPlace::new(partition, true), protection },
            correlation_id: "id".into(),
            key: None,
            deadline: Deadline::after(Duration::from_secs(60)),
        };
        Outgoing::new(Vec::new(), Some(Reply { to, answer: Ok(answer), position: None }), duty)
    }

    /// A record of a stream, and the stream.
    fn record(answer: Result<RawReply, Status>, end: bool) -> (Box<Outgoing>, Arc<Streamed>) {
        let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
        let taken = tracker.take(0).expect("new");
        let stream = Streamed::new(taken, CancellationToken::new());
        let to = Recipient {
            reply_to: ReplyTo {
                topic: "t.replies".into(),
                place: ReplyPlace::Any,
                protection: None,
            },
            correlation_id: "id".into(),
            key: None,
            deadline: Deadline::after(Duration::from_secs(60)),
        };
        let position = Some(StreamPosition { seq: 3, end });
        let duty = Duty::Part(stream.part(None));
        (Outgoing::new(Vec::new(), Some(Reply { to, answer, position }), duty), stream)
    }

    #[test]
    fn an_item_that_is_too_large_becomes_the_end_of_its_stream() {
        let (mut item, stream) = record(Ok(RawReply::new("12345")), false);
        item.limit(5);
        assert!(item.reply.as_ref().is_some_and(|reply| reply.answer.is_ok()));
        assert!(!stream.is_halted());
        item.limit(4);
        let reply = item.reply.as_ref().expect("still there");
        assert_eq!(reply.position, Some(StreamPosition { seq: 3, end: true }));
        let status = reply.answer.as_ref().expect_err("an error in its place");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(stream.is_halted() && reply.is_bare() && !reply.can_shrink());
    }

    #[test]
    fn only_an_end_without_details_has_no_payload() {
        let details = || Err(Status::internal("").with_details("why"));
        for (answer, end, bare) in [
            (Ok(RawReply::default()), true, true),
            (Ok(RawReply::default()), false, false),
            (Err(Status::internal("")), true, true),
            (details(), true, false),
        ] {
            let what = format!("{answer:?}, {end}");
            let record = record(answer, end).0.next().expect("a record");
            assert_eq!(record.payload.is_none(), bare, "{what}");
        }
    }

    #[test]
    fn what_must_come_before_the_reply_goes_first_and_one_at_a_time() {
        let forward = |topic: &str| Forward {
            topic: topic.into(),
            partition: None,
            key: None,
            payload: None,
            headers: OwnedHeaders::new(),
        };
        let (mut outgoing, _) = record(Ok(RawReply::default()), false);
        outgoing.before = vec![forward("second"), forward("first")];
        let mut sent = Vec::new();
        loop {
            sent.push((outgoing.next().expect("one more").topic, outgoing.is_at_reply()));
            if outgoing.advance() {
                break;
            }
        }
        let expected = [("first", false), ("second", false), ("t.replies", true)];
        assert_eq!(sent, expected.map(|(topic, reply)| (topic.into(), reply)));
        assert!(outgoing.next().is_none());
    }

    #[test]
    fn remedies() {
        for (code, remedy) in [
            (Some(RDKafkaErrorCode::MessageTimedOut), Remedy::Resend),
            (Some(RDKafkaErrorCode::QueueFull), Remedy::Resend),
            (Some(RDKafkaErrorCode::MessageSizeTooLarge), Remedy::ReplyTooLarge),
            (Some(RDKafkaErrorCode::UnknownPartition), Remedy::LookUp),
            (Some(RDKafkaErrorCode::PurgeQueue), Remedy::Leave),
            (None, Remedy::Resend),
        ] {
            assert_eq!(Remedy::of(code), remedy, "{code:?}");
        }
    }
}
