//! Submits a request for a reply that is taken later, perhaps by another process.

use std::sync::Arc;
use std::time::Instant;

use antiphon_common::Deadline;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::ask::Ask;
use super::builder::CallBuilder;
use super::error::{CallError, CallErrorKind, Failure};
use super::options::Prepared;
use super::pending::Entry;
use super::produce::Answers;
use crate::attempts::Room;
use crate::claim_check;
use crate::session::Session;
use crate::store::{self, Acknowledged};
use crate::table::{Done, Position};
use crate::ticket::{ReplyStart, RequestPosition, Ticket};

type Arrival = oneshot::Receiver<Result<Position, Failure>>;

/// A request that is registered and not sent yet.
struct Submission {
    entry: Entry,
    arrival: Arrival,
    /// The partition that the reply is to come to, and where it can be at the earliest.
    reply_partition: Option<i32>,
    starts: Vec<ReplyStart>,
}

impl<A: Ask> CallBuilder<'_, A> {
    /// Sends the request, and returns a ticket for its reply as soon as the broker has
    /// acknowledged the request.
    ///
    /// With a [store](crate::RequesterBuilder::store), the request is in the store before it is
    /// sent, and stays there until it is [settled](crate::Requester::settle). The call's deadline
    /// is that of the reply, which may be hours away. Retries and hedges do not apply.
    ///
    /// ```no_run
    /// # async fn example(requester: antiphon_requester::Requester) -> Result<(), antiphon_requester::CallError> {
    /// use std::time::Duration;
    /// use antiphon_requester::RawRequest;
    ///
    /// let report = RawRequest::new("reports", "2026-11");
    /// let ticket = requester.ask(report).timeout(Duration::from_secs(3600)).submit().await?;
    /// let text = ticket.to_string(); // keep it anywhere
    /// let reply = requester.wait(&text.parse().expect("a ticket")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError`] if the request is not in its topic, or it is not known whether it is.
    pub async fn submit(self) -> Result<Ticket, CallError> {
        let started = Instant::now();
        let (session, topic) = (Arc::clone(self.session), self.topic_of());
        let deadline = self.deadline_from(started);
        let note = self.note.clone();
        let submitted = match self.prepare() {
            Ok(mut prepared) => match session.check_in(&mut prepared, deadline).await {
                Ok(()) => session.submit(&prepared, deadline, note).await,
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        submitted.map_err(|failure| CallError::new(failure, topic, None, started.elapsed()))
    }
}

impl Session {
    async fn check_in(&self, prepared: &mut Prepared, deadline: Deadline) -> Result<(), Failure> {
        let Some(large) = &self.large else { return Ok(()) };
        let kept = claim_check::check_in(large, prepared, deadline).await;
        kept.inspect_err(|_| self.calls.count_not_sent())
    }

    async fn submit(
        &self,
        prepared: &Prepared,
        deadline: Deadline,
        note: Bytes,
    ) -> Result<Ticket, Failure> {
        let room = Room { calls: &self.calls, inbox: &self.inbox, deadline };
        let registered = room
            .wait(|failure| self.waits_for(&failure.kind), || self.register(prepared, deadline));
        let submission = registered.await.inspect_err(|_| self.calls.count_not_sent())?;
        let id = submission.entry.id();
        let pending = store::Entry {
            correlation_id: id,
            request_topic: prepared.topic.to_string(),
            reply_topic: self.inbox.topic().to_owned(),
            starts: submission.starts.clone(),
            deadline_unix_ms: deadline.to_unix_millis(),
            acknowledged: None,
            note,
        };
        if let Some(store) = &self.store {
            let stored = async { pending.check().map(|()| store.put(pending.clone()))?.await };
            if let Err(error) = stored.await {
                self.withdraw(submission.entry);
                return Err(Failure::not_sent(CallErrorKind::Store(error)).of(id));
            }
        }
        match self.deliver(submission, prepared, deadline).await {
            Ok(Position { partition, offset }) => {
                let at = Acknowledged { partition, offset };
                if let Some(store) = &self.store
                    && let Err(error) = store.acknowledge(id, at).await
                {
                    return Err(Failure::unknown(CallErrorKind::Store(error)).of(id));
                }
                let request = RequestPosition { topic: pending.request_topic, partition, offset };
                let (starts, by) = (pending.starts, pending.deadline_unix_ms);
                let ticket = Ticket::new(id, request, pending.reply_topic, starts, by)
                    .map_err(|error| Failure::unknown(CallErrorKind::Ticket(error)).of(id))?;
                Ok(match &self.ticket_key {
                    Some(key) => key.seal(ticket),
                    None => ticket,
                })
            }
            Err(failure) => {
                // The caller hears of the end now, so that it must not be told again.
                if let Some(store) = &self.store {
                    let removed = store.remove(id).await;
                    removed
                        .map_err(|error| Failure::unknown(CallErrorKind::Store(error)).of(id))?;
                }
                Err(failure.of(id))
            }
        }
    }

    fn register(&self, prepared: &Prepared, deadline: Deadline) -> Result<Submission, Failure> {
        let (submitted, arrival) = oneshot::channel();
        let (now, done) = (Instant::now(), Done::submitted(submitted));
        let reply_partition =
            self.inbox.partition().map_err(|none| Failure::not_sent(none.into()))?;
        let starts = self.inbox.starts(reply_partition).into_iter();
        let starts = starts.map(|(partition, offset)| ReplyStart { partition, offset }).collect();
        let entry = self
            .admit(&prepared.question(1), deadline, now, done)
            .map_err(|(failure, _)| failure)?;
        Ok(Submission { entry, arrival, reply_partition, starts })
    }

    /// Produces the request, and waits for its acknowledgement.
    async fn deliver(
        &self,
        submission: Submission,
        prepared: &Prepared,
        deadline: Deadline,
    ) -> Result<Position, Failure> {
        let Submission { entry, arrival, reply_partition, .. } = submission;
        let gone = |_| Err(Failure::unknown(CallErrorKind::Closed));
        // While the store was written, the deadline may have passed or the requester been closed.
        // Whoever has taken the entry out of the table says so, perhaps a moment later.
        if !self.calls.is_waiting(entry.call()) {
            let ended = arrival.await.unwrap_or_else(gone);
            entry.release();
            return ended.map_err(|failure| Failure::not_sent(failure.kind));
        }
        let (now, question) = (Instant::now(), prepared.question(1));
        let answers = Answers::At(reply_partition);
        if let Err(failure) = self.produce(&entry, &question, deadline, now, answers) {
            self.withdraw(entry);
            return Err(failure);
        }
        let ended = arrival.await;
        entry.release();
        ended.unwrap_or_else(gone)
    }

    pub(super) fn withdraw(&self, entry: Entry) {
        if entry.withdraw().is_ok() {
            self.calls.count_not_sent();
        }
    }
}
