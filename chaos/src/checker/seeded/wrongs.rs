//! One thing that goes wrong in a good story, and the guarantee that it breaks.

use super::story::{
    BEGIN, MS, Story, TOPIC, commit, failed, hash, holds, look, reply, start, told,
};
use crate::checker::{Guarantee, Order};
use crate::history::{Class, Id, Kind};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wrong {
    pub(super) what: &'static str,
    pub(super) breaks: Guarantee,
    /// Does it to one call of the story, or to the whole.
    pub(super) make: fn(&mut Story, usize),
}

const fn wrong(breaks: Guarantee, what: &'static str, make: fn(&mut Story, usize)) -> Wrong {
    Wrong { what, breaks, make }
}

pub(super) const WRONGS: &[Wrong] = &[
    wrong(Guarantee::Completion, "a call never ends", never_ends),
    wrong(Guarantee::Completion, "a call ends twice", ends_twice),
    wrong(Guarantee::Completion, "a call ends late", end_late),
    wrong(Guarantee::CrossTalk, "a call gets another's reply", crossed),
    wrong(Guarantee::CrossTalk, "a call gets a forged reply", forged),
    wrong(Guarantee::Outcome, "a request that was not sent is handled", not_sent_but_handled),
    wrong(Guarantee::Outcome, "a reply without an effect", no_effect),
    wrong(Guarantee::Outcome, "a reply before the effect", effect_after_reply),
    wrong(Guarantee::Outcome, "executed by nobody", executed_by_nobody),
    wrong(Guarantee::AtLeastOnce, "a request is skipped", skipped),
    wrong(Guarantee::CommitAfterReply, "a commit before its reply", reply_after_commit),
    wrong(Guarantee::CommitAfterReply, "a commit one too far", commit_too_far),
    wrong(Guarantee::CommitAfterReply, "a commit backwards", commit_backwards),
    wrong(Guarantee::CommitAfterReply, "a commit after a revocation", commit_after_revoke),
    wrong(Guarantee::CommitAfterReply, "a commit taken after a hand-over", taken_after_revoke),
    wrong(Guarantee::CommitAfterReply, "a commit taken after a loss", taken_after_loss),
    wrong(Guarantee::AtLeastOnce, "deleted requests that nobody counts", deleted_uncounted),
    wrong(Guarantee::Deadline, "a handler starts late", start_late),
    wrong(Guarantee::Dedupe, "two ids for a record", two_ids),
    wrong(Guarantee::Dedupe, "an effect again, with dedupe", effect_again),
    wrong(Guarantee::Transactions, "a reply again, with transactions", reply_again),
    wrong(Guarantee::Zombie, "a commit by a zombie", zombie),
    wrong(Guarantee::Zombie, "a commit taken from a zombie", taken_from_zombie),
    wrong(Guarantee::Bounded, "more in flight than the cap", over_cap),
    wrong(Guarantee::Bounded, "memory grows", memory_grows),
    wrong(Guarantee::Bounded, "an entry is left", entry_left),
    wrong(Guarantee::Isolation, "a panic", panics),
    wrong(Guarantee::Isolation, "a process ends by itself", crashes),
    wrong(Guarantee::Isolation, "no answers", stalls),
    wrong(Guarantee::Drain, "a stop takes too long", slow_stop),
    wrong(Guarantee::Drain, "done again after a stop", again_after_stop),
    wrong(Guarantee::Drain, "begun and left at a stop", left_at_stop),
    wrong(Guarantee::Order, "an earlier offset after a later one", out_of_order),
    wrong(Guarantee::Order, "an earlier offset of a key after a later one", out_of_order_by_key),
    wrong(Guarantee::Destinations, "a reply elsewhere", elsewhere),
    wrong(Guarantee::Recovery, "a fault is never healed", never_healed),
    wrong(Guarantee::Recovery, "throughput does not come back", never_recovers),
    wrong(Guarantee::History, "an id is used again", id_again),
    wrong(Guarantee::History, "a process writes after its end", writes_on),
];

fn is_ok(kind: &Kind) -> bool {
    matches!(kind, Kind::Ok { .. })
}

fn is_effect(kind: &Kind) -> bool {
    matches!(kind, Kind::Effect { .. })
}

fn is_reply(kind: &Kind) -> bool {
    matches!(kind, Kind::ReplyAcked { .. })
}

