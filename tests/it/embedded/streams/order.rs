//! Items come out in their order, once each, however they arrive.

use antiphon::{Code, Outcome, Request, Router, Status};
use futures::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{ask, counting, end, failed, item, items, take_all};
use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::forgery::Forger;
use crate::support::replying::{mixed, start};
use crate::support::waiting::{bounded, eventually};

#[derive(Debug, Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "count", reply = u64, codec = Json)]
struct Count(u64);

#[expect(clippy::needless_pass_by_value, reason = "a handler is given its request")]
fn count(request: Count) -> impl Stream<Item = Result<u64, Status>> {
    stream::iter((0..request.0).map(Ok))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_items_come_in_order_and_then_the_end() {
    // Without a partition in the request the items go to any, and arrive out of order.
    let broker = embedded(3);
    let replier = start(&broker, counting()).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    for size in [0, 1, 500] {
        let mut replies = ask(&requester, &size.to_string());
        assert!(replies.correlation_id().is_some());
        assert_eq!(requester.in_flight(), 1);
        let (taken, error) = take_all(&mut replies).await;
        assert_eq!((taken, error.map(|e| e.to_string())), (items(0..size), None));
        assert_eq!(requester.in_flight(), 0);
        assert!(replies.next().await.is_none(), "an end stays an end");
    }
    assert_eq!((metrics.replies.get(), ended(&metrics)), (3, 3), "a stream is one call");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_once_do_not_mix() {
    let broker = embedded(2);
    let _replier = start(&broker, Router::new().handle_stream(count)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let streams = (0..50).map(|size| {
        let replies = requester.call(Count(size)).stream();
        async move { (size, replies.map(Result::unwrap).collect::<Vec<u64>>().await) }
    });
    for (size, taken) in bounded("all streams", futures::future::join_all(streams)).await {
        assert!(taken.iter().copied().eq(0..size), "{size}: {taken:?}");
    }
    assert_eq!((metrics.replies.get(), requester.in_flight()), (50, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_reply_is_a_stream_of_one_and_an_error_reply_a_stream_of_an_error() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let (taken, error) = take_all(&mut ask(&requester, "good")).await;
    assert_eq!((taken, error.map(|e| e.to_string())), (vec!["good".to_owned()], None));
    let (taken, error) = take_all(&mut ask(&requester, "bad")).await;
    let error = error.expect("the replier refuses");
    assert_eq!((taken.len(), error.status().unwrap().code()), (0, Code::NotFound));
    assert_eq!((error.outcome(), requester.in_flight()), (Outcome::Executed, 0));
    assert_eq!(metrics.late_replies.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_comes_behind_the_items_before_it() {
    let broker = embedded(3);
    let _replier = start(&broker, counting()).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    for size in [0, 7] {
        let mut replies = ask(&requester, &format!("{size},then fail"));
        let id = replies.correlation_id();
        let (taken, error) = take_all(&mut replies).await;
        let error = error.expect("it fails");
        assert_eq!(taken, items(0..size));
        assert_eq!(error.status().unwrap().code(), Code::DataLoss);
        assert_eq!((error.outcome(), error.correlation_id()), (Outcome::Executed, id));
        assert_eq!(requester.in_flight(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_are_dropped_and_items_out_of_order_are_put_in_order() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let mut replies = ask(&requester, "?");
    let id = replies.correlation_id().unwrap();
    let mut forger = Forger::connect(&broker);
    forger.send(&end(id, 6), REPLIES, 0);
    for seq in [3, 1, 1, 5, 4, 3, 0, 2] {
        forger.send(&item(id, seq), REPLIES, 0);
    }
    let (taken, error) = take_all(&mut replies).await;
    assert_eq!((taken, error.map(|e| e.to_string())), (items(0..6), None));
    assert_eq!((metrics.late_replies.get(), requester.in_flight()), (2, 0));
    // What comes behind a complete stream is late like any other reply.
    forger.send(&item(id, 0), REPLIES, 0);
    eventually("it is counted", || metrics.late_replies.get() == 3).await;
    assert_eq!((metrics.replies.get(), ended(&metrics)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_runs_again_after_a_crash_goes_on_where_it_was() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let mut replies = ask(&requester, "?");
    let id = replies.correlation_id().unwrap();
    let mut forger = Forger::connect(&broker);
    (0..4).for_each(|seq| forger.send(&item(id, seq), REPLIES, 0));
    for seq in 0..3_u64 {
        let reply = bounded("an item", replies.next()).await.unwrap().unwrap();
        assert_eq!(reply.payload, format!("item {seq}"));
    }
    (0..6).for_each(|seq| forger.send(&item(id, seq), REPLIES, 0));
    forger.send(&end(id, 6), REPLIES, 0);
    let (taken, error) = take_all(&mut replies).await;
    assert_eq!((taken, error.map(|e| e.to_string())), (items(3..6), None));
    assert_eq!(metrics.late_replies.get(), 4, "items 0 to 3 came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_ends_the_lowest_counts() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let mut replies = ask(&requester, "?");
    let id = replies.correlation_id().unwrap();
    let mut forger = Forger::connect(&broker);
    for seq in [0, 1, 3, 4] {
        forger.send(&item(id, seq), REPLIES, 0);
    }
    forger.send(&end(id, 5), REPLIES, 0);
    for _ in 0..2 {
        bounded("an item", replies.next()).await.unwrap().unwrap();
    }
    // It waits for item 2, and knows of the end at 5.
    let waits = tokio::time::timeout(std::time::Duration::from_millis(50), replies.next()).await;
    assert!(waits.is_err(), "{waits:?}");
    forger.send(&failed(end(id, 2), Code::ResourceExhausted), REPLIES, 0);
    let (taken, error) = take_all(&mut replies).await;
    assert_eq!(taken, [] as [String; 0]);
    assert_eq!(error.expect("it failed").status().unwrap().code(), Code::ResourceExhausted);
    assert_eq!(metrics.late_replies.get(), 3, "items 3 and 4, and one of the ends");

    // The other way round: a higher end behind a lower one changes nothing.
    let mut replies = ask(&requester, "?");
    let id = replies.correlation_id().unwrap();
    forger.send(&failed(end(id, 1), Code::ResourceExhausted), REPLIES, 0);
    for record in [item(id, 1), end(id, 2), item(id, 0)] {
        forger.send(&record, REPLIES, 0);
    }
    let (taken, error) = take_all(&mut replies).await;
    assert_eq!(taken, items(0..1));
    assert_eq!(error.expect("it failed").status().unwrap().code(), Code::ResourceExhausted);
    assert_eq!(requester.in_flight(), 0);
}
