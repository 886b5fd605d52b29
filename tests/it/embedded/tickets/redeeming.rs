//! Tickets that are polled, waited for and resumed, by any requester of the reply topic.

use std::time::Duration;

use antiphon::config::ReplyPartition;
use antiphon::requester::{RawRequest, Ticket};
use antiphon::{CallErrorKind, Code, Deadline, Outcome};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{LONG, another, builder, submit};
use crate::support::asking::{build, ended};
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::forgery::Forged;
use crate::support::records::read_all;
use crate::support::replying::{echo, gated_echo, mixed, start};
use crate::support::waiting::{bounded, eventually};

fn answers(record: &Ticket, payload: &str) -> Forged {
    let id = record.correlation_id().to_bytes();
    Forged::new(payload.as_bytes()).header("kafka_correlationId", id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_tells_nothing_until_the_reply_is_there() {
    let broker = embedded(2);
    let (asking, asked) = another(&broker).await;
    let (other, metrics) = another(&broker).await;
    let gate = CancellationToken::new();
    let replier = start(&broker, gated_echo(QUOTES, &gate)).await;
    let ticket = submit(&asking, "hello").await.unwrap();
    eventually("it is with a handler", || replier.metrics.running.get() == 1).await;
    for requester in [&asking, &other] {
        assert!(bounded("a poll", requester.poll(&ticket)).await.unwrap().is_none());
    }
    let waiting = tokio::spawn({
        let (other, ticket) = (other.clone(), ticket.clone());
        async move { other.wait(&ticket).await }
    });
    gate.cancel();
    let reply = bounded("the reply", waiting).await.unwrap().unwrap();
    assert_eq!((&reply.payload[..], reply.partition, reply.offset), (&b"hello"[..], 0, 0));
    // As often as wanted, and by anybody.
    for requester in [&asking, &other, &asking] {
        let polled = bounded("a poll", requester.poll(&ticket)).await.unwrap();
        assert_eq!(polled.expect("it is there").payload, "hello");
        assert_eq!(bounded("a wait", requester.wait(&ticket)).await.unwrap().payload, "hello");
    }
    assert_eq!((asked.ticket_scans.get(), metrics.ticket_scans.get()), (1, 1));
    assert_eq!((ended(&asked), ended(&metrics)), (0, 0), "tickets are no calls");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_goes_through_text_and_serde() {
    #[derive(Serialize, Deserialize)]
    struct Order {
        number: u32,
        ticket: Ticket,
    }
    let broker = embedded(1);
    let _replier = start(&broker, echo(QUOTES)).await;
    let (asking, _) = another(&broker).await;
    let ticket = submit(&asking, "hello").await.unwrap();
    let text = ticket.to_string();
    assert_eq!(text.parse::<Ticket>().unwrap(), ticket);
    let order = serde_json::to_string(&Order { number: 17, ticket: ticket.clone() }).unwrap();
    assert_eq!(order, format!(r#"{{"number":17,"ticket":"{text}"}}"#));
    let order: Order = serde_json::from_str(&order).unwrap();
    assert_eq!((order.number, &order.ticket), (17, &ticket));
    let (other, _) = another(&broker).await;
    assert_eq!(bounded("the reply", other.wait(&order.ticket)).await.unwrap().payload, "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_reply_is_one_to_every_holder() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let (asking, _) = another(&broker).await;
    let ticket = submit(&asking, "bad").await.unwrap();
    let (other, _) = another(&broker).await;
    for requester in [&asking, &other] {
        let waited = bounded("the error", requester.wait(&ticket)).await.unwrap_err();
        let polled = bounded("the error", requester.poll(&ticket)).await.unwrap_err();
        for error in [waited, polled] {
            let status = error.status().expect("the replier's own");
            assert_eq!((status.code(), status.message()), (Code::NotFound, "bad"));
            assert_eq!(error.outcome(), Outcome::Executed);
            assert_eq!(error.correlation_id(), Some(ticket.correlation_id()));
            assert_eq!(error.topic(), QUOTES);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_reply_a_wait_ends_by_the_deadline_and_a_late_reply_is_found() {
    let broker = embedded(1);
    let (requester, _) = another(&broker).await;
    let ask = |timeout| requester.ask(RawRequest::new(QUOTES, "?")).timeout(timeout).submit();
    let far = bounded("a submission", ask(LONG)).await.unwrap();
    let until = Deadline::after(Duration::from_millis(100));
    let error = bounded("a wait", requester.wait_until(&far, until)).await.unwrap_err();
    assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
    assert!(error.elapsed() >= Duration::from_millis(100), "{error}");
    assert!(requester.poll(&far).await.unwrap().is_none(), "it may still come");

    let near = bounded("a submission", ask(Duration::from_secs(5))).await.unwrap();
    let error = bounded("a wait", requester.wait(&near)).await.unwrap_err();
    assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    let error = bounded("a poll", requester.poll(&near)).await.unwrap_err();
    assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");

    answers(&near, "late").send(&broker, REPLIES, 0);
    assert_eq!(bounded("a wait", requester.wait(&near)).await.unwrap().payload, "late");
    let polled = bounded("a poll", requester.poll(&near)).await.unwrap();
    assert_eq!(polled.unwrap().payload, "late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_shared_routing_a_ticket_looks_everywhere() {
    let broker = embedded(3);
    let (asking, _) = build(builder(&broker, ReplyPartition::Shared)).await;
    // Replies to others, so that partitions begin at different places.
    let first = submit(&asking, "first").await.unwrap();
    for (partition, replies) in [(0, 2), (2, 5)] {
        (0..replies).for_each(|_| answers(&first, "x").send(&broker, REPLIES, partition));
    }
    let begins_behind_them = async {
        loop {
            let ticket = submit(&asking, "?").await.unwrap();
            let starts: Vec<i64> = ticket.starts().iter().map(|start| start.offset).collect();
            if starts == [2, 0, 5] {
                return;
            }
        }
    };
    bounded("the reader has read them", begins_behind_them).await;
    let mut tickets = Vec::new();
    for partition in 0..3 {
        let ticket = submit(&asking, "?").await.unwrap();
        let partitions: Vec<i32> = ticket.starts().iter().map(|start| start.partition).collect();
        assert_eq!(partitions, [0, 1, 2]);
        tickets.push((partition, ticket));
    }
    let header = read_all(&broker, QUOTES).remove(0);
    assert!(!header.header_names().contains(&"kafka_replyPartition"));
    let (other, metrics) = another(&broker).await;
    for (_, ticket) in &tickets {
        assert!(bounded("a poll", other.poll(ticket)).await.unwrap().is_none());
    }
    for (partition, ticket) in &tickets {
        answers(ticket, "here").send(&broker, REPLIES, *partition);
        let reply = bounded("the reply", other.wait(ticket)).await.unwrap();
        assert_eq!((&reply.payload[..], reply.partition), (&b"here"[..], *partition));
    }
    assert_eq!(metrics.ticket_scans.get(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_stream_the_first_item_is_the_reply() {
    let broker = embedded(1);
    let (asking, _) = another(&broker).await;
    let (items, none) = (submit(&asking, "?").await.unwrap(), submit(&asking, "?").await.unwrap());
    let at = |record: Forged, seq: u64| record.header("antiphon-seq", seq.to_string());
    let end = |ticket, seq| at(answers(ticket, ""), seq).null_payload().header("antiphon-end", "1");
    at(answers(&items, "second"), 1).send(&broker, REPLIES, 0);
    assert!(bounded("a poll", asking.poll(&items)).await.unwrap().is_none());
    at(answers(&items, "first"), 0).send(&broker, REPLIES, 0);
    end(&items, 2).send(&broker, REPLIES, 0);
    end(&none, 0).send(&broker, REPLIES, 0);
    let (fresh, _) = another(&broker).await;
    for requester in [&asking, &fresh] {
        let reply = bounded("the reply", requester.wait(&items)).await.unwrap();
        assert_eq!((&reply.payload[..], reply.offset), (&b"first"[..], 1));
        let error = bounded("the end", requester.wait(&none)).await.unwrap_err();
        assert!(matches!(error.kind(), CallErrorKind::EmptyStream), "{error}");
        assert_eq!(error.outcome(), Outcome::Executed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_the_live_reader_has_seen_are_still_there_and_are_not_late() {
    let broker = embedded(1);
    let replier = start(&broker, echo(QUOTES)).await;
    let (requester, metrics) = another(&broker).await;
    let mut tickets = Vec::new();
    for number in 0..20 {
        let question = number.to_string();
        let call = requester.ask(RawRequest::new(QUOTES, question.clone())).send();
        tickets.push((question.clone(), submit(&requester, &question).await.unwrap()));
        assert_eq!(bounded("a call among them", call).await.unwrap().payload, question);
    }
    eventually("the reader has seen them", || metrics.ticket_replies.get() == 20).await;
    for (question, ticket) in &tickets {
        assert_eq!(&bounded("a reply", requester.wait(ticket)).await.unwrap().payload, question);
    }
    assert_eq!((metrics.late_replies.get(), metrics.foreign_replies.get()), (0, 0));
    assert_eq!((metrics.replies.get(), metrics.ticket_replies.get()), (20, 20));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_those_who_wait_and_they_can_wait_elsewhere() {
    let broker = embedded(1);
    let (asking, _) = another(&broker).await;
    let ticket = submit(&asking, "hello").await.unwrap();
    let waiting = tokio::spawn({
        let (asking, ticket) = (asking.clone(), ticket.clone());
        async move { asking.wait(&ticket).await }
    });
    let mut resumed = asking.resume(vec![ticket.clone()]);
    assert!(bounded("a poll", asking.poll(&ticket)).await.unwrap().is_none());
    let kept = asking.clone();
    asking.close(Duration::ZERO).await;
    let (_, again) = bounded("what was resumed", resumed.next()).await.unwrap();
    let waited = bounded("the wait", waiting).await.unwrap();
    let polled = bounded("a poll", kept.poll(&ticket)).await.map(|_| panic!("it is closed"));
    for error in [again.unwrap_err(), waited.unwrap_err(), polled.unwrap_err()] {
        assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
    let _replier = start(&broker, echo(QUOTES)).await;
    let (other, _) = another(&broker).await;
    assert_eq!(bounded("the reply", other.wait(&ticket)).await.unwrap().payload, "hello");
}
