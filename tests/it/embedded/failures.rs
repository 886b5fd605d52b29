//! Calls that fail after they were sent.

use std::time::{Duration, Instant};

use antiphon::requester::RawRequest;
use antiphon::{CallErrorKind, Deadline, Outcome, Request};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::records::ends;
use crate::support::replying::{echo, start};
use crate::support::waiting::{bounded, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_replier_calls_end_by_their_deadlines_with_the_outcome_unknown() {
    let broker = embedded(2);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let calls: Vec<_> = (0..200)
        .map(|number| {
            let ask = requester.ask(RawRequest::new(QUOTES, "?"));
            // Later deadlines come first, so that each call has to wake the thread earlier. The first
            // one is so late that all calls are made before it, however slow that is.
            let timeout = Duration::from_millis(10_000 - 2 * number);
            let drawn = Instant::now();
            let ask = if number % 2 == 0 {
                ask.timeout(timeout)
            } else {
                ask.timeout(Duration::ZERO).deadline(Deadline::after(timeout))
            };
            let call = ask.send();
            // A deadline is drawn before its call begins, by no more than this.
            ((timeout, drawn.elapsed()), call)
        })
        .collect();
    assert_eq!(requester.in_flight(), 200);
    let (timeouts, calls): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    let answers = bounded("all calls", join_all(calls)).await;
    for ((timeout, before), answer) in timeouts.into_iter().zip(answers) {
        let error = answer.expect_err("nobody answers");
        assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(error.topic(), QUOTES);
        assert!(error.elapsed() + before >= timeout, "{error}: too early");
    }
    assert_eq!((requester.in_flight(), metrics.in_flight.get()), (0, 0));
    assert_eq!((metrics.timeouts.get(), ended(&metrics)), (200, 200));
    let written = || ends(&broker, QUOTES).iter().sum::<i64>();
    eventually("all requests are written", || written() == 200).await;
}

#[derive(Debug, Serialize, Deserialize, Request)]
#[request(topic = "quotes", reply = u32)]
struct HowMany {
    of: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_cannot_be_read_fails_the_call_as_executed() {
    let broker = embedded(1);
    let _replier = start(&broker, echo(QUOTES)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let call = requester.call(HowMany { of: "these".into() }).send();
    let id = call.correlation_id();
    let error = bounded("the call", call).await.expect_err("an object is no number");
    assert!(matches!(error.kind(), CallErrorKind::Decode(_)), "{error}");
    assert_eq!((error.outcome(), error.correlation_id()), (Outcome::Executed, id));
    assert_eq!(requester.in_flight(), 0);
}
