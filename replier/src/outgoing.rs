//! One reply on its way, and what to do when the broker does not take it. Pure.

use antiphon_common::wire::{Headers, ReplyHeadersOut, StreamPosition};
use antiphon_common::{Code, Deadline, Status};
use bytes::Bytes;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;

use crate::context::RawReply;
use crate::duty::Duty;
use crate::incoming::ReplyTo;

/// A reply record and the duty that goes with it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Recipient,
    pub(crate) answer: Result<RawReply, Status>,
    /// Its place in a stream, if it is in one.
    pub(crate) position: Option<StreamPosition>,
    pub(crate) duty: Duty,
    /// Whether its topic was looked up because its partition was not known.
    pub(crate) lookup: Lookup,
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
    pub(crate) correlation_id: Bytes,
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
    pub(crate) fn headers(&self) -> OwnedHeaders {
        let none = Headers::new();
        let (status, content_type, application) = match &self.answer {
            Ok(reply) => (None, reply.content_type.as_deref(), &reply.headers),
            Err(status) => (Some(status), None, &none),
        };
        ReplyHeadersOut {
            correlation_id: &self.to.correlation_id,
            status,
            content_type,
            position: self.position,
            application,
        }
        .write()
    }

    pub(crate) fn payload(&self) -> Bytes {
        match &self.answer {
            Ok(reply) => reply.payload.clone(),
            Err(status) => status.details().clone(),
        }
    }

    /// Whether the record has no payload at all: the plain end of a stream, which is no item.
    pub(crate) fn is_bare(&self) -> bool {
        self.position.is_some_and(|position| position.end) && self.payload().is_empty()
    }

    /// Whether it can be replaced by something smaller.
    pub(crate) fn can_shrink(&self) -> bool {
        self.answer.is_ok() || !self.payload().is_empty()
    }

    /// Replaces a reply that is larger than `max` bytes by a small error.
    pub(crate) fn limit(&mut self, max: usize) {
        let size = self.payload().len();
        if size > max {
            self.too_large(&format!("the reply of {size} bytes is over max_reply_bytes ({max})"));
        }
    }

    /// Replaces the reply by a small error that says why. In a stream, that ends it: this record
    /// is the end, after the items before it.
    pub(crate) fn too_large(&mut self, why: &str) {
        self.answer = Err(Status::new(Code::ResourceExhausted, why.to_owned()));
        if let Some(position) = &mut self.position {
            position.end = true;
        }
        self.duty.halt();
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
mod tests {
    use super::*;
    use crate::duty::Streamed;
    use crate::tracker::{Outstanding, Tracker};
    use antiphon_common::metrics::ReplierMetrics;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    /// A record of a stream, and the stream.
    fn record(answer: Result<RawReply, Status>, end: bool) -> (Outgoing, Arc<Streamed>) {
        let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
        let taken = tracker.take(0).expect("new");
        let stream = Streamed::new(taken, CancellationToken::new());
        let to = Recipient {
            reply_to: ReplyTo { topic: "t.replies".into(), partition: None },
            correlation_id: "id".into(),
            key: None,
            deadline: Deadline::after(Duration::from_secs(60)),
        };
        let position = Some(StreamPosition { seq: 3, end });
        let duty = Duty::Part(stream.part(None));
        (Outgoing { to, answer, position, duty, lookup: Lookup::NotNeeded }, stream)
    }

    #[test]
    fn an_item_that_is_too_large_becomes_the_end_of_its_stream() {
        let (mut item, stream) = record(Ok(RawReply::new("12345")), false);
        item.limit(5);
        assert!(item.answer.is_ok() && !stream.is_halted());
        item.limit(4);
        assert_eq!(item.position, Some(StreamPosition { seq: 3, end: true }));
        let status = item.answer.as_ref().expect_err("an error in its place");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(stream.is_halted() && item.is_bare() && !item.can_shrink());
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
            assert_eq!(record(answer, end).0.is_bare(), bare, "{what}");
        }
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
