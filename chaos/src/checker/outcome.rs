//! G3: `NotSent` means that nobody has the request, `Executed` that a replier had it; and a reply
//! means that the work was done before.

use super::Guarantee;
use super::index::{At, Call, Index};
use super::violations::Violations;
use crate::history::{Class, Kind};

pub(super) fn check(index: &Index<'_>, found: &mut Violations<'_>) {
    for call in &index.calls {
        for &end in &call.ends {
            match index.events[end].event {
                Kind::Ok { .. } => replied(call, end, found),
                Kind::Err { class: Class::NotSent, .. } => not_sent(call, end, found),
                Kind::Err { class: Class::Executed, .. } => executed(index, call, end, found),
                _ => {}
            }
        }
    }
}

fn replied(call: &Call, end: At, found: &mut Violations<'_>) {
    match call.effects.first() {
        None => found.add(Guarantee::Outcome, [end], || {
            format!("call {} was answered, and has had no effect", call.id)
        }),
        Some(&effect) if effect > end => found.add(Guarantee::Outcome, [end, effect], || {
            format!("call {} was answered before it had its effect", call.id)
        }),
        Some(_) => {}
    }
}

/// Whenever it was: a request that was not sent never will be.
fn not_sent(call: &Call, end: At, found: &mut Violations<'_>) {
    let handled = call.effects.first().or(call.starts.first());
    if let Some(&handled) = handled {
        found.add(Guarantee::Outcome, [end, handled], || {
            format!("call {} was not sent, it is said, and was handled", call.id)
        });
    } else if let Some(&acked) = call.acks.first() {
        found.add(Guarantee::Outcome, [end, acked], || {
            format!("call {} was not sent, it is said, and is in the request topic", call.id)
        });
    }
}

fn executed(index: &Index<'_>, call: &Call, end: At, found: &mut Violations<'_>) {
    let touched = call.starts.iter().chain(&call.effects).next().is_some() || call.done().is_some();
    // Without replies in the history, a refusal before the handler leaves no trace.
    if !touched && index.has_replies {
        found.add(Guarantee::Outcome, [end], || {
            format!("call {} was executed, it is said, and no replier has had it", call.id)
        });
    }
}
