//! Which call each request and each reply in the logs is of.

use std::collections::HashMap;

use antiphon_common::wire::names;
use rdkafka::message::Message;

use super::item::{Item, items};
use crate::history::{End, Id, Kind};

/// Replies without a request that are remembered: more than any row forges.
const MOST_UNKNOWN: usize = 500_000;

/// Which call each correlation id is of. A reply may be read before its request, from another topic.
#[derive(Debug, Default)]
pub struct Calls {
    known: HashMap<Vec<u8>, Id>,
    unknown: HashMap<Vec<u8>, Vec<Answer>>,
    shared_requests: u64,
    shared_replies: u64,
}

/// A reply: where it lies, and its status if it is an error.
#[derive(Debug)]
struct Answer {
    topic: String,
    partition: i32,
    status: Option<Vec<u8>>,
}

impl Calls {
    /// What a record of the request topic says has happened. The call's id is in the payload.
    pub fn asked(
        &mut self,
        record: &impl Message,
        id_in: impl Fn(&[u8]) -> Option<Id>,
    ) -> Vec<Kind> {
        let items = items(record);
        self.shared_requests += shared(&items);
        let mut events = Vec::new();
        for item in items {
            let Some(correlation) = item.header(names::CORRELATION_ID) else { continue };
            let Some(id) = item.payload.and_then(&id_in) else { continue };
            let (topic, partition) = (record.topic().to_owned(), record.partition());
            let (offset, item) = (record.offset(), item.number);
            events.push(Kind::Acked { id, topic, partition, offset, item });
            for answer in self.unknown.remove(correlation).unwrap_or_default() {
                answered(id, answer, &mut events);
            }
            self.known.insert(correlation.to_vec(), id);
        }
        events
    }

    /// What a record of the reply topic says has happened.
    pub fn replied(&mut self, record: &impl Message) -> Vec<Kind> {
        let items = items(record);
        self.shared_replies += shared(&items);
        let mut events = Vec::new();
        for item in items {
            let Some(correlation) = item.header(names::CORRELATION_ID) else { continue };
            let (topic, partition) = (record.topic().to_owned(), record.partition());
            let status = item.header(names::STATUS).map(<[u8]>::to_vec);
            let answer = Answer { topic, partition, status };
            match self.known.get(correlation) {
                Some(id) => answered(*id, answer, &mut events),
                // Its request comes yet, or it is forged.
                None if self.unknown.len() < MOST_UNKNOWN => {
                    self.unknown.entry(correlation.to_vec()).or_default().push(answer);
                }
                None => {}
            }
        }
        events
    }

    /// How many requests and replies had no record to themselves, where there were any.
    #[must_use]
    pub fn counted(&self) -> Vec<Kind> {
        let counts =
            [("shared_requests", self.shared_requests), ("shared_replies", self.shared_replies)];
        let counted = |(what, count): (&str, u64)| Kind::Counted { what: what.to_owned(), count };
        counts.into_iter().filter(|(_, count)| *count > 0).map(counted).collect()
    }
}

