//! Tickets at the requester: polled, waited for, resumed, and settled.

use std::time::{Duration, Instant};

use antiphon_common::payloads::LargePayloads;
use antiphon_common::{CorrelationId, Deadline};
use futures::{Stream, StreamExt};

use crate::call::{CallError, Failure, Name, Reply};
use crate::claim_check;
use crate::requester::Requester;
use crate::store::{Entry, StoreError};
use crate::table::Ended;
use crate::ticket::Ticket;

/// A request of an earlier process that was still pending, and how it ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// What was kept of the request, the application's note included.
    pub entry: Entry,
    /// How it ended. A request that was never acknowledged may have been sent or not.
    pub answer: Result<Reply, CallError>,
}

impl Requester {
    /// Looks whether the reply to a ticket is there; `None` if it is not, and may still come.
    ///
    /// It reads the reply topic from where the ticket says, once for all tickets that are asked
    /// for at about the same time. It takes ten seconds at most.
    ///
    /// # Errors
    /// [`CallError`] if the replier answered with an error, the ticket's deadline has passed
    /// without a reply, retention has removed what the reply may be among, the reply topic cannot
    /// be read, or the ticket is refused.
    pub async fn poll(&self, ticket: &Ticket) -> Result<Option<Reply>, CallError> {
        let started = Instant::now();
        let polled = match self.0.redeemer.poll(ticket).await {
            Ok(Some(reply)) => Payloads::of(self).redeem(Ok(reply)).await.map(Some),
            other => other,
        };
        polled.map_err(|failure| error(failure, ticket, started))
    }

    /// Waits for the reply to a ticket, until the ticket's deadline. A reply that is there already
    /// is found even after it.
    ///
    /// # Errors
    /// As [`Requester::poll`].
    pub async fn wait(&self, ticket: &Ticket) -> Result<Reply, CallError> {
        self.wait_until(ticket, Deadline::after(Deadline::MAX_TIMEOUT)).await
    }

    /// The same, but until `until` at most.
    ///
    /// # Errors
    /// As [`Requester::poll`].
    pub async fn wait_until(&self, ticket: &Ticket, until: Deadline) -> Result<Reply, CallError> {
        let started = Instant::now();
        let waited = Payloads::of(self).redeem(self.0.redeemer.wait(ticket, until).await).await;
        waited.map_err(|failure| error(failure, ticket, started))
    }

    /// Waits for the replies to many tickets, each until its deadline, by one reading of each reply
    /// partition. They come in the order in which they end.
    pub fn resume(
        &self,
        tickets: Vec<Ticket>,
    ) -> impl Stream<Item = (Ticket, Result<Reply, CallError>)> + Send + Unpin + 'static {
        let started = Instant::now();
        let until = Deadline::after(Deadline::MAX_TIMEOUT);
        let ended = Payloads::of(self).redeem_all(self.0.redeemer.wait_all(tickets, until));
        Box::pin(ended.map(move |(ticket, ended)| {
            let ended = ended.map_err(|failure| error(failure, &ticket, started));
            (ticket, ended)
        }))
    }

    /// Ends the requests that an earlier process had submitted and not settled, as far as they are
    /// in the [store](crate::RequesterBuilder::store): each with its reply, an error, or by its
    /// deadline. Those that this process has submitted are not among them.
    ///
    /// Each should be [settled](Requester::settle) when the application is done with it; one that
    /// is not comes again after the next start.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn recover(
        &self,
    ) -> Result<impl Stream<Item = Recovered> + Send + Unpin + 'static, StoreError> {
        let started = Instant::now();
        let mut entries = match &self.0.store {
            Some(store) => store.load().await?,
            None => Vec::new(),
        };
        let me = self.instance();
        entries.retain(|entry| entry.correlation_id.instance() != me);
        let until = Deadline::after(Deadline::MAX_TIMEOUT);
        let ended = Payloads::of(self).redeem_all(self.0.redeemer.wait_all(entries, until));
        Ok(Box::pin(ended.map(move |(entry, ended)| {
            let id = entry.correlation_id;
            let answer = ended.map_err(|failure| {
                let topic = Name::from(entry.request_topic.clone());
                CallError::new(failure, topic, Some(id), started.elapsed())
            });
            Recovered { entry, answer }
        })))
    }

    /// Takes a submitted request out of the store: the application is done with it.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    pub async fn settle(&self, id: CorrelationId) -> Result<(), StoreError> {
        match &self.0.store {
            Some(store) => store.remove(id).await,
            None => Ok(()),
        }
    }
}

fn error(failure: Failure, ticket: &Ticket, started: Instant) -> CallError {
    let topic = Name::from(ticket.request().topic.clone());
    CallError::new(failure, topic, Some(ticket.correlation_id()), started.elapsed())
}

/// Takes payloads out of their store. It does not keep the requester alive.
#[derive(Clone)]
struct Payloads {
    large: Option<LargePayloads>,
    timeout: Duration,
}

impl Payloads {
    /// How many are taken out at once.
    const AT_ONCE: usize = 16;

    fn of(requester: &Requester) -> Self {
        let session = &requester.0;
        Self { large: session.large.clone(), timeout: session.settings.timeout() }
    }

    async fn redeem(&self, ended: Ended) -> Ended {
        claim_check::redeem(self.large.as_ref(), ended?, Deadline::after(self.timeout)).await
    }

    fn redeem_all<K: Send + 'static>(
        self,
        ended: impl Stream<Item = (K, Ended)> + Send + 'static,
    ) -> impl Stream<Item = (K, Ended)> + Send + 'static {
        let taken = ended.map(move |(of, ended)| {
            let payloads = self.clone();
            async move { (of, payloads.redeem(ended).await) }
        });
        taken.buffer_unordered(Self::AT_ONCE)
    }
}
