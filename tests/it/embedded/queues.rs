//! One queue for the answers of many calls.

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon::requester::{RawRequest, ReplyQueue};
use antiphon::{CallError, CallErrorKind, Outcome, Request, Requester, Router, Status};
use serde::{Deserialize, Serialize};

use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, UNREAD, embedded};
use crate::support::forgery::Forged;
use crate::support::records::read_all;
use crate::support::replying::{mixed, start};
use crate::support::waiting::{bounded, eventually};

fn put(requester: &Requester, queue: &ReplyQueue<usize>, tag: usize) -> Result<(), CallError> {
    requester.ask(RawRequest::new(QUOTES, tag.to_string())).queue(queue, tag)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_arrive_in_the_order_in_which_calls_end() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let queue = requester.replies(10);
    assert!(queue.next().await.is_none() && queue.try_next().is_none(), "nothing was asked");
    for tag in 0..5 {
        put(&requester, &queue, tag).unwrap();
    }
    assert!(queue.try_next().is_none());
    assert_eq!(queue.open(), 5);
    let mut requests = Vec::new();
    eventually("all requests are written", || {
        requests = read_all(&broker, QUOTES);
        requests.len() == 5
    })
    .await;
    for tag in [3, 0, 4, 1, 2] {
        let wanted = tag.to_string().into_bytes();
        let request = requests.iter().find(|r| r.payload.as_ref() == Some(&wanted)).unwrap();
        let id = request.header("kafka_correlationId").unwrap().to_vec();
        Forged::new(&wanted).header("kafka_correlationId", &id).send(&broker, REPLIES, 0);
        let queued = bounded("the next answer", queue.next()).await.unwrap();
        assert_eq!((queued.tag, queued.topic.as_str()), (tag, QUOTES));
        assert_eq!(queued.correlation_id.unwrap().to_bytes().to_vec(), id);
        assert_eq!(queued.answer.unwrap().payload, tag.to_string());
    }
    assert_eq!(queue.open(), 0);
    assert!(queue.next().await.is_none(), "all have been taken");
    assert_eq!((metrics.replies.get(), requester.in_flight()), (5, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_a_call_until_an_answer_is_taken() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let queue = requester.replies(2);
    put(&requester, &queue, 0).unwrap();
    put(&requester, &queue, 1).unwrap();
    // Answered or not, a call takes room until its answer is taken.
    eventually("both are answered", || metrics.replies.get() == 2).await;
    let error = put(&requester, &queue, 2).expect_err("the queue takes two");
    assert!(
        matches!(error.kind(), CallErrorKind::Overloaded(what) if what.contains("takes 2")),
        "{error}"
    );
    assert_eq!((error.outcome(), error.topic()), (Outcome::NotSent, QUOTES));
    let first = bounded("an answer", queue.next()).await.unwrap();
    put(&requester, &queue, 3).unwrap();
    put(&requester, &queue, 4).expect_err("full again");
    let mut tags = BTreeSet::from([first.tag]);
    while let Some(queued) = bounded("the others", queue.next()).await {
        queued.answer.unwrap();
        tags.insert(queued.tag);
    }
    assert_eq!(tags, BTreeSet::from([0, 1, 3]));
    put(&requester, &requester.replies(0), 5).expect_err("there is no room at all");
    assert_eq!(requester.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_arrive_too() {
    let broker = embedded(1);
    let replier = start(&broker, mixed(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let queue = requester.replies(10);
    let ask = |question| requester.ask(RawRequest::new(QUOTES, question));
    ask("bad").queue(&queue, "status").unwrap();
    ask("?").topic(UNREAD).timeout(Duration::from_millis(50)).queue(&queue, "timeout").unwrap();
    ask("good").header("antiphon-endpoint", "x").queue(&queue, "header").unwrap();
    ask("good").queue(&queue, "good").unwrap();
    let mut seen = BTreeSet::new();
    while let Some(queued) = bounded("the next end", queue.next()).await {
        assert_eq!(queued.correlation_id.is_none(), queued.tag == "header");
        match (queued.tag, queued.answer) {
            ("status", Err(error)) => assert_eq!(error.status().unwrap().message(), "bad"),
            ("timeout", Err(error)) => {
                assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
            }
            ("header", Err(error)) => {
                assert!(matches!(error.kind(), CallErrorKind::Invalid(_)), "{error}");
            }
            ("good", Ok(reply)) => assert_eq!(reply.payload, "good"),
            (tag, answer) => panic!("{tag}: {answer:?}"),
        }
        seen.insert(queued.tag);
    }
    assert_eq!(seen.len(), 4);
    ask("silence").queue(&queue, "closed").unwrap();
    // What is closed before it has left this process was not sent.
    eventually("the request is with its handler", || replier.metrics.running.get() == 1).await;
    requester.clone().close(Duration::ZERO).await;
    ask("good").queue(&queue, "refused").unwrap();
    for (tag, outcome) in [("closed", Outcome::Unknown), ("refused", Outcome::NotSent)] {
        let queued = bounded("the ends by closing", queue.next()).await.unwrap();
        let error = queued.answer.expect_err("closed");
        assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}");
        assert_eq!((queued.tag, error.outcome()), (tag, outcome));
    }
    assert_eq!((queue.open(), ended(&metrics), requester.in_flight()), (0, 6, 0));
}

#[derive(Debug, Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "square", reply = u64, codec = Json)]
struct Square(u64);

async fn square(Square(number): Square) -> Result<u64, Status> {
    Ok(number * number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_takes_many_calls_of_any_kind() {
    const CALLS: u64 = 5_000;
    let broker = embedded(4);
    let _replier = start(&broker, Router::new().handle(square)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let queue = requester.replies(5_000);
    for number in 0..CALLS {
        requester.call(Square(number)).queue(&queue, number).unwrap();
    }
    requester.call(Square(0)).queue(&queue, 0).expect_err("the queue is full");
    let mut seen = BTreeSet::new();
    while let Some(queued) = bounded("the next answer", queue.next()).await {
        let tag = queued.tag;
        assert_eq!(queued.decode::<Square>().unwrap().unwrap(), tag * tag);
        assert!(seen.insert(tag), "{tag} came twice");
    }
    assert_eq!(seen.len() as u64, CALLS);
    assert_eq!((metrics.replies.get(), requester.in_flight()), (CALLS, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_gone_harms_no_call() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let queue = requester.replies(100);
    (0..100).for_each(|tag| put(&requester, &queue, tag).unwrap());
    drop(queue);
    requester.ask(RawRequest::new(QUOTES, "good")).await.unwrap();
    eventually("all have ended", || metrics.replies.get() == 101).await;
    assert_eq!((ended(&metrics), requester.in_flight()), (101, 0));
}
