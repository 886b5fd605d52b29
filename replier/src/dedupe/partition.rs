//! The window of one partition, from its assignment to its revocation: who runs, who waits, and what
//! is written to the changelog for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use antiphon_common::{Envelope, Stored};
use bytes::Bytes;
use prometheus::IntGauge;
use rdkafka::message::OwnedHeaders;
use tokio::sync::{oneshot, watch};

use crate::dedupe::identity::Identity;
use crate::dedupe::kept;
use crate::dedupe::window::{Found, Kept, Limits, Window};
use crate::sending::outgoing::Forward;

/// What has been handled in one partition.
#[derive(Debug)]
pub(crate) struct Handled {
    partition: i32,
    limits: Limits,
    changelog: Option<Changelog>,
    phase: watch::Sender<Phase>,
    window: Mutex<Counted>,
}

/// The topic that keeps what the window has.
#[derive(Debug, Clone)]
pub(crate) struct Changelog {
    pub(crate) topic: Arc<str>,
    /// Whether requests are written down before they run.
    pub(crate) claims: bool,
    /// Seals what is written there, each record for its request.
    pub(crate) envelope: Option<Arc<Envelope>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// What is in the changelog is being read: nothing may run yet.
    Restoring,
    Ready,
    /// The partition was given up before that.
    Closed,
}

/// A window, and how many of its entries the gauge has.
#[derive(Debug)]
struct Counted {
    window: Window<oneshot::Sender<Turn>>,
    gauge: IntGauge,
    shown: i64,
}

/// What a request has to do.
#[derive(Debug)]
pub(crate) enum Asked {
    Run(First),
    /// One like it runs.
    Wait(oneshot::Receiver<Turn>),
    /// One like it has run.
    Ended(Kept),
}

/// What came of the request that ran first, for one that waited for it.
#[derive(Debug)]
pub(crate) enum Turn {
    Ended(Kept),
    /// Nothing: this one runs in its place.
    Run(First),
}

/// The right to run a request, alone. When it is dropped the others like it are told; unless it was
/// settled before, that nothing came of it.
#[derive(Debug)]
pub(crate) struct First {
    /// `None` if there is nothing to tell.
    of: Option<Arc<Handled>>,
    identity: Identity,
    /// Whether it is written down that it runs.
    claimed: bool,
    ending: Option<Kept>,
    settled: bool,
}

/// What a request came to, as far as requests like it are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It has an answer that holds for all of them.
    Answered(Kept),
    /// Its handler did not run, or says that it may be tried again.
    Undone,
    /// Nobody knows whether anything was done.
    InDoubt,
}

impl Handled {
    pub(crate) fn new(
        partition: i32,
        limits: Limits,
        changelog: Option<Changelog>,
        gauge: IntGauge,
    ) -> Arc<Self> {
        let phase = if changelog.is_some() { Phase::Restoring } else { Phase::Ready };
        let window = Counted { window: Window::new(limits), gauge, shown: 0 };
        Arc::new(Self {
            partition,
            limits,
            changelog,
            phase: watch::Sender::new(phase),
            window: Mutex::new(window),
        })
    }

    /// Whether requests may run.
    pub(crate) fn is_ready(&self) -> bool {
        *self.phase.borrow() == Phase::Ready
    }

    /// Whether the changelog is still to be read.
    pub(crate) fn is_restoring(&self) -> bool {
        *self.phase.borrow() == Phase::Restoring
    }

    /// Waits until requests may run; `false` if they never will.
    pub(crate) async fn ready(&self) -> bool {
        let mut phase = self.phase.subscribe();
        let settled = phase.wait_for(|phase| *phase != Phase::Restoring).await;
        settled.is_ok_and(|phase| *phase == Phase::Ready)
    }

    /// The changelog is read.
    pub(crate) fn restored(&self) {
        self.leave_restoring(Phase::Ready);
    }

    /// The partition is given up. What runs goes on to its end.
    pub(crate) fn close(&self) {
        self.leave_restoring(Phase::Closed);
    }

    /// Takes a record of the changelog in, which was written so long ago.
    pub(crate) fn restore(&self, identity: Identity, value: Option<&[u8]>, age: Duration) {
        let now = Instant::now();
        let left = self.limits.window.saturating_sub(age);
        self.with(|window| match value {
            Some(value) if !left.is_zero() => {
                window.restore(identity, self.opened(&identity, value), now + left, now);
            }
            _ => window.forget(&identity),
        });
    }

    /// Asks whether a request is to run.
    pub(crate) fn ask(self: &Arc<Self>, identity: Identity) -> Asked {
        let now = Instant::now();
        self.with(|window| match window.begin(identity, now) {
            Found::New => Asked::Run(First::new(self, identity)),
            Found::Ended(kept) => Asked::Ended(kept),
            Found::Running => {
                let (told, turn) = oneshot::channel();
                // It runs, as was just found under the same lock.
                let _ = window.wait(&identity, told);
                Asked::Wait(turn)
            }
        })
    }

