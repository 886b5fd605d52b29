//! G4: a request in the request topic has an effect, or an error reply, or another visible end.
//!
//! It is lost if a commit has passed it without any, or if a replier was there beyond its deadline
//! and left it so. If neither, it lies in the topic and can still be handled: that is not judged.
//! What was deleted before anybody could read it is not lost if repliers have counted it.

use std::collections::{HashMap, HashSet};

use super::Guarantee;
use super::index::{At, Index};
use super::violations::Violations;
use crate::history::{Id, Kind};

/// The requests that were lost.
pub(super) fn check(index: &Index<'_>, found: &mut Violations<'_>) -> HashSet<Id> {
    let mut commits: HashMap<(&str, i32), At> = HashMap::new();
    let mut answering_until = 0;
    for (at, event) in index.events.iter().enumerate() {
        if let Kind::Commit { topic, partition, offset, .. } = &event.event {
            let highest = commits.entry((topic, *partition)).or_insert(at);
            if committed(index, *highest) < *offset {
                *highest = at;
            }
        }
        if index.processes.get(event.process.as_str()).is_some_and(|process| process.handles) {
            answering_until = event.at_us;
        }
    }
    check_deleted(index, found);
    let mut lost = HashSet::new();
    for call in &index.calls {
        let is_done = !call.effects.is_empty() || call.done().is_some() || index.is_deleted(call);
        let Some(&acked) = call.acks.first().filter(|_| !is_done) else { continue };
        let Kind::Acked { topic, partition, offset, .. } = &index.events[acked].event else {
            continue;
        };
        let passed = commits.get(&(topic.as_str(), *partition)).copied();
        let passed = passed.filter(|commit| committed(index, *commit) > *offset);
        let is_left = index.deadline(call).is_some_and(|deadline| deadline < answering_until);
        if passed.is_none() && !is_left {
            continue;
        }
        lost.insert(call.id);
        let records = call.invokes.iter().chain(&call.acks).chain(&call.starts).copied();
        found.add(Guarantee::AtLeastOnce, records.chain(passed), || {
            let how = if passed.is_some() { "a commit passed it" } else { "its deadline passed" };
            format!(
                "call {} is in {topic}-{partition} at {offset} and is lost: no effect, no visible \
                 end, and {how}",
                call.id
            )
        });
    }
    lost
}

/// A gap is alarming: repliers count at least the records that are in it. How many requests shared one of
/// those they cannot know.
fn check_deleted(index: &Index<'_>, found: &mut Violations<'_>) {
    let deleted: Vec<_> = index.calls.iter().filter(|call| index.is_deleted(call)).collect();
    let places: HashSet<_> = deleted.iter().filter_map(|call| index.deleted_at(call)).collect();
    let counted = index.counted("deleted");
    if u64::try_from(places.len()).is_ok_and(|deleted| deleted > counted) {
        let records = deleted.iter().filter_map(|call| call.acks.first()).take(3).copied();
        found.add(Guarantee::AtLeastOnce, records, || {
            format!(
                "{} records with requests were deleted before they were read, and repliers counted \
                 {counted}",
                places.len()
            )
        });
    }
}

fn committed(index: &Index<'_>, commit: At) -> i64 {
    match index.events[commit].event {
        Kind::Commit { offset, .. } => offset,
        _ => i64::MIN,
    }
}