fn never_ends(story: &mut Story, pick: usize) {
    let end = story.find(Story::ordinary(pick), is_ok);
    story.events.remove(end);
}

fn ends_twice(story: &mut Story, pick: usize) {
    let end = story.find(Story::ordinary(pick), is_ok);
    let again = story.events[end].clone();
    story.tell(again.at_us + 1, "requester-1", again.event);
}

pub(super) fn end_late(story: &mut Story, pick: usize) {
    let id = Story::ordinary(pick);
    let made = story.find(id, |kind| matches!(kind, Kind::Invoke { .. }));
    let end = story.find(id, is_ok);
    story.events[end].at_us = story.events[made].at_us + 1_200 * MS;
}

fn crossed(story: &mut Story, pick: usize) {
    let id = Story::ordinary(pick);
    let end = story.find(id, is_ok);
    story.events[end].event = Kind::Ok { id, payload_hash: hash(Id(id.0 + 1)) };
}

fn forged(story: &mut Story, pick: usize) {
    let id = Story::ordinary(pick);
    let end = story.find(id, is_ok);
    story.events[end].event = Kind::Ok { id, payload_hash: 1 };
}

fn not_sent_but_handled(story: &mut Story, pick: usize) {
    let id = Story::ordinary(pick);
    let end = story.find(id, is_ok);
    story.events[end].event = failed(id, Class::NotSent);
}

fn no_effect(story: &mut Story, pick: usize) {
    let effect = story.find(Story::ordinary(pick), is_effect);
    story.events.remove(effect);
}

fn effect_after_reply(story: &mut Story, pick: usize) {
    let id = Story::ordinary(pick);
    let (effect, end) = (story.find(id, is_effect), story.find(id, is_ok));
    story.events[effect].at_us = story.events[end].at_us + 1;
}

fn executed_by_nobody(story: &mut Story, pick: usize) {
    let id = Id(5_000);
    let at = BEGIN + u64::try_from(pick).expect("small") * MS;
    let invoke = Kind::Invoke { id, deadline_us: at + 100 * MS, payload_hash: hash(id) };
    story.tell(at, "requester-1", invoke);
    story.tell(at + MS, "requester-1", failed(id, Class::Executed));
}

fn skipped(story: &mut Story, pick: usize) {
    let id = Story::ordinary(pick);
    let end = story.find(id, is_ok);
    story.events[end].event = failed(id, Class::Unknown);
    story.events.retain(|event| {
        let is_handling = matches!(
            event.event,
            Kind::HandlerStart { .. } | Kind::Effect { .. } | Kind::ReplyAcked { .. }
        );
        event.event.id() != Some(id) || !is_handling
    });
}

fn reply_after_commit(story: &mut Story, pick: usize) {
    let id = Story::ordinary(pick);
    let (reply, commit) = (story.find(id, is_reply), story.commit_of(id));
    story.events[reply].at_us = story.events[commit].at_us + 1;
}

pub(super) fn reply_never_seen(story: &mut Story, pick: usize) {
    let reply = story.find(Story::ordinary(pick), is_reply);
    story.events.remove(reply);
}

fn commit_too_far(story: &mut Story, pick: usize) {
    let at = story.commit_of(Story::ordinary(pick));
    let Kind::Commit { offset, .. } = &mut story.events[at].event else { panic!("it is one") };
    *offset += 1;
}

fn commit_backwards(story: &mut Story, pick: usize) {
    let at = story.commit_of(Story::ordinary(pick));
    let Kind::Commit { offset, .. } = &mut story.events[at].event else { panic!("it is one") };
    *offset -= 2;
}

/// By the one who has the partition, after all.
fn commit_after_revoke(story: &mut Story, _: usize) {
    let last = last_commit(story);
    let (topic, partition) = (TOPIC.to_owned(), 0);
    story.tell(last.0 + 1, "replier-1", Kind::Revoked { topic, partition });
    story.tell(last.0 + 2, "replier-1", commit(0, last.1));
}

fn zombie(story: &mut Story, _: usize) {
    let last = last_commit(story);
    let (topic, partition) = (TOPIC.to_owned(), 0);
    story.tell(last.0 + 1, "replier-2", Kind::Assigned { topic, partition });
    story.tell(last.0 + 2, "replier-1", commit(0, last.1));
}

