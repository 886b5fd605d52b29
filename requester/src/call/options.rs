//! What a call may say about itself, and what is wrong with it.

use std::time::{Duration, Instant};

use antiphon_common::payloads::PayloadId;
use antiphon_common::wire::{Caps, Headers};
use antiphon_common::{Deadline, inherited};
use bytes::Bytes;

use super::error::{CallErrorKind, Failure};
use super::name::Name;

/// The parts of a call that are not the question.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The request topic, if it is not the question's own.
    pub(crate) topic: Option<Name>,
    pub(crate) key: Option<Bytes>,
    pub(crate) partition: Option<i32>,
    pub(crate) headers: Headers,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Option<Deadline>,
    /// A cancelled call is cancelled at its replier as well.
    pub(crate) cancellable: bool,
    pub(crate) idempotency_key: Option<Bytes>,
    /// Running the request twice is as good as once.
    pub(crate) idempotent: bool,
}

/// A question in the form in which it is produced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) topic: &'a Name,
    pub(crate) endpoint: Option<&'a Name>,
    pub(crate) content_type: Option<&'a Name>,
    pub(crate) payload: &'a [u8],
    /// Where the payload is, if it is not here.
    pub(crate) claim: Option<PayloadId>,
    /// From 1.
    pub(crate) attempt: u32,
    pub(crate) options: &'a Options,
}

/// A question that can be asked several times, or later.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) topic: Name,
    pub(crate) endpoint: Option<Name>,
    pub(crate) content_type: Option<Name>,
    pub(crate) payload: Bytes,
    /// Where the payload is, if it is not here.
    pub(crate) claim: Option<PayloadId>,
    pub(crate) options: Options,
}

impl Options {
    pub(crate) fn new(timeout: Duration, cancellable: bool) -> Self {
        Self {
            topic: None,
            key: None,
            partition: None,
            headers: Headers::new(),
            timeout,
            deadline: None,
            cancellable,
            idempotency_key: None,
            idempotent: false,
        }
    }

    /// When the call ends: as it says itself, but not after the request that the current task
    /// handles, and not after the longest time-out there is.
    pub(crate) fn deadline_from(&self, now: Instant) -> Deadline {
        let latest = Deadline::after_from(now, Deadline::MAX_TIMEOUT);
        let wanted = self.deadline.unwrap_or_else(|| Deadline::after_from(now, self.timeout));
        let inherited = inherited::deadline().unwrap_or(latest);
        wanted.earlier(inherited).earlier(latest)
    }

    /// Checks what the application has set.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let invalid = |what: String| Err(Failure::not_sent(CallErrorKind::Invalid(what)));
        let caps = Caps::default();
        if let Some(name) = self.headers.reserved() {
            return invalid(format!("the header `{name}` is the protocol's own; use another name"));
        }
        // The protocol's own headers take up to 11 and some hundred bytes of what a replier reads.
        let key = self.idempotency_key.as_ref().map_or(0, Bytes::len);
        let size = self.headers.size() + key;
        if self.headers.len() > caps.count / 2 || size > caps.bytes / 2 {
            return invalid(format!(
                "the headers have {} entries and {size} bytes; at most {} and {} are sent",
                self.headers.len(),
                caps.count / 2,
                caps.bytes / 2
            ));
        }
        if let Some(partition) = self.partition.filter(|partition| *partition < 0) {
            return invalid(format!("the partition {partition} is negative; give 0 or more"));
        }
        Ok(())
    }
}

impl Question<'_> {
    /// What the question takes of the budget of bytes.
    pub(crate) fn size(&self) -> usize {
        let key = self.options.key.as_ref().map_or(0, Bytes::len);
        self.payload.len() + key + self.options.headers.size()
    }
}

impl Prepared {
    pub(crate) fn question(&self, attempt: u32) -> Question<'_> {
        Question {
            topic: &self.topic,
            endpoint: self.endpoint.as_ref(),
            content_type: self.content_type.as_ref(),
            payload: &self.payload,
            claim: self.claim,
            attempt,
            options: &self.options,
        }
    }
}
