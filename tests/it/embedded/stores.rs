//! Submitted requests that are kept in a store until they are settled, whatever dies in between.

mod failing;
mod keeping;
#[cfg(feature = "store")]
mod killed;
mod recovering;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon::config::ReplyPartition;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{
    Acknowledged, Entry, MemoryStore, PendingStore, RawRequest, Recovered, StoreError, Stored,
    Ticket,
};
use antiphon::{CallError, CallErrorKind, CorrelationId, Requester};
use antiphon_testkit::TestBroker;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, settings};
use crate::support::waiting::bounded;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

/// A store in memory that can be held up, and made to fail in each of its operations.
#[derive(Clone, Default)]
struct Faulty {
    kept: MemoryStore,
    faults: Arc<Faults>,
    /// Entries are put in once this is cancelled, if there is one.
    gate: Option<CancellationToken>,
}

#[derive(Default)]
struct Faults {
    put: AtomicBool,
    /// An entry is being put in, or was.
    putting: AtomicBool,
    acknowledge: AtomicBool,
    /// Acknowledgements are lost without a word, as when the process dies before them.
    forget: AtomicBool,
    remove: AtomicBool,
    load: AtomicBool,
}

impl Faulty {
    fn gated() -> (Self, CancellationToken) {
        let gate = CancellationToken::new();
        (Self { gate: Some(gate.clone()), ..Self::default() }, gate)
    }

    fn failing(fault: impl FnOnce(&Faults) -> &AtomicBool) -> Self {
        let store = Self::default();
        fault(&store.faults).store(true, Ordering::SeqCst);
        store
    }

    async fn entries(&self) -> Vec<Entry> {
        let mut entries = self.kept.load().await.unwrap();
        entries.sort_by(|a, b| a.note.cmp(&b.note));
        entries
    }
}

/// Fails if it should, and does the work otherwise.
fn unless<T: Send + 'static>(fault: &AtomicBool, work: Stored<T>) -> Stored<T> {
    if fault.load(Ordering::SeqCst) {
        return Box::pin(async { Err(StoreError::failed("write", "the disk is full")) });
    }
    work
}

impl PendingStore for Faulty {
    fn put(&self, entry: Entry) -> Stored<()> {
        self.faults.putting.store(true, Ordering::SeqCst);
        let put = unless(&self.faults.put, self.kept.put(entry));
        match self.gate.clone() {
            Some(gate) => Box::pin(async move {
                gate.cancelled().await;
                put.await
            }),
            None => put,
        }
    }

    fn acknowledge(&self, id: CorrelationId, at: Acknowledged) -> Stored<()> {
        if self.faults.forget.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(()) });
        }
        unless(&self.faults.acknowledge, self.kept.acknowledge(id, at))
    }

    fn remove(&self, id: CorrelationId) -> Stored<()> {
        unless(&self.faults.remove, self.kept.remove(id))
    }

    fn load(&self) -> Stored<Vec<Entry>> {
        unless(&self.faults.load, self.kept.load())
    }
}

async fn with(broker: &TestBroker, store: impl PendingStore) -> (Requester, RequesterMetrics) {
    let builder = Requester::builder(settings(broker)).reply_topic(REPLIES);
    build(builder.reply_partition(ReplyPartition::Fixed(0)).store(store)).await
}

/// Submits a question, with itself as the note.
async fn submit(requester: &Requester, question: &str) -> Result<Ticket, CallError> {
    let question = question.to_owned();
    let ask = requester.ask(RawRequest::new(QUOTES, question.clone())).note(question);
    bounded("a submission", ask.timeout(LONG).submit()).await
}

/// All that is recovered, by the note.
async fn recover(requester: &Requester) -> Vec<Recovered> {
    let recovered = bounded("the store is read", requester.recover()).await.unwrap();
    let mut all: Vec<_> = bounded("all that was pending", recovered.collect::<Vec<_>>()).await;
    all.sort_by(|a, b| a.entry.note.cmp(&b.entry.note));
    all
}

fn is_store_error(error: &CallError) -> bool {
    matches!(error.kind(), CallErrorKind::Store(_))
}