fn taken_from_zombie(story: &mut Story, _: usize) {
    let last = last_commit(story);
    let (topic, partition) = (TOPIC.to_owned(), 0);
    story.tell(last.0 + 1, "replier-2", Kind::Assigned { topic, partition });
    story.tell(last.0 + 3, "auditor", look(0, last.1, last.0 + 2));
    story.tell(last.0 + 4, "replier-1", told(0, last.1 + 1));
}

fn taken_after_revoke(story: &mut Story, _: usize) {
    let last = last_commit(story);
    let (topic, partition) = (TOPIC.to_owned(), 0);
    let over = last.0 + story.limits.hand_over_us;
    story.tell(last.0 + 1, "replier-1", Kind::Revoked { topic, partition });
    story.tell(over + 3, "auditor", look(0, last.1, over + 2));
    story.tell(over + 4, "replier-1", told(0, last.1 + 1));
}

fn taken_after_loss(story: &mut Story, _: usize) {
    let last = last_commit(story);
    let (topic, partition) = (TOPIC.to_owned(), 0);
    let over = last.0 + story.limits.hand_over_us;
    story.tell(last.0 + 1, "replier-1", Kind::Lost { topic, partition });
    story.tell(over + 3, "auditor", look(0, last.1, over + 2));
    story.tell(over + 4, "replier-1", told(0, last.1 + 1));
}

/// One that nobody handled, and that was deleted: repliers should have counted it.
fn deleted_uncounted(story: &mut Story, pick: usize) {
    skipped(story, pick);
    let acked = story.find(Story::ordinary(pick), |kind| matches!(kind, Kind::Acked { .. }));
    let at_us = story.events[acked].at_us;
    let Kind::Acked { topic, partition, offset, .. } = story.events[acked].event.clone() else {
        panic!("it is one")
    };
    story.tell(at_us + 1, "injector", Kind::Deleted { topic, partition, before: offset + 1 });
}

/// Of partition 0: when, and at which offset.
fn last_commit(story: &Story) -> (u64, i64) {
    let commit = |kind: &Kind| match kind {
        Kind::Commit { partition: 0, offset, .. } => Some(*offset),
        _ => None,
    };
    let commits =
        story.events.iter().filter_map(|event| Some((event.at_us, commit(&event.event)?)));
    commits.max().expect("the story has commits")
}

fn start_late(story: &mut Story, pick: usize) {
    let at = story.find(Story::ordinary(pick), |kind| matches!(kind, Kind::HandlerStart { .. }));
    let began = story.events[at].at_us;
    let Kind::HandlerStart { deadline_us, .. } = &mut story.events[at].event else {
        panic!("it is one")
    };
    *deadline_us = Some(began - 60 * MS);
}

/// A handler finds a request where another one lies.
fn two_ids(story: &mut Story, pick: usize) {
    let at = story.find(Story::ordinary(pick), |kind| matches!(kind, Kind::HandlerStart { .. }));
    let Kind::HandlerStart { offset, .. } = &mut story.events[at].event else {
        panic!("it is one")
    };
    *offset += 1;
}

fn effect_again(story: &mut Story, pick: usize) {
    story.limits.dedupe = true;
    // What the replier did that was killed.
    story.events.retain(|event| event.process != "replier-0" || !is_effect(&event.event));
    let id = Story::ordinary(pick);
    let effect = story.events[story.find(id, is_effect)].clone();
    story.tell(effect.at_us + 1, &effect.process, effect.event);
}

fn reply_again(story: &mut Story, pick: usize) {
    story.limits.transactional = true;
    let id = Story::ordinary(pick);
    let at = story.find(id, is_reply);
    story.tell(story.events[at].at_us + 1, "replier-1", reply(id));
}

fn over_cap(story: &mut Story, pick: usize) {
    let at = BEGIN + u64::try_from(pick).expect("small") * MS;
    story.tell(at, "requester-1", Kind::Gauge(holds(101)));
}

/// By a megabyte a second, where half of that is allowed.
fn memory_grows(story: &mut Story, _: usize) {
    story.limits.memory_growth_per_s = Some(500_000.0);
    for tenth in 0..60 {
        let mut gauge = holds(1);
        gauge.memory_bytes = Some(50_000_000 + tenth * 100_000);
        story.tell(BEGIN + tenth * 100 * MS, "requester-1", Kind::Gauge(gauge));
    }
}

