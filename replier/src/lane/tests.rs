//! Who answers requests: intake, if there are a few that are quick, or else the lane's task.

use super::*;
use crate::handlers::context::{Facts, Job, RawReply, RawRequest};
use crate::handlers::router::Router;
use crate::intake::outstanding::Outstanding;
use crate::intake::tracker::Tracker;
use crate::running::serve::tests::service_with;
use antiphon_common::Status;
use antiphon_common::config::ReplierSettings;
use std::time::Duration;

type Seen = Arc<Mutex<Vec<String>>>;

/// A lane whose handler notes what it is asked, and a tracker for its requests.
fn lane(seen: &Seen) -> (Arc<Service>, Entrance, Arc<Tracker>) {
    let seen = Arc::clone(seen);
    let router = Router::new().handle_any("t", move |request: RawRequest, _| {
        let asked = String::from_utf8_lossy(&request.payload).into_owned();
        seen.lock().expect("not poisoned").push(asked);
        async { Ok::<_, Status>(RawReply::default()) }
    });
    let service = Arc::new(service_with(router, ReplierSettings::default()));
    let tracker = Tracker::new("t".into(), 0, Outstanding::new(service.metrics.clone()));
    (Arc::clone(&service), start(service), tracker)
}

fn trust(service: &Service) {
    (0..128).for_each(|_| service.quick.handled(0, Duration::ZERO));
}

/// Requests that ask for their offsets.
fn batch(tracker: &Arc<Tracker>, offsets: std::ops::Range<i64>) -> Batch {
    let incoming = |offset: i64| {
        let payload = offset.to_string().into();
        let job =
            Job { request: RawRequest { payload, ..RawRequest::for_tests("") }, ..Job::default() };
        let context = Facts { job, ..Facts::for_tests() }.into();
        Incoming { context, cancellable: None, taken: tracker.take(offset).expect("new") }
    };
    offsets.map(incoming).collect()
}

fn numbers(offsets: std::ops::Range<i64>) -> Vec<String> {
    offsets.map(|offset| offset.to_string()).collect()
}

/// What was seen when so many have been.
async fn seen_of(seen: &Seen, count: usize) -> Vec<String> {
    for _ in 0..1_000 {
        if seen.lock().expect("not poisoned").len() >= count {
            break;
        }
        tokio::task::yield_now().await;
    }
    seen.lock().expect("not poisoned").clone()
}

#[tokio::test]
async fn a_few_that_are_likely_to_be_quick_are_answered_at_once() {
    let seen = Seen::default();
    let (service, entrance, tracker) = lane(&seen);
    for offset in 0..3 {
        // Again each time, since this machine may be slow.
        trust(&service);
        entrance.send(batch(&tracker, offset..offset + 1));
    }
    assert_eq!(*seen.lock().expect("not poisoned"), numbers(0..3));
    assert_eq!(tracker.committable().map(|commit| commit.next), Some(3));
}

#[tokio::test]
async fn what_is_not_known_to_be_quick_is_left_to_the_runtime() {
    let seen = Seen::default();
    let (_service, entrance, tracker) = lane(&seen);
    entrance.send(batch(&tracker, 0..3));
    assert!(seen.lock().expect("not poisoned").is_empty());
    assert_eq!(seen_of(&seen, 3).await, numbers(0..3));
}

#[tokio::test]
async fn a_few_do_not_overtake_the_many_before_them() {
    let seen = Seen::default();
    let (service, entrance, tracker) = lane(&seen);
    trust(&service);
    let many = i64::try_from(FEW).expect("small") + 1;
    entrance.send(batch(&tracker, 0..many));
    entrance.send(batch(&tracker, many..many + 3));
    assert!(seen.lock().expect("not poisoned").is_empty(), "the lane's task has not run yet");
    assert_eq!(seen_of(&seen, FEW + 4).await, numbers(0..many + 3));
    trust(&service);
    entrance.send(batch(&tracker, many + 3..many + 4));
    assert_eq!(
        seen.lock().expect("not poisoned").len(),
        FEW + 5,
        "and then there is nothing before"
    );
}
