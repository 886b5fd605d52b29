//! G7 and G8: a record has one id for each request in it, however often it is delivered; with dedupe a
//! call has one effect, and with transactions one committed reply.

use std::collections::HashMap;

use super::index::{At, Index};
use super::places::{Place, Places};
use super::violations::Violations;
use super::{Guarantee, Limits};
use crate::history::Kind;

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    check_ids(index, found);
    for call in &index.calls {
        if limits.dedupe && call.effects.len() > 1 {
            found.add(Guarantee::Dedupe, call.effects.iter().copied(), || {
                format!("call {} has had {} effects, with dedupe", call.id, call.effects.len())
            });
        }
        if limits.transactional && call.replies.len() > 1 {
            found.add(Guarantee::Transactions, call.replies.iter().copied(), || {
                format!("call {} has {} committed replies", call.id, call.replies.len())
            });
        }
    }
}

/// What handlers find in a record is what is in it. If nobody has written that down, it is one request.
fn check_ids(index: &Index<'_>, found: &mut Violations<'_>) {
    let mut add = |(topic, partition, offset): Place<'_>, records: [At; 2]| {
        found.add(Guarantee::Dedupe, records, || {
            format!("a request in the record {topic}-{partition} at {offset} has two ids")
        });
    };
    let (places, contradicted) = Places::of(index);
    for (place, records) in contradicted {
        add(place, records);
    }
    let mut unwritten: HashMap<Place<'_>, (At, usize)> = HashMap::new();
    for (number, call) in index.calls.iter().enumerate() {
        for &at in &call.starts {
            let Kind::HandlerStart { topic, partition, offset, .. } = &index.events[at].event
            else {
                continue;
            };
            let place = (topic.as_str(), *partition, *offset);
            match places.requests(place) {
                Some(requests) => {
                    let is_there = requests.values().any(|(owner, _)| *owner == number);
                    if let Some((_, (_, first))) = requests.first_key_value()
                        && !is_there
                    {
                        add(place, [*first, at]);
                    }
                }
                None => {
                    let (first, owner) = *unwritten.entry(place).or_insert((at, number));
                    if owner != number {
                        add(place, [first, at]);
                    }
                }
            }
        }
    }
}
