//! The figures of each fault, and whether throughput came back when it was healed.

use std::collections::HashSet;

use serde::Serialize;

use super::flow::SECOND;
use super::index::{At, Index};
use super::violations::Violations;
use super::{Flow, Guarantee, Limits};
use crate::history::{Id, Kind};

/// How much of the time before a fault tells what is steady.
const STEADY: u64 = 10 * SECOND;
/// How fine the time of recovery is told.
const STEP: u64 = SECOND / 10;

/// The figures of one fault: of the time from its start to the next one's, or to the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Window {
    /// The row of the matrix.
    pub row: String,
    /// The fault in words.
    pub name: String,
    /// When it began.
    pub from_us: u64,
    /// When it was healed. `None` if it was not.
    pub healed_us: Option<u64>,
    /// Calls that were made from its beginning on.
    pub requests: u64,
    /// Of these, those in the request topic.
    pub acknowledged: u64,
    /// Of these, those that were lost.
    pub lost: u64,
    /// Calls that got the reply to another one.
    pub cross_talk: u64,
    /// Effects beyond the first of each call.
    pub duplicates: u64,
    /// The longest time in which calls waited and none was answered.
    pub longest_stall_us: u64,
    /// Answers per second before it.
    pub steady_per_s: u64,
    /// How long throughput took to come back after the healing.
    pub recovery_us: Option<u64>,
    /// Whether it came back in time.
    pub is_recovered: bool,
}

/// Where a fault begins and is healed, and where its window ends.
struct Fault<'a> {
    row: &'a str,
    name: &'a str,
    start: At,
    healed: Option<At>,
    steady_from_us: u64,
    until_us: u64,
}

pub(super) fn check(
    index: &Index<'_>,
    flow: &Flow,
    lost: &HashSet<Id>,
    limits: &Limits,
    found: &mut Violations<'_>,
) -> Vec<Window> {
    let faults = faults(index, flow, found);
    let mut windows = Vec::with_capacity(faults.len());
    for fault in &faults {
        let window = window(index, flow, fault, limits);
        if !window.is_recovered {
            let records = fault.healed.into_iter().chain([fault.start]);
            found.add(Guarantee::Recovery, records, || {
                let steady = window.steady_per_s;
                match (window.healed_us, window.recovery_us) {
                    (None, _) => format!("fault {} was never healed", fault.row),
                    (_, Some(took)) => format!(
                        "after fault {} it took {} ms until the throughput of {steady}/s was back",
                        fault.row,
                        took / 1_000
                    ),
                    (_, None) => format!(
                        "after fault {} the throughput of {steady}/s was not seen again",
                        fault.row
                    ),
                }
            });
        }
        windows.push(window);
    }
    count(index, lost, &mut windows);
    windows
}

fn faults<'a>(index: &Index<'a>, flow: &Flow, found: &mut Violations<'_>) -> Vec<Fault<'a>> {
    let mut faults: Vec<Fault<'a>> = Vec::new();
    let end = index.events.last().map_or(0, |last| last.at_us.saturating_add(1));
    let mut quiet_since = flow.asked.first().copied().unwrap_or_default();
    for (at, event) in index.events.iter().enumerate() {
        match &event.event {
            Kind::FaultStart { row, name } => {
                if let Some(last) = faults.last_mut() {
                    last.until_us = event.at_us;
                }
                faults.push(Fault {
                    row,
                    name,
                    start: at,
                    healed: None,
                    steady_from_us: quiet_since,
                    until_us: end,
                });
            }
            Kind::FaultStop { row } => {
                let of = faults.iter_mut().rev().find(|fault| fault.row == row);
                match of.filter(|fault| fault.healed.is_none()) {
                    Some(fault) => fault.healed = Some(at),
                    None => found.add(Guarantee::History, [at], || {
                        format!("fault {row} was healed and had not begun")
                    }),
                }
                quiet_since = event.at_us;
            }
            _ => {}
        }
    }
    faults
}

fn window(index: &Index<'_>, flow: &Flow, fault: &Fault<'_>, limits: &Limits) -> Window {
    let from_us = index.time(fault.start);
    let healed_us = fault.healed.map(|healed| index.time(healed));
    let steady_per_s = steady(flow, fault.steady_from_us, from_us);
    let recovery_us = healed_us.and_then(|healed| {
        recovery(flow, healed, fault.until_us, steady_per_s, limits.recovered_at)
    });
    Window {
        row: fault.row.to_owned(),
        name: fault.name.to_owned(),
        from_us,
        healed_us,
        requests: 0,
        acknowledged: 0,
        lost: 0,
        cross_talk: 0,
        duplicates: 0,
        longest_stall_us: flow.longest_stall_within(from_us, fault.until_us),
        steady_per_s,
        recovery_us,
        is_recovered: recovery_us.is_some_and(|took| took <= limits.recovery_us),
    }
}

/// The median of the whole seconds before the fault. What had waited may come all at once, so more
/// answers than calls do not count.
fn steady(flow: &Flow, quiet_since: u64, fault: u64) -> u64 {
    let from = quiet_since.max(fault.saturating_sub(STEADY));
    let mut rates: Vec<u64> = (0..(fault.saturating_sub(from)) / SECOND)
        .map(|back| fault - (back + 1) * SECOND)
        .map(|second| {
            let answered = Flow::count(&flow.answered, second, second + SECOND);
            answered.min(Flow::count(&flow.asked, second, second + SECOND))
        })
        .collect();
    rates.sort_unstable();
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

/// When the first second begins whose answers are as many as were steady.
fn recovery(flow: &Flow, healed: u64, until: u64, steady: u64, part: f64) -> Option<u64> {
    // A fault without traffic before it proves nothing of what comes after it.
    if steady == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate is far below 2^52")]
    let enough = steady as f64 * part;
    let last = flow.answered.last().copied().unwrap_or_default().min(until);
    let mut from = healed;
    while from + SECOND <= last {
        #[expect(clippy::cast_precision_loss, reason = "a rate is far below 2^52")]
        let answered = Flow::count(&flow.answered, from, from + SECOND) as f64;
        if answered >= enough {
            return Some(from - healed);
        }
        from += STEP;
    }
    None
}

/// Counts each call in the window that it was made in.
fn count(index: &Index<'_>, lost: &HashSet<Id>, windows: &mut [Window]) {
    for call in &index.calls {
        let Some(&invoke) = call.invokes.first() else { continue };
        let made = index.time(invoke);
        let next = windows.partition_point(|window| window.from_us <= made);
        let Some(window) = next.checked_sub(1).map(|at| &mut windows[at]) else { continue };
        window.requests += 1;
        window.acknowledged += u64::from(!call.acks.is_empty());
        window.lost += u64::from(lost.contains(&call.id));
        window.duplicates += call.effects.len().saturating_sub(1) as u64;
        window.cross_talk += u64::from(call.is_crossed(index));
    }
}
