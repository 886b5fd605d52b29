//! G13: where order was asked for, handlers start in the order of offsets, for as long as a process
//! has the partition.
//!
//! When it is assigned anew, it begins again at the committed offset, which may be behind. The same
//! offset again is another attempt.

use std::collections::HashMap;

use super::index::{At, Index};
use super::violations::Violations;
use super::{Guarantee, Limits, Order};
use crate::history::Kind;

/// Per process and partition: the last start of each key.
type Last<'a> = HashMap<(&'a str, &'a str, i32), HashMap<Option<u64>, (i64, At)>>;

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    let by_key = match limits.order {
        Order::Unordered => return,
        Order::ByKey => true,
        Order::ByPartition => false,
    };
    let mut last = Last::new();
    for (at, event) in index.events.iter().enumerate() {
        match &event.event {
            Kind::Assigned { topic, partition }
            | Kind::Revoked { topic, partition }
            | Kind::Lost { topic, partition } => {
                last.remove(&(event.process.as_str(), topic.as_str(), *partition));
            }
            Kind::HandlerStart { id, topic, partition, offset, key, .. } => {
                // A record without a key has no order by key.
                if by_key && key.is_none() {
                    continue;
                }
                let place = (event.process.as_str(), topic.as_str(), *partition);
                let keys = last.entry(place).or_default();
                let before = keys.insert(key.filter(|_| by_key), (*offset, at));
                if let Some((earlier, first)) = before.filter(|(before, _)| before > offset) {
                    found.add(Guarantee::Order, [first, at], || {
                        format!(
                            "call {id} at {offset} of {topic}-{partition} started after that at \
                             {earlier}"
                        )
                    });
                }
            }
            _ => {}
        }
    }
}
