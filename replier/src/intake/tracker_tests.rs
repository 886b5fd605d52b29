//! Progress: what is complete, what is committed, and what is waited for.

use super::*;
use antiphon_common::metrics::ReplierMetrics;
use proptest::prelude::*;

fn up_to(next: i64) -> Option<Commit> {
    Some(Commit { next, done: None })
}

#[test]
fn what_was_complete_above_the_commit_is_skipped_after_a_restart() {
    let outstanding = Outstanding::new(ReplierMetrics::new());
    let before = Tracker::new("t".into(), 0, Arc::clone(&outstanding));
    let all: Vec<_> = (5..9).map(|offset| before.take(offset).expect("new")).collect();
    let [stuck, six, seven, _eight] = all.try_into().expect("as many");
    six.complete();
    seven.complete();
    let commit = before.take_risen().expect("something is complete");
    drop(stuck);

    let after = Tracker::new("t".into(), 0, Arc::clone(&outstanding));
    let metadata = commit.done.as_deref().unwrap_or_default();
    after.restore(commit.next, metadata.as_bytes());
    let again: Vec<_> = (5..9).filter_map(|offset| after.take(offset)).collect();
    assert_eq!(again.iter().map(|taken| taken.offset).collect::<Vec<_>>(), [5, 8]);
    assert_eq!(outstanding.metrics.skipped.get(), 2);
    assert_eq!(after.take_risen(), Some(commit), "what is known is not forgotten");
    again.into_iter().for_each(Taken::complete);
    assert_eq!(after.take_risen(), up_to(9));
    assert_eq!(after.commit_lag(), 4);
}

#[test]
fn gaps_are_committed_by_themselves_only_while_the_offset_stays() {
    let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
    tracker.restore(5, b"of another program");
    let (stuck, other) = (tracker.take(5).expect("new"), tracker.take(6).expect("new"));
    assert_eq!(tracker.uncommitted_gaps(), None);
    other.complete();
    let commit = tracker.take_risen();
    assert!(commit.is_some());
    assert_eq!(tracker.uncommitted_gaps(), commit);
    let done = commit.and_then(|commit| commit.done).unwrap_or_default();
    tracker.committed(5, done.as_bytes());
    assert_eq!(tracker.uncommitted_gaps(), None);
    stuck.complete();
    assert_eq!(tracker.take_risen(), up_to(7));
    assert_eq!(tracker.uncommitted_gaps(), None, "the client commits an offset that rose");
}

#[test]
fn what_did_not_come_is_seen_once() {
    let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
    tracker.restore(5, b"");
    let _taken = [9, 10, 12].map(|offset| tracker.take(offset));
    assert_eq!((tracker.take_jump(), tracker.take_jump()), (Some(5..9), None));
}

#[test]
fn a_request_is_outstanding_until_it_is_complete_and_stored_behind_the_watermark() {
    let outstanding = Outstanding::new(ReplierMetrics::new());
    let tracker = Tracker::new("t".into(), 0, Arc::clone(&outstanding));
    let mut first = tracker.take(0).expect("new");
    assert!(first.start());
    let mut second = tracker.take(1).expect("new");
    first.weigh(10);
    second.weigh(5);
    assert!(tracker.take(1).is_none());
    assert_eq!((outstanding.count(), outstanding.bytes(), tracker.taken()), (2, 15, 2));
    second.complete();
    assert_eq!((outstanding.count(), outstanding.bytes(), tracker.taken()), (1, 10, 1));
    let above = tracker.take_risen().expect("something is complete");
    assert_eq!((above.next, above.done.is_some()), (0, true));
    assert!(!tracker.wait_idle(Instant::now()));
    first.complete();
    assert!(tracker.wait_idle(Instant::now()));
    assert_eq!((tracker.take_risen(), tracker.take_risen()), (up_to(2), None));
}

