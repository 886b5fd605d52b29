//! Where requests lie. Several may share a record, and so its offset: what tells them apart is their
//! place in it, which an auditor that reads the request topic has written down.

use std::collections::{BTreeMap, HashMap};

use super::index::{At, Index};
use crate::history::Kind;

/// A record of a request topic: topic, partition and offset.
pub(super) type Place<'a> = (&'a str, i32, i64);

/// The call of each request of a record, by its number, and where the history says so.
type Requests = BTreeMap<u32, (usize, At)>;

/// What each record holds, as far as that is known.
#[derive(Default)]
pub(super) struct Places<'a>(HashMap<Place<'a>, Requests>);

impl<'a> Places<'a> {
    /// With what contradicts what was said of the same request before: the places of both events.
    pub(super) fn of(index: &Index<'a>) -> (Self, Vec<(Place<'a>, [At; 2])>) {
        let (mut places, mut contradicted) = (Self::default(), Vec::new());
        for (number, call) in index.calls.iter().enumerate() {
            for &at in &call.acks {
                let Kind::Acked { topic, partition, offset, item, .. } = &index.events[at].event
                else {
                    continue;
                };
                let place = (topic.as_str(), *partition, *offset);
                let known = places.0.entry(place).or_default();
                let (owner, first) = *known.entry(*item).or_insert((number, at));
                if owner != number {
                    contradicted.push((place, [first, at]));
                }
            }
        }
        (places, contradicted)
    }

    /// The requests of a record; `None` if nobody has written down any.
    pub(super) fn requests(&self, place: Place<'a>) -> Option<&Requests> {
        self.0.get(&place)
    }
}
