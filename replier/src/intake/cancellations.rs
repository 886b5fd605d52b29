//! The requests of one partition that may be cancelled, by correlation id.
//!
//! Only requests that say so are in the table, from when they are taken in until they end, so it is
//! never larger than what is outstanding. A cancel record reaches the table of its own partition
//! and no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Cancellations(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: HashMap<Bytes, Entry>,
    /// How many entries there have ever been.
    made: u64,
}

/// All requests under one correlation id: usually one, but a producer without idempotence may
/// write the same record twice.
#[derive(Debug)]
struct Entry {
    /// Tells the entry from a later one under the same id.
    number: u64,
    token: CancellationToken,
    requests: usize,
    running: usize,
}

/// One request in the table; it leaves the table when this is dropped.
#[derive(Debug)]
pub(crate) struct Cancellable {
    table: Arc<Cancellations>,
    id: Bytes,
    entry: u64,
    token: CancellationToken,
    running: bool,
}

/// What a cancel record found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A request whose handler had not started: it never will.
    Queued,
    /// A request whose handler runs, and can see that it is cancelled.
    Running,
    /// No request that can be cancelled: it has ended, or never was.
    Unknown,
}

impl Cancellations {
    /// Adds a request that was taken in.
    pub(crate) fn register(self: &Arc<Self>, id: Bytes) -> Cancellable {
        let mut table = self.lock();
        let Table { known, made } = &mut *table;
        let entry = known.entry(id.clone()).or_insert_with(|| {
            *made += 1;
            let token = CancellationToken::new();
            Entry { number: *made, token, requests: 0, running: 0 }
        });
        entry.requests += 1;
        let (number, token) = (entry.number, entry.token.clone());
        drop(table);
        Cancellable { table: Arc::clone(self), id, entry: number, token, running: false }
    }

    /// Cancels what is under this id now, and not what comes under it later.
    pub(crate) fn cancel(&self, id: &[u8]) -> Found {
        let Some(entry) = self.lock().known.remove(id) else { return Found::Unknown };
        // Whoever is woken by this must not find the table locked.
        entry.token.cancel();
        if entry.running > 0 { Found::Running } else { Found::Queued }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cancellable {
    /// What is cancelled with the request.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Whether the request was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Notes that the handler is about to run; `false` if the request was cancelled before.
    pub(crate) fn begin(&mut self) -> bool {
        let mut table = self.table.lock();
        // An entry that was cancelled is no longer in the table.
        let entry = table.known.get_mut(&self.id).filter(|entry| entry.number == self.entry);
        let Some(entry) = entry else { return false };
        entry.running += 1;
        self.running = true;
        true
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        let entry = table.known.get_mut(&self.id).filter(|entry| entry.number == self.entry);
        let Some(entry) = entry else { return };
        entry.requests -= 1;
        entry.running -= usize::from(self.running);
        if entry.requests == 0 {
            table.known.remove(&self.id);
        }
    }
}

impl Found {
    /// The label of the metric.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> Arc<Cancellations> {
        Arc::default()
    }

    #[test]
    fn a_request_can_be_cancelled_until_it_ends() {
        let table = table();
        let mut queued = table.register("queued".into());
        let mut running = table.register("running".into());
        let ended = table.register("ended".into());
        assert!(running.begin());
        drop(ended);
        assert_eq!(table.cancel(b"queued"), Found::Queued);
        assert_eq!(table.cancel(b"running"), Found::Running);
        assert_eq!(table.cancel(b"ended"), Found::Unknown);
        assert_eq!(table.cancel(b"queued"), Found::Unknown, "once is enough");
        assert!(!queued.begin());
        assert!(queued.is_cancelled() && running.token().is_cancelled());
    }

    #[test]
    fn a_request_after_the_cancel_record_is_another() {
        let table = table();
        let before = table.register("id".into());
        assert_eq!(table.cancel(b"id"), Found::Queued);
        let mut after = table.register("id".into());
        drop(before);
        assert!(after.begin(), "the end of the first does not touch the second");
        assert_eq!(table.cancel(b"id"), Found::Running);
    }

    #[test]
    fn the_same_record_twice_is_cancelled_twice() {
        let table = table();
        let (mut first, second) = (table.register("id".into()), table.register("id".into()));
        assert!(first.begin());
        drop(second);
        assert_eq!(table.cancel(b"id"), Found::Running);
        assert!(first.is_cancelled());
    }

    proptest! {
        /// Against a naive model: a list of requests, each with its id, and whether it was
        /// cancelled. Steps: take one in, begin one, end one, cancel an id.
        #[test]
        fn does_what_a_list_would(steps in prop::collection::vec((0..4_u8, 0..3_u8, any::<prop::sample::Index>()), 1..80)) {
            struct Modelled { id: u8, began: bool, cancelled: bool, real: Cancellable }
            let table = table();
            let mut model: Vec<Modelled> = Vec::new();
            for (step, id, index) in steps {
                let at = (!model.is_empty()).then(|| index.index(model.len().max(1)));
                match (step, at) {
                    (0, _) => {
                        let real = table.register(vec![id].into());
                        model.push(Modelled { id, began: false, cancelled: false, real });
                    }
                    (1, Some(at)) if !model[at].began => {
                        let cancelled = model[at].cancelled;
                        prop_assert_eq!(model[at].real.begin(), !cancelled);
                        model[at].began = !cancelled;
                    }
                    (2, Some(at)) => drop(model.swap_remove(at)),
                    (3, _) => {
                        let hit = |one: &&mut Modelled| one.id == id && !one.cancelled;
                        let mut found = Found::Unknown;
                        for one in model.iter_mut().filter(hit) {
                            one.cancelled = true;
                            let running = one.began || found == Found::Running;
                            found = if running { Found::Running } else { Found::Queued };
                        }
                        prop_assert_eq!(table.cancel(&[id]), found);
                    }
                    _ => {}
                }
                for one in &model {
                    prop_assert_eq!(one.real.is_cancelled(), one.cancelled);
                }
            }
            drop(model);
            prop_assert!(table.lock().known.is_empty(), "nothing is left behind");
        }
    }
}
