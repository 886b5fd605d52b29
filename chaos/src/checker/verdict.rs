//! What a history has proven.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::index::Index;
use super::violations::Violations;
use super::{Flow, Guarantee, Limits, Order, Violation, Window};
use crate::history::{Class, Id, Kind};

/// What a history has proven.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// What was broken, by guarantee; of each, the first twenty.
    pub violations: Vec<Violation>,
    /// How many violations of each guarantee there are.
    pub broken: BTreeMap<Guarantee, usize>,
    /// What this history cannot show, and why: no guarantee is proven that is named here.
    pub not_judged: Vec<String>,
    /// The counts of the whole run.
    pub counts: Counts,
    /// The figures of each fault.
    pub faults: Vec<Window>,
    /// The timeline.
    #[serde(skip)]
    pub flow: Flow,
}

/// Counts of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counts {
    /// All events.
    pub events: usize,
    /// Calls that were made.
    pub requests: usize,
    /// Of these, those in the request topic.
    pub acknowledged: usize,
    /// Calls that ended with a reply.
    pub answered: usize,
    /// Calls that ended with an error, by what it says of the request.
    pub errors: BTreeMap<Class, usize>,
    /// The same by the kind of the error.
    pub codes: BTreeMap<String, usize>,
    /// What processes have counted of themselves, by what it is.
    pub counted: BTreeMap<String, u64>,
    /// Deleted from the request topic before anybody had read them.
    pub deleted: usize,
    /// Acknowledged, and neither handled nor visibly ended.
    pub lost: usize,
    /// In the request topic at the end, neither handled nor passed by a commit nor overdue.
    pub unread: usize,
    /// Calls that got the reply to another one.
    pub cross_talk: usize,
    /// Effects beyond the first of each call.
    pub duplicates: usize,
    /// Calls of killed processes, which nobody could end.
    pub cut_off: usize,
    /// The longest time in which calls waited and none was answered.
    pub longest_stall_us: u64,
    /// Files that end amid a line.
    pub torn: usize,
}

impl Verdict {
    pub(super) fn new(
        index: &Index<'_>,
        limits: &Limits,
        lost: &HashSet<Id>,
        flow: Flow,
        faults: Vec<Window>,
        found: Violations<'_>,
    ) -> Self {
        let (violations, broken) = found.into_parts();
        let mut counts = Counts::of(index, lost);
        counts.longest_stall_us = flow.longest_stall().map_or(0, |stall| stall.length_us);
        let not_judged = not_judged(index, limits, &counts);
        Self { violations, broken, not_judged, counts, faults, flow }
    }

    /// Whether no guarantee was seen broken.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.broken.is_empty()
    }
}

impl Counts {
    fn of(index: &Index<'_>, lost: &HashSet<Id>) -> Self {
        let mut counts = Self {
            events: index.events.len(),
            torn: index.torn,
            counted: index.counts(),
            lost: lost.len(),
            ..Self::default()
        };
        for call in &index.calls {
            let is_done = !call.effects.is_empty() || call.done().is_some();
            let is_acked = !call.acks.is_empty();
            counts.requests += call.invokes.len();
            counts.acknowledged += usize::from(is_acked);
            let is_deleted = !is_done && index.is_deleted(call);
            let is_unread = is_acked && !is_done && !is_deleted && !lost.contains(&call.id);
            counts.deleted += usize::from(is_deleted);
            counts.unread += usize::from(is_unread);
            counts.duplicates += call.effects.len().saturating_sub(1);
            counts.cross_talk += usize::from(call.is_crossed(index));
            counts.cut_off += usize::from(!call.invokes.is_empty() && call.ends.is_empty());
            for &end in &call.ends {
                match &index.events[end].event {
                    Kind::Err { class, code, .. } => {
                        *counts.errors.entry(*class).or_default() += 1;
                        *counts.codes.entry(code.clone()).or_default() += 1;
                    }
                    _ => counts.answered += 1,
                }
            }
        }
        counts
    }
}

/// A history in which something was never written down is not one in which it never happened.
fn not_judged(index: &Index<'_>, limits: &Limits, counts: &Counts) -> Vec<String> {
    let mut missing = Vec::new();
    let mut unless = |is_there: bool, what: &str| {
        if !is_there {
            missing.push(what.to_owned());
        }
    };
    unless(counts.requests > 0, "G1-G4: no call was made");
    unless(counts.acknowledged > 0, "G4: nobody wrote down acknowledgements");
    unless(index.has_commits, "G5: nobody wrote down commits");
    unless(index.has_replies, "G5, G12: nobody wrote down replies");
    unless(
        index.has_assignments,
        "G5, G9: nobody wrote down assignments, so no commit after a revocation or by a zombie is seen \
         as such",
    );
    unless(
        index.has_told,
        "G5, G9: nobody wrote down which of its commits were taken, so a late one is seen only if it \
         goes backwards or too far",
    );
    unless(limits.dedupe, "G7: dedupe is off, so duplicates are counted only");
    unless(limits.transactional, "G8: replies are not transactional");
    unless(!limits.caps.is_empty(), "G10: no caps are given");
    unless(limits.stall_us.is_some(), "G11: no limit of stalls is given");
    let drained = index.processes.values().any(|process| process.draining.is_some());
    unless(drained, "G12: no process was told to stop");
    unless(limits.order != Order::Unordered, "G13: no order was asked for");
    unless(!limits.reply_topics.is_empty(), "G14: no allowed topics are given");
    missing
}
