//! Payloads that are too large for a record: taken out of their store before the handler runs, and
//! kept there before the reply is sent.

use antiphon_common::payloads::PayloadStoreError;
use antiphon_common::{Code, Deadline, Status};

use bytes::Bytes;

use super::serve::{Outcome, Service};
use crate::handlers::context::RawReply;
use crate::intake::incoming::Incoming;
use crate::intake::tracker::Taken;
use crate::sending::outgoing::Recipient;

impl Service {
    /// The request with its payload, or with what is wrong with it.
    pub(crate) async fn with_payload(&self, mut incoming: Box<Incoming>) -> Box<Incoming> {
        let Some(claim) = incoming.claim.take() else { return incoming };
        let by = self.give_up(incoming.context.deadline);
        let taken = match &self.large {
            Some(large) => large.redeem(&claim, by).await,
            None => Err(PayloadStoreError::NoStore),
        };
        match taken {
            Ok(payload) => incoming.request.payload = payload,
            Err(error) => incoming.fault = Some(status(&error, Code::FailedPrecondition)),
        }
        incoming
    }

    /// Sends what a request came to, with a claim check in the place of a large payload.
    pub(crate) async fn dispose_large(
        &self,
        outcome: Outcome,
        to: Option<Recipient>,
        taken: Taken,
    ) {
        let outcome = match (outcome, &self.large, &to) {
            (Outcome::Replied(reply), Some(large), Some(to))
                if large.is_large(reply.payload.len()) =>
            {
                let by = self.give_up(Some(to.deadline));
                match large.check_in(reply.payload.clone(), by).await {
                    Ok(id) => {
                        let payload = Bytes::new();
                        Outcome::Replied(RawReply { payload, claim: Some(id), ..reply })
                    }
                    Err(error) => Outcome::Failed(status(&error, Code::ResourceExhausted)),
                }
            }
            (outcome, ..) => outcome,
        };
        self.dispose(outcome, to, taken);
    }

    /// Until when a store is waited for: for as long as the caller waits, and no longer than a
    /// handler may take.
    fn give_up(&self, deadline: Option<Deadline>) -> Deadline {
        let cap = Deadline::after(self.settings.handler_timeout());
        deadline.map_or(cap, |deadline| deadline.earlier(cap))
    }
}

fn status(error: &PayloadStoreError, code: Code) -> Status {
    let code = if error.may_pass() { Code::Unavailable } else { code };
    Status::new(code, error.to_string())
}
