//! G11: nothing panics that was not told to, no process ends by itself, and answers keep coming
//! where the limits say that they must.

use super::index::Index;
use super::violations::Violations;
use super::{Flow, Guarantee, Limits};
use crate::history::Kind;

pub(super) fn check(index: &Index<'_>, flow: &Flow, limits: &Limits, found: &mut Violations<'_>) {
    for (at, event) in index.events.iter().enumerate() {
        if let Kind::Panic { text } = &event.event {
            found.add(Guarantee::Isolation, [at], || format!("{} panicked: {text}", event.process));
        }
    }
    if limits.is_complete {
        check_ends(index, found);
    }
    if let (Some(limit), Some(stall)) = (limits.stall_us, flow.longest_stall())
        && stall.length_us > limit
    {
        found.add(Guarantee::Isolation, [stall.from, stall.to], || {
            format!("no call was answered for {} ms, and some waited", stall.length_us / 1_000)
        });
    }
}

/// Each process that was up has stopped, or was killed by whoever injects faults.
fn check_ends(index: &Index<'_>, found: &mut Violations<'_>) {
    let mut processes: Vec<_> = index.processes.iter().collect();
    processes.sort_unstable_by_key(|(name, _)| *name);
    for (name, process) in processes {
        let Some(started) = process.started else { continue };
        if process.stopped.is_none() && process.killed.is_none() {
            found.add(Guarantee::Isolation, [started, process.last], || {
                format!("{name} ended by itself: it neither stopped nor was killed")
            });
        }
        if let Some(stopped) = process.stopped.filter(|stopped| process.last > *stopped) {
            found.add(Guarantee::History, [stopped, process.last], || {
                format!("{name} wrote on after it had stopped")
            });
        }
    }
}
