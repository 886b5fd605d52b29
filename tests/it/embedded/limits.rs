//! Calls that are refused before anything is sent: each is `NotSent`, and leaves nothing behind.

use std::time::{Duration, Instant};

use antiphon::config::RequesterSettings;
use antiphon::kafka::{TopicError, look_up};
use antiphon::requester::{CallBuilder, RawRequest};
use antiphon::{
    Call, CallError, CallErrorKind, Codec, CodecError, Deadline, Outcome, Request, Requester,
};

use crate::support::asking::{build, ended};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::ends;
use crate::support::waiting::{bounded, eventually};

struct Unspeakable;

struct Mute;

impl Codec<Unspeakable> for Mute {
    const CONTENT_TYPE: &'static str = "application/x-mute";

    fn encode(_: &Unspeakable, _: &mut Vec<u8>) -> Result<(), CodecError> {
        Err(CodecError::encode("mute", "there are no words"))
    }

    fn decode(_: &[u8]) -> Result<Unspeakable, CodecError> {
        Ok(Unspeakable)
    }
}

impl Request for Unspeakable {
    type Reply = Unspeakable;
    type Codec = Mute;
    const TOPIC: &'static str = QUOTES;
    const ENDPOINT: &'static str = "unspeakable";
}

async fn refusal<T>(what: &str, call: Call<T>) -> CallError {
    let Err(error) = bounded(what, call).await else { panic!("{what}: was answered") };
    assert_eq!(error.outcome(), Outcome::NotSent, "{what}: {error}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_put_together_wrongly_is_not_sent() {
    let broker = embedded(1);
    let limited = RequesterSettings { max_request_bytes: 1_000, ..Default::default() };
    let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES).settings(limited);
    let (requester, metrics) = build(builder).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?"));
    let long_ago = Instant::now();
    type Expected = fn(&CallErrorKind) -> bool;
    let cases: [(&str, CallBuilder<'_, RawRequest>, Expected); 9] = [
        ("a payload over the limit", requester.ask(RawRequest::new(QUOTES, vec![0; 1_001])), |k| {
            matches!(k, CallErrorKind::TooLarge { size: 1_001, max: 1_000 })
        }),
        (
            "a reserved header",
            ask().header("kafka_replyTopic", "elsewhere"),
            |k| matches!(k, CallErrorKind::Invalid(what) if what.contains("kafka_replyTopic")),
        ),
        (
            "a reserved header behind a NUL",
            ask().header("antiphon-deadline\0", "0"),
            |k| matches!(k, CallErrorKind::Invalid(what) if what.contains("antiphon-deadline")),
        ),
        (
            "too many headers",
            (0..33).fold(ask(), |ask, number| ask.header(format!("h{number}"), "")),
            |k| matches!(k, CallErrorKind::Invalid(what) if what.contains("33 entries")),
        ),
        (
            "headers that are too large",
            ask().header("large", vec![b'x'; 4_096]),
            |k| matches!(k, CallErrorKind::Invalid(what) if what.contains("4101 bytes")),
        ),
        (
            "a negative partition",
            ask().partition(-1),
            |k| matches!(k, CallErrorKind::Invalid(what) if what.contains("-1")),
        ),
        ("no time at all", ask().timeout(Duration::ZERO), |k| matches!(k, CallErrorKind::Timeout)),
        ("a deadline in the past", ask().deadline(Deadline::at(long_ago)), |k| {
            matches!(k, CallErrorKind::Timeout)
        }),
        ("a topic name with a NUL", requester.ask(RawRequest::new("quo\0tes", "?")), |k| {
            matches!(k, CallErrorKind::Produce(_))
        }),
    ];
    let count = u64::try_from(cases.len()).unwrap() + 1;
    for (what, ask, expected) in cases {
        let error = refusal(what, ask.send()).await;
        assert!(expected(error.kind()), "{what}: {error}");
        assert_eq!(requester.in_flight(), 0, "{what}");
    }
    let error = refusal("no payload form", requester.call(Unspeakable).send()).await;
    assert!(matches!(error.kind(), CallErrorKind::Encode(_)), "{error}");
    assert_eq!((metrics.not_sent.get(), ended(&metrics)), (count, count));
    assert_eq!(ends(&broker, QUOTES), [0], "nothing was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_the_broker_cannot_take_is_not_sent() {
    let broker = embedded(2);
    // How long a topic may be unknown before that is believed.
    let kafka = settings(&broker).property("topic.metadata.propagation.max.ms", "100");
    let builder = Requester::builder(kafka.clone()).reply_topic(REPLIES);
    let (requester, metrics) = build(builder).await;
    let missing = requester.ask(RawRequest::new("nobody", "?"));
    let error = refusal("a topic that does not exist", missing.send()).await;
    assert!(matches!(error.kind(), CallErrorKind::Produce(_)), "{error}");
    let beyond = requester.ask(RawRequest::new(QUOTES, "?")).partition(2);
    let error = refusal("a partition that does not exist", beyond.send()).await;
    assert!(matches!(error.kind(), CallErrorKind::Produce(_)), "{error}");
    assert_eq!((metrics.not_sent.get(), ended(&metrics), requester.in_flight()), (2, 2, 0));
    let timeout = Duration::from_secs(30);
    assert!(matches!(look_up(&kafka, "nobody", timeout).await, Err(TopicError::Missing(_))));
    assert_eq!(look_up(&kafka, QUOTES, timeout).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_cap_on_calls_one_more_fails_at_once_and_the_place_can_be_used_again() {
    let broker = embedded(1);
    let capped = RequesterSettings { max_in_flight: 3, ..Default::default() };
    let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES).settings(capped);
    let (requester, metrics) = build(builder).await;
    let send = || requester.ask(RawRequest::new(QUOTES, "?")).send();
    let mut waiting: Vec<_> = (0..3).map(|_| send()).collect();
    let error = refusal("a fourth call", send()).await;
    assert!(
        matches!(error.kind(), CallErrorKind::Overloaded(limit) if limit.contains("max_in_flight is 3")),
        "{error}"
    );
    assert_eq!(requester.in_flight(), 3);
    waiting.pop();
    waiting.push(send());
    assert_eq!((requester.in_flight(), metrics.in_flight.get()), (3, 3));
    assert_eq!((metrics.not_sent.get(), metrics.cancelled.get()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_cap_on_bytes_one_more_fails_at_once_and_the_room_can_be_used_again() {
    let broker = embedded(1);
    let capped = RequesterSettings {
        max_request_bytes: 1_000,
        max_in_flight_bytes: 1_000,
        ..Default::default()
    };
    let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES).settings(capped);
    let (requester, _) = build(builder).await;
    let send = |size| requester.ask(RawRequest::new(QUOTES, vec![0; size])).send();
    let large = send(600);
    let error = refusal("401 bytes more", send(401)).await;
    assert!(matches!(error.kind(), CallErrorKind::Overloaded(limit) if limit.contains("1000")));
    let small = send(400);
    assert_eq!(requester.in_flight(), 2);
    drop(large);
    let again = send(600);
    assert_eq!(requester.in_flight(), 2);
    drop((small, again));
    assert_eq!(requester.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_producer_queue_fails_one_more_call_at_once() {
    let broker = embedded(1);
    // Requests for a topic that is not known yet stay in the queue, for longer than it takes to fill it.
    let kafka = settings(&broker)
        .property("queue.buffering.max.messages", "5")
        .property("topic.metadata.propagation.max.ms", "5000");
    let (requester, metrics) = build(Requester::builder(kafka).reply_topic(REPLIES)).await;
    let send = |topic| requester.ask(RawRequest::new(topic, "?")).send();
    let queued: Vec<_> = (0..5).map(|_| send("nobody")).collect();
    let error = refusal("a sixth call", send("nobody")).await;
    assert!(
        matches!(error.kind(), CallErrorKind::Overloaded(limit) if limit.contains("queue is full")),
        "{error}"
    );
    for call in queued {
        refusal("a queued call to a topic that never comes", call).await;
    }
    assert_eq!((metrics.not_sent.get(), requester.in_flight()), (6, 0));
    // The client gives the room back a moment after it has told of the failures.
    let mut waiting = send(QUOTES);
    eventually("the queue has room again", || {
        if waiting.correlation_id().is_none() {
            waiting = send(QUOTES);
        }
        waiting.correlation_id().is_some()
    })
    .await;
    assert_eq!(requester.in_flight(), 1);
    eventually("the request is written", || ends(&broker, QUOTES) == [1]).await;
    drop(waiting);
}
