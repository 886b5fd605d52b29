//! What all handles of one requester share, and what happens when the last one goes.

use std::fmt;
use std::sync::Arc;

use antiphon_common::config::RequesterSettings;
use antiphon_common::kafka::close_behind;
use rdkafka::producer::ThreadedProducer;

use crate::deliveries::Deliveries;
use crate::table::Calls;

/// One requester, whatever the number of its handles.
pub(crate) struct Session {
    pub(crate) calls: Arc<Calls>,
    pub(crate) settings: RequesterSettings,
    pub(crate) reply_topic: String,
    pub(crate) reply_partition: Option<i32>,
    /// Taken out when the last handle is dropped.
    pub(crate) producer: Option<ThreadedProducer<Deliveries>>,
}

impl Session {
    pub(crate) fn producer(&self) -> &ThreadedProducer<Deliveries> {
        self.producer.as_ref().expect("the producer lives as long as the handle")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.calls.close();
        // What is still queued belongs to calls that have ended as "may have been executed".
        if let Some(producer) = self.producer.take() {
            close_behind(producer);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester")
            .field("instance", &self.calls.instance())
            .field("reply_topic", &self.reply_topic)
            .field("in_flight", &self.calls.len())
            .finish_non_exhaustive()
    }
}
