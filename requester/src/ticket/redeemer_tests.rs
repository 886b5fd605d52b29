//! Tickets redeemed one by one against an embedded broker.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use antiphon_common::config::KafkaSettings;
use antiphon_common::wire::StreamPosition;
use antiphon_common::{Code, Deadline, Status};
use prometheus::IntCounter;

use super::test_world::{
    LONG, TOPIC, World, id, late_ticket, long, refusal, settings, ticket, ticket_in,
};
use super::{Redeemer, ReplyStart, RequestPosition, Ticket, TicketError, TicketKey};
use crate::call::CallErrorKind;
use crate::guard::ReplyGuard;

#[tokio::test]
async fn a_poll_finds_what_is_there_and_says_what_is_not() {
    let world = World::new(1);
    let redeemer = world.redeemer();
    assert!(redeemer.poll(&ticket(1)).await.unwrap().is_none());
    world.reply(1, 0, b"one");
    world.flush();
    let reply = redeemer.poll(&ticket(1)).await.unwrap().unwrap();
    assert_eq!((&reply.payload[..], reply.partition, reply.offset), (&b"one"[..], 0, 0));
    // Again, by another redeemer as by another process, and in the same scan by the same one.
    assert!(world.redeemer().poll(&ticket(1)).await.unwrap().is_some());
    assert!(redeemer.poll(&ticket(1)).await.unwrap().is_some());
    assert_eq!(world.scans.get(), 2);
}

#[tokio::test]
async fn a_wait_takes_the_reply_when_it_comes() {
    let world = World::new(1);
    let redeemer = world.redeemer();
    let ticket = ticket(1);
    let (reply, ()) = tokio::join!(redeemer.wait(&ticket, long()), async {
        assert!(redeemer.poll(&ticket).await.unwrap().is_none());
        world.reply(2, 0, b"another's");
        world.reply(1, 0, b"mine");
        world.flush();
    });
    assert_eq!(&reply.unwrap().payload[..], b"mine");
    assert_eq!(world.scans.get(), 1);
}

#[tokio::test]
async fn an_error_reply_is_a_status() {
    let world = World::new(1);
    world.write(1, 0, b"details", Some(&Status::not_found("no such symbol")), None);
    world.flush();
    let failure = world.redeemer().wait(&ticket(1), long()).await.unwrap_err();
    let CallErrorKind::Status(status) = failure.kind else { panic!("{:?}", failure.kind) };
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such symbol"));
}

#[tokio::test]
async fn a_stream_counts_by_its_first_item() {
    let world = World::new(1);
    let at = |seq| Some(StreamPosition { seq, end: false });
    for (payload, seq) in [(b"2", 2), (b"0", 0), (b"1", 1)] {
        world.write(1, 0, payload, None, at(seq));
    }
    world.flush();
    let reply = world.redeemer().wait(&ticket(1), long()).await.unwrap();
    assert_eq!(&reply.payload[..], b"0");
}

#[tokio::test]
async fn in_shared_routing_one_partition_is_enough_and_nothing_takes_all() {
    let world = World::new(3);
    let redeemer = world.redeemer();
    let ticket = ticket_in(1, &[(0, 0), (1, 0), (2, 0)], u64::MAX);
    for partition in 0..3 {
        world.reply(9, partition, b"another's");
    }
    world.flush();
    assert!(redeemer.poll(&ticket).await.unwrap().is_none());
    world.reply(1, 2, b"mine");
    world.flush();
    assert_eq!(redeemer.poll(&ticket).await.unwrap().unwrap().partition, 2);
}

#[tokio::test]
async fn a_deadline_ends_the_wait_once_all_was_read() {
    let world = World::new(1);
    world.reply(1, 0, b"in time");
    world.flush();
    let redeemer = world.redeemer();
    assert!(redeemer.poll(&late_ticket(1)).await.unwrap().is_some());
    for failure in [
        redeemer.poll(&late_ticket(2)).await.unwrap_err(),
        redeemer.wait(&late_ticket(2), long()).await.unwrap_err(),
    ] {
        assert!(matches!(failure.kind, CallErrorKind::Timeout), "{:?}", failure.kind);
    }
    // One whose deadline passes while it waits.
    let soon = Deadline::after(Duration::from_millis(200)).to_unix_millis();
    let failure = redeemer.wait(&ticket_in(3, &[(0, 0)], soon), long()).await.unwrap_err();
    assert!(matches!(failure.kind, CallErrorKind::Timeout), "{:?}", failure.kind);
    let soon = Deadline::after(Duration::from_millis(50));
    let failure = redeemer.wait(&ticket(4), soon).await.unwrap_err();
    assert!(matches!(failure.kind, CallErrorKind::Timeout), "{:?}", failure.kind);
}

