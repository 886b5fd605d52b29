//! Many tickets taken at once: each reply partition is read once for all of them.

use std::collections::HashMap;

use antiphon::config::ReplyPartition;
use antiphon::requester::{RawRequest, RequesterBuilder, Ticket};
use antiphon::{CorrelationId, Requester};
use antiphon_testkit::TestBroker;
use futures::StreamExt;
use futures::stream;

use super::{LONG, another, builder};
use crate::support::asking::build;
use crate::support::brokers::{QUOTES, embedded};
use crate::support::replying::{echo, start};
use crate::support::waiting::bounded;

const TICKETS: usize = 10_000;
const PARTITIONS: i32 = 4;

/// Tickets by the question they are for.
type Asked = HashMap<CorrelationId, String>;

/// Submits as many as there should be, each with a question of its own.
async fn submit_all(builders: Vec<RequesterBuilder>) -> (Vec<Ticket>, Asked) {
    let mut requesters = Vec::new();
    for builder in builders {
        requesters.push(build(builder).await.0);
    }
    let submissions = stream::iter(0..TICKETS).map(|number| {
        let requester = &requesters[number % requesters.len()];
        async move {
            let ask = requester.ask(RawRequest::new(QUOTES, number.to_string()));
            (ask.timeout(LONG).submit().await.unwrap(), number.to_string())
        }
    });
    let all = submissions.buffer_unordered(512).collect::<Vec<_>>();
    let all = bounded("all submissions", all).await;
    let asked = all.iter().map(|(ticket, asked)| (ticket.correlation_id(), asked.clone()));
    let asked: Asked = asked.collect();
    assert_eq!(asked.len(), TICKETS);
    (all.into_iter().map(|(ticket, _)| ticket).collect(), asked)
}

/// Takes all replies, each of which must be the one to its question.
async fn resume_all(requester: &Requester, tickets: Vec<Ticket>, mut asked: Asked) {
    let mut ended = requester.resume(tickets);
    while let Some((ticket, answer)) = bounded("the next one", ended.next()).await {
        let question = asked.remove(&ticket.correlation_id()).expect("each ends once");
        assert_eq!(answer.unwrap().payload, question);
    }
    assert!(asked.is_empty(), "{} have not ended", asked.len());
}

async fn assert_one_scan_each(broker: &TestBroker, builders: Vec<RequesterBuilder>, scans: u64) {
    let (tickets, asked) = submit_all(builders).await;
    // Nobody has answered yet. One requester waits while the replies come, one finds them there.
    let (waiting, waited) = another(broker).await;
    let resumed = tokio::spawn({
        let (waiting, tickets, asked) = (waiting.clone(), tickets.clone(), asked.clone());
        async move { resume_all(&waiting, tickets, asked).await }
    });
    let replier = start(broker, echo(QUOTES)).await;
    resumed.await.unwrap();
    let (finding, found) = another(broker).await;
    resume_all(&finding, tickets.clone(), asked.clone()).await;
    // What was read is kept for a while.
    resume_all(&finding, tickets.clone(), asked).await;
    for ticket in tickets.iter().step_by(100) {
        assert!(bounded("a poll", finding.poll(ticket)).await.unwrap().is_some());
    }
    assert_eq!((waited.ticket_scans.get(), found.ticket_scans.get()), (scans, scans));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_tickets_take_one_scan_of_each_partition() {
    let broker = embedded(PARTITIONS);
    let each = (0..PARTITIONS).map(|n| builder(&broker, ReplyPartition::Fixed(n))).collect();
    assert_one_scan_each(&broker, each, u64::try_from(PARTITIONS).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_of_one_partition_take_one_scan() {
    let broker = embedded(PARTITIONS);
    let one = vec![builder(&broker, ReplyPartition::Fixed(3))];
    assert_one_scan_each(&broker, one, 1).await;
}
