//! What a reply can be looked for by: a ticket, or an entry of a store of pending requests.

use super::search::Sought;
use super::{Ticket, TicketError, TicketKey, contents};
use crate::store::Entry;

/// Names the reply to one request, and where it may be.
pub(crate) trait Claim {
    /// Whether it may be looked for, by a redeemer that has this key.
    fn check(&self, key: Option<&TicketKey>) -> Result<(), TicketError>;

    fn reply_topic(&self) -> &str;

    fn sought(&self, once: bool) -> Sought;
}

impl Claim for Ticket {
    /// Its fields were checked when it was made.
    fn check(&self, key: Option<&TicketKey>) -> Result<(), TicketError> {
        key.map_or(Ok(()), |key| key.check(self))
    }

    fn reply_topic(&self) -> &str {
        self.reply_topic()
    }

    fn sought(&self, once: bool) -> Sought {
        Sought {
            id: self.correlation_id(),
            starts: self.starts().to_vec(),
            deadline_unix_ms: self.deadline_unix_ms(),
            once,
        }
    }
}

impl Claim for Entry {
    /// It comes from the application's own store, so it needs no seal.
    fn check(&self, _: Option<&TicketKey>) -> Result<(), TicketError> {
        let mut starts = self.starts.clone();
        starts.sort_unstable_by_key(|start| start.partition);
        contents::check_starts(&starts)
    }

    fn reply_topic(&self) -> &str {
        &self.reply_topic
    }

    fn sought(&self, once: bool) -> Sought {
        Sought {
            id: self.correlation_id,
            starts: self.starts.clone(),
            deadline_unix_ms: self.deadline_unix_ms,
            once,
        }
    }
}
