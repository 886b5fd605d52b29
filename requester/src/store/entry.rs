//! One pending request, as a store keeps it.

use antiphon_common::CorrelationId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::ticket::{ReplyStart, RequestPosition, Ticket, TicketError};

/// A pending request: what it takes to find its reply, and what the application has noted on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The correlation id of the request.
    pub correlation_id: CorrelationId,
    /// The topic that the request was sent to.
    pub request_topic: String,
    /// The topic that the reply comes to.
    pub reply_topic: String,
    /// Where the reply may be: one partition, or all of them in shared routing.
    pub starts: Vec<ReplyStart>,
    /// The deadline of the request, in Unix milliseconds.
    pub deadline_unix_ms: u64,
    /// Where the request is; `None` as long as no broker has acknowledged it.
    pub acknowledged: Option<Acknowledged>,
    /// The application's own, to know what it had asked and for whom: at most
    /// [`Entry::MAX_NOTE`] bytes.
    pub note: Bytes,
}

/// The place of an acknowledged request in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What is written of an entry beside its key and its note.
#[derive(Serialize, Deserialize)]
struct Written {
    request: String,
    replies: String,
    starts: Vec<ReplyStart>,
    deadline: u64,
}

impl Entry {
    /// The most bytes that a note may have: 64 KiB.
    pub const MAX_NOTE: usize = 64 * 1024;

    /// The ticket of an acknowledged request, unsealed; `None` for one that is not acknowledged.
    ///
    /// # Errors
    /// [`TicketError::Field`] if a field is out of its range.
    pub fn ticket(&self) -> Result<Option<Ticket>, TicketError> {
        let Some(Acknowledged { partition, offset }) = self.acknowledged else { return Ok(None) };
        let request = RequestPosition { topic: self.request_topic.clone(), partition, offset };
        let (starts, deadline) = (self.starts.clone(), self.deadline_unix_ms);
        Ticket::new(self.correlation_id, request, &self.reply_topic, starts, deadline).map(Some)
    }

    /// Checks what a store takes.
    ///
    /// # Errors
    /// [`StoreError::Entry`] names the field that is out of its range.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.note.len() > Self::MAX_NOTE {
            let problem =
                format!("has {} bytes; at most {} are kept", self.note.len(), Self::MAX_NOTE);
            return Err(StoreError::Entry { field: "note", problem });
        }
        // Whatever its place will be, the rest has to make a ticket.
        let at = self.acknowledged.unwrap_or(Acknowledged { partition: 0, offset: 0 });
        match (Self { acknowledged: Some(at), ..self.clone() }).ticket() {
            Ok(_) => Ok(()),
            Err(TicketError::Field { field, problem }) => Err(StoreError::Entry { field, problem }),
            Err(other) => Err(StoreError::Entry { field: "fields", problem: other.to_string() }),
        }
    }

    /// The entry as text, without its id, its note and its acknowledgement.
    #[cfg_attr(not(feature = "store"), expect(dead_code, reason = "for stores in files"))]
    pub(super) fn to_json(&self) -> String {
        let written = Written {
            request: self.request_topic.clone(),
            replies: self.reply_topic.clone(),
            starts: self.starts.clone(),
            deadline: self.deadline_unix_ms,
        };
        serde_json::to_string(&written).expect("texts and numbers have a JSON form")
    }

    /// Puts together what was written apart.
    #[cfg_attr(not(feature = "store"), expect(dead_code, reason = "for stores in files"))]
    pub(super) fn from_parts(
        id: [u8; CorrelationId::LEN],
        json: &str,
        note: &[u8],
        acknowledged: Option<Acknowledged>,
    ) -> Result<Self, StoreError> {
        let damaged = |problem: &dyn std::fmt::Display| StoreError::Damaged {
            id: format!("{:032x}", u128::from_be_bytes(id)),
            problem: problem.to_string(),
        };
        let correlation_id =
            CorrelationId::from_bytes(&id).ok_or_else(|| damaged(&"it is no correlation id"))?;
        let Written { request, replies, starts, deadline } =
            serde_json::from_str(json).map_err(|error| damaged(&error))?;
        Ok(Self {
            correlation_id,
            request_topic: request,
            reply_topic: replies,
            starts,
            deadline_unix_ms: deadline,
            acknowledged,
            note: Bytes::copy_from_slice(note),
        })
    }
}
