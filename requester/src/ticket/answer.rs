//! A record of the reply topic as an answer: to which request, and what it says.

use antiphon_common::wire::{Caps, ReplyHeaders};
use antiphon_common::{Code, CorrelationId, EnvelopeFault, Status};
use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message as _};

use crate::call::{CallErrorKind, Failure, Reply};
use crate::guard::ReplyGuard;
use crate::received::Received;

/// What a kept answer costs beside its bytes.
const OVERHEAD: usize = 256;

/// What a replier answered. Clones share their bytes.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Good(Reply),
    Error(Status),
    /// It does not open.
    Sealed(EnvelopeFault),
    /// The end of a stream that had no items.
    Nothing,
}

impl Answer {
    /// Reads a record; `None` if it is not the first reply to a request.
    ///
    /// It need not be the reply to a request of this instance: tickets outlive instances.
    pub(super) fn read(
        record: &BorrowedMessage<'_>,
        guard: &ReplyGuard,
    ) -> Option<(CorrelationId, Self)> {
        let headers = antiphon_native::headers(record).ok()?;
        let mut headers = ReplyHeaders::read(headers, Caps::default()).ok()?;
        let record = &Received::of(record, record.topic());
        if !guard.admits(record, &headers) {
            return None;
        }
        let id = CorrelationId::from_bytes(headers.correlation_id().ok()?)?;
        // Of a stream of replies the first one counts.
        let position = headers.position().ok()?;
        if position.is_some_and(|position| position.seq > 0) {
            return None;
        }
        let payload = match guard.open(record, &headers) {
            Ok(payload) => payload,
            Err(fault) => return Some((id, Self::Sealed(fault))),
        };
        let answer = match headers.code() {
            Code::Ok if position.is_some_and(|position| position.end) => Self::Nothing,
            Code::Ok => Self::Good(Reply::of(record, &mut headers, payload)),
            code => Self::Error(Status::new(code, headers.error_message()).with_details(payload)),
        };
        Some((id, answer))
    }

    /// The bytes that the answer holds.
    pub(super) fn size(&self) -> usize {
        let held = match self {
            Self::Good(reply) => {
                reply.payload.len()
                    + reply.key.as_ref().map_or(0, Bytes::len)
                    + reply.headers.size()
            }
            Self::Error(status) => status.message().len() + status.details().len(),
            Self::Sealed(_) | Self::Nothing => 0,
        };
        held + OVERHEAD
    }

    pub(super) fn into_result(self) -> Result<Reply, Failure> {
        match self {
            Self::Good(reply) => Ok(reply),
            Self::Error(status) => Err(Failure::executed(CallErrorKind::Status(status))),
            Self::Sealed(fault) => Err(Failure::executed(CallErrorKind::Sealed(fault))),
            Self::Nothing => Err(Failure::executed(CallErrorKind::EmptyStream)),
        }
    }
}
