//! How often handlers ran, by correlation id, which stays the same over redeliveries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use antiphon::Context;

/// A count for each request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs(Arc<Mutex<HashMap<Vec<u8>, usize>>>);

impl Runs {
    /// Notes that the handler runs for this request.
    pub(crate) fn note(&self, context: &Context) {
        *self.0.lock().unwrap().entry(context.correlation_id().to_vec()).or_default() += 1;
    }

    /// The number of runs for one request.
    pub(crate) fn of(&self, correlation_id: &[u8]) -> usize {
        self.0.lock().unwrap().get(correlation_id).copied().unwrap_or_default()
    }

    /// The number of runs for all requests.
    pub(crate) fn total(&self) -> usize {
        self.0.lock().unwrap().values().sum()
    }

    /// The number of requests that a handler ran for more than once.
    pub(crate) fn repeated(&self) -> usize {
        self.0.lock().unwrap().values().filter(|runs| **runs > 1).count()
    }
}
