//! What all handles of one requester share, and what happens when the last one goes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use antiphon_common::blocking::on_own_thread;
use antiphon_common::config::{KafkaSettings, RequesterSettings};
use antiphon_common::payloads::LargePayloads;
use antiphon_common::{Envelope, Integrity};

use crate::attempts::RetryBudget;
use crate::producers::Producers;
use crate::routing::Inbox;
use crate::store::PendingStore;
use crate::table::Calls;
use crate::tasks::Tasks;
use crate::ticket::{Redeemer, TicketKey};

/// One requester, whatever the number of its handles.
pub(crate) struct Session {
    pub(crate) calls: Arc<Calls>,
    pub(crate) kafka: KafkaSettings,
    pub(crate) settings: RequesterSettings,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) producers: Arc<Producers>,
    pub(crate) retries: RetryBudget,
    pub(crate) tasks: Tasks,
    pub(crate) redeemer: Redeemer,
    pub(crate) ticket_key: Option<TicketKey>,
    pub(crate) store: Option<Arc<dyn PendingStore>>,
    pub(crate) large: Option<LargePayloads>,
    /// Signs requests.
    pub(crate) integrity: Option<Arc<Integrity>>,
    /// Seals payloads.
    pub(crate) envelope: Option<Arc<Envelope>>,
}

/// How long cancel records may take to go out, and the reports of requests that are given up.
const PURGE: Duration = Duration::from_millis(500);

impl Session {
    /// Refuses new calls, waits for those in flight, and ends the rest with what is known of them.
    pub(crate) async fn close(&self, grace: Duration) -> usize {
        let calls = &self.calls;
        calls.refuse();
        let _ = self.within(grace, calls.drained()).await;
        // Cancel records of calls that were dropped may still be on their way.
        let producers = Arc::clone(&self.producers);
        let _ = on_own_thread("antiphon-flush", move || producers.flush(PURGE)).await;
        let left = calls.len();
        if left > 0 {
            // What is still in a queue of this process was not sent, and its report says so.
            self.producers.purge();
            let _ = self.within(PURGE, calls.drained()).await;
        }
        calls.close();
        self.redeemer.close();
        left
    }

    async fn within<F: Future>(&self, limit: Duration, work: F) -> Option<F::Output> {
        // A timer needs a runtime, and the caller's own executor may be none of tokio's.
        let sleep = {
            let _runtime = self.tasks.handle().enter();
            tokio::time::sleep(limit)
        };
        tokio::select! {
            done = work => Some(done),
            () = sleep => None,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.calls.close();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester")
            .field("instance", &self.calls.instance())
            .field("reply_topic", &self.inbox.topic())
            .field("in_flight", &self.calls.len())
            .finish_non_exhaustive()
    }
}