    pub(crate) fn topic(&self) -> Option<&Arc<str>> {
        self.changelog.as_ref().map(|changelog| &changelog.topic)
    }

    pub(crate) fn partition(&self) -> i32 {
        self.partition
    }

    /// How many requests that have ended are kept.
    pub(crate) fn len(&self) -> usize {
        self.with(|window| window.len())
    }

    /// The record that says what is kept of a request, or that nothing is.
    fn forward(&self, identity: &Identity, kept: Option<&Kept>) -> Option<Forward> {
        Some(Forward {
            topic: Arc::clone(self.topic()?),
            partition: Some(self.partition),
            key: Some(Bytes::copy_from_slice(identity.as_bytes())),
            payload: kept.map(|kept| self.sealed(identity, kept::written(kept))),
            headers: OwnedHeaders::new(),
        })
    }

    fn envelope(&self) -> Option<&Arc<Envelope>> {
        self.changelog.as_ref()?.envelope.as_ref()
    }

    fn sealed(&self, identity: &Identity, written: Bytes) -> Bytes {
        match self.envelope() {
            Some(envelope) => envelope.seal_stored(Stored::Reply(identity.as_bytes()), &written),
            None => written,
        }
    }

    /// What a record of the changelog has. One that does not open says that the request has been
    /// here, and no more.
    fn opened(&self, identity: &Identity, value: &[u8]) -> Kept {
        let Some(envelope) = self.envelope() else { return kept::read(value) };
        let stored = Stored::Reply(identity.as_bytes());
        let opened = envelope.open_stored(stored, Bytes::copy_from_slice(value));
        opened.map_or(Kept::Claim, |value| kept::read(&value))
    }

    fn finish(&self, identity: Identity, kept: Kept) {
        let now = Instant::now();
        let (kept, waiters) = self.with(|window| window.finish(identity, kept, now));
        for waiter in waiters {
            // One that has stopped waiting does not mind.
            let _ = waiter.send(Turn::Ended(kept.clone()));
        }
    }

    fn abandon(self: &Arc<Self>, identity: Identity) {
        while let Some(next) = self.with(|window| window.abandon(&identity)) {
            match next.send(Turn::Run(First::new(self, identity))) {
                Err(Turn::Run(mut refused)) => refused.of = None,
                _ => return,
            }
        }
    }

    fn leave_restoring(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let leaves = *phase == Phase::Restoring;
            if leaves {
                *phase = to;
            }
            leaves
        });
    }

    /// Nobody is told under the lock, and no code runs there that can panic.
    fn with<T>(&self, work: impl FnOnce(&mut Window<oneshot::Sender<Turn>>) -> T) -> T {
        let mut counted = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut counted.window);
        let len = i64::try_from(counted.window.len()).unwrap_or(i64::MAX);
        counted.gauge.add(len - counted.shown);
        counted.shown = len;
        result
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.sub(self.shown);
    }
}

impl First {
    fn new(of: &Arc<Handled>, identity: Identity) -> Self {
        let of = Some(Arc::clone(of));
        Self { of, identity, claimed: false, ending: None, settled: false }
    }

    /// The record that must be written before the request runs, if one must.
    pub(crate) fn claim(&mut self) -> Option<Forward> {
        let of = self.of.as_ref().filter(|of| of.changelog.as_ref().is_some_and(|c| c.claims))?;
        self.claimed = true;
        // In doubt, until it is known how it ends.
        self.ending = Some(Kept::Claim);
        of.forward(&self.identity, Some(&Kept::Claim))
    }

    /// Notes what the request came to. That counts once the request is complete. Returns the record
    /// that must be written before the reply is sent.
    pub(crate) fn end(&mut self, ending: Ending) -> Option<Forward> {
        let of = self.of.as_ref()?;
        match ending {
            Ending::Answered(kept) => {
                let record = of.forward(&self.identity, Some(&kept));
                self.ending = Some(kept);
                record
            }
            Ending::Undone => {
                self.ending = None;
                // Without a claim there is nothing to take back.
                of.forward(&self.identity, None).filter(|_| self.claimed)
            }
            // A claim that was written stands.
            Ending::InDoubt => None,
        }
    }

    /// The request is complete: what it came to is written, and its reply is sent.
    pub(crate) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let Some(of) = self.of.take() else { return };
        let kept = if self.settled {
            self.ending.take()
        } else {
            // Left in the midst. What was claimed may have been done.
            self.claimed.then_some(Kept::Claim)
        };
        match kept {
            Some(kept) => of.finish(self.identity, kept),
            None => of.abandon(self.identity),
        }
    }
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
