//! Tickets on real Kafka: replies that retention removes, transactions in the reply topic, and a
//! broker that goes away under a wait.

use std::time::Duration;

use antiphon::config::ReplyPartition;
use antiphon::requester::{RawRequest, Reply, Ticket};
use antiphon::wire::{Headers, ReplyHeadersOut};
use antiphon::{CallError, CallErrorKind, Outcome, Requester};
use antiphon_testkit::TestBroker;
use futures::StreamExt;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, client, kafka, quick_groups, settings, topics};
use crate::support::records::ends;
use crate::support::replying::{echo, start};
use crate::support::waiting::{LIMIT, bounded, eventually};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

async fn another(broker: &TestBroker, replies: &str) -> Requester {
    let builder = Requester::builder(settings(broker)).reply_topic(replies);
    build(builder.reply_partition(ReplyPartition::Fixed(0))).await.0
}

async fn submit(requester: &Requester, topic: &str, question: &str) -> Ticket {
    let ask = requester.ask(RawRequest::new(topic.to_owned(), question.to_owned())).timeout(LONG);
    bounded("a submission", ask.submit()).await.unwrap()
}

async fn poll(requester: &Requester, ticket: &Ticket) -> Result<Option<Reply>, CallError> {
    bounded("a poll", requester.poll(ticket)).await
}

/// Has the broker remove what is before `offset`, as retention does.
async fn remove_before(topic: &str, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = client(kafka()).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    let options = AdminOptions::new();
    let removed = admin.delete_records(&offsets, &options);
    bounded("the records are removed", removed).await.unwrap();
}

