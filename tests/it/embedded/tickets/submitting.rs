//! What a submission does, and when it is over.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use antiphon::config::{ReplyPartition, RequesterSettings};
use antiphon::requester::{RawRequest, RequesterBuilder};
use antiphon::{CallError, CallErrorKind, Deadline, Outcome, Requester};
use antiphon_testkit::TestBroker;

use super::{LONG, another, builder, submit};
use crate::support::asking::{build, ended};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{ends, read_all};
use crate::support::waiting::{bounded, eventually};

/// A requester with room for one.
fn narrow(broker: &TestBroker) -> RequesterBuilder {
    let settings = RequesterSettings { max_in_flight: 1, ..Default::default() };
    builder(broker, ReplyPartition::Auto).settings(settings)
}

fn assert_not_sent(error: &CallError, kind: impl Fn(&CallErrorKind) -> bool) {
    assert!(kind(error.kind()), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
}

fn is_full(kind: &CallErrorKind) -> bool {
    matches!(kind, CallErrorKind::Overloaded(limit) if limit.contains("max_in_flight is 1"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_with_the_acknowledgement_and_leaves_nothing_in_flight() {
    let broker = embedded(4);
    let (requester, metrics) = another(&broker).await;
    let before = Deadline::after(LONG).to_unix_millis();
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).partition(2).timeout(LONG);
    // Nobody answers.
    let ticket = bounded("the submission", ask.header("tenant", "a").submit()).await.unwrap();
    let after = Deadline::after(LONG).to_unix_millis();
    assert_eq!(ends(&broker, QUOTES), [0, 0, 1, 0]);
    assert_eq!((requester.in_flight(), metrics.in_flight.get(), ended(&metrics)), (0, 0, 0));

    let request = ticket.request();
    assert_eq!((&*request.topic, request.partition, request.offset), (QUOTES, 2, 0));
    assert_eq!(ticket.reply_topic(), REPLIES);
    assert_eq!(
        ticket.starts().iter().map(|s| (s.partition, s.offset)).collect::<Vec<_>>(),
        [(0, 0)]
    );
    assert!((before..=after).contains(&ticket.deadline_unix_ms()), "{ticket:?}");
    assert_eq!(ticket.correlation_id().instance(), requester.instance());
    assert!(!ticket.is_sealed());

    let record = read_all(&broker, QUOTES).remove(0);
    assert_eq!(record.header("kafka_correlationId"), Some(&ticket.correlation_id().to_bytes()[..]));
    assert_eq!(record.header("kafka_replyPartition"), Some(&0_i32.to_be_bytes()[..]));
    assert_eq!(record.header("tenant"), Some(&b"a"[..]));
    // The same deadline, but turned into milliseconds at another moment.
    let deadline = std::str::from_utf8(record.header("antiphon-deadline").unwrap()).unwrap();
    assert!((before..=after).contains(&deadline.parse::<u64>().unwrap()), "{deadline}");
    // The next one goes on where the topic goes on.
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).partition(2).timeout(LONG);
    let next = bounded("the next one", ask.submit()).await.unwrap();
    assert_eq!(next.request().offset, 1);
    assert_ne!(next.correlation_id(), ticket.correlation_id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_said_at_once() {
    let broker = embedded(1);
    let (requester, metrics) = another(&broker).await;
    let ask = |size| requester.ask(RawRequest::new(QUOTES, vec![b'x'; size]));
    let error = ask(2_000_000).submit().await.unwrap_err();
    assert_not_sent(&error, |kind| matches!(kind, CallErrorKind::TooLarge { .. }));
    let error = ask(1).header("kafka_replyTopic", "elsewhere").submit().await.unwrap_err();
    assert_not_sent(&error, |kind| matches!(kind, CallErrorKind::Invalid(_)));
    let error = ask(1).partition(99).submit().await.unwrap_err();
    assert_not_sent(&error, |kind| matches!(kind, CallErrorKind::Produce(_)));
    assert!(error.correlation_id().is_some(), "{error}");
    assert_eq!((metrics.not_sent.get(), ended(&metrics), requester.in_flight()), (3, 3, 0));
    assert_eq!(ends(&broker, QUOTES), [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_room_or_it_does_not() {
    let broker = embedded(1);
    let (requester, metrics) = build(narrow(&broker)).await;
    let holder = requester.ask(RawRequest::new(QUOTES, "holds the only place")).send();
    let error = submit(&requester, "?").await.unwrap_err();
    assert_not_sent(&error, is_full);
    assert_eq!(metrics.not_sent.get(), 1);
    drop(holder);
    submit(&requester, "there is room").await.unwrap();

    let (requester, _) = build(narrow(&broker).wait_when_full()).await;
    let holder = requester.ask(RawRequest::new(QUOTES, "holds the only place")).send();
    let soon = requester.ask(RawRequest::new(QUOTES, "?")).timeout(Duration::from_secs(2));
    let error = bounded("a deadline", soon.submit()).await.unwrap_err();
    assert_not_sent(&error, is_full);
    let other = requester.clone();
    let waiting = tokio::spawn(async move { submit(&other, "waits").await });
    eventually("both are written", || ends(&broker, QUOTES) == [3]).await;
    drop(holder);
    let ticket = bounded("the one that waits", waiting).await.unwrap().unwrap();
    assert_eq!(ticket.request().offset, 3);
    // Submissions give their places back, so that any number of them go through one place.
    for offset in 4..24 {
        assert_eq!(submit(&requester, "?").await.unwrap().request().offset, offset);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_requester_submits_nothing() {
    let broker = embedded(1);
    let (requester, metrics) = build(narrow(&broker).wait_when_full()).await;
    let holder = requester.ask(RawRequest::new(QUOTES, "holds the only place")).send();
    eventually("it is written", || ends(&broker, QUOTES) == [1]).await;
    let other = requester.clone();
    let waiting = tokio::spawn(async move { submit(&other, "waits").await });
    let kept = requester.clone();
    requester.close(Duration::ZERO).await;
    let is_closed = |kind: &CallErrorKind| matches!(kind, CallErrorKind::Closed);
    let error = bounded("the one that waits", waiting).await.unwrap().unwrap_err();
    assert_not_sent(&error, is_closed);
    assert_not_sent(&submit(&kept, "too late").await.unwrap_err(), is_closed);
    assert_eq!((metrics.not_sent.get(), ends(&broker, QUOTES)), (2, vec![1]));
    drop(holder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_dropped_leaves_nothing_behind() {
    let broker = embedded(1);
    // Requests for a topic that is not there yet wait for it: nothing is acknowledged before.
    let kafka = settings(&broker).property("topic.metadata.propagation.max.ms", "600000");
    let patient = Requester::builder(kafka).reply_topic(REPLIES);
    let (requester, metrics) = build(patient.reply_partition(ReplyPartition::Fixed(0))).await;
    let ask = |question: &'static str| {
        let ask = requester.ask(RawRequest::new("later", question));
        ask.timeout(LONG)
    };
    drop(ask("never begun").submit());
    assert_eq!((requester.in_flight(), metrics.cancelled.get()), (0, 0));
    {
        let mut begun = pin!(ask("begun").submit());
        let polled = begun.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "there is no topic");
        assert_eq!(requester.in_flight(), 1);
    }
    assert_eq!((requester.in_flight(), metrics.cancelled.get(), ended(&metrics)), (0, 1, 1));
    // It is written all the same, as is what comes after it.
    broker.create_topic("later", 1).unwrap();
    let ticket = bounded("a submission", ask("kept").submit()).await.unwrap();
    assert_eq!(ticket.request().offset, 1);
    assert_eq!(read_all(&broker, "later")[0].payload.as_deref(), Some(&b"begun"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lazy_requester_submits_once_it_can_read_replies() {
    let broker = embedded(1);
    let requester: Requester = builder(&broker, ReplyPartition::Auto).lazy().build().await.unwrap();
    let ticket = submit(&requester, "?").await.unwrap();
    assert_eq!(ticket.starts().len(), 1);
}
