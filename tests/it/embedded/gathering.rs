//! One question, the answers of several: topics, partitions, or groups of repliers.

use std::time::Duration;

use antiphon::config::{ReplierSettings, RequesterSettings};
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{Finish, Gathered, RawRequest, Reply, Target};
use antiphon::{CallError, CallErrorKind, Context, Outcome, Replier, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::support::asking::{build, ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, UNREAD, embedded, settings};
use crate::support::records::ends;
use crate::support::replying::{Running, run, start};
use crate::support::waiting::{bounded, eventually};

const TOPICS: [&str; 4] = ["quotes", "orders", "stocks", "bonds"];
/// Long enough for every answer that is to come.
const PATIENT: Duration = Duration::from_secs(30);

/// Topics and one replier for all: `bonds` never answers, `stocks` refuses, and the others say who
/// they are.
async fn market() -> (TestBroker, Running) {
    let topics = TOPICS.iter().fold(TestBroker::mock(), |mock, topic| mock.topic(*topic, 2));
    let broker = topics.topic(REPLIES, 2).topic(UNREAD, 2).start().unwrap();
    let router = TOPICS.iter().fold(Router::new(), |router, topic| {
        router.handle_any(*topic, |_: Asked, context: Context| async move {
            match context.topic() {
                "bonds" => std::future::pending().await,
                "stocks" => Err(Status::not_found("stocks")),
                topic => Ok(RawReply::new(topic.to_owned())),
            }
        })
    });
    let allowed = ReplierSettings {
        group: "repliers".into(),
        allow_reply_to: vec![REPLIES.into()],
        ..Default::default()
    };
    let builder = Replier::builder(settings(&broker)).settings(allowed).service(router);
    let replier = run(builder).await;
    (broker, replier)
}

type Answered = Result<Gathered<Reply>, CallError>;

async fn scatter(
    requester: &Requester,
    topics: &[&'static str],
    finish: Finish,
    timeout: Duration,
) -> Answered {
    let ask = requester.ask(RawRequest::new("nobody", "?")).timeout(timeout);
    bounded("gathering", ask.scatter(topics.iter().copied()).finish(finish).into_future()).await
}

fn topic(name: &'static str) -> Target {
    Target::Topic(name.into())
}

fn good(gathered: &Gathered<Reply>) -> Vec<(Target, String)> {
    let good = gathered.answers.iter().filter_map(|answer| {
        let payload = answer.result.as_ref().ok()?.payload.to_vec();
        Some((answer.target.clone(), String::from_utf8(payload).unwrap()))
    });
    good.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_topics_answer_each_by_its_name() {
    let (broker, replier) = market().await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let asked = ["quotes", "stocks", "orders"];
    let gathered = scatter(&requester, &asked, Finish::All, PATIENT).await.unwrap();
    assert!(gathered.complete && gathered.missing.is_empty());
    let named = [(topic("quotes"), "quotes".to_owned()), (topic("orders"), "orders".to_owned())];
    assert_eq!(good(&gathered), named);
    let bad = &gathered.answers[1];
    let error = bad.result.as_ref().expect_err("it refuses");
    assert_eq!((&bad.target, error.topic()), (&topic("stocks"), "stocks"));
    assert_eq!(error.status().unwrap().message(), "stocks");
    assert_eq!((ended(&metrics), requester.in_flight()), (3, 0));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_deadline_there_is_what_has_come_and_who_is_missing() {
    let (broker, _replier) = market().await;
    let (requester, _) = requester(&broker, REPLIES).await;
    // Long enough for the answers that are to come; all wait for it at the same time.
    let deadline = Duration::from_secs(10);
    let (asked, unread) = ([UNREAD, "quotes", "orders"], [UNREAD]);
    let finishes = [Finish::All, Finish::Quorum(3)];
    let some = finishes.map(|finish| scatter(&requester, &asked, finish, deadline));
    let none = scatter(&requester, &unread, Finish::First, deadline);
    let (some, none) = tokio::join!(join_all(some), none);
    for (finish, gathered) in finishes.into_iter().zip(some) {
        let gathered = gathered.unwrap();
        assert!(!gathered.complete, "{finish:?}");
        assert_eq!(gathered.missing, [topic(UNREAD)], "{finish:?}");
        assert_eq!(good(&gathered).len(), 2, "{finish:?}");
    }
    let gathered = none.unwrap();
    assert!(!gathered.complete && gathered.answers.is_empty());
    assert_eq!(gathered.missing, [topic(UNREAD)]);
    assert_eq!(requester.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enough_is_enough_and_the_rest_is_freed() {
    let (broker, replier) = market().await;
    let cancelling = RequesterSettings { cancel_requests: true, ..Default::default() };
    let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES);
    let (requester, metrics) = build(builder.settings(cancelling)).await;

    let first = ["bonds", "quotes", "stocks"];
    let gathered = scatter(&requester, &first, Finish::First, PATIENT).await.unwrap();
    assert!(gathered.complete);
    assert_eq!(good(&gathered), [(topic("quotes"), "quotes".to_owned())]);
    assert!(gathered.missing.contains(&topic("bonds")));
    eventually("all places are free", || requester.in_flight() == 0).await;

    let quorum = Finish::Quorum(2);
    let gathered = scatter(&requester, &TOPICS, quorum, PATIENT).await.unwrap();
    assert!(gathered.complete);
    assert_eq!(good(&gathered).len(), 2);
    eventually("all places are free", || requester.in_flight() == 0).await;
    // A request that is read together with what cancels it never runs.
    let found = |what| replier.metrics.cancellations(what).get();
    let seen = || found("queued") + found("running");
    eventually("its replier knows that nobody waits", || seen() >= 2).await;

    // Two errors of three: a quorum of two cannot come any more, so nobody waits for `bonds`.
    let hopeless = ["stocks", "stocks", "bonds"];
    let gathered = scatter(&requester, &hopeless, quorum, PATIENT).await.unwrap();
    assert!(!gathered.complete);
    assert_eq!((gathered.answers.len(), &gathered.missing[..]), (2, &[topic("bonds")][..]));
    eventually("all places are free", || metrics.in_flight.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_on_the_answers_ends_it() {
    let (broker, _replier) = market().await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let ask = requester.ask(RawRequest::new("nobody", "?")).timeout(PATIENT);
    let orders_came = |good: &[&Reply]| good.iter().any(|reply| reply.payload == "orders");
    let gathered = ask.scatter(TOPICS).until(orders_came);
    let gathered = bounded("the condition", gathered.into_future()).await.unwrap();
    assert!(gathered.complete && gathered.missing.contains(&topic("bonds")));
    assert!(good(&gathered).contains(&(topic("orders"), "orders".to_owned())));
    eventually("all places are free", || requester.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_partition_is_asked_once() {
    let broker = embedded(5);
    let router = Router::new().handle_any(QUOTES, |_: Asked, context: Context| async move {
        match context.partition() {
            3 => Err(Status::internal("three")),
            partition => Ok(RawReply::new(partition.to_string())),
        }
    });
    let _replier = start(&broker, router).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?"));
    let gathered = bounded("all partitions", ask().scatter_partitions().into_future()).await;
    let gathered = gathered.unwrap();
    let expected: Vec<_> = [0, 1, 2, 4].map(|n: i32| (Target::Partition(n), n.to_string())).into();
    assert_eq!(good(&gathered), expected);
    assert!(gathered.complete && gathered.answers.len() == 5);
    assert_eq!(ends(&broker, QUOTES), [1; 5]);
    assert_eq!((ended(&metrics), requester.in_flight()), (5, 0));

    let quorum = ask().scatter_partitions().finish(Finish::Quorum(6)).into_future();
    let error = bounded("the refusal", quorum).await.expect_err("there are five");
    assert!(matches!(error.kind(), CallErrorKind::Invalid(_)), "{error}");
    let nowhere = requester.ask(RawRequest::new("nobody", "?")).scatter_partitions();
    let error = bounded("the look-up", nowhere.into_future()).await.expect_err("no such topic");
    assert!(matches!(error.kind(), CallErrorKind::RequestTopic(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!(ends(&broker, QUOTES), [1; 5]);
}

async fn group(broker: &TestBroker, name: &'static str, gate: &CancellationToken) -> Running {
    let gate = gate.clone();
    let router = Router::new().handle_any(QUOTES, move |_: Asked, _: Context| {
        let gate = gate.clone();
        async move {
            match name {
                "gated" => gate.cancelled().await,
                "refuses" => return Err(Status::not_found("refuses")),
                _ => {}
            }
            Ok(RawReply::new(name))
        }
    });
    run(Replier::builder(settings(broker)).group(name).service(router)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_is_answered_by_several_groups() {
    let broker = embedded(1);
    let gate = CancellationToken::new();
    let mut repliers = Vec::new();
    for name in ["one", "two", "refuses"] {
        repliers.push(group(&broker, name, &gate).await);
    }
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?"));
    // The fourth is not there yet: a replier that is there answers at the deadline at the latest,
    // which may be just before its caller gives up.
    let partial = ask().timeout(Duration::from_secs(10)).gather(4).into_future();
    let partial = bounded("the deadline", partial).await.unwrap();
    assert!(!partial.complete);
    assert_eq!((partial.answers.len(), partial.missing.len()), (3, 1));
    let errors = partial.answers.iter().filter(|answer| answer.result.is_err()).count();
    assert_eq!((errors, requester.in_flight()), (1, 0));

    repliers.push(group(&broker, "gated", &gate).await);
    let mut count = 0;
    for finish in [Finish::Quorum(2), Finish::First] {
        let gathered = bounded("enough", ask().gather(4).finish(finish).into_future()).await;
        let gathered = gathered.unwrap();
        assert!(gathered.complete, "{finish:?}");
        assert_eq!(good(&gathered).len(), if finish == Finish::First { 1 } else { 2 });
        assert!(!gathered.missing.is_empty(), "{finish:?}: {:?}", gathered.missing);
        assert_eq!(requester.in_flight(), 0);
        count += 1;
    }

    gate.cancel();
    let all = bounded("all", ask().gather(4).into_future()).await.unwrap();
    assert!(all.complete && all.missing.is_empty());
    let mut names: Vec<_> = good(&all).into_iter().map(|(_, name)| name).collect();
    names.sort();
    assert_eq!(names, ["gated", "one", "two"]);
    assert_eq!(ends(&broker, QUOTES), [count + 2], "each question was written once");
    assert_eq!((ended(&metrics), metrics.timeouts.get()), (4, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_to_nobody_or_for_too_much_is_not_sent() {
    let broker = embedded(1);
    let (requester, _) = requester(&broker, REPLIES).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?"));
    let quorum = Finish::Quorum;
    let none: [&str; 0] = [];
    for (what, gather) in [
        ("no topics", ask().scatter(none)),
        ("no repliers", ask().gather(0)),
        ("a quorum of none", ask().gather(3).finish(quorum(0))),
        ("a quorum of more", ask().gather(3).finish(quorum(4))),
        ("a quorum of more topics", ask().scatter([QUOTES, QUOTES]).finish(quorum(3))),
        ("more repliers than memory", ask().gather(usize::MAX)),
        ("a bad header", ask().header("antiphon-end", "1").gather(2)),
    ] {
        let error = bounded(what, gather.into_future()).await.expect_err(what);
        assert!(matches!(error.kind(), CallErrorKind::Invalid(_)), "{what}: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{what}");
    }
    // Of several targets each has its own error.
    let each = ask().partition(-1).scatter([QUOTES, "orders"]);
    let gathered = bounded("two refusals", each.into_future()).await.unwrap();
    assert_eq!((gathered.answers.len(), gathered.complete), (2, true));
    assert!(gathered.answers.iter().all(|answer| answer.result.is_err()));
    assert_eq!((ends(&broker, QUOTES), requester.in_flight()), (vec![0], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gather_that_is_dropped_or_cancelled_frees_all_places() {
    let broker = embedded(2);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?"));
    let token = CancellationToken::new();
    let short = Duration::from_millis(50);
    let scattered = ask().scatter([QUOTES, QUOTES, QUOTES]).into_future();
    assert!(tokio::time::timeout(short, scattered).await.is_err());
    assert!(tokio::time::timeout(short, ask().gather(2).into_future()).await.is_err());
    assert_eq!((requester.in_flight(), metrics.cancelled.get()), (0, 4));

    for gather in [
        ask().cancel_on(token.clone()).gather(2),
        ask().cancel_on(token.clone()).scatter([QUOTES, QUOTES]),
    ] {
        let cancelled = token.clone();
        tokio::spawn(async move {
            tokio::time::sleep(short).await;
            cancelled.cancel();
        });
        let error = bounded("the token", gather.into_future()).await.expect_err("cancelled");
        assert!(matches!(error.kind(), CallErrorKind::Cancelled), "{error}");
        assert_eq!((error.outcome(), requester.in_flight()), (Outcome::Unknown, 0));
    }
}