#[tokio::test]
async fn a_ticket_for_somebody_else_is_refused() {
    let world = World::new(1);
    let request = RequestPosition { topic: "quotes".to_owned(), partition: 0, offset: 0 };
    let starts = vec![ReplyStart { partition: 0, offset: 0 }];
    let other = Ticket::new(id(1), request, "orders.replies", starts, 1).unwrap();
    let refused = refusal(world.redeemer().poll(&other).await.unwrap_err());
    assert!(matches!(refused, TicketError::OtherReplyTopic { .. }), "{refused}");

    let key = TicketKey::new(&[1; 32]).unwrap();
    let redeemer = Redeemer::new(
        settings(&world.broker),
        TOPIC.to_owned(),
        Some(key.clone()),
        LONG,
        world.scans.clone(),
        ReplyGuard::off(),
    );
    let refused = refusal(redeemer.poll(&ticket(1)).await.unwrap_err());
    assert_eq!(refused, TicketError::Unsealed);
    assert!(redeemer.poll(&key.seal(ticket(1))).await.unwrap().is_none());
}

#[tokio::test]
async fn an_idle_redeemer_holds_nothing() {
    let world = World::new(1);
    let redeemer = world.planned(1 << 20, Duration::from_millis(1));
    for scans in 1..=2 {
        assert!(redeemer.poll(&ticket(1)).await.unwrap().is_none());
        assert_eq!(world.scans.get(), scans);
        let deadline = Instant::now() + LONG;
        while redeemer.is_running() {
            assert!(Instant::now() < deadline, "the thread goes on");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn without_a_broker_each_ends_by_its_own_bound() {
    let scans = IntCounter::new("scans", "Scans started.").unwrap();
    let kafka = KafkaSettings::new("127.0.0.1:1");
    let patience = Duration::from_millis(100);
    let redeemer = Redeemer::new(kafka, TOPIC.to_owned(), None, patience, scans, ReplyGuard::off());
    let failure = redeemer.poll(&ticket(1)).await.unwrap_err();
    assert!(matches!(failure.kind, CallErrorKind::RepliesUnread(_)), "{:?}", failure.kind);
    let failure = redeemer.wait(&ticket(1), Deadline::after(patience)).await.unwrap_err();
    assert!(matches!(failure.kind, CallErrorKind::Timeout), "{:?}", failure.kind);
}

#[tokio::test]
async fn a_client_that_cannot_start_says_so_at_once() {
    let world = World::new(1);
    let kafka = settings(&world.broker).property("security.protocol", "nonsense");
    let redeemer =
        Redeemer::new(kafka, TOPIC.to_owned(), None, LONG, world.scans.clone(), ReplyGuard::off());
    let failure = redeemer.wait(&ticket(1), long()).await.unwrap_err();
    let CallErrorKind::RepliesUnread(why) = failure.kind else { panic!("{:?}", failure.kind) };
    assert!(why.contains("security.protocol"), "{why}");
}

#[tokio::test]
async fn closing_ends_what_waits() {
    let world = World::new(1);
    let redeemer = world.redeemer();
    let ticket = ticket(1);
    let (failure, ()) = tokio::join!(redeemer.wait(&ticket, long()), async {
        assert!(redeemer.poll(&ticket).await.unwrap().is_none());
        redeemer.close();
    });
    assert!(matches!(failure.unwrap_err().kind, CallErrorKind::Closed));
    let failure = redeemer.poll(&ticket).await.unwrap_err();
    assert!(matches!(failure.kind, CallErrorKind::Closed), "{:?}", failure.kind);
}
