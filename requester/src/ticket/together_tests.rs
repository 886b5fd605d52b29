//! Many tickets redeemed together against an embedded broker.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use futures::StreamExt;

use super::test_world::{LONG, TOPIC, World, id, late_ticket, long, refusal, ticket, ticket_in};
use super::{ReplyStart, TicketError};
use crate::call::CallErrorKind;
use crate::store::Entry;

#[tokio::test]
async fn ten_thousand_tickets_cost_one_scan() {
    let world = World::new(1);
    for call in 0..10_000 {
        world.reply(call, 0, &[0; 100]);
    }
    world.flush();
    // What is kept, and what may wait to be taken, is a fraction of it all.
    let redeemer = world.planned(100 << 10, LONG);
    let tickets = (0..10_000).rev().map(ticket).collect();
    let ended: Vec<_> = redeemer.wait_all(tickets, long()).collect().await;
    assert_eq!(ended.len(), 10_000);
    for (ticket, reply) in ended {
        assert_eq!(reply.unwrap().offset, ticket.correlation_id().call() as i64);
    }
    assert_eq!(world.scans.get(), 1);
}

#[tokio::test]
async fn answers_that_nobody_takes_are_bounded_and_read_again() {
    let world = World::new(1);
    for call in 0..200 {
        world.reply(call, 0, &[0; 1000]);
    }
    world.flush();
    let redeemer = world.planned(20 << 10, LONG);
    let tickets = (0..200).map(ticket).collect();
    let ended: Vec<_> = redeemer.wait_all_within(tickets, long(), 8).collect().await;
    let found: BTreeSet<i64> = ended.into_iter().map(|(_, reply)| reply.unwrap().offset).collect();
    assert_eq!(found, (0..200).collect());
}

#[tokio::test]
async fn many_end_each_in_its_own_way() {
    let world = World::new(1);
    world.reply(1, 0, b"one");
    world.flush();
    let redeemer = world.redeemer();
    let nowhere = ticket_in(4, &[(7, 0)], 1);
    let tickets = vec![ticket(1), late_ticket(2), nowhere];
    let mut ended: Vec<_> = redeemer.wait_all(tickets, long()).collect().await;
    ended.sort_by_key(|(ticket, _)| ticket.correlation_id().call());
    let mut ended = ended.into_iter().map(|(_, ended)| ended);
    assert!(ended.next().unwrap().is_ok());
    assert!(matches!(ended.next().unwrap().unwrap_err().kind, CallErrorKind::Timeout));
    let refused = refusal(ended.next().unwrap().unwrap_err());
    assert_eq!(refused, TicketError::NoSuchPartition { partition: 7, count: 1 });
}

#[tokio::test]
async fn what_a_store_has_kept_is_looked_for_without_a_position() {
    let world = World::new(2);
    world.reply(1, 1, b"one");
    world.flush();
    let entry = |call, starts: &[(i32, i64)]| Entry {
        correlation_id: id(call),
        request_topic: "quotes".to_owned(),
        reply_topic: TOPIC.to_owned(),
        starts: starts.iter().copied().map(ReplyStart::from).collect(),
        deadline_unix_ms: 1,
        acknowledged: None,
        note: "for me".into(),
    };
    let entries = vec![entry(1, &[(1, 0), (0, 0)]), entry(2, &[(0, 0)])];
    let mut ended: Vec<_> = world.redeemer().wait_all(entries, long()).collect().await;
    ended.sort_by_key(|(entry, _)| entry.correlation_id.call());
    assert_eq!(ended[0].0.note, "for me");
    assert_eq!(&ended[0].1.as_ref().unwrap().payload[..], b"one");
    assert!(matches!(ended[1].1.as_ref().unwrap_err().kind, CallErrorKind::Timeout));
}
