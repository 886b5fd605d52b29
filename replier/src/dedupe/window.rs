//! The requests of one partition that ran lately, and their replies: pure, without a clock or I/O.

use std::collections::{HashMap, VecDeque};
use std::mem::size_of;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::dedupe::identity::Identity;

/// What an entry costs besides the bytes of its reply: its places in the table and in the queue.
const ENTRY: usize = size_of::<(Identity, State<()>)>() + size_of::<Place>();

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) window: Duration,
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

/// What is kept of a request that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Its reply, encoded.
    Reply(Bytes),
    /// Only that it may have been executed.
    Claim,
}

/// What is known of a request that is about to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing: it runs, from now on.
    New,
    /// Another one like it runs.
    Running,
    /// It has ended.
    Ended(Kept),
}

/// The window. `W` is whoever waits for the end of one that runs.
///
/// Only what has ended counts towards the limits, and leaves by them, the oldest first. What runs
/// is bounded by how many requests are taken in.
#[derive(Debug)]
pub(crate) struct Window<W> {
    limits: Limits,
    states: HashMap<Identity, State<W>>,
    /// What has ended, the oldest first. A place is void if the entry has another number by now, or
    /// is gone.
    order: VecDeque<Place>,
    /// How many entries have ended, how many bytes they take, and the number of the last one.
    ended: usize,
    bytes: usize,
    number: u64,
}

#[derive(Debug)]
enum State<W> {
    Running(VecDeque<W>),
    Ended { number: u64, until: Instant, kept: Kept },
}

#[derive(Debug)]
struct Place {
    identity: Identity,
    number: u64,
    until: Instant,
}

impl<W> Window<W> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            states: HashMap::new(),
            order: VecDeque::new(),
            ended: 0,
            bytes: 0,
            number: 0,
        }
    }

    /// Asks for a request that is about to run. If it is new, it runs from now on.
    pub(crate) fn begin(&mut self, identity: Identity, now: Instant) -> Found {
        self.expire(now);
        match self.states.get(&identity) {
            Some(State::Running(_)) => return Found::Running,
            Some(State::Ended { until, kept, .. }) if *until > now => {
                return Found::Ended(kept.clone());
            }
            _ => {}
        }
        self.set(identity, State::Running(VecDeque::new()));
        Found::New
    }

    /// Adds somebody who waits for a request that runs. Handed back if it does not.
    pub(crate) fn wait(&mut self, identity: &Identity, waiter: W) -> Result<(), W> {
        match self.states.get_mut(identity) {
            Some(State::Running(waiters)) => {
                waiters.push_back(waiter);
                Ok(())
            }
            _ => Err(waiter),
        }
    }

    /// A request that runs has ended. Returns what is kept of it, and who is to be told.
    pub(crate) fn finish(
        &mut self,
        identity: Identity,
        kept: Kept,
        now: Instant,
    ) -> (Kept, VecDeque<W>) {
        let kept = self.keep(identity, kept, now + self.limits.window);
        let (kept, waiters) = kept;
        self.expire(now);
        (kept, waiters)
    }

    /// A request that runs has ended as if it had never been. Returns who runs in its place: the
    /// one that has waited longest. The others wait for that one.
    pub(crate) fn abandon(&mut self, identity: &Identity) -> Option<W> {
        let Some(State::Running(waiters)) = self.states.get_mut(identity) else { return None };
        let next = waiters.pop_front();
        if next.is_none() {
            self.states.remove(identity);
        }
        next
    }

    /// Adds what was kept elsewhere, and is to be kept until that instant. It takes the place of
    /// what there is.
    pub(crate) fn restore(&mut self, identity: Identity, kept: Kept, until: Instant, now: Instant) {
        self.keep(identity, kept, until);
        self.expire(now);
    }

    /// Takes out what has ended.
    pub(crate) fn forget(&mut self, identity: &Identity) {
        if let Some(State::Ended { .. }) = self.states.get(identity) {
            self.take_out(identity);
        }
    }

    /// The number of requests that have ended and are kept.
    pub(crate) fn len(&self) -> usize {
        self.ended
    }

    fn keep(&mut self, identity: Identity, kept: Kept, until: Instant) -> (Kept, VecDeque<W>) {
        // One that is larger than the whole window would drive out all others and itself.
        let fits = size(&kept) <= self.limits.bytes;
        let kept = if fits { kept } else { Kept::Claim };
        self.number += 1;
        self.ended += 1;
        self.bytes += size(&kept);
        self.order.push_back(Place { identity, number: self.number, until });
        let state = State::Ended { number: self.number, until, kept: kept.clone() };
        let waiters = match self.set(identity, state) {
            Some(State::Running(waiters)) => waiters,
            _ => VecDeque::new(),
        };
        (kept, waiters)
    }

    fn set(&mut self, identity: Identity, state: State<W>) -> Option<State<W>> {
        let old = self.states.insert(identity, state);
        self.uncount(old.as_ref());
        old
    }

    fn take_out(&mut self, identity: &Identity) {
        let old = self.states.remove(identity);
        self.uncount(old.as_ref());
    }

    fn uncount(&mut self, old: Option<&State<W>>) {
        if let Some(State::Ended { kept, .. }) = old {
            self.ended -= 1;
            self.bytes -= size(kept);
        }
    }

    /// Lets go of what is too old or too much.
    fn expire(&mut self, now: Instant) {
        while let Some(Place { identity, number, until }) = self.order.front() {
            let (identity, valid) = (*identity, self.is_valid(*identity, *number));
            let over = self.ended > self.limits.entries || self.bytes > self.limits.bytes;
            if valid && *until > now && !over {
                break;
            }
            if valid {
                self.take_out(&identity);
            }
            self.order.pop_front();
        }
        // Void places in the midst would add up; this is paid for by those that made them.
        if self.order.len() > 2 * self.ended + 64 {
            let states = &self.states;
            self.order.retain(|place| is_valid(states, place.identity, place.number));
        }
    }

    fn is_valid(&self, identity: Identity, number: u64) -> bool {
        is_valid(&self.states, identity, number)
    }
}

fn is_valid<W>(states: &HashMap<Identity, State<W>>, identity: Identity, number: u64) -> bool {
    matches!(states.get(&identity), Some(State::Ended { number: last, .. }) if *last == number)
}

fn size(kept: &Kept) -> usize {
    let reply = match kept {
        Kept::Reply(reply) => reply.len(),
        Kept::Claim => 0,
    };
    ENTRY + reply
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
