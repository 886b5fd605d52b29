//! The lane: queued requests run in the order that is set, with bounded concurrency.

mod quick;
mod schedule;

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::intake::incoming::Incoming;
use crate::lane::quick::Quick;
use crate::lane::schedule::{Meta, Schedule, Token};
use crate::running::serve::Service;

/// Requests in boxes, since they move from thread to queue to task.
pub(crate) type Batch = Vec<Box<Incoming>>;

/// The end of the lane that intake puts requests in, as many at a time as it has.
///
/// The queue itself has no bound: intake stops at its limits by pausing partitions, since a thread
/// that polls must never wait.
pub(crate) struct Entrance {
    lane: Arc<Lane>,
    batches: mpsc::UnboundedSender<Batch>,
}

/// The same way in for requests that were in the lane before. It does not keep the lane open.
pub(crate) type Again = mpsc::WeakUnboundedSender<Batch>;

/// A place for one handler to run in. Dropped when the handler has ended, and not only when its
/// reply is acknowledged: only then does the next one of its key or partition start.
pub(crate) struct Slot(Option<(Arc<Lane>, Token)>);

struct Lane {
    service: Arc<Service>,
    schedule: Mutex<Schedule<Box<Incoming>>>,
    quick: Quick,
    runtime: Handle,
}

/// Who starts requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The lane's own task, which may poll those that are likely to be quick.
    Lane,
    /// Whoever has given back a place.
    Slot,
}

thread_local! {
    /// This thread starts requests just now. A runtime that is shutting down drops what is spawned
    /// at once, and its slot with it; if that started the next request, the stack would overflow.
    static STARTING: Cell<bool> = const { Cell::new(false) };
}

/// Starts the lane on the current runtime. It ends when its entrance is dropped.
pub(crate) fn start(service: Arc<Service>) -> Entrance {
    let (batches, mut queue) = mpsc::unbounded_channel();
    // There is one lane for a service, so nothing was set before.
    let _ = service.again.set(batches.downgrade());
    let settings = &service.settings;
    let schedule = Schedule::new(settings.lane, settings.concurrency, service.routes.priorities());
    let quick = Quick::new(service.routes.priorities().len());
    let (schedule, runtime) = (Mutex::new(schedule), Handle::current());
    let lane = Arc::new(Lane { service, schedule, quick, runtime });
    let entrance = Entrance { lane: Arc::clone(&lane), batches };
    tokio::spawn(async move {
        while let Some(batch) = queue.recv().await {
            lane.push(batch);
            lane.start_ready(By::Lane);
        }
    });
    entrance
}

impl Entrance {
    /// Queues requests. If the runtime is gone they stay incomplete.
    pub(crate) fn send(&self, batch: Batch) {
        let _ = self.batches.send(batch);
    }

    /// Says how many partitions are held, which share the places.
    pub(crate) fn set_held(&self, partitions: usize) {
        self.lane.lock().set_held(partitions);
    }
}

/// What has not been started is dropped, incomplete.
impl Drop for Entrance {
    fn drop(&mut self) {
        let left = self.lane.lock().close();
        drop(left);
    }
}

impl Lane {
    fn push(&self, batch: Batch) {
        let mut schedule = self.lock();
        for incoming in batch {
            let (request, context) = (&incoming.request, &incoming.context);
            let endpoint = self.service.routes.number(context.topic(), request.endpoint.as_deref());
            let (topic, key) = (Arc::clone(&context.topic), context.key.clone());
            let meta =
                Meta { topic: &topic, partition: context.partition, key: key.as_deref(), endpoint };
            schedule.push(meta, incoming);
        }
    }

    /// Starts what may start.
    ///
    /// A request is a task of its own, unless it is likely to be quick: then it is polled right
    /// here, in a place that they all use in turn, and becomes a task if it does not end with that.
    fn start_ready(self: &Arc<Self>, by: By) {
        if STARTING.replace(true) {
            return;
        }
        let mut place = None;
        loop {
            // In a statement of its own, so that the lock is free when the request is started.
            let next = self.lock().next();
            let Some((incoming, token)) = next else { break };
            let endpoint = token.endpoint();
            let is_quick = by == By::Lane && self.quick.expects(endpoint);
            let slot = Slot(Some((Arc::clone(self), token)));
            let service = Arc::clone(&self.service);
            let work = async move { service.serve(incoming, slot).await };
            if !is_quick {
                // In a box, since spawning moves a future several times.
                let (lane, mut work, mut first) = (Arc::clone(self), Box::pin(work), true);
                self.runtime.spawn(std::future::poll_fn(move |cx| {
                    lane.quick.poll(endpoint, &mut first, work.as_mut(), cx)
                }));
                continue;
            }
            let mut at: Pin<Box<Option<_>>> = place.take().unwrap_or_else(|| Box::pin(None));
            at.set(Some(work));
            if self.poll_here(endpoint, at.as_mut()) {
                at.set(None);
                place = Some(at);
            } else {
                // It is polled again there, and so leaves a waker that wakes it.
                self.runtime.spawn(std::future::poll_fn(move |cx| poll(at.as_mut(), cx)));
            }
        }
        STARTING.set(false);
    }

    /// Polls a request once; whether it has ended, be it in a panic.
    fn poll_here(&self, endpoint: usize, at: Pin<&mut Option<impl Future<Output = ()>>>) -> bool {
        let Some(work) = at.as_pin_mut() else { return true };
        let nobody = &mut Context::from_waker(Waker::noop());
        let once = || self.quick.poll(endpoint, &mut true, work, nobody).is_ready();
        catch_unwind(AssertUnwindSafe(once)).unwrap_or(true)
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Schedule<Box<Incoming>>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn poll(at: Pin<&mut Option<impl Future<Output = ()>>>, cx: &mut Context<'_>) -> Poll<()> {
    at.as_pin_mut().map_or(Poll::Ready(()), |work| work.poll(cx))
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some((lane, token)) = self.0.take() {
            lane.lock().done(token);
            lane.start_ready(By::Slot);
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.0.as_ref().map(|(_, token)| token)).finish()
    }
}

#[cfg(test)]
impl Slot {
    /// A place that nobody else waits for.
    pub(crate) fn free() -> Self {
        Self(None)
    }
}
