//! Requests that share a record, and so an offset.

use super::story::{MS, REPLIES, Story, TOPIC, commit, hash, reply};
use super::{broken, judge};
use crate::checker::{Guarantee, Limits, Order};
use crate::history::{Class, Id, Kind};

const REPLIER: &str = "replier-1";
const DEADLINE: u64 = 1_000 * MS;
/// So many requests share each of two records.
const SHARE: u32 = 3;

/// Two records with three requests each: each request has its handler, its effect and its reply, and then
/// the record is committed.
fn story() -> Story {
    let reply_topics = vec![REPLIES.to_owned()];
    let limits = Limits { order: Order::ByPartition, reply_topics, ..Limits::default() };
    let mut story = Story { events: Vec::new(), limits };
    story.tell(0, "requester-1", Kind::Started);
    story.tell(0, REPLIER, Kind::Started);
    story.tell(1, REPLIER, Kind::Assigned { topic: TOPIC.into(), partition: 0 });
    for offset in 0..2 {
        let at = MS * (1 + 20 * offset);
        let offset = i64::try_from(offset).expect("small");
        for item in 0..SHARE {
            let id = id(offset, item);
            let invoke = Kind::Invoke { id, deadline_us: DEADLINE, payload_hash: hash(id) };
            story.tell(at, "requester-1", invoke);
            story.tell(at + 1, "witness", acked(id, offset, item));
            story.tell(at + MS + u64::from(item), REPLIER, start(id, offset));
            story.tell(at + 2 * MS, REPLIER, Kind::Effect { id });
            story.tell(at + 3 * MS, "witness", reply(id));
            story.tell(at + 5 * MS, "requester-1", Kind::Ok { id, payload_hash: hash(id) });
        }
        story.tell(at + 4 * MS, "witness", commit(0, offset + 1));
    }
    story.tell(1_500 * MS, REPLIER, Kind::Stopped);
    story.tell(1_500 * MS, "requester-1", Kind::Stopped);
    story
}

fn id(offset: i64, item: u32) -> Id {
    Id(10 * u128::try_from(offset).expect("small") + u128::from(item))
}

fn acked(id: Id, offset: i64, item: u32) -> Kind {
    Kind::Acked { id, topic: TOPIC.into(), partition: 0, offset, item }
}

fn start(id: Id, offset: i64) -> Kind {
    super::story::start(id, 1, 0, offset, DEADLINE)
}

fn is_start(kind: &Kind) -> bool {
    matches!(kind, Kind::HandlerStart { .. })
}

/// Takes all of a call away that its replier has done.
fn undo(story: &mut Story, id: Id) {
    story.events.retain(|event| {
        event.event.id() != Some(id)
            || matches!(event.event, Kind::Invoke { .. } | Kind::Acked { .. })
    });
    let (class, code) = (Class::Unknown, "timeout".to_owned());
    let end = Kind::Err { id, class, code, text: String::new() };
    story.tell(DEADLINE, "requester-1", end);
}

#[test]
fn requests_that_share_a_record_are_as_good_as_others() {
    let verdict = judge(&story());
    assert_eq!(verdict.violations, []);
    let counts = &verdict.counts;
    assert_eq!((counts.acknowledged, counts.answered, counts.duplicates), (6, 6, 0));
}

#[test]
fn each_request_of_a_record_must_be_done_before_it_is_committed() {
    for item in 0..SHARE {
        let mut story = story();
        let reply = story.find(id(0, item), |kind| matches!(kind, Kind::ReplyAcked { .. }));
        story.events[reply].at_us += 2 * MS;
        let verdict = judge(&story);
        assert_eq!(broken(&verdict), [Guarantee::CommitAfterReply]);
        assert_eq!(verdict.violations.len(), 1, "{:?}", verdict.violations);
    }
}

#[test]
fn each_request_of_a_record_that_a_commit_passes_undone_is_lost() {
    let mut story = story();
    undo(&mut story, id(0, 1));
    undo(&mut story, id(0, 2));
    let verdict = judge(&story);
    assert_eq!((broken(&verdict), verdict.counts.lost), (vec![Guarantee::AtLeastOnce], 2));
}

