//! Redeems tickets: asks the thread that scans, which it starts when there is something to ask.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use antiphon_common::Deadline;
use antiphon_common::config::KafkaSettings;
use prometheus::IntCounter;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::claim::Claim;
use super::mailbox::{Mailbox, Question, Told};
use super::scanner::{Plan, Scanner};
use super::search::{Ending, Sought};
use super::{Ticket, TicketError, TicketKey};
use crate::call::{CallErrorKind, Failure, Reply};
use crate::guard::ReplyGuard;

/// How many bytes of replies are kept for tickets that come later.
const INDEX_BYTES: usize = 64 << 20;
/// How long the thread, its consumer and what it knows outlive the last waiter.
const IDLE: Duration = Duration::from_secs(10);

/// Redeems tickets of one reply topic. What waits ends as closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Redeemer {
    desk: Arc<Desk>,
    key: Option<TicketKey>,
    /// How long a poll may take.
    patience: Duration,
}

/// What whoever waits needs of a redeemer.
#[derive(Debug)]
pub(super) struct Desk {
    mailbox: Arc<Mailbox>,
    plan: Arc<Plan>,
}

impl Redeemer {
    /// Starts nothing yet. A poll takes at most `patience`; `scans` counts the scans.
    pub(crate) fn new(
        kafka: KafkaSettings,
        reply_topic: String,
        key: Option<TicketKey>,
        patience: Duration,
        scans: IntCounter,
        guard: ReplyGuard,
    ) -> Self {
        let (topic, index_bytes, idle) = (reply_topic, INDEX_BYTES, IDLE);
        Self::planned(Plan { kafka, topic, index_bytes, idle, scans, guard }, key, patience)
    }

    pub(super) fn planned(plan: Plan, key: Option<TicketKey>, patience: Duration) -> Self {
        let desk = Desk { mailbox: Arc::default(), plan: Arc::new(plan) };
        Self { desk: Arc::new(desk), key, patience }
    }

    /// Looks whether the reply is there now; `None` if it is not, and may come.
    pub(crate) async fn poll(&self, ticket: &Ticket) -> Result<Option<Reply>, Failure> {
        let sought = self.admit(ticket, true)?;
        let (question, told) = Question::new(sought, None);
        self.desk.ask(vec![question])?;
        let deadline = Deadline::after(self.patience).instant();
        match timeout_at(deadline.into(), told).await {
            Ok(told) => self.desk.outcome(told),
            Err(_) => Err(self.desk.unread()),
        }
    }

    /// Waits for the reply until the ticket's own deadline, and until `until` at most.
    pub(crate) async fn wait(&self, ticket: &Ticket, until: Deadline) -> Result<Reply, Failure> {
        let sought = self.admit(ticket, false)?;
        let (question, told) = Question::new(sought, None);
        self.desk.ask(vec![question])?;
        let told = timeout_at(until.instant().into(), told).await.map_err(|_| timed_out())?;
        self.desk.outcome(told)?.ok_or_else(timed_out)
    }

    /// Ends everything that waits. It can be redeemed elsewhere.
    pub(crate) fn close(&self) {
        self.desk.mailbox.close();
    }

    /// What is sought for a claim, if this redeemer is the one to ask.
    pub(super) fn admit(&self, claim: &impl Claim, once: bool) -> Result<Sought, Failure> {
        let refuse = |error| Failure::unknown(CallErrorKind::Ticket(error));
        claim.check(self.key.as_ref()).map_err(refuse)?;
        let (ticket, requester) = (claim.reply_topic(), &self.desk.plan.topic);
        if ticket != requester {
            let (ticket, requester) = (ticket.to_owned(), requester.clone());
            return Err(refuse(TicketError::OtherReplyTopic { ticket, requester }));
        }
        Ok(claim.sought(once))
    }

    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.desk.mailbox.is_running()
    }

    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }
}

impl Drop for Redeemer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Desk {
    /// Leaves questions, and sees to it that a thread takes them.
    pub(super) fn ask(&self, questions: Vec<Question>) -> Result<(), Failure> {
        if !self.mailbox.put(questions) {
            return Ok(());
        }
        let (mailbox, plan) = (Arc::clone(&self.mailbox), Arc::clone(&self.plan));
        let started = thread::Builder::new().name("antiphon-tickets".to_owned()).spawn(move || {
            let guard = Abandon(Arc::clone(&mailbox));
            match Scanner::new(plan, Arc::clone(&mailbox)) {
                Ok(scanner) => scanner.run(),
                Err(error) => mailbox.abandon(format!("kafka client: {error}")),
            }
            drop(guard);
        });
        started.map(drop).map_err(|error| {
            self.mailbox.abandon(format!("cannot start a thread: {error}"));
            self.unread()
        })
    }

    /// What was told, as the end of a call; `None` is not yet.
    pub(super) fn outcome(
        &self,
        told: Result<Told, oneshot::error::RecvError>,
    ) -> Result<Option<Reply>, Failure> {
        let ended = match told {
            Ok(Told::Ended(ending, _)) => ending,
            Ok(Told::NoSuchPartition { partition, count }) => {
                let refused = TicketError::NoSuchPartition { partition, count };
                return Err(Failure::unknown(CallErrorKind::Ticket(refused)));
            }
            // Only who shares room is told so, and asks again.
            Ok(Told::NoRoom(_)) => return Ok(None),
            Err(_) if self.mailbox.is_closed() => {
                return Err(Failure::unknown(CallErrorKind::Closed));
            }
            Err(_) => return Err(self.unread()),
        };
        match ended {
            Ending::Found(answer) => answer.into_result().map(Some),
            Ending::NotYet => Ok(None),
            Ending::TimedOut => Err(timed_out()),
            Ending::Removed { start, earliest } => {
                Err(Failure::unknown(CallErrorKind::ReplyRemoved {
                    partition: start.partition,
                    start: start.offset,
                    earliest,
                }))
            }
        }
    }

    fn unread(&self) -> Failure {
        Failure::unknown(CallErrorKind::RepliesUnread(self.mailbox.trouble()))
    }
}

pub(super) fn timed_out() -> Failure {
    Failure::unknown(CallErrorKind::Timeout)
}

/// Frees the mailbox for another thread if this one panics.
struct Abandon(Arc<Mailbox>);

impl Drop for Abandon {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.abandon("the thread that reads it ended in a panic".to_owned());
        }
    }
}
