//! G12: a process that is told to stop does so in time, has answered what it had begun, and leaves
//! nothing that another one does again.
//!
//! Of a partition that was taken from it before it was told to stop, another may do anything again.

use std::collections::HashMap;

use super::index::{At, Call, Index, Process};
use super::violations::Violations;
use super::{Guarantee, Limits};
use crate::history::Kind;

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    let mut names: Vec<_> = index.processes.iter().collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    for (name, process) in names {
        if let (Some(draining), Some(stopped)) = (process.draining, process.stopped) {
            let due = index.time(draining) + limits.drain_us;
            if index.is_over(name, due, 0, index.time(stopped)) {
                let took = (index.time(stopped) - index.time(draining)) / 1_000;
                found.add(Guarantee::Drain, [draining, stopped], || {
                    format!("{name} took {took} ms to stop")
                });
            }
        }
    }
    if !limits.clean_drain {
        return;
    }
    let revoked = revocations(index);
    for call in &index.calls {
        for &start in &call.starts {
            let Some(process) = index.processes.get(index.process(start)) else { continue };
            if process.draining.is_some() && !is_revoked(index, &revoked, start, process) {
                check_start(index, call, start, process, found);
            }
        }
    }
}

fn check_start(
    index: &Index<'_>,
    call: &Call,
    start: At,
    process: &Process,
    found: &mut Violations<'_>,
) {
    let Some(stopped) = process.stopped else { return };
    let name = index.process(start);
    let others = |at: &&At| index.process(**at) != name;
    if let Some(&again) = call.effects.iter().filter(others).find(|again| **again > start) {
        found.add(Guarantee::Drain, [start, stopped, again], || {
            format!(
                "call {} was begun by {name}, which stopped in good order, and done again",
                call.id
            )
        });
    } else if index.has_replies && call.done().is_none() && !index.is_unanswerable(call) {
        found.add(Guarantee::Drain, [start, stopped], || {
            format!(
                "call {} was begun by {name}, which stopped in good order, and never answered",
                call.id
            )
        });
    }
}

/// When each process lost each partition.
type Revocations<'a> = HashMap<(&'a str, &'a str, i32), Vec<At>>;

fn revocations<'a>(index: &Index<'a>) -> Revocations<'a> {
    let mut revoked = Revocations::new();
    for (at, event) in index.events.iter().enumerate() {
        if let Kind::Revoked { topic, partition } | Kind::Lost { topic, partition } = &event.event {
            revoked.entry((&event.process, topic, *partition)).or_default().push(at);
        }
    }
    revoked
}

/// Whether the partition was taken away between this start and the order to stop.
fn is_revoked(index: &Index<'_>, revoked: &Revocations<'_>, start: At, process: &Process) -> bool {
    let Kind::HandlerStart { topic, partition, .. } = &index.events[start].event else {
        return false;
    };
    let Some(revoked) = revoked.get(&(index.process(start), topic.as_str(), *partition)) else {
        return false;
    };
    let next = revoked.get(revoked.partition_point(|at| *at < start));
    next.is_some_and(|at| process.draining.is_some_and(|draining| *at < draining))
}
