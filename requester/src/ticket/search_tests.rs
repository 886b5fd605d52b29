//! How searches end, over one partition and over several.

use antiphon_common::{CorrelationId, InstanceId};

use super::index::Ends;
use super::search::{Ending, Search, Sought};
use super::token::ReplyStart;

const DEADLINE: u64 = 1000;

fn id(number: u64) -> CorrelationId {
    CorrelationId::new(InstanceId::from_bits(1), number)
}

fn sought(request: u64, starts: &[(i32, i64)], once: bool) -> Sought {
    let starts = starts.iter().copied().map(ReplyStart::from).collect();
    Sought { id: id(request), starts, deadline_unix_ms: DEADLINE, once }
}

fn ends(low: i64, high: i64) -> Ends {
    Ends { low, high }
}

fn reply(request: u64) -> Option<(CorrelationId, usize, u64)> {
    Some((id(request), 1, request))
}

/// A search with one waiter for request 7, who looks in partitions 0 and 1.
fn in_two_partitions(once: bool) -> Search<u64, &'static str> {
    let mut search = Search::new(100);
    search.enlist(sought(7, &[(0, 0), (1, 5)], once), 0, "me");
    assert_eq!(search.unlooked(), [0, 1]);
    search
}

#[test]
fn one_partition_that_has_it_is_enough() {
    let mut search = in_two_partitions(true);
    assert!(search.looked(1, ends(0, 6)));
    search.read(1, 5, reply(7));
    assert_eq!(search.take_ended(), [("me", Ending::Found(7))]);
    assert!(search.is_idle() && search.unlooked().is_empty());
}

#[test]
fn not_yet_takes_all_partitions() {
    let mut search = in_two_partitions(true);
    search.looked(0, ends(0, 1));
    search.looked(1, ends(0, 5));
    assert_eq!(search.take_ended(), []);
    search.read(0, 0, reply(8));
    assert_eq!(search.take_ended(), [("me", Ending::NotYet)]);
    // Whoever asks again needs to know the ends as they are now, and no new scan.
    search.enlist(sought(7, &[(0, 0), (1, 5)], true), 0, "me");
    search.looked(0, ends(0, 1));
    search.looked(1, ends(0, 5));
    assert_eq!(search.take_ended(), [("me", Ending::NotYet)]);
    assert_eq!(search.scans(), 2);
}

#[test]
fn removed_takes_all_partitions() {
    let mut search = in_two_partitions(false);
    search.looked(0, ends(3, 3));
    assert_eq!(search.take_ended(), []);
    search.looked(1, ends(0, 6));
    search.read(1, 5, reply(8));
    let start = ReplyStart { partition: 0, offset: 0 };
    assert_eq!(search.take_ended(), [("me", Ending::Removed { start, earliest: 3 })]);
}

#[test]
fn a_loss_while_waiting_is_told_when_all_partitions_were_asked_again() {
    let mut search = in_two_partitions(false);
    search.looked(0, ends(0, 0));
    search.looked(1, ends(0, 5));
    assert!(search.take_ended().is_empty() && search.unlooked().is_empty());
    assert!(search.looked(0, ends(4, 4)));
    assert_eq!(search.unlooked(), [0, 1]);
    search.looked(0, ends(4, 4));
    search.looked(1, ends(0, 6));
    assert_eq!(search.take_ended(), []);
    search.read(1, 5, reply(7));
    assert_eq!(search.take_ended(), [("me", Ending::Found(7))]);
}

#[test]
fn a_deadline_is_told_when_the_end_as_of_then_was_read() {
    let mut search = Search::new(100);
    search.enlist(sought(7, &[(0, 0)], false), DEADLINE - 2, "me");
    search.looked(0, ends(0, 2));
    search.read(0, 0, reply(8));
    search.sweep(DEADLINE - 1, |_| false);
    assert!(search.unlooked().is_empty());
    search.sweep(DEADLINE, |_| false);
    // The end of the first question tells nothing any more.
    search.read(0, 1, reply(9));
    assert_eq!(search.take_ended(), []);
    search.looked(0, ends(0, 3));
    assert_eq!(search.take_ended(), []);
    search.read(0, 2, reply(10));
    assert_eq!(search.take_ended(), [("me", Ending::TimedOut)]);
    // A reply that was there counts, however late one asks.
    search.enlist(sought(8, &[(0, 0)], true), 2 * DEADLINE, "late");
    assert_eq!(search.take_ended(), [("late", Ending::Found(8))]);
}

#[test]
fn who_is_gone_is_let_go() {
    let mut search = in_two_partitions(false);
    search.looked(0, ends(0, 0));
    search.sweep(0, |sink| *sink == "me");
    assert!(search.is_idle() && search.unlooked().is_empty());
    search.looked(1, ends(0, 9));
    assert_eq!(search.take_ended(), []);
}

#[test]
fn a_partition_that_does_not_exist_refuses_its_waiters_alone() {
    let mut search = in_two_partitions(false);
    search.enlist(sought(8, &[(0, 0)], false), 0, "other");
    assert_eq!(search.refuse(|partition| partition < 1), [("me", 1)]);
    assert_eq!(search.unlooked(), [0]);
    assert!(!search.is_idle());
}

#[test]
fn two_who_wait_for_the_same_reply_both_get_it() {
    let mut search = in_two_partitions(false);
    search.enlist(sought(7, &[(1, 5)], true), 0, "too");
    search.looked(1, ends(0, 6));
    search.read(1, 5, reply(7));
    assert_eq!(search.take_ended(), [("me", Ending::Found(7)), ("too", Ending::Found(7))]);
    assert_eq!(search.scans(), 1);
}
