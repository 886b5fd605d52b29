//! How calls flowed: second by second, and when nothing was answered though calls waited.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::index::{At, Index};
use crate::history::{Class, Id, Kind};

/// The unit of the timeline, in microseconds.
pub(super) const SECOND: u64 = 1_000_000;

/// How calls flowed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Flow {
    /// The time of the first event: the beginning of the timeline.
    pub from_us: u64,
    /// Each second from then on.
    pub seconds: Vec<Second>,
    /// When calls were made.
    #[serde(skip)]
    pub(super) asked: Vec<u64>,
    /// When calls were answered.
    #[serde(skip)]
    pub(super) answered: Vec<u64>,
    #[serde(skip)]
    stalls: Vec<Stall>,
}

/// One second of the timeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Second {
    /// Calls that were made.
    pub asked: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that failed, by what their errors say of the request.
    pub errors: BTreeMap<Class, u64>,
    /// The median of how long the calls took that were answered then, in microseconds.
    pub p50_us: Option<u64>,
    /// The same of which one in a hundred took longer.
    pub p99_us: Option<u64>,
    /// The most calls that had been made and had not ended.
    pub in_flight: u64,
}

/// A time in which calls waited and none was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stall {
    /// What it began with: an answer, or the call that waited first.
    pub(super) from: At,
    /// What it ended with: an answer, or the end of the last one that waited.
    pub(super) to: At,
    pub(super) from_us: u64,
    pub(super) length_us: u64,
}

impl Flow {
    pub(super) fn of(index: &Index<'_>) -> Self {
        let Some((first, last)) = index.events.first().zip(index.events.last()) else {
            return Self::default();
        };
        let length = usize::try_from((last.at_us - first.at_us) / SECOND).unwrap_or(0) + 1;
        let mut flow = Self {
            from_us: first.at_us,
            seconds: vec![Second::default(); length],
            ..Self::default()
        };
        flow.follow(index);
        flow.time(index);
        flow
    }

    pub(super) fn longest_stall(&self) -> Option<Stall> {
        self.stalls.iter().max_by_key(|stall| stall.length_us).copied()
    }

    /// The longest time without an answer, of that which lies within these times.
    pub(super) fn longest_stall_within(&self, from: u64, to: u64) -> u64 {
        let part = |stall: &Stall| {
            (stall.from_us + stall.length_us).min(to).saturating_sub(stall.from_us.max(from))
        };
        self.stalls.iter().map(part).max().unwrap_or_default()
    }

    /// How many of these times lie from the one to before the other.
    pub(super) fn count(times: &[u64], from: u64, to: u64) -> u64 {
        let begin = times.partition_point(|at| *at < from);
        let end = times.partition_point(|at| *at < to);
        end.saturating_sub(begin) as u64
    }

    fn follow(&mut self, index: &Index<'_>) {
        let mut waiting = Waiting::default();
        // What nothing has been answered since, and until when anybody waited for it.
        let mut quiet: Option<(At, u64)> = None;
        for (at, event) in index.events.iter().enumerate() {
            let second = usize::try_from((event.at_us - self.from_us) / SECOND).unwrap_or(0);
            let second = &mut self.seconds[second];
            match &event.event {
                Kind::Invoke { id, deadline_us, .. } => {
                    second.asked += 1;
                    self.asked.push(event.at_us);
                    if waiting.until() < Some(event.at_us) {
                        self.stalls.extend(stall(index, quiet.take(), at));
                    }
                    waiting.begin(*id, *deadline_us, &event.process);
                    let (since, until) = quiet.unwrap_or((at, 0));
                    quiet = Some((since, until.max(*deadline_us)));
                }
                Kind::Ok { id, .. } => {
                    second.answered += 1;
                    self.answered.push(event.at_us);
                    self.stalls.extend(stall(index, quiet.take(), at));
                    waiting.end(*id);
                    quiet = waiting.until().map(|until| (at, until));
                }
                Kind::Err { id, class, .. } => {
                    *second.errors.entry(*class).or_default() += 1;
                    waiting.end(*id);
                }
                Kind::Killed { victim } => waiting.kill(victim),
                _ => {}
            }
            if waiting.count() == 0 {
                self.stalls.extend(stall(index, quiet.take(), at));
            }
            second.in_flight = second.in_flight.max(waiting.count());
        }
        self.stalls.extend(stall(index, quiet, index.events.len() - 1));
    }

    /// How long the calls took that were answered in each second.
    fn time(&mut self, index: &Index<'_>) {
        let mut took: Vec<Vec<u64>> = vec![Vec::new(); self.seconds.len()];
        for call in &index.calls {
            let Some(&invoke) = call.invokes.first() else { continue };
            for &end in &call.ends {
                if matches!(index.events[end].event, Kind::Ok { .. }) {
                    let second = (index.time(end) - self.from_us) / SECOND;
                    let length = index.time(end).saturating_sub(index.time(invoke));
                    took[usize::try_from(second).unwrap_or(0)].push(length);
                }
            }
        }
        for (second, mut took) in self.seconds.iter_mut().zip(took) {
            took.sort_unstable();
            let rank = |hundredths: usize| {
                let rank = (took.len() * hundredths).div_ceil(100).checked_sub(1)?;
                took.get(rank).copied()
            };
            (second.p50_us, second.p99_us) = (rank(50), rank(99));
        }
    }
}

/// The calls that have not ended.
#[derive(Default)]
struct Waiting<'a> {
    deadlines: BTreeSet<(u64, Id)>,
    calls: HashMap<Id, (u64, &'a str)>,
}

impl<'a> Waiting<'a> {
    fn begin(&mut self, id: Id, deadline: u64, process: &'a str) {
        self.end(id);
        self.calls.insert(id, (deadline, process));
        self.deadlines.insert((deadline, id));
    }

    fn end(&mut self, id: Id) {
        if let Some((deadline, _)) = self.calls.remove(&id) {
            self.deadlines.remove(&(deadline, id));
        }
    }

    /// Whoever was killed waits no more.
    fn kill(&mut self, victim: &str) {
        self.calls.retain(|_, (_, process)| *process != victim);
        let calls = &self.calls;
        self.deadlines.retain(|(_, id)| calls.contains_key(id));
    }

    /// The latest deadline: beyond it, a call that has not ended is another guarantee's concern.
    fn until(&self) -> Option<u64> {
        self.deadlines.last().map(|(deadline, _)| *deadline)
    }

    fn count(&self) -> u64 {
        self.calls.len() as u64
    }
}

fn stall(index: &Index<'_>, quiet: Option<(At, u64)>, to: At) -> Option<Stall> {
    let (from, until) = quiet?;
    let from_us = index.time(from);
    let length_us = index.time(to).min(until).saturating_sub(from_us);
    (length_us > 0).then_some(Stall { from, to, from_us, length_us })
}
