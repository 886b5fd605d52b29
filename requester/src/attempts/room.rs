//! Waiting until a call can be sent: for the reply reader's position, and for room in flight.

use antiphon_common::Deadline;
use tokio::time::timeout_at;

use crate::call::{CallErrorKind, Failure};
use crate::routing::Inbox;
use crate::table::Calls;

/// Where a call waits before it is sent, and until when.
pub(crate) struct Room<'a> {
    pub(crate) calls: &'a Calls,
    pub(crate) inbox: &'a Inbox,
    pub(crate) deadline: Deadline,
}

impl Room<'_> {
    /// Sends as soon as that succeeds, or fails in a way that is not waited for. At the deadline
    /// the failure is what was waited for, which says more than that the time is up.
    pub(crate) async fn wait<T>(
        &self,
        waits_for: impl Fn(&Failure) -> bool,
        mut send: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut last = match send() {
            Err(failure) if waits_for(&failure) => failure,
            sent => return sent,
        };
        let waited = async {
            self.inbox.positioned().await;
            let attempt = || match send() {
                Err(failure) if waits_for(&failure) => {
                    last = failure;
                    None
                }
                sent => Some(sent),
            };
            self.calls.budget.until(attempt).await
        };
        tokio::select! {
            sent = timeout_at(self.deadline.instant().into(), waited) => {
                sent.unwrap_or_else(|_| Err(last))
            }
            () = self.calls.closing.cancelled() => {
                Err(Failure::not_sent(CallErrorKind::Closed))
            }
        }
    }
}
