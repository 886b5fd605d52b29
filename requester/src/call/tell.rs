//! Sends a request that no answer is wanted to.

use std::sync::Arc;
use std::time::Instant;

use antiphon_common::Deadline;
use tokio::sync::oneshot;

use super::ask::Ask;
use super::builder::CallBuilder;
use super::error::{CallError, CallErrorKind, Failure};
use super::options::Prepared;
use super::produce::Answers;
use crate::attempts::Room;
use crate::session::Session;
use crate::table::{Done, Position};
use crate::ticket::RequestPosition;

impl<A: Ask> CallBuilder<'_, A> {
    /// Sends the request to a one-way handler, and returns where it is as soon as the broker has
    /// acknowledged it. That it is handled is up to the repliers then; nobody hears of it.
    ///
    /// The call's time-out is how long the acknowledgement may take. The request carries no
    /// deadline, so that it is handled however late, unless [`deadline`](Self::deadline) names one.
    /// Retries, hedges and cancellation do not apply.
    ///
    /// ```no_run
    /// # async fn example(requester: antiphon_requester::Requester) -> Result<(), antiphon_requester::CallError> {
    /// use antiphon_requester::RawRequest;
    ///
    /// let told = requester.ask(RawRequest::new("audit", "user 7 logged in")).tell().await?;
    /// println!("{} [{}] at {}", told.topic, told.partition, told.offset);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError`] if the request is not in its topic, or it is not known whether it is.
    pub async fn tell(mut self) -> Result<RequestPosition, CallError> {
        let started = Instant::now();
        let (session, topic) = (Arc::clone(self.session), self.topic_of());
        let deadline = self.deadline_from(started);
        self = self.cancellable(false);
        let told = match self.prepare() {
            Ok(prepared) => session.tell(&prepared, deadline).await,
            Err(failure) => Err(failure),
        };
        let position = told
            .map_err(|failure| CallError::new(failure, topic.clone(), None, started.elapsed()))?;
        let Position { partition, offset } = position;
        Ok(RequestPosition { topic: topic.to_string(), partition, offset })
    }
}

impl Session {
    async fn tell(&self, prepared: &Prepared, deadline: Deadline) -> Result<Position, Failure> {
        let room = Room { calls: &self.calls, inbox: &self.inbox, deadline };
        let register = || {
            let (done, acknowledged) = oneshot::channel();
            let (now, done) = (Instant::now(), Done::submitted(done));
            let admitted = self.admit(&prepared.question(1), deadline, now, done);
            admitted.map(|entry| (entry, acknowledged)).map_err(|(failure, _)| failure)
        };
        let registered = room.wait(|failure| self.waits_for(&failure.kind), register);
        let (entry, acknowledged) =
            registered.await.inspect_err(|_| self.calls.count_not_sent())?;
        let (now, question, id) = (Instant::now(), prepared.question(1), entry.id());
        let sent = self.produce(&entry, &question, deadline, now, Answers::Unwanted);
        if let Err(failure) = sent {
            self.withdraw(entry);
            return Err(failure.of(id));
        }
        // The entry is taken out by the acknowledgement, and if this is dropped before.
        let ended = acknowledged.await;
        entry.release();
        let ended = ended.unwrap_or_else(|_| Err(Failure::unknown(CallErrorKind::Closed)));
        ended.map_err(|failure| failure.of(id))
    }
}
