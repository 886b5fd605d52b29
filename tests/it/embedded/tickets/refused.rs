//! Tickets that are not redeemed: changed, not sealed, or of another reply topic.

use antiphon::config::ReplyPartition;
use antiphon::requester::{ReplyStart, Ticket, TicketError, TicketKey};
use antiphon::{CallError, CallErrorKind, Requester};
use futures::StreamExt;

use super::{another, builder, submit};
use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::replying::{echo, start};
use crate::support::waiting::bounded;

/// How a requester refuses a ticket, whichever way it is asked.
async fn refusal(requester: &Requester, ticket: &Ticket) -> TicketError {
    let polled = bounded("a poll", requester.poll(ticket)).await.unwrap_err();
    let waited = bounded("a wait", requester.wait(ticket)).await.unwrap_err();
    let mut resumed = requester.resume(vec![ticket.clone()]);
    let (of, resumed) = bounded("what is resumed", resumed.next()).await.unwrap();
    assert_eq!(&of, ticket);
    let refused = |error: CallError| match error.kind() {
        CallErrorKind::Ticket(refused) => refused.clone(),
        _ => panic!("{error}"),
    };
    let refusals = [polled, waited, resumed.unwrap_err()].map(refused);
    assert!(refusals.iter().all(|refusal| refusal == &refusals[0]), "{refusals:?}");
    let [refusal, ..] = refusals;
    refusal
}

/// The same ticket with another start, and the seal of the old one.
fn changed(ticket: &Ticket) -> Ticket {
    let starts = vec![ReplyStart { partition: 0, offset: 7 }];
    let (id, request) = (ticket.correlation_id(), ticket.request().clone());
    let other = Ticket::new(id, request, REPLIES, starts, ticket.deadline_unix_ms()).unwrap();
    let (text, sealed) = (other.to_string(), ticket.to_string());
    let seal = sealed.rsplit_once('.').unwrap().1;
    format!("{text}.{seal}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requester_with_a_key_takes_only_what_is_sealed_with_it() {
    let broker = embedded(1);
    let _replier = start(&broker, echo(QUOTES)).await;
    let key = |byte| TicketKey::new(&[byte; 32]).unwrap();
    let with = |key| build(builder(&broker, ReplyPartition::Fixed(0)).ticket_key(key));
    let ((ours, _), (again, _), (theirs, _)) =
        (with(key(1)).await, with(key(1)).await, with(key(2)).await);
    let (keyless, _) = another(&broker).await;

    let sealed = submit(&ours, "sealed").await.unwrap();
    assert!(sealed.is_sealed());
    assert_eq!(Ticket::open(&sealed.to_string(), Some(&key(1))).unwrap(), sealed);
    for requester in [&ours, &again, &keyless] {
        let reply = bounded("the reply", requester.wait(&sealed)).await.unwrap();
        assert_eq!(reply.payload, "sealed");
    }
    assert_eq!(refusal(&theirs, &sealed).await, TicketError::WrongSeal);
    assert_eq!(refusal(&ours, &changed(&sealed)).await, TicketError::WrongSeal);
    let unsealed = submit(&keyless, "unsealed").await.unwrap();
    assert_eq!(refusal(&ours, &unsealed).await, TicketError::Unsealed);
    assert_eq!(bounded("it", keyless.wait(&unsealed)).await.unwrap().payload, "unsealed");
    // Whoever has the key may seal what others have submitted.
    let sealed = key(1).seal(unsealed);
    assert_eq!(bounded("it", ours.wait(&sealed)).await.unwrap().payload, "unsealed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reply_topic_and_its_partitions_must_be_those_of_the_requester() {
    let broker = embedded(2);
    broker.create_topic("elsewhere.replies", 1).unwrap();
    let (asking, _) = another(&broker).await;
    let ticket = submit(&asking, "?").await.unwrap();
    let elsewhere = Requester::builder(settings(&broker)).reply_topic("elsewhere.replies");
    let (other, metrics) = build(elsewhere).await;
    let (theirs, ours) = (REPLIES.to_owned(), "elsewhere.replies".to_owned());
    let expected = TicketError::OtherReplyTopic { ticket: theirs, requester: ours };
    assert_eq!(refusal(&other, &ticket).await, expected);
    assert_eq!(metrics.ticket_scans.get(), 0);

    let (id, request) = (ticket.correlation_id(), ticket.request().clone());
    let starts = [0, 2].map(|partition| ReplyStart { partition, offset: 0 }).to_vec();
    let deadline = ticket.deadline_unix_ms();
    let absent = Ticket::new(id, request, REPLIES, starts, deadline).unwrap();
    let expected = TicketError::NoSuchPartition { partition: 2, count: 2 };
    assert_eq!(refusal(&asking, &absent).await, expected);
    // Others that wait at the same time are not concerned.
    assert!(bounded("a poll", asking.poll(&ticket)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_are_refused_do_not_hold_up_the_others() {
    let broker = embedded(1);
    let _replier = start(&broker, echo(QUOTES)).await;
    let key = TicketKey::new(&[1; 32]).unwrap();
    let keyed = builder(&broker, ReplyPartition::Fixed(0)).ticket_key(key);
    let ((asking, _), (keyless, _)) = (build(keyed).await, another(&broker).await);
    let mut tickets = Vec::new();
    for number in 0..10 {
        let requester = if number % 2 == 0 { &asking } else { &keyless };
        tickets.push(submit(requester, "?").await.unwrap());
    }
    let ended: Vec<_> = bounded("all", asking.resume(tickets).collect::<Vec<_>>()).await;
    let refused =
        |error: &CallError| matches!(error.kind(), CallErrorKind::Ticket(TicketError::Unsealed));
    let good = ended.iter().filter(|(ticket, end)| ticket.is_sealed() && end.is_ok()).count();
    let bad = ended.iter().filter(|(_, end)| end.as_ref().is_err_and(refused)).count();
    assert_eq!((ended.len(), good, bad), (10, 5, 5));
}
