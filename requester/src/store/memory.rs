//! A store without a file, for tests: what it keeps ends with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use antiphon_common::CorrelationId;

use super::{Acknowledged, Entry, PendingStore, StoreError, Stored};

/// Keeps pending requests in memory. Clones share what they keep, so a test can close a requester
/// and start another one with what the first has left.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<HashMap<CorrelationId, Entry>>>);

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        entries(&self.0).len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMap<CorrelationId, Entry>) -> Result<T, StoreError> + Send + 'static,
    ) -> Stored<T> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { work(&mut entries(&shared)) })
    }
}

impl PendingStore for MemoryStore {
    fn put(&self, entry: Entry) -> Stored<()> {
        self.with(|entries| {
            entry.check()?;
            entries.insert(entry.correlation_id, entry);
            Ok(())
        })
    }

    fn acknowledge(&self, id: CorrelationId, at: Acknowledged) -> Stored<()> {
        self.with(move |entries| {
            if let Some(entry) = entries.get_mut(&id) {
                entry.acknowledged = Some(at);
            }
            Ok(())
        })
    }

    fn remove(&self, id: CorrelationId) -> Stored<()> {
        self.with(move |entries| {
            entries.remove(&id);
            Ok(())
        })
    }

    fn load(&self) -> Stored<Vec<Entry>> {
        self.with(|entries| Ok(entries.values().cloned().collect()))
    }
}

fn entries(
    shared: &Mutex<HashMap<CorrelationId, Entry>>,
) -> MutexGuard<'_, HashMap<CorrelationId, Entry>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