fn assert_removed(error: &CallError, ticket: &Ticket, low: i64) {
    let CallErrorKind::ReplyRemoved { partition, start, earliest } = error.kind() else {
        panic!("{error}");
    };
    assert_eq!((*partition, *start, *earliest), (0, ticket.starts()[0].offset, low));
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(error.correlation_id(), Some(ticket.correlation_id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reply_that_retention_may_have_removed_is_said_to_be() {
    const REMOVED: i64 = 50;
    let (topic, replies) = topics("tickets-removed", 1);
    let replier = start(kafka(), echo(&topic)).await;
    kafka().create_topic("tickets-void", 1).unwrap();
    let asking = another(kafka(), &replies).await;
    let mut tickets = Vec::new();
    for number in 0..100 {
        let ticket = submit(&asking, &topic, &number.to_string()).await;
        let reply = bounded("the reply", asking.wait(&ticket)).await.unwrap();
        tickets.push((number.to_string(), reply.offset, ticket));
    }
    // Nobody answers this one, so only what was removed can say anything of it.
    // A ticket begins where the requester's reader is, which may be behind what waits have found.
    let behind_the_gap = async {
        loop {
            let ticket = submit(&asking, "tickets-void", "?").await;
            if ticket.starts()[0].offset >= REMOVED {
                return ticket;
            }
        }
    };
    let unanswered = bounded("the reader follows", behind_the_gap).await;
    let before = Ticket::new(
        unanswered.correlation_id(),
        unanswered.request().clone(),
        &replies,
        tickets[0].2.starts().to_vec(),
        unanswered.deadline_unix_ms(),
    )
    .unwrap();
    let knowing = another(kafka(), &replies).await;
    assert!(poll(&knowing, &before).await.unwrap().is_none());
    remove_before(&replies, REMOVED).await;

    let fresh = another(kafka(), &replies).await;
    let (mut removed, mut found) = (0, 0);
    for (question, offset, ticket) in &tickets {
        let polled = poll(&fresh, ticket).await;
        let waited = bounded("a wait", fresh.wait(ticket)).await;
        if *offset < REMOVED {
            assert_removed(&polled.unwrap_err(), ticket, REMOVED);
            assert_removed(&waited.unwrap_err(), ticket, REMOVED);
            removed += 1;
        } else {
            assert_eq!(&polled.unwrap().unwrap().payload, question);
            assert_eq!(&waited.unwrap().payload, question);
            found += 1;
        }
    }
    assert_eq!((removed, found), (50, 50));
    // What begins behind the gap is not concerned, and may still come.
    assert!(poll(&fresh, &unanswered).await.unwrap().is_none());
    assert_removed(&poll(&fresh, &before).await.unwrap_err(), &before, REMOVED);
    // Who had read it all before the removal knows that there was no reply.
    assert!(poll(&knowing, &before).await.unwrap().is_none());

    let all: Vec<Ticket> = tickets.into_iter().map(|(_, _, ticket)| ticket).collect();
    let resumed = fresh.resume(all).collect::<Vec<_>>();
    let ended = bounded("all", resumed).await;
    assert_eq!(ended.iter().filter(|(_, end)| end.is_ok()).count(), 50);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_that_are_removed_while_nobody_reads_are_noticed() {
    let (topic, replies) = topics("tickets-idle", 1);
    let asking = another(kafka(), &replies).await;
    let ticket = submit(&asking, &topic, "?").await;
    let filler: BaseProducer = client(kafka()).create().unwrap();
    let fill = || {
        for _ in 0..20 {
            let record = BaseRecord::<(), [u8]>::to(&replies).partition(0).payload(b"x");
            filler.send(record).map_err(|refused| refused.0).unwrap();
        }
        filler.flush(LIMIT).unwrap();
    };
    fill();
    assert!(poll(&asking, &ticket).await.unwrap().is_none());
    fill();
    remove_before(&replies, 40).await;
    let error = poll(&asking, &ticket).await.unwrap_err();
    assert_removed(&error, &ticket, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transactions_in_the_reply_topic_hold_nobody_up() {
    let (topic, replies) = topics("tickets-transactions", 1);
    let asking = another(kafka(), &replies).await;
    let (never, aborted) = (submit(&asking, &topic, "?").await, submit(&asking, &topic, "?").await);
    let mut config = client(kafka());
    let producer: BaseProducer = config.set("transactional.id", "tickets").create().unwrap();
    let answer = |ticket: &Ticket| {
        let id = ticket.correlation_id().to_bytes();
        let application = Headers::new();
        let headers = ReplyHeadersOut {
            correlation_id: &id,
            status: None,
            content_type: None,
            position: None,
            claim: None,
            application: &application,
        };
        let record = BaseRecord::<(), [u8]>::to(&replies).partition(0).payload(b"here");
        producer.send(record.headers(headers.write())).map_err(|refused| refused.0).unwrap();
    };
    producer.init_transactions(LIMIT).unwrap();
    let fresh = another(kafka(), &replies).await;
    for round in 0..3 {
        let ticket = submit(&asking, &topic, "?").await;
        producer.begin_transaction().unwrap();
        answer(&ticket);
        producer.flush(LIMIT).unwrap();
        for requester in [&fresh, &asking] {
            let polled = poll(requester, &ticket).await.unwrap();
            assert!(polled.is_none(), "{round}: it is not committed");
        }
        producer.commit_transaction(LIMIT).unwrap();
        // A marker is the last record now, and no reader is ever given one.
        for requester in [&fresh, &asking] {
            assert_eq!(bounded("a wait", requester.wait(&ticket)).await.unwrap().payload, "here");
            assert!(poll(requester, &never).await.unwrap().is_none(), "{round}");
        }
    }
    producer.begin_transaction().unwrap();
    answer(&aborted);
    producer.flush(LIMIT).unwrap();
    producer.abort_transaction(LIMIT).unwrap();
    for requester in [&fresh, &asking] {
        assert!(poll(requester, &aborted).await.unwrap().is_none(), "it was never sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wait_outlives_the_broker() {
    let broker = quick_groups().topic(QUOTES, 1).topic(REPLIES, 1).start().unwrap();
    let asking = another(&broker, REPLIES).await;
    let ticket = submit(&asking, QUOTES, "hello").await;
    assert!(poll(&asking, &ticket).await.unwrap().is_none());
    let waiting = tokio::spawn({
        let (asking, ticket) = (asking.clone(), ticket.clone());
        async move { asking.wait(&ticket).await }
    });
    broker.kill(1).unwrap();
    // Nobody can be asked: that is no answer either way.
    let fresh = bounded("a poll", asking.poll(&ticket)).await;
    match fresh {
        Err(error) => {
            assert!(matches!(error.kind(), CallErrorKind::RepliesUnread(_)), "{error}");
            assert_eq!(error.outcome(), Outcome::Unknown);
        }
        Ok(found) => panic!("{found:?}"),
    }
    assert!(!waiting.is_finished());
    broker.restart(1).unwrap();
    let replier = start(&broker, echo(QUOTES)).await;
    assert_eq!(bounded("the reply", waiting).await.unwrap().unwrap().payload, "hello");
    eventually("one reply", || ends(&broker, REPLIES) == [1]).await;
    replier.stop().await.unwrap();
}
