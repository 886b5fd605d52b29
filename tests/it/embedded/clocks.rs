//! Requests of callers whose clocks are wrong: they are handled within the time that their callers
//! gave them, and those that are old are not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use antiphon_testkit::TestBroker;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::brokers::{QUOTES, REPLIES, client, embedded};
use crate::support::records::{Record, ends, read_all};
use crate::support::replying::{echo, start};
use crate::support::waiting::{LIMIT, eventually};

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

/// Asks with a minute's time, by a clock that is ahead, in a record that is old.
fn ask(broker: &TestBroker, id: &str, ahead: i64, old: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let created = i64::try_from(now).unwrap() + ahead - old;
    let deadline = (created + MINUTE).to_string();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "kafka_correlationId", value: Some(id) })
        .insert(Header { key: "kafka_replyTopic", value: Some(REPLIES) })
        .insert(Header { key: "antiphon-deadline", value: Some(&deadline) });
    let record = BaseRecord::<(), [u8]>::to(QUOTES).partition(0).timestamp(created);
    let producer: BaseProducer = client(broker).create().unwrap();
    producer.send(record.payload(b"x").headers(headers)).map_err(|refused| refused.0).unwrap();
    producer.flush(LIMIT).unwrap();
}

/// The status of the reply of this id: `None` if it is a good one.
fn status(replies: &[Record], id: &str) -> Option<Vec<u8>> {
    let mut of_id =
        replies.iter().filter(|reply| reply.header("kafka_correlationId") == Some(id.as_bytes()));
    let found = of_id.next().unwrap_or_else(|| panic!("{id} was not answered"));
    assert!(of_id.next().is_none(), "{id} was answered twice");
    found.header("antiphon-status").map(<[u8]>::to_vec)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_costs_no_request_and_revives_none() {
    let broker = embedded(1);
    // It waited while there was no replier: as old as that of a slow clock would seem.
    ask(&broker, "waited", 0, HOUR);
    let replier = start(&broker, echo(QUOTES)).await;
    let expired = || replier.metrics.expired.get() == 1;
    eventually("what has waited for too long expires", expired).await;
    // Nobody knows how long what came meanwhile has waited.
    let mut probes = 0_u64;
    eventually("the replier knows where the log ends", || {
        ask(&broker, &format!("probe-{probes}"), -HOUR, 0);
        probes += 1;
        std::thread::sleep(Duration::from_millis(20));
        replier.metrics.clock_skew.get() > 0
    })
    .await;
    let before = replier.metrics.clock_skew.get();
    for number in 0..100 {
        ask(&broker, &format!("slow-{number}"), -HOUR, 0);
        ask(&broker, &format!("fast-{number}"), HOUR, 0);
        ask(&broker, &format!("right-{number}"), 0, 0);
    }
    ask(&broker, "late", 0, MINUTE + 1);
    let answered = || ends(&broker, REPLIES).iter().sum::<i64>();
    let all = 1 + i64::try_from(probes).unwrap() + 300 + 1;
    eventually("all are answered", || answered() == all).await;
    assert!(replier.metrics.clock_skew.get() >= before + 200);
    let replies = read_all(&broker, REPLIES);
    for number in 0..100 {
        for clock in ["slow", "fast", "right"] {
            assert_eq!(status(&replies, &format!("{clock}-{number}")), None, "{clock}");
        }
    }
    for id in ["waited", "late"] {
        assert_eq!(status(&replies, id).as_deref(), Some(&b"DEADLINE_EXCEEDED"[..]), "{id}");
    }
    replier.stop().await.unwrap();
}
