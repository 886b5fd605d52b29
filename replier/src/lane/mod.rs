//! The lane: queued requests run in the order that is set, with bounded concurrency.

mod schedule;

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::intake::incoming::Incoming;
use crate::lane::schedule::{Meta, Schedule, Token};
use crate::running::serve::{Service, Stage};

/// So many requests at most are answered by intake itself: it is not to stay away from its consumer.
const FEW: usize = 16;

/// Requests as they were read.
pub(crate) type Batch = Vec<Incoming>;

/// The end of the lane that intake puts requests in, as many at a time as it has.
///
/// The queue itself has no bound: intake stops at its limits by pausing partitions, since a thread
/// that polls must never wait.
pub(crate) struct Entrance {
    lane: Arc<Lane>,
    batches: mpsc::UnboundedSender<Sent>,
}

/// The same way in for requests that were in the lane before. It does not keep the lane open.
pub(crate) struct Again(mpsc::WeakUnboundedSender<Sent>);

/// Requests on their way to the lane's task.
struct Sent {
    batch: Batch,
    /// Whether it is counted as such; what comes from intake must not be overtaken.
    is_counted: bool,
}

/// A place for one handler to run in. Dropped when the handler has ended, and not only when its
/// reply is acknowledged: only then does the next one of its key or partition start.
pub(crate) struct Slot(Option<(Arc<Lane>, Token)>);

struct Lane {
    service: Arc<Service>,
    schedule: Mutex<Schedule<Incoming>>,
    runtime: Handle,
    /// How many batches from intake are on their way to the lane's task.
    on_the_way: AtomicUsize,
}

/// Who starts requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The lane's own task, or intake, which may poll those that are likely to be quick.
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
    let _ = service.again.set(Again(batches.downgrade()));
    let settings = &service.settings;
    let schedule = Schedule::new(settings.lane, settings.concurrency, service.routes.priorities());
    let (schedule, runtime) = (Mutex::new(schedule), Handle::current());
    let lane = Arc::new(Lane { service, schedule, runtime, on_the_way: AtomicUsize::new(0) });
    let entrance = Entrance { lane: Arc::clone(&lane), batches };
    tokio::spawn(async move {
        while let Some(Sent { batch, is_counted }) = queue.recv().await {
            lane.push(batch);
            if is_counted {
                lane.on_the_way.fetch_sub(1, Ordering::Release);
            }
            lane.start_ready(By::Lane);
        }
    });
    entrance
}

impl Entrance {
    /// Queues requests. If the runtime is gone they stay incomplete.
    ///
    /// A few that are likely to be quick are answered right here: that takes less than to wake another
    /// thread for them, and replies of one batch leave together.
    pub(crate) fn send(&self, batch: Batch) {
        let lane = &self.lane;
        if batch.len() <= FEW
            && lane.on_the_way.load(Ordering::Acquire) == 0
            && lane.expects(&batch)
        {
            // Handlers may need it.
            let _entered = lane.runtime.enter();
            lane.push(batch);
            return lane.start_ready(By::Lane);
        }
        lane.on_the_way.fetch_add(1, Ordering::Relaxed);
        let _ = self.batches.send(Sent { batch, is_counted: true });
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

impl Again {
    /// Queues requests, unless the lane has ended: then they stay incomplete.
    pub(crate) fn send(&self, batch: Batch) {
        if let Some(batches) = self.0.upgrade() {
            let _ = batches.send(Sent { batch, is_counted: false });
        }
    }
}

impl Lane {
    /// Whether all of these requests are likely to be quick.
    fn expects(&self, batch: &Batch) -> bool {
        batch.iter().all(|incoming| self.service.quick.expects(self.endpoint(incoming)))
    }

    /// The number of a request's endpoint.
    fn endpoint(&self, incoming: &Incoming) -> usize {
        let context = &incoming.context;
        let endpoint = context.job().request.endpoint.as_deref();
        self.service.routes.number(context.topic(), endpoint)
    }

    fn push(&self, batch: Batch) {
        let mut schedule = self.lock();
        for incoming in batch {
            let endpoint = self.endpoint(&incoming);
            let facts = &incoming.context.facts;
            let standing = schedule.find(Meta {
                topic: &facts.topic,
                partition: facts.partition,
                key: facts.key.as_deref(),
                endpoint,
            });
            schedule.push(standing, incoming);
        }
    }

    /// Starts what may start.
    ///
    /// A request is a task of its own, unless it is likely to be quick: then it is polled right
    /// here, and becomes a task if it does not end with that.
    fn start_ready(self: &Arc<Self>, by: By) {
        if STARTING.replace(true) {
            return;
        }
        // When the one before had ended, if that has just been read.
        let mut now = None;
        let burst = (by == By::Lane).then(|| self.service.replies.burst());
        loop {
            // In a statement of its own, so that the lock is free when the request is started.
            let next = self.lock().next();
            let Some((incoming, token)) = next else { break };
            let endpoint = token.endpoint();
            let slot = Slot(Some((Arc::clone(self), token)));
            if by == By::Lane && self.service.quick.expects(endpoint) {
                if let Some((rest, slot)) = self.serve_here(endpoint, incoming, slot, &mut now) {
                    let service = Arc::clone(&self.service);
                    self.runtime.spawn(async move { service.serve(rest, slot).await });
                }
                continue;
            }
            now = None;
            let service = Arc::clone(&self.service);
            let stage = Stage::Arrived(incoming);
            // In a box, since spawning moves a future several times.
            let mut work = Box::pin(async move { service.serve(stage, slot).await });
            let (lane, mut first) = (Arc::clone(self), true);
            self.runtime.spawn(std::future::poll_fn(move |cx| {
                lane.service.quick.poll(endpoint, &mut first, work.as_mut(), cx)
            }));
        }
        drop(burst);
        STARTING.set(false);
    }

    /// Polls a request once, and reads the clock again. What is left to do for it, if it has not ended
    /// with that, be it in a panic.
    fn serve_here(
        &self,
        endpoint: usize,
        incoming: Incoming,
        slot: Slot,
        now: &mut Option<Instant>,
    ) -> Option<(Stage, Slot)> {
        let started = now.unwrap_or_else(Instant::now);
        let once = || self.service.serve_at_once(incoming, slot, started);
        let rest = catch_unwind(AssertUnwindSafe(once)).unwrap_or(None);
        let ended = Instant::now();
        self.service.quick.polled(endpoint, rest.is_none(), ended - started);
        *now = Some(ended);
        rest
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Schedule<Incoming>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
mod tests;

#[cfg(test)]
impl Slot {
    /// A place that nobody else waits for.
    pub(crate) fn free() -> Self {
        Self(None)
    }
}
