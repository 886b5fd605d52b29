//! Streams of replies as they are on the wire: numbered items, and an end of its own.

mod completion;
mod ends;

use std::time::Duration;

use antiphon::config::ReplierSettings;
use antiphon::{Context, Deadline, Request, Router, Status};
use antiphon_testkit::TestBroker;
use futures::stream::{self, Stream};
use serde::{Deserialize, Serialize};

use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::forgery::Forged;
use crate::support::records::{Record, committed, read_all};
use crate::support::replying::start;
use crate::support::waiting::eventually;

#[derive(Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "count", reply = u32, codec = Json)]
struct Count {
    to: u32,
}

#[expect(clippy::needless_pass_by_value, reason = "a handler is given its request")]
fn count(request: Count, _: Context) -> impl Stream<Item = Result<u32, Status>> {
    stream::iter((0..request.to).map(Ok))
}

fn ask(id: &str, payload: &str) -> Forged {
    Forged::new(payload.as_bytes())
        .header("kafka_correlationId", id)
        .header("kafka_replyTopic", REPLIES)
}

fn in_time(record: Forged, timeout: Duration) -> Forged {
    record.header("antiphon-deadline", Deadline::after(timeout).to_unix_millis().to_string())
}

fn small() -> ReplierSettings {
    ReplierSettings {
        group: "repliers".into(),
        handler_timeout_ms: 100,
        max_reply_bytes: 1_000,
        stream_window: 4,
        ..Default::default()
    }
}

fn seq(record: &Record) -> u64 {
    let digits = record.header("antiphon-seq").expect("a position");
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

fn is_end(record: &Record) -> bool {
    record.header_names().contains(&"antiphon-end")
}

fn of(broker: &TestBroker, topic: &str, id: &str) -> Vec<Record> {
    let mut records = read_all(broker, topic);
    records.retain(|r| r.header("kafka_correlationId") == Some(id.as_bytes()));
    records.sort_by_key(|record| (seq(record), is_end(record)));
    records
}

/// The whole stream of a request, once it is there: the items by their number, and the end.
async fn whole(broker: &TestBroker, topic: &str, id: &str) -> (Vec<Record>, Record) {
    whole_of(topic, id, || of(broker, topic, id)).await
}

/// The same of a replier whose records time out, and are sent again although the broker may have them:
/// one that is there twice is the same both times, and counted once.
async fn whole_if_sent_again(broker: &TestBroker, topic: &str, id: &str) -> (Vec<Record>, Record) {
    let each_once = || {
        let mut records = of(broker, topic, id);
        records.dedup_by(|again, first| {
            let is_same = (seq(again), is_end(again)) == (seq(first), is_end(first));
            assert!(!is_same || again.payload == first.payload, "{id}: {again:?} and {first:?}");
            is_same
        });
        records
    };
    whole_of(topic, id, each_once).await
}

async fn whole_of(
    topic: &str,
    id: &str,
    mut read: impl FnMut() -> Vec<Record>,
) -> (Vec<Record>, Record) {
    let mut records = Vec::new();
    eventually(&format!("the whole stream of {id} is in {topic}"), || {
        records = read();
        records.iter().any(|record| is_end(record) && seq(record) < records.len() as u64)
    })
    .await;
    let end = records.pop().unwrap();
    assert!(is_end(&end) && !records.iter().any(is_end), "{id} has one end, behind all items");
    let numbers: Vec<u64> = records.iter().chain([&end]).map(seq).collect();
    assert!(numbers.iter().copied().eq(0..=records.len() as u64), "{id}: {numbers:?}");
    (records, end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_are_numbered_and_the_end_is_a_record_of_its_own() {
    let broker = embedded(3);
    let replier = start(&broker, Router::new().handle_stream(count)).await;
    ask("shared", r#"{"to":50}"#).send(&broker, QUOTES, 0);
    ask("none", r#"{"to":0}"#).send(&broker, QUOTES, 1);
    let fixed = ask("fixed", r#"{"to":3}"#).header("kafka_replyPartition", 2_i32.to_be_bytes());
    fixed.send(&broker, QUOTES, 2);

    let (items, end) = whole(&broker, REPLIES, "shared").await;
    for (number, item) in items.iter().enumerate() {
        assert_eq!(item.payload.as_deref(), Some(number.to_string().as_bytes()));
        let names = ["kafka_correlationId", "content-type", "antiphon-seq"];
        assert_eq!(item.header_names(), names);
    }
    assert_eq!((items.len(), &end.payload), (50, &None), "the end is no item");
    assert_eq!(end.header_names(), ["kafka_correlationId", "antiphon-seq", "antiphon-end"]);

    let (items, end) = whole(&broker, REPLIES, "none").await;
    assert_eq!((items.len(), &end.payload), (0, &None));

    let (items, end) = whole(&broker, REPLIES, "fixed").await;
    assert!(items.iter().chain([&end]).all(|record| record.partition == 2));

    eventually("all is committed", || committed(&broker, "repliers", QUOTES) == [1, 1, 1]).await;
    let seen = replier.metrics.handler("count");
    assert_eq!((seen.ok.get(), seen.error.get()), (3, 0));
    assert_eq!(replier.metrics.running.get(), 0);
    // A request is let go of after it is complete.
    eventually("nothing is held", || replier.metrics.outstanding.get() == 0).await;
    replier.stop().await.unwrap();
}
