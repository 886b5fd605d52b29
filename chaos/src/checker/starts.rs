//! G6: no handler starts past the deadline that it was given, or that its caller has.

use super::index::Index;
use super::violations::Violations;
use super::{Guarantee, Limits};
use crate::history::Kind;

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    for call in &index.calls {
        let callers = index.deadline(call).filter(|_| limits.clocks_agree);
        for &start in &call.starts {
            let Kind::HandlerStart { deadline_us: given, .. } = index.events[start].event else {
                continue;
            };
            let Some(deadline) = given.into_iter().chain(callers).min() else { continue };
            if index.is_late(start, deadline, limits.start_slack_us) {
                let late = (index.time(start) - deadline) / 1_000;
                found.add(Guarantee::Deadline, call.invokes.iter().copied().chain([start]), || {
                    format!("the handler of call {} started {late} ms past its deadline", call.id)
                });
            }
        }
    }
}
