//! What a request came to is sent: its reply, and before that what must be kept of it.

use antiphon_common::Status;

use crate::failures::Passed;
use crate::failures::original::Original;
use crate::intake::tracker::Taken;
use crate::running::serve::{Outcome, Service};
use crate::sending::duty::Duty;
use crate::sending::outgoing::{Forward, Outgoing, Recipient, Reply};

impl Service {
    /// Sends what a request came to after `runs` runs of its handler.
    pub(crate) fn dispose(
        &self,
        outcome: Outcome,
        to: Option<Recipient>,
        original: Option<&Original>,
        runs: u32,
        mut taken: Taken,
    ) {
        let kept = self.keep(&mut taken, &outcome);
        let (answer, passed) = match outcome {
            Outcome::Replied(reply) => (Ok(reply), Passed::Nowhere),
            Outcome::Failed(status) => {
                let passed = self.pass(original, &status, runs, true);
                (Err(status), passed)
            }
            Outcome::Expired(status) => (Err(status), Passed::Nowhere),
            Outcome::Cancelled | Outcome::HandedOver => return taken.complete(),
        };
        let reply = |to| Reply { to, answer, position: None };
        let (mut before, reply) = match passed {
            Passed::Nowhere => (Vec::new(), to.map(reply)),
            Passed::Retry(forward) => (vec![forward], None),
            Passed::DeadLetter(forward) => (vec![forward], to.map(reply)),
        };
        before.extend(kept);
        if before.is_empty() && reply.is_none() {
            return taken.complete();
        }
        self.replies.send(Outgoing::new(before, reply, Duty::Whole(taken)));
    }

    /// The dead letter of a stream that failed. A stream is not handled again: what it has sent
    /// cannot be taken back.
    pub(crate) fn dead_letter(
        &self,
        original: Option<&Original>,
        status: &Status,
    ) -> Option<Forward> {
        match self.pass(original, status, 1, false) {
            Passed::DeadLetter(forward) => Some(forward),
            Passed::Nowhere | Passed::Retry(_) => None,
        }
    }

    fn pass(
        &self,
        original: Option<&Original>,
        status: &Status,
        runs: u32,
        repeatable: bool,
    ) -> Passed {
        let passed = original.map_or(Passed::Nowhere, |original| {
            self.failures.pass(original, status, runs, repeatable)
        });
        match &passed {
            Passed::Nowhere => {}
            Passed::Retry(_) => self.metrics.retries("topic").inc(),
            Passed::DeadLetter(forward) => {
                self.metrics.dead_letters.inc();
                if let Some(held_back) = self.gate.pass() {
                    tracing::warn!(held_back, topic = &*forward.topic, %status, "a dead letter");
                }
            }
        }
        passed
    }
}
