//! The unordered lane: requests wait in one queue and run with bounded concurrency.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::intake::incoming::Incoming;
use crate::running::serve::Service;

/// The end of the lane that intake puts requests in, as many at a time as it has.
///
/// The queue itself has no bound: intake stops at `max_outstanding` by pausing partitions, since
/// a thread that polls must never wait.
pub(crate) type Entrance = mpsc::UnboundedSender<Vec<Box<Incoming>>>;

/// The same for requests that were in the lane before. It does not keep the lane open.
pub(crate) type Again = mpsc::WeakUnboundedSender<Vec<Box<Incoming>>>;

/// A place for one handler to run in. Dropped when the handler has ended, and not only when its reply
/// is acknowledged.
#[derive(Debug)]
pub(crate) struct Slot {
    _place: Option<OwnedSemaphorePermit>,
}

/// Starts the lane on the current runtime. It ends when its entrance is dropped.
pub(crate) fn start(service: Arc<Service>) -> Entrance {
    let (entrance, mut queue) = mpsc::unbounded_channel::<Vec<Box<Incoming>>>();
    // There is one lane for a service, so nothing was set before.
    let _ = service.again.set(entrance.downgrade());
    let slots = Arc::new(Semaphore::new(service.settings.concurrency));
    tokio::spawn(async move {
        while let Some(batch) = queue.recv().await {
            for incoming in batch {
                let slot = Slot { _place: Arc::clone(&slots).acquire_owned().await.ok() };
                let service = Arc::clone(&service);
                tokio::spawn(async move { service.serve(incoming, slot).await });
            }
        }
    });
    entrance
}

#[cfg(test)]
impl Slot {
    /// A place that nobody else waits for.
    pub(crate) fn free() -> Self {
        Self { _place: None }
    }
}
