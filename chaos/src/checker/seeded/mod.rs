//! Histories that are good, and the same with one thing wrong: each must be found by its name, and
//! nothing else with it.

mod packed;
mod story;
mod wrongs;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Guarantee, Verdict, check};
use crate::history::{History, Kind};
use story::{Odd, Story};
use wrongs::WRONGS;

fn judge(story: &Story) -> Verdict {
    check(&History::of(story.events.clone()), &story.limits)
}

fn broken(verdict: &Verdict) -> Vec<Guarantee> {
    verdict.broken.keys().copied().collect()
}

fn odds() -> impl Strategy<Value = Vec<Odd>> {
    let odd = prop_oneof![Just(Odd::NotSent), Just(Odd::Expired), Just(Odd::Rejected)];
    prop::collection::vec(odd, 1..8)
}

#[test]
fn each_guarantee_is_broken_by_something() {
    let seeded: BTreeSet<_> = WRONGS.iter().map(|wrong| wrong.breaks).collect();
    assert_eq!(seeded, BTreeSet::from(Guarantee::ALL));
}

#[test]
fn each_wrong_is_found_by_name_with_records_that_show_it() {
    let good = Story::new(&[Odd::NotSent, Odd::Expired, Odd::Rejected], 1);
    let verdict = judge(&good);
    assert_eq!(verdict.violations, [], "the story is good before anything is wrong with it");
    for wrong in WRONGS {
        let mut story = good.clone();
        (wrong.make)(&mut story, 17);
        let verdict = judge(&story);
        assert_eq!(broken(&verdict), [wrong.breaks], "{}: {:?}", wrong.what, verdict.violations);
        for violation in &verdict.violations {
            assert!(!violation.records.is_empty(), "{}: no record", wrong.what);
        }
    }
}

#[test]
fn a_good_story_is_counted_as_it_was() {
    let verdict = judge(&Story::new(&[Odd::NotSent, Odd::Expired, Odd::Rejected], 1));
    let counts = &verdict.counts;
    assert_eq!((counts.requests, counts.lost, counts.cross_talk), (351, 0, 0));
    // The one of the replier that was killed after its effect.
    assert_eq!(counts.duplicates, 1);
    assert_eq!(counts.answered + counts.errors.values().sum::<usize>(), 351);
    let fault = &verdict.faults[0];
    assert_eq!((fault.row.as_str(), fault.steady_per_s, fault.recovery_us), ("1", 45, Some(0)));
    assert!(fault.requests > 150 && fault.requests < 351, "{fault:?}");
    assert_eq!(
        verdict.not_judged,
        ["G7: dedupe is off, so duplicates are counted only", "G8: replies are not transactional"]
    );
}

#[test]
fn a_process_that_was_stopped_or_starved_may_be_late() {
    for (stopped, is_excused) in [(0, false), (90_000, false), (150_000, true)] {
        let mut story = Story::new(&[Odd::Rejected], 1);
        wrongs::end_late(&mut story, 17);
        story.starve_requester(17, stopped);
        assert_eq!(broken(&judge(&story)).is_empty(), is_excused, "{stopped} us");
    }
}

#[test]
fn of_a_killed_requester_only_calls_past_their_deadline_are_held_against_it() {
    for (killed_after_ms, is_good) in [(900, true), (1_050, true), (1_200, false)] {
        let story = story::cut_off(killed_after_ms);
        let found = broken(&judge(&story));
        assert_eq!(found.is_empty(), is_good, "{killed_after_ms} ms: {found:?}");
    }
}

#[test]
fn a_request_that_nobody_has_come_to_is_not_lost() {
    let story = story::unread();
    let verdict = judge(&story);
    assert_eq!(broken(&verdict), []);
    assert_eq!((verdict.counts.lost, verdict.counts.unread), (0, 1));
}

#[test]
fn only_while_its_topic_is_gone_a_reply_may_be_missing() {
    for (gone, is_excused) in [(false, false), (true, true)] {
        let mut story = Story::new(&[Odd::Rejected], 1);
        wrongs::reply_never_seen(&mut story, 17);
        if gone {
            story.replies_are_gone(17);
        }
        let found = broken(&judge(&story));
        assert_eq!(!found.contains(&Guarantee::CommitAfterReply), is_excused, "{found:?}");
    }
    let mut story = Story::new(&[Odd::Rejected], 1);
    wrongs::reply_never_seen(&mut story, 17);
    story.replies_are_gone(250);
    assert!(broken(&judge(&story)).contains(&Guarantee::CommitAfterReply), "long before");
}

#[test]
fn a_commit_of_two_is_held_against_neither() {
    let mut story = Story::new(&[Odd::Rejected], 1);
    let wrong = WRONGS.iter().find(|wrong| wrong.what == "a commit taken from a zombie");
    (wrong.expect("there is one").make)(&mut story, 17);
    let last = story.events.last().expect("it was told").clone();
    story.tell(last.at_us + 1, "replier-2", last.event);
    assert_eq!(broken(&judge(&story)), []);
}

#[test]
fn what_was_deleted_unread_is_no_loss_if_it_is_counted() {
    let mut story = Story::new(&[Odd::Rejected], 1);
    let wrong = WRONGS.iter().find(|wrong| wrong.what == "deleted requests that nobody counts");
    (wrong.expect("there is one").make)(&mut story, 17);
    let at = story.events.last().expect("it was told").at_us;
    story.tell(at + 1, "replier-1", Kind::Counted { what: "deleted".into(), count: 1 });
    let verdict = judge(&story);
    assert_eq!((broken(&verdict), verdict.counts.deleted), (vec![], 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_good_story_breaks_nothing(odds in odds(), pace in 1_u64..4) {
        prop_assert_eq!(judge(&Story::new(&odds, pace)).violations, []);
    }

    #[test]
    fn of_any_good_story_with_one_wrong_precisely_that_is_found(
        odds in odds(),
        pace in 1_u64..4,
        wrong in prop::sample::select(WRONGS),
        pick in 5_usize..300,
    ) {
        let mut story = Story::new(&odds, pace);
        (wrong.make)(&mut story, pick);
        let verdict = judge(&story);
        prop_assert_eq!(broken(&verdict), [wrong.breaks], "{}: {:?}", wrong.what, verdict.violations);
    }
}