/// How many have no record to themselves.
fn shared(items: &[Item<'_>]) -> u64 {
    if items.len() > 1 { items.len() as u64 } else { 0 }
}

fn answered(id: Id, answer: Answer, events: &mut Vec<Kind>) {
    match answer.status {
        Some(status) if status == b"DEADLINE_EXCEEDED" => {
            events.push(Kind::Ended { id, how: End::Expired });
        }
        Some(_) => events.push(Kind::Ended { id, how: End::Rejected }),
        None => {}
    }
    events.push(Kind::ReplyAcked { id, topic: answer.topic, partition: answer.partition });
}

#[cfg(test)]
mod tests {
    use rdkafka::message::OwnedHeaders;

    use super::*;
    use crate::contents::item::tests::{headers, record, shared};

    fn id_in(payload: &[u8]) -> Option<Id> {
        Some(Id(std::str::from_utf8(payload).ok()?.parse().ok()?))
    }

    fn of(correlation: &[u8]) -> OwnedHeaders {
        headers(&[(names::CORRELATION_ID, correlation)])
    }

    fn failed(correlation: &[u8], status: &[u8]) -> OwnedHeaders {
        headers(&[(names::CORRELATION_ID, correlation), (names::STATUS, status)])
    }

    fn acked(id: u128, item: u32) -> Kind {
        Kind::Acked { id: Id(id), topic: "t".to_owned(), partition: 2, offset: 5, item }
    }

    fn reply(id: u128) -> Kind {
        Kind::ReplyAcked { id: Id(id), topic: "t".to_owned(), partition: 2 }
    }

    #[test]
    fn each_request_of_a_record_is_at_its_offset() {
        let mut calls = Calls::default();
        let shared = shared(&[(of(b"a"), b"1"), (of(b"b"), b"2"), (of(b"c"), b"3")]);
        assert_eq!(calls.asked(&shared, id_in), [acked(1, 0), acked(2, 1), acked(3, 2)]);
        assert_eq!(calls.asked(&record(b"4", of(b"d")), id_in), [acked(4, 0)]);
        for (correlation, id) in [(b"a", 1), (b"b", 2), (b"c", 3), (b"d", 4)] {
            assert_eq!(calls.replied(&record(b"x", of(correlation))), [reply(id)]);
        }
    }

    #[test]
    fn each_reply_of_a_record_is_one() {
        let mut calls = Calls::default();
        calls.asked(&shared(&[(of(b"a"), b"1"), (of(b"b"), b"2"), (of(b"c"), b"3")]), id_in);
        let replies = shared(&[
            (of(b"b"), b"x"),
            (failed(b"a", b"INTERNAL"), b""),
            (failed(b"c", b"DEADLINE_EXCEEDED"), b""),
        ]);
        let ended = |id, how| Kind::Ended { id: Id(id), how };
        assert_eq!(
            calls.replied(&replies),
            [reply(2), ended(1, End::Rejected), reply(1), ended(3, End::Expired), reply(3)]
        );
    }

    #[test]
    fn replies_may_be_read_before_their_requests() {
        let mut calls = Calls::default();
        assert_eq!(calls.replied(&shared(&[(of(b"a"), b"x"), (of(b"b"), b"y")])), []);
        assert_eq!(calls.replied(&record(b"x", of(b"a"))), []);
        let requests = shared(&[(of(b"a"), b"1"), (of(b"b"), b"2")]);
        assert_eq!(
            calls.asked(&requests, id_in),
            [acked(1, 0), reply(1), reply(1), acked(2, 1), reply(2)]
        );
    }

    #[test]
    fn what_is_not_of_a_call_is_passed_over() {
        let mut calls = Calls::default();
        let mixed = shared(&[(of(b"a"), b"odd"), (headers(&[]), b"1"), (of(b"c"), b"3")]);
        assert_eq!(calls.asked(&mixed, id_in), [acked(3, 2)]);
        assert_eq!(calls.replied(&shared(&[(headers(&[]), b"x"), (of(b"c"), b"y")])), [reply(3)]);
        assert_eq!(calls.replied(&record(b"x", headers(&[]))), []);
    }

    #[test]
    fn those_that_share_a_record_are_counted() {
        let counted = |what: &str, count| Kind::Counted { what: what.to_owned(), count };
        let mut calls = Calls::default();
        calls.asked(&record(b"1", of(b"a")), id_in);
        // The only one of its record shares it with none.
        calls.asked(&shared(&[(of(b"b"), b"2")]), id_in);
        assert_eq!(calls.counted(), []);
        calls.replied(&shared(&[(of(b"a"), b"x"), (of(b"b"), b"y"), (of(b"z"), b"forged")]));
        assert_eq!(calls.counted(), [counted("shared_replies", 3)]);
        let pair = shared(&[(of(b"c"), b"3"), (of(b"d"), b"4")]);
        calls.asked(&pair, id_in);
        calls.asked(&pair, id_in);
        assert_eq!(calls.counted(), [counted("shared_requests", 4), counted("shared_replies", 3)]);
    }
}
