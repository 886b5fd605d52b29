//! Requests of which nobody knows whether the broker has them: made again only if that does no harm.

use std::time::Duration;

use antiphon::requester::{RawRequest, RetryPolicy};
use antiphon::{CallErrorKind, Outcome, Requester};

use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, quick_groups, settings};
use crate::support::replying::{echo, start};
use crate::support::waiting::{LIMIT, bounded};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_in_doubt_is_made_again_only_if_it_is_idempotent() {
    let broker = quick_groups().topic(QUOTES, 1).topic(REPLIES, 1).start().unwrap();
    let replier = start(&broker, echo(QUOTES)).await;
    // A producer gives a request up long before the call does, and long after a slow broker has it.
    // With one request in flight, or just replaced by one of another pace, a producer may not get a
    // request out to a frozen broker at all, which is then rightly said to be not sent.
    let kafka = settings(&broker)
        .property("message.timeout.ms", "4000")
        .property("max.in.flight.requests.per.connection", "5");
    let builder = || Requester::builder(kafka.clone()).reply_topic(REPLIES);
    let policy = RetryPolicy::default().initial_backoff(Duration::from_millis(10)).max_attempts(2);
    // One each: what is behind a request in doubt does not leave the producer.
    let (once, of_once) = build(builder()).await;
    let (twice, of_twice) = build(builder()).await;
    let ask = || RawRequest::new(QUOTES, "?");
    let once = || once.ask(ask()).timeout(LIMIT).retry(policy);
    let twice = || twice.ask(ask()).timeout(LIMIT).retry(policy).idempotent();
    bounded("a call", once().into_future()).await.unwrap();
    bounded("another", twice().into_future()).await.unwrap();

    broker.pause(1).unwrap();
    for call in [once().send(), twice().send()] {
        let error = bounded("a call", call).await.expect_err("the broker is frozen");
        assert!(
            matches!(error.kind(), CallErrorKind::Produce(_)),
            "{error}, attempts {} and {}",
            of_once.attempts.get(),
            of_twice.attempts.get()
        );
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
    assert_eq!((of_once.attempts.get(), of_twice.attempts.get()), (0, 1));

    // With more time the broker is back before the attempts are over.
    let patient = RetryPolicy::default().max_attempts(30);
    let call = twice().retry(patient).send();
    broker.resume(1).unwrap();
    assert_eq!(bounded("the call", call).await.unwrap().payload, "?");
    replier.stop().await.unwrap();
}
