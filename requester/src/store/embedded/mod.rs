//! A store of pending requests in one file.

mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use antiphon_common::CorrelationId;
use tokio::sync::{Semaphore, oneshot};

use super::{Acknowledged, Entry, PendingStore, StoreError, Stored};
use writer::{Operation, Queued, Writer};

/// How many operations may wait for the writer; the next one waits for a place.
const QUEUE: usize = 1024;

/// Keeps pending requests in one file, which one process at a time may open.
///
/// A thread writes them: operations that come while one commit is made durable share the next, so
/// the cost of an `fsync` is that of a group. What was written survives the process being killed
/// at any moment, and the machine as far as its disk keeps what it has acknowledged.
///
/// Dropping the store waits until what has been asked of it is written, and then frees the file.
///
/// ```
/// # mod antiphon { pub use antiphon_common::*; pub use antiphon_requester::*; }
/// use antiphon::{CorrelationId, EmbeddedStore, Entry, InstanceId, PendingStore, ReplyStart};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("pending.redb");
/// let store = EmbeddedStore::open(&path)?;
/// let id = CorrelationId::random(InstanceId::random());
/// let entry = Entry {
///     correlation_id: id,
///     request_topic: "quotes".to_owned(),
///     reply_topic: "quotes.replies".to_owned(),
///     starts: vec![ReplyStart { partition: 0, offset: 42 }],
///     deadline_unix_ms: 1_800_000_000_000,
///     acknowledged: None,
///     note: "for order 17".into(),
/// };
/// store.put(entry.clone()).await?; // It is on the disk now.
/// drop(store);
///
/// let store = EmbeddedStore::open(&path)?;
/// assert_eq!(store.load().await?, [entry]);
/// store.remove(id).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedStore {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

/// The way to the writer. Its places are bounded by the semaphore, which is closed with it.
#[derive(Debug)]
struct Queue {
    places: Arc<Semaphore>,
    sender: Mutex<Option<mpsc::Sender<Queued>>>,
}

impl EmbeddedStore {
    /// Opens the store in the file at `path`, and makes the file if there is none. Blocks for as
    /// long as it takes to read it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if it is open elsewhere, [`StoreError::Open`] if it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let writer = Writer::open(path)?;
        let (sender, operations) = mpsc::channel();
        let started = std::thread::Builder::new()
            .name("antiphon-store".to_owned())
            .spawn(move || writer.run(&operations));
        let thread = started
            .map_err(|error| StoreError::Open { path: path.to_owned(), source: Arc::new(error) })?;
        let queue =
            Queue { places: Arc::new(Semaphore::new(QUEUE)), sender: Mutex::new(Some(sender)) };
        Ok(Self { queue: Arc::new(queue), thread: Some(thread) })
    }

    /// Has the writer do something, and waits until that is durable.
    fn ask<T: Send + 'static>(
        &self,
        operation: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Operation + Send + 'static,
    ) -> Stored<T> {
        let queue = Arc::clone(&self.queue);
        Box::pin(async move {
            let (done, result) = oneshot::channel();
            queue.push(operation(done)).await?;
            result.await.unwrap_or(Err(StoreError::Closed))
        })
    }
}

impl PendingStore for EmbeddedStore {
    fn put(&self, entry: Entry) -> Stored<()> {
        match entry.check() {
            Ok(()) => self.ask(|done| Operation::Put(entry, done)),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn acknowledge(&self, id: CorrelationId, at: Acknowledged) -> Stored<()> {
        self.ask(move |done| Operation::Acknowledge(id, at, done))
    }

    fn remove(&self, id: CorrelationId) -> Stored<()> {
        self.ask(move |done| Operation::Remove(id, done))
    }

    fn load(&self) -> Stored<Vec<Entry>> {
        self.ask(Operation::Load)
    }
}

impl Queue {
    async fn push(&self, operation: Operation) -> Result<(), StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| StoreError::Closed)?;
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or(StoreError::Closed)?;
        sender.send(Queued { operation, place }).map_err(|_| StoreError::Closed)
    }

    /// Takes nothing more; the writer ends behind what is queued.
    fn close(&self) {
        self.places.close();
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A writer that has panicked has said so, and freed the file.
            let _ = thread.join();
        }
    }
}
