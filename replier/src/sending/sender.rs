//! The way out for the records of a request: one by one, or in transactions.

use std::sync::Arc;

use crate::sending::outgoing::Outgoing;
use crate::sending::replies::{Burst, Replies};
use crate::sending::transactions::Queue;

/// Sends the records of requests.
#[derive(Clone)]
pub(crate) enum Sender {
    /// Each when the one before is acknowledged.
    Plain(Arc<Replies>),
    /// All at once, with the offset of the request.
    Transactional(Queue),
}

impl Sender {
    /// As that of the replies.
    pub(crate) fn burst(&self) -> Option<Burst<'_>> {
        match self {
            Self::Plain(replies) => Some(replies.burst()),
            Self::Transactional(_) => None,
        }
    }

    /// Sends the records of a request.
    pub(crate) fn send(&self, outgoing: Box<Outgoing>) {
        match self {
            Self::Plain(replies) => replies.send(outgoing),
            Self::Transactional(queue) => queue.send(outgoing),
        }
    }
}
