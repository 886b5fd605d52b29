//! One reply on its way, and what to do when the broker does not take it. Pure.

use antiphon_common::wire::{Headers, ReplyHeadersOut};
use antiphon_common::{Code, Deadline, Status};
use bytes::Bytes;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;

use crate::context::RawReply;
use crate::incoming::ReplyTo;
use crate::tracker::Taken;

/// A reply and the duty to complete its request.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) reply_to: ReplyTo,
    pub(crate) correlation_id: Bytes,
    pub(crate) key: Option<Bytes>,
    pub(crate) answer: Result<RawReply, Status>,
    /// Until when it is worth sending.
    pub(crate) deadline: Deadline,
    pub(crate) taken: Taken,
}

/// What a failed delivery calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Send it again.
    Resend,
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
            correlation_id: &self.correlation_id,
            status,
            content_type,
            position: None,
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

    /// Replaces a reply that is larger than `max` bytes by a small error.
    pub(crate) fn limit(&mut self, max: usize) {
        let size = self.payload().len();
        if size > max {
            self.too_large(&format!("the reply of {size} bytes is over max_reply_bytes ({max})"));
        }
    }

    /// Replaces the reply by a small error that says why.
    pub(crate) fn too_large(&mut self, why: &str) {
        self.answer = Err(Status::new(Code::ResourceExhausted, why.to_owned()));
    }
}

impl Remedy {
    /// What a delivery error calls for.
    pub(crate) fn of(code: Option<RDKafkaErrorCode>) -> Self {
        use RDKafkaErrorCode as E;
        match code {
            Some(E::MessageSizeTooLarge) => Self::ReplyTooLarge,
            Some(
                E::UnknownPartition
                | E::UnknownTopic
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

    #[test]
    fn remedies() {
        for (code, remedy) in [
            (Some(RDKafkaErrorCode::MessageTimedOut), Remedy::Resend),
            (Some(RDKafkaErrorCode::QueueFull), Remedy::Resend),
            (Some(RDKafkaErrorCode::MessageSizeTooLarge), Remedy::ReplyTooLarge),
            (Some(RDKafkaErrorCode::UnknownPartition), Remedy::GiveUp),
            (Some(RDKafkaErrorCode::PurgeQueue), Remedy::Leave),
            (None, Remedy::Resend),
        ] {
            assert_eq!(Remedy::of(code), remedy, "{code:?}");
        }
    }
}