#[test]
fn a_request_that_is_dropped_holds_the_watermark_back() {
    let outstanding = Outstanding::new(ReplierMetrics::new());
    let tracker = Tracker::new("t".into(), 0, Arc::clone(&outstanding));
    drop(tracker.take(0));
    tracker.take(1).expect("new").complete();
    assert_eq!(tracker.committable().map(|commit| commit.next), Some(0));
    assert!(tracker.wait_idle(Instant::now()), "nobody works on it any more");
    assert_eq!(outstanding.count(), 0);
}

#[test]
fn a_request_marked_complete_is_waited_for_until_it_is_let_go_of() {
    let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
    let mut taken = tracker.take(0).expect("new");
    assert!(taken.start());
    taken.mark_complete();
    assert_eq!(tracker.take_risen(), up_to(1));
    assert!(!tracker.wait_idle(Instant::now()));
    tracker.put_back();
    assert_eq!(tracker.take_risen(), up_to(1), "the transaction was aborted");
    drop(taken);
    assert!(tracker.wait_idle(Instant::now()));
    assert_eq!(tracker.take_risen(), None);
}

#[test]
fn nothing_starts_after_a_revocation_and_what_has_not_started_is_not_waited_for() {
    let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
    let mut running = tracker.take(0).expect("new");
    let mut queued = tracker.take(1).expect("new");
    assert!(running.start());
    tracker.revoke();
    assert!(!queued.start());
    assert!(!tracker.wait_idle(Instant::now()));
    running.complete();
    assert!(tracker.wait_idle(Instant::now()));
    drop(queued);
    assert_eq!(tracker.committable(), up_to(1));
}

/// A revocation stores what has risen as soon as nobody works on any request: the last one counts.
#[test]
fn what_is_complete_is_to_be_committed_once_nobody_works_on_it() {
    let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
    for offset in 0..500 {
        let mut taken = tracker.take(offset).expect("new");
        assert!(taken.start());
        let revoked = std::thread::scope(|threads| {
            let revocation = threads.spawn(|| {
                assert!(tracker.wait_idle(Instant::now() + Duration::from_secs(60)));
                tracker.take_risen()
            });
            taken.complete();
            revocation.join().expect("no panic")
        });
        assert_eq!(revoked, up_to(offset + 1));
    }
}

/// What is at stake for one request of a batch that is completed together.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    Started,
    Blocked,
    Shared,
}

proptest! {
    /// Many at once come to what one after the other come to, whatever their partitions and order.
    #[test]
    fn all_at_once_are_complete_as_one_by_one(
        requests in prop::collection::vec((0..3usize, 0..4usize, 0..100usize), 0..40),
        left in any::<prop::sample::Index>(),
    ) {
        let come_to = |together: bool| {
            let outstanding = Outstanding::new(ReplierMetrics::new());
            let trackers = [0, 1, 2].map(|number| Tracker::new("t".into(), number, Arc::clone(&outstanding)));
            let mut taken = Vec::new();
            for (offset, &(partition, kind, bytes)) in requests.iter().enumerate() {
                let tracker = &trackers[partition];
                let offset = i64::try_from(offset).expect("few");
                let mut request = tracker.take(offset).expect("new");
                match [Kind::Plain, Kind::Started, Kind::Blocked, Kind::Shared][kind] {
                    Kind::Plain => {}
                    Kind::Started => assert!(request.start()),
                    Kind::Blocked => request.block(),
                    Kind::Shared => {
                        request = tracker.take_part(offset, &Arc::new(Several::new(request)));
                    }
                }
                request.weigh(bytes);
                taken.push(request);
            }
            // One of them stays.
            let stays = (!taken.is_empty()).then(|| taken.remove(left.index(taken.len())));
            if together {
                Taken::complete_all(taken);
            } else {
                taken.into_iter().for_each(Taken::complete);
            }
            let each = trackers.map(|tracker| {
                (tracker.take_risen(), tracker.taken(), tracker.is_blocked(), tracker.lock().at_work)
            });
            let metrics = &outstanding.metrics;
            let gauges = (metrics.outstanding.get(), metrics.outstanding_bytes.get());
            let seen = (each, outstanding.count(), outstanding.bytes(), gauges);
            drop(stays);
            seen
        };
        prop_assert_eq!(come_to(true), come_to(false));
    }
}
