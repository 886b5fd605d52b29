//! G1: each call ends exactly once, with a reply or an error, by its deadline and a little more.
//!
//! A call whose process was killed need not end, if the deadline was still to come.

use super::index::{At, Call, Index};
use super::violations::Violations;
use super::{Guarantee, Limits};

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    for call in &index.calls {
        let Some(&invoke) = call.invokes.first() else {
            // An end, or an acknowledgement to a requester, of what nobody asked for.
            if let Some(&end) = call.ends.first() {
                found.add(Guarantee::Completion, [end], || {
                    format!("call {} ended, and was never made", call.id)
                });
            }
            continue;
        };
        match call.ends[..] {
            [] => check_open(index, limits, call, invoke, found),
            [end] => check_end(index, limits, call, (invoke, end), found),
            _ => {
                found.add(Guarantee::Completion, call.ends.iter().copied().chain([invoke]), || {
                    format!("call {} ended {} times", call.id, call.ends.len())
                })
            }
        }
    }
}

fn check_end(
    index: &Index<'_>,
    limits: &Limits,
    call: &Call,
    (invoke, end): (At, At),
    found: &mut Violations<'_>,
) {
    let Some(deadline) = index.deadline(call) else { return };
    if end < invoke {
        found.add(Guarantee::Completion, [invoke, end], || {
            format!("call {} ended before it was made", call.id)
        });
    } else if index.is_late(end, deadline, limits.end_slack_us) {
        let late = (index.time(end) - deadline) / 1_000;
        found.add(Guarantee::Completion, [invoke, end], || {
            format!("call {} ended {late} ms after its deadline", call.id)
        });
    }
}

/// The call has not ended: was there somebody to end it, and time to?
fn check_open(
    index: &Index<'_>,
    limits: &Limits,
    call: &Call,
    invoke: At,
    found: &mut Violations<'_>,
) {
    let name = index.process(invoke);
    let (Some(deadline), Some(process)) = (index.deadline(call), index.processes.get(name)) else {
        return;
    };
    let (until, how) = match (process.stopped, process.killed) {
        (Some(stopped), _) => {
            found.add(Guarantee::Completion, [invoke, stopped], || {
                format!("call {} had not ended when {name} stopped", call.id)
            });
            return;
        }
        (None, Some(killed)) => (killed, "was killed"),
        (None, None) => (process.last, "wrote its last line"),
    };
    if index.is_over(name, deadline, limits.end_slack_us, index.time(until)) {
        let late = (index.time(until) - deadline) / 1_000;
        found.add(Guarantee::Completion, [invoke, until], || {
            format!(
                "call {} had not ended {late} ms after its deadline, when {name} {how}",
                call.id
            )
        });
    }
}
