//! G5 and G9 by what the brokers took: a commit that a process was told of was not made when it had
//! given the partition up, or when another had it.
//!
//! When a commit was taken, nobody says. But an auditor that asks for the committed offset, and finds
//! a lower one, proves that it was taken later than that: if by then the partition was another's,
//! the commit was a zombie's. Where another was told of the same offset, it may be that one's.

use std::collections::{HashMap, HashSet};

use super::index::{At, Index};
use super::violations::Violations;
use super::{Guarantee, Limits};
use crate::history::Kind;

type Partition<'a> = (&'a str, i32);

/// A look at the committed offset.
#[derive(Clone, Copy)]
struct Look {
    asked_us: u64,
    offset: i64,
    at: At,
}

/// The end of a process' right to commit.
struct End {
    guarantee: Guarantee,
    /// What ended it.
    at: At,
    /// From then on nothing of its may be taken.
    from_us: u64,
}

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    let mut looks: HashMap<Partition<'_>, Vec<Look>> = HashMap::new();
    let mut told: HashMap<(Partition<'_>, i64), HashSet<&str>> = HashMap::new();
    for event in index.events {
        if let Kind::CommitTold { topic, partition, offset } = &event.event {
            told.entry(((topic, *partition), *offset)).or_default().insert(&event.process);
        }
    }
    // The last word on each partition to each process, and the assignments of each partition.
    let mut words: HashMap<(&str, Partition<'_>), At> = HashMap::new();
    let mut assigned: HashMap<Partition<'_>, Vec<At>> = HashMap::new();
    for (at, event) in index.events.iter().enumerate() {
        let process = event.process.as_str();
        match &event.event {
            Kind::Commit { topic, partition, offset, asked_us: Some(asked_us), .. } => {
                let look = Look { asked_us: *asked_us, offset: *offset, at };
                looks.entry((topic, *partition)).or_default().push(look);
            }
            Kind::Assigned { topic, partition } => {
                words.insert((process, (topic, *partition)), at);
                assigned.entry((topic, *partition)).or_default().push(at);
            }
            Kind::Revoked { topic, partition } | Kind::Lost { topic, partition } => {
                words.insert((process, (topic, *partition)), at);
            }
            Kind::CommitTold { topic, partition, offset } => {
                let place = (topic.as_str(), *partition);
                let Some(&word) = words.get(&(process, place)) else { continue };
                if told.get(&(place, *offset)).is_some_and(|told| told.len() > 1) {
                    continue;
                }
                let assigned = assigned.get(&place).map_or(&[][..], Vec::as_slice);
                let Some(end) = end(index, limits, process, word, assigned) else { continue };
                let looks = looks.get(&place).map_or(&[][..], Vec::as_slice);
                let proof = looks
                    .iter()
                    .rev()
                    .take_while(|look| look.asked_us > end.from_us)
                    .find(|look| look.offset < *offset);
                if let Some(proof) = proof {
                    found.add(end.guarantee, [end.at, proof.at, at], || {
                        format!(
                            "a commit of {topic}-{partition} at {offset} by {process} was taken when \
                             it had the partition no more"
                        )
                    });
                }
            }
            _ => {}
        }
    }
}

/// When this process' right to commit has ended; `None` if it has not.
fn end(
    index: &Index<'_>,
    limits: &Limits,
    process: &str,
    word: At,
    assigned: &[At],
) -> Option<End> {
    let others = assigned.iter().find(|at| **at > word && index.process(**at) != process);
    let by_other =
        others.map(|&at| End { guarantee: Guarantee::Zombie, at, from_us: index.time(at) });
    if matches!(index.events[word].event, Kind::Assigned { .. }) {
        return by_other;
    }
    // What was sent before may be taken after: by brokers that are slow, even after a loss.
    let own = End {
        guarantee: Guarantee::CommitAfterReply,
        at: word,
        from_us: index.time(word) + limits.hand_over_us,
    };
    Some(by_other.filter(|other| other.from_us < own.from_us).unwrap_or(own))
}
