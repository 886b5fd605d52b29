//! G5 and G9: a committed offset passes no request before its reply is in the log, never goes
//! backwards, and is not committed by a process that has given the partition up or lost it: by what
//! it says of its own commits. What the brokers took of it is judged by [`holders`](super::holders).

use std::collections::{HashMap, HashSet};

use super::Guarantee;
use super::index::{At, Index};
use super::violations::Violations;
use crate::history::{Id, Kind};

type Partition<'a> = (&'a str, i32);

pub(super) fn check(index: &Index<'_>, lost: &HashSet<Id>, found: &mut Violations<'_>) {
    let commits = commits(index);
    check_watermark(index, lost, &commits, found);
    check_backwards(&commits, found);
    check_owner(index, found);
}

/// A successful commit.
#[derive(Clone, Copy)]
struct Commit<'a> {
    at: At,
    group: &'a str,
    partition: Partition<'a>,
    offset: i64,
}

fn commits<'a>(index: &Index<'a>) -> Vec<Commit<'a>> {
    let commit = |(at, kind): (At, &'a Kind)| match kind {
        Kind::Commit { group, topic, partition, offset, .. } => {
            Some(Commit { at, group, partition: (topic, *partition), offset: *offset })
        }
        _ => None,
    };
    index.events.iter().map(|event| &event.event).enumerate().filter_map(commit).collect()
}

/// Each request is judged by the first commit that passes it: it must be done by then.
fn check_watermark(
    index: &Index<'_>,
    lost: &HashSet<Id>,
    commits: &[Commit<'_>],
    found: &mut Violations<'_>,
) {
    // Without replies in the history nothing would ever be done.
    if !index.has_replies {
        return;
    }
    let mut requests = requests(index);
    let mut by_partition: HashMap<Partition<'_>, Vec<Commit<'_>>> = HashMap::new();
    for commit in commits {
        by_partition.entry(commit.partition).or_default().push(*commit);
    }
    for (partition, commits) in by_partition {
        let requests = requests.remove(&partition).unwrap_or_default();
        let mut passed = 0;
        for commit in commits {
            while let Some((offset, number)) = requests.get(passed).filter(|r| r.0 < commit.offset)
            {
                passed += 1;
                let call = &index.calls[*number];
                // What no one has handled is lost or deleted, which is reported as such.
                if call.done().is_some_and(|done| done < commit.at)
                    || lost.contains(&call.id)
                    || index.is_deleted(call)
                    || index.is_unanswerable(call)
                {
                    continue;
                }
                let records = call.acks.iter().chain(&call.starts).chain(&call.replies).copied();
                found.add(Guarantee::CommitAfterReply, records.chain([commit.at]), || {
                    format!(
                        "{}-{} was committed at {}, and the reply to call {} at {offset} was not \
                         acknowledged",
                        partition.0, partition.1, commit.offset, call.id
                    )
                });
            }
        }
    }
}

/// The requests of each partition in order of offset, by the number of their call: as their
/// callers were told, or as handlers found them.
fn requests<'a>(index: &Index<'a>) -> HashMap<Partition<'a>, Vec<(i64, usize)>> {
    let mut requests: HashMap<Partition<'a>, Vec<(i64, usize)>> = HashMap::new();
    for (number, call) in index.calls.iter().enumerate() {
        for &at in call.acks.iter().chain(&call.starts) {
            if let Kind::Acked { topic, partition, offset, .. }
            | Kind::HandlerStart { topic, partition, offset, .. } = &index.events[at].event
            {
                requests.entry((topic, *partition)).or_default().push((*offset, number));
            }
        }
    }
    for requests in requests.values_mut() {
        requests.sort_unstable();
        requests.dedup();
    }
    requests
}

fn check_backwards(commits: &[Commit<'_>], found: &mut Violations<'_>) {
    let mut last: HashMap<(&str, Partition<'_>), Commit<'_>> = HashMap::new();
    for commit in commits {
        let before = last.insert((commit.group, commit.partition), *commit);
        if let Some(before) = before.filter(|before| before.offset > commit.offset) {
            found.add(Guarantee::CommitAfterReply, [before.at, commit.at], || {
                let (topic, partition) = commit.partition;
                format!(
                    "the commit of {topic}-{partition} by {} went back from {} to {}",
                    commit.group, before.offset, commit.offset
                )
            });
        }
    }
}

/// Who may commit. An auditor, who has never had a partition, only tells what others committed.
fn check_owner(index: &Index<'_>, found: &mut Violations<'_>) {
    // The last assignment of a partition to anybody, and the last word on it of each process.
    let mut owners: HashMap<Partition<'_>, At> = HashMap::new();
    let mut own: HashMap<(&str, Partition<'_>), At> = HashMap::new();
    for (at, event) in index.events.iter().enumerate() {
        let process = event.process.as_str();
        match &event.event {
            Kind::Assigned { topic, partition } => {
                owners.insert((topic, *partition), at);
                own.insert((process, (topic, *partition)), at);
            }
            Kind::Revoked { topic, partition } | Kind::Lost { topic, partition } => {
                own.insert((process, (topic, *partition)), at);
            }
            Kind::Commit { topic, partition, .. } => {
                let partition = (topic.as_str(), *partition);
                let Some(&word) = own.get(&(process, partition)) else { continue };
                let named = || format!("{process} committed {}-{}", partition.0, partition.1);
                if !matches!(index.events[word].event, Kind::Assigned { .. }) {
                    found.add(Guarantee::CommitAfterReply, [word, at], || {
                        format!("{} after it was revoked", named())
                    });
                } else if let Some(&owner) = owners.get(&partition).filter(|owner| **owner != word)
                {
                    found.add(Guarantee::Zombie, [word, owner, at], || {
                        format!("{}, which {} had by then", named(), index.process(owner))
                    });
                }
            }
            _ => {}
        }
    }
}
