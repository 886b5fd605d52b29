//! G14: replies are in allowed topics only.

use super::index::Index;
use super::violations::Violations;
use super::{Guarantee, Limits};
use crate::history::Kind;

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    if limits.reply_topics.is_empty() {
        return;
    }
    for call in &index.calls {
        for &at in &call.replies {
            let Kind::ReplyAcked { topic, partition, .. } = &index.events[at].event else {
                continue;
            };
            if !limits.reply_topics.contains(topic) {
                found.add(Guarantee::Destinations, [at], || {
                    format!(
                        "a reply to call {} is in {topic}-{partition}, which is not allowed",
                        call.id
                    )
                });
            }
        }
    }
}
