//! The way out for cancel records, set once there is a producer to take them.

use std::fmt;
use std::sync::OnceLock;

use antiphon_common::CorrelationId;

use crate::call::Name;

type Send = Box<dyn Fn(&Name, i32, CorrelationId) + std::marker::Send + Sync>;

/// Sends the record that cancels a request: to its topic, in its partition, behind it.
#[derive(Default)]
pub(crate) struct CancelRecords(OnceLock<Send>);

impl CancelRecords {
    pub(crate) fn connect(
        &self,
        send: impl Fn(&Name, i32, CorrelationId) + std::marker::Send + Sync + 'static,
    ) {
        // Set once, when the requester starts.
        let _ = self.0.set(Box::new(send));
    }

    pub(super) fn send(&self, topic: &Name, partition: i32, id: CorrelationId) {
        if let Some(send) = self.0.get() {
            send(topic, partition, id);
        }
    }
}

impl fmt::Debug for CancelRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CancelRecords")
    }
}
