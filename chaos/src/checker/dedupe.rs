//! G7 and G8: a record has one id however often it is delivered; with dedupe a call has one effect,
//! and with transactions one committed reply.

use std::collections::HashMap;

use super::index::{At, Index};
use super::violations::Violations;
use super::{Guarantee, Limits};
use crate::history::Kind;

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    let mut records: HashMap<(&str, i32, i64), (At, usize)> = HashMap::new();
    for (number, call) in index.calls.iter().enumerate() {
        for &at in call.acks.iter().chain(&call.starts) {
            let (Kind::Acked { topic, partition, offset, .. }
            | Kind::HandlerStart { topic, partition, offset, .. }) = &index.events[at].event
            else {
                continue;
            };
            let place = (topic.as_str(), *partition, *offset);
            let (first, owner) = *records.entry(place).or_insert((at, number));
            if owner != number {
                found.add(Guarantee::Dedupe, [first, at], || {
                    format!("the record {topic}-{partition} at {offset} has two ids")
                });
            }
        }
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
