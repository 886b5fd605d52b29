//! The handle that applications hold.

use std::sync::Arc;
use std::time::Duration;

use antiphon_common::config::KafkaSettings;
use antiphon_common::{InstanceId, Request};

use crate::answers::ReplyQueue;
use crate::builder::RequesterBuilder;
use crate::call::{CallBuilder, RawRequest, Typed};
use crate::session::Session;

/// Asks questions over Kafka. Cheap to clone; clones share one reply reader and one producer.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use antiphon_common::config::KafkaSettings;
/// use antiphon_requester::{RawRequest, Requester};
///
/// let requester = Requester::builder(KafkaSettings::new("127.0.0.1:9092"))
///     .reply_topic("quotes.replies")
///     .build()
///     .await?;
/// let reply = requester.ask(RawRequest::new("quotes", "ACME")).key("ACME").await?;
/// println!("{:?}", reply.payload);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Requester(pub(crate) Arc<Session>);

impl Requester {
    /// Starts to put a requester together.
    #[must_use]
    pub fn builder(kafka: KafkaSettings) -> RequesterBuilder {
        RequesterBuilder::new(kafka)
    }

    pub(crate) fn new(session: Session) -> Self {
        Self(Arc::new(session))
    }

    /// Asks a typed question, in the topic that its type names.
    pub fn call<R: Request>(&self, request: R) -> CallBuilder<'_, Typed<R>> {
        CallBuilder::new(&self.0, Typed(request))
    }

    /// Asks a question in bytes.
    pub fn ask(&self, request: RawRequest) -> CallBuilder<'_, RawRequest> {
        CallBuilder::new(&self.0, request)
    }

    /// The number of calls that wait for a reply.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.calls.len()
    }

    /// The id of this requester, a part of the correlation id of each of its calls.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        self.0.calls.instance()
    }

    /// Makes a queue for the answers of calls that are sent with [`CallBuilder::queue`].
    #[must_use]
    pub fn replies<G>(&self, capacity: usize) -> ReplyQueue<G> {
        ReplyQueue::new(capacity)
    }

    /// Returns when replies can be read. After [`build`](RequesterBuilder::build) that is at once,
    /// unless the requester starts lazily.
    pub async fn ready(&self) {
        self.0.inbox.positioned().await;
    }

    /// Refuses new calls, waits for those in flight for at most `grace`, and ends the rest: those
    /// still queued in this process as not sent, the others with the outcome unknown.
    ///
    /// It takes at most a second more than `grace`, and returns the number of calls that were
    /// ended that way. Other clones of this requester are closed with it.
    pub async fn close(self, grace: Duration) -> usize {
        self.0.close(grace).await
    }
}
