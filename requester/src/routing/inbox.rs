//! Where replies are to be sent to, as calls see it; the reply reader keeps it up to date.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

use antiphon_common::kafka::TopicError;
use tokio::sync::watch;

use crate::call::CallErrorKind;

/// Replies may go to any partition.
const SHARED: i32 = -1;
/// The reader has no position yet, so a reply could be missed.
const NOT_POSITIONED: i32 = -2;

/// The reply topic of one requester, the partition in it that replies are sent to, and how far
/// each partition has been read.
#[derive(Debug)]
pub(crate) struct Inbox {
    topic: String,
    partition: AtomicI32,
    /// The next offset that will be read, by partition. Whatever is asked from now on is answered
    /// at or behind it.
    positions: Mutex<BTreeMap<i32, i64>>,
    positioned: watch::Sender<bool>,
    /// The brokers do not let this requester read the topic.
    unauthorized: AtomicBool,
}

/// The reply reader has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotPositioned;

impl Inbox {
    pub(crate) fn new(topic: String) -> Self {
        Self {
            topic,
            partition: AtomicI32::new(NOT_POSITIONED),
            positions: Mutex::default(),
            positioned: watch::Sender::new(false),
            unauthorized: AtomicBool::new(false),
        }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition that replies are sent to; `None` in shared routing.
    pub(crate) fn partition(&self) -> Result<Option<i32>, NotPositioned> {
        match self.partition.load(Ordering::SeqCst) {
            NOT_POSITIONED => Err(NotPositioned),
            SHARED => Ok(None),
            partition => Ok(Some(partition)),
        }
    }

    /// Notes whether the brokers let this requester read the topic. `true` if that is news.
    pub(crate) fn set_unauthorized(&self, unauthorized: bool) -> bool {
        self.unauthorized.swap(unauthorized, Ordering::Relaxed) != unauthorized
    }

    /// A call is not sent while its reply may not be read.
    pub(crate) fn check_authorized(&self) -> Result<(), CallErrorKind> {
        match self.unauthorized.load(Ordering::Relaxed) {
            true => Err(CallErrorKind::ReplyTopic(TopicError::Unauthorized(self.topic.clone()))),
            false => Ok(()),
        }
    }

    /// From where on replies to what is asked from now on will be found, in `partition` or in any:
    /// partitions and offsets.
    pub(crate) fn starts(&self, partition: Option<i32>) -> Vec<(i32, i64)> {
        let positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions
            .iter()
            .filter(|(known, _)| partition.is_none_or(|wanted| wanted == **known))
            .map(|(partition, offset)| (*partition, *offset))
            .collect()
    }

    /// Sends the replies of new calls to `partition`, or to any. The reader has a position there.
    pub(crate) fn direct_to(&self, partition: Option<i32>) {
        self.partition.store(partition.unwrap_or(SHARED), Ordering::SeqCst);
        self.positioned.send_replace(true);
    }

    /// Notes how far partitions have been read.
    pub(crate) fn read_up_to(&self, next: impl IntoIterator<Item = (i32, i64)>) {
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions.extend(next);
    }

    /// Forgets a partition that is not read any more.
    pub(crate) fn forget(&self, partition: i32) {
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions.remove(&partition);
    }

    /// Returns when the reader has a position.
    pub(crate) async fn positioned(&self) {
        // The sender lives as long as this does.
        let _ = self.positioned.subscribe().wait_for(|positioned| *positioned).await;
    }
}

impl From<NotPositioned> for CallErrorKind {
    fn from(_: NotPositioned) -> Self {
        Self::NotPositioned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_refused_while_their_replies_may_not_be_read() {
        let inbox = Inbox::new("quotes.replies".to_owned());
        assert!(inbox.check_authorized().is_ok());
        assert!(inbox.set_unauthorized(true) && !inbox.set_unauthorized(true));
        let refused = inbox.check_authorized().expect_err("it may not be read");
        assert!(refused.to_string().contains("not authorized for the topic `quotes.replies`"));
        assert!(inbox.set_unauthorized(false) && inbox.check_authorized().is_ok());
    }

    #[tokio::test]
    async fn calls_learn_where_replies_go_once_they_can_be_read() {
        let inbox = Inbox::new("quotes.replies".to_owned());
        assert_eq!(inbox.partition(), Err(NotPositioned));
        inbox.read_up_to([(0, 10), (1, 20)]);
        inbox.direct_to(None);
        inbox.positioned().await;
        assert_eq!(inbox.partition(), Ok(None));
        assert_eq!(inbox.starts(None), [(0, 10), (1, 20)]);
        inbox.direct_to(Some(1));
        inbox.read_up_to([(1, 25)]);
        assert_eq!(inbox.starts(Some(1)), [(1, 25)]);
        inbox.forget(1);
        assert_eq!(inbox.starts(Some(1)), []);
    }
}
