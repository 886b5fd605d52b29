//! G13: where order was asked for, handlers start in the order of offsets, and of the requests in a
//! record in their order, for as long as a process has the partition.
//!
//! When it is assigned anew, it begins again at the committed offset, which may be behind. The same
//! request again is another attempt.

use std::collections::HashMap;

use super::index::{At, Index};
use super::places::{Place, Places};
use super::violations::Violations;
use super::{Guarantee, Limits, Order};
use crate::history::{Id, Kind};

/// Per process and partition: the last start of each key.
type Last<'a> = HashMap<(&'a str, &'a str, i32), HashMap<Option<u64>, Start>>;

/// Where the request lies of which a handler has started.
#[derive(Clone, Copy)]
struct Start {
    at: At,
    offset: i64,
    /// The first and the last of its numbers in the record: it may be there twice.
    numbers: (u32, u32),
}

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    let by_key = match limits.order {
        Order::Unordered => return,
        Order::ByKey => true,
        Order::ByPartition => false,
    };
    let (places, _) = Places::of(index);
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
                let numbers = numbers(index, &places, (topic, *partition, *offset), *id);
                let start = Start { at, offset: *offset, numbers };
                let place = (event.process.as_str(), topic.as_str(), *partition);
                let keys = last.entry(place).or_default();
                let before = keys.insert(key.filter(|_| by_key), start);
                if let Some(before) = before.filter(|before| start.is_behind(before)) {
                    found.add(Guarantee::Order, [before.at, at], || {
                        format!(
                            "call {id} at {offset} of {topic}-{partition} started after one that \
                             lies behind it, at {}",
                            before.offset
                        )
                    });
                }
            }
            _ => {}
        }
    }
}

/// The first and the last number of a call's request in its record. Where nobody has written down what
/// is in the record, it is the only one.
fn numbers<'a>(index: &Index<'a>, places: &Places<'a>, place: Place<'a>, id: Id) -> (u32, u32) {
    let requests = places.requests(place).into_iter().flatten();
    let mut own = requests.filter(|(_, (owner, _))| index.calls[*owner].id == id);
    let first = own.next().map_or(0, |(number, _)| *number);
    (first, own.next_back().map_or(first, |(number, _)| *number))
}

impl Start {
    /// Whether it should have come before that one.
    fn is_behind(&self, before: &Self) -> bool {
        (self.offset, self.numbers.1) < (before.offset, before.numbers.0)
    }
}