fn entry_left(story: &mut Story, _: usize) {
    for event in &mut story.events {
        if let Kind::Gauge(gauge) = &mut event.event {
            gauge.in_flight = Some(1);
        }
    }
}

fn panics(story: &mut Story, pick: usize) {
    let at = BEGIN + u64::try_from(pick).expect("small") * MS;
    story.tell(at, "replier-1", Kind::Panic { text: "at replier.rs:1: why".into() });
}

fn crashes(story: &mut Story, _: usize) {
    story.events.retain(|event| {
        event.process != "replier-2" || !matches!(event.event, Kind::Draining | Kind::Stopped)
    });
}

/// For a second after the fault has begun, callers get no reply that was sent to them.
fn stalls(story: &mut Story, _: usize) {
    let from = BEGIN + 3_000 * MS;
    for event in &mut story.events {
        if let Kind::Ok { id, .. } = event.event
            && (from..from + 900 * MS).contains(&event.at_us)
        {
            event.event = failed(id, Class::Unknown);
            event.at_us += 900 * MS;
        }
    }
}

fn slow_stop(story: &mut Story, _: usize) {
    let mut events = story.events.iter_mut();
    let stopped = events.find(|event| event.process == "replier-2" && event.event == Kind::Stopped);
    stopped.expect("it stopped").at_us += 30_000 * MS;
}

fn again_after_stop(story: &mut Story, pick: usize) {
    let id = Story::ordinary(pick);
    let at = story.find(id, is_effect);
    let other = if story.events[at].process == "replier-1" { "replier-2" } else { "replier-1" };
    let later = story.events[at].at_us + 1_000 * MS;
    story.tell(later, other, Kind::Effect { id });
}

/// The last request of a partition, so that no commit passes it.
fn left_at_stop(story: &mut Story, _: usize) {
    let id = Id(349);
    let commit = story.commit_of(id);
    let Kind::Commit { partition: of, offset: next, .. } = story.events[commit].event else {
        panic!("it is one")
    };
    story.events.retain(|event| {
        !matches!(event.event, Kind::Commit { partition, offset, .. }
            if partition == of && offset == next)
    });
    let reply = story.find(id, is_reply);
    story.events.remove(reply);
    let end = story.find(id, is_ok);
    story.events[end].event = failed(id, Class::Unknown);
}

/// One that was handled before starts again, and nothing has been assigned.
fn out_of_order(story: &mut Story, _: usize) {
    let later = story.find(Id(5), |kind| matches!(kind, Kind::HandlerStart { .. }));
    let at = story.events[later].at_us;
    story.tell(at + 1, "replier-2", start(Id(1), 2, 1, 0, at + MS));
}

fn out_of_order_by_key(story: &mut Story, _: usize) {
    story.limits.order = Order::ByKey;
    for event in &mut story.events {
        if let Kind::HandlerStart { key, .. } = &mut event.event {
            *key = Some(7);
        }
    }
    out_of_order(story, 0);
    let last = story.events.last_mut().expect("it was just told");
    let Kind::HandlerStart { key, .. } = &mut last.event else { panic!("it is one") };
    *key = Some(7);
}

fn elsewhere(story: &mut Story, pick: usize) {
    let at = story.find(Story::ordinary(pick), is_reply);
    let Kind::ReplyAcked { topic, .. } = &mut story.events[at].event else { panic!("it is one") };
    *topic = TOPIC.into();
}

fn never_healed(story: &mut Story, _: usize) {
    story.events.retain(|event| !matches!(event.event, Kind::FaultStop { .. }));
}

/// Half of the calls after the healing are none.
fn never_recovers(story: &mut Story, _: usize) {
    story.events.retain(|event| {
        event.event.id().is_none_or(|id| !(200..350).contains(&id.0) || id.0.is_multiple_of(2))
    });
}

fn id_again(story: &mut Story, pick: usize) {
    let at = story.find(Story::ordinary(pick), |kind| matches!(kind, Kind::Invoke { .. }));
    let mut again = story.events[at].clone();
    let Kind::Invoke { payload_hash, .. } = &mut again.event else { panic!("it is one") };
    *payload_hash = 3;
    again.at_us += 1;
    story.events.push(again);
}

fn writes_on(story: &mut Story, _: usize) {
    let last = story.events.iter().map(|event| event.at_us).max().expect("events");
    story.tell(last + 1, "replier-1", Kind::Draining);
}
