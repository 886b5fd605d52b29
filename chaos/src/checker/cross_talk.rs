//! G2: a call that ends with a reply has its own reply: the payload tells.

use std::collections::HashMap;

use super::Guarantee;
use super::index::{At, Index};
use super::violations::Violations;
use crate::history::Kind;

pub(super) fn check(index: &Index<'_>, found: &mut Violations<'_>) {
    let mut owners: HashMap<u64, At> = HashMap::new();
    for call in &index.calls {
        for &invoke in &call.invokes {
            let Kind::Invoke { payload_hash, .. } = index.events[invoke].event else { continue };
            if let Some(&other) = owners.get(&payload_hash) {
                found.add(Guarantee::History, [other, invoke], || {
                    format!(
                        "call {} shares its answer with another: they cannot be told apart",
                        call.id
                    )
                });
            }
            owners.insert(payload_hash, invoke);
        }
        if let [first, second, ..] = call.invokes[..] {
            found.add(Guarantee::History, [first, second], || {
                format!("call {} was made twice: ids name one call", call.id)
            });
        }
    }
    for call in &index.calls {
        let Some(&invoke) = call.invokes.first() else { continue };
        let Kind::Invoke { payload_hash: own, .. } = index.events[invoke].event else { continue };
        for &end in &call.ends {
            let Kind::Ok { payload_hash, .. } = index.events[end].event else { continue };
            if payload_hash == own {
                continue;
            }
            match owners.get(&payload_hash) {
                Some(&other) => found.add(Guarantee::CrossTalk, [invoke, end, other], || {
                    let owner = index.events[other].event.id().map(|id| id.to_string());
                    format!("call {} got the reply to call {}", call.id, owner.unwrap_or_default())
                }),
                None => found.add(Guarantee::CrossTalk, [invoke, end], || {
                    format!("call {} got a reply that belongs to no call", call.id)
                }),
            }
        }
    }
}