#[test]
fn before_the_commit_a_record_may_be_handled_again_whole() {
    let mut story = story();
    story.events.retain(|event| {
        let is_end = matches!(event.event, Kind::Stopped) && event.process == REPLIER;
        !is_end && !matches!(event.event, Kind::Commit { offset: 2, .. })
    });
    story.tell(40 * MS, "faults", Kind::Killed { victim: REPLIER.to_owned() });
    story.tell(50 * MS, "replier-2", Kind::Assigned { topic: TOPIC.into(), partition: 0 });
    for item in 0..SHARE {
        let (id, at) = (id(1, item), (60 + u64::from(item)) * MS);
        story.tell(at, "replier-2", start(id, 1));
        story.tell(at + 1, "replier-2", Kind::Effect { id });
        story.tell(at + 2, "witness", reply(id));
    }
    story.tell(70 * MS, "witness", commit(0, 2));
    story.tell(1_500 * MS, "replier-2", Kind::Stopped);
    let verdict = judge(&story);
    assert_eq!((broken(&verdict), verdict.counts.duplicates), (vec![], 3));
}

#[test]
fn a_handler_finds_nothing_in_a_record_that_is_not_there() {
    let mut story = story();
    let at = story.find(id(0, 1), is_start);
    story.events[at].event = start(id(0, 1), 1);
    story.limits.order = Order::Unordered;
    assert_eq!(broken(&judge(&story)), [Guarantee::Dedupe]);
}

#[test]
fn one_request_of_a_record_has_one_id() {
    let mut story = story();
    let at = story.find(id(0, 1), |kind| matches!(kind, Kind::Acked { .. }));
    story.events[at].event = acked(id(0, 1), 0, 2);
    // What lies where in the record is unclear then.
    story.limits.order = Order::Unordered;
    assert_eq!(broken(&judge(&story)), [Guarantee::Dedupe]);
}

#[test]
fn of_a_record_that_nobody_has_written_down_one_request_is_known() {
    let mut story = story();
    story.events.retain(|event| {
        !matches!(event.event, Kind::Acked { offset: 1, .. })
            && event.event.id() != Some(id(1, 1))
            && event.event.id() != Some(id(1, 2))
    });
    assert_eq!(broken(&judge(&story)), []);
    story.tell(30 * MS, REPLIER, start(id(0, 2), 1));
    assert_eq!(broken(&judge(&story)), [Guarantee::Dedupe]);
}

#[test]
fn requests_of_a_record_start_in_their_order_where_order_was_asked_for() {
    for (order, expected) in
        [(Order::ByPartition, vec![Guarantee::Order]), (Order::Unordered, vec![])]
    {
        let mut story = story();
        story.limits.order = order;
        let (first, second) = (story.find(id(1, 0), is_start), story.find(id(1, 1), is_start));
        let at_us = story.events[first].at_us;
        story.events[first].at_us = story.events[second].at_us;
        story.events[second].at_us = at_us;
        assert_eq!(broken(&judge(&story)), expected);
    }
}

#[test]
fn another_attempt_is_not_out_of_order_and_one_at_a_request_before_is() {
    for (item, expected) in [(2, vec![]), (1, vec![Guarantee::Order])] {
        let mut story = story();
        let again = story.find(id(1, 2), is_start);
        story.tell(story.events[again].at_us + 1, REPLIER, start(id(1, item), 1));
        assert_eq!(broken(&judge(&story)), expected);
    }
}

#[test]
fn a_call_that_is_in_a_record_twice_is_in_order_at_either_place() {
    let mut story = story();
    let begin = story.events[story.find(id(1, 2), is_start)].at_us;
    story.tell(begin, "witness", acked(id(1, 0), 1, SHARE));
    story.tell(begin + 1, REPLIER, start(id(1, 0), 1));
    assert_eq!(broken(&judge(&story)), []);
}

#[test]
fn a_record_that_is_deleted_is_counted_once_whatever_is_in_it() {
    for (counted, expected) in [(1, vec![]), (0, vec![Guarantee::AtLeastOnce])] {
        let mut story = story();
        for item in 0..SHARE {
            undo(&mut story, id(1, item));
        }
        let deleted = Kind::Deleted { topic: TOPIC.into(), partition: 0, before: 2 };
        story.tell(21 * MS + 2, "faults", deleted);
        let what = "deleted".to_owned();
        story.tell(100 * MS, REPLIER, Kind::Counted { what, count: counted });
        let verdict = judge(&story);
        assert_eq!((broken(&verdict), verdict.counts.deleted), (expected, 3));
    }
}
