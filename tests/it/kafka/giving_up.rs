//! Requests that wait in retry topics, and dead letters that cannot be written.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use antiphon::config::{DeadLetterSettings, ReplierSettings, RetrySettings};
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::RawRequest;
use antiphon::wire::{DeadLetter, RawHeader};
use antiphon::{Code, Context, Replier, Router, Status};

use crate::support::asking::requester;
use crate::support::brokers::{kafka, settings, topics};
use crate::support::records::{Record, committed, ends, read_all};
use crate::support::replying::{Running, run};
use crate::support::waiting::{bounded, eventually};

const DELAY: Duration = Duration::from_millis(400);

fn keeping(group: &str, delays: &[&str]) -> ReplierSettings {
    let delays = delays.iter().map(ToString::to_string).collect();
    ReplierSettings {
        group: group.into(),
        commit_interval_ms: 50,
        retry: RetrySettings { delays, ..Default::default() },
        dead_letter: DeadLetterSettings { enabled: true, ..Default::default() },
        ..Default::default()
    }
}

async fn start(router: Router, wanted: ReplierSettings) -> Running {
    run(Replier::builder(settings(kafka())).settings(wanted).service(router)).await
}

fn raw(record: &Record) -> impl Iterator<Item = RawHeader<'_>> {
    record.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_waits_in_each_retry_topic_in_turn() {
    let (topic, replies) = topics("waiting", 2);
    let [first, second, dead] = ["retry.1", "retry.2", "dlq"].map(|part| format!("{topic}.{part}"));
    for other in [&first, &second, &dead] {
        kafka().create_topic(other, 2).unwrap();
    }
    let starts = Arc::new(Mutex::new(Vec::new()));
    let router = || {
        let noted = Arc::clone(&starts);
        Router::new().handle_any(topic.clone(), move |asked: Asked, context: Context| {
            assert_eq!(context.topic(), "waiting", "the request topic, wherever it was read");
            assert!(context.headers().get("antiphon-runs").is_none());
            noted.lock().unwrap().push(Instant::now());
            async move {
                match context.runs() == 3 && asked.payload == "third" {
                    true => Ok(RawReply::new(context.headers().get("tenant").unwrap().clone())),
                    false => Err(Status::new(Code::Unavailable, "not yet")),
                }
            }
        })
    };
    let replier = start(router(), keeping(&topic, &["400ms", "400ms"])).await;
    let (requester, _) = requester(kafka(), &replies).await;
    let ask = |payload| {
        let ask = requester.ask(RawRequest::new(topic.clone(), payload));
        ask.key("ACME").header("tenant", "blue").timeout(Duration::from_secs(60))
    };
    assert_eq!(bounded("the call", ask("third").send()).await.unwrap().payload, "blue");
    {
        let starts = starts.lock().unwrap();
        assert_eq!(starts.len(), 3);
        // The header has whole milliseconds.
        let least = DELAY - Duration::from_millis(2);
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= least), "{starts:?}");
    }
    assert_eq!(replier.metrics.retries("topic").get(), 2);

    let error = bounded("the call", ask("never").send()).await.expect_err("all fail");
    assert_eq!(error.status().map(Status::code), Some(Code::Unavailable));
    let kept = read_all(kafka(), &dead);
    assert_eq!((kept.len(), kept[0].payload.as_deref()), (1, Some(&b"never"[..])));
    let letter = DeadLetter::read(raw(&kept[0])).unwrap();
    assert_eq!((&letter.origin.topic, letter.origin.offset), (&topic, 1));
    assert_eq!((letter.runs, letter.code), (3, Code::Unavailable));
    let asked = read_all(kafka(), &topic);
    assert_eq!(letter.headers, raw(&asked[1]).collect::<Vec<_>>(), "as it was first");

    // Whose caller waits for less than the delay is told at once. The delay is long for that: a request
    // whose caller's time is over before the handler runs is not kept.
    replier.stop().await.unwrap();
    let replier = start(router(), keeping(&topic, &["1h", "1h"])).await;
    let error = bounded("the call", ask("never").send()).await.expect_err("all fail");
    assert_eq!(error.status().map(Status::code), Some(Code::Unavailable));
    eventually("it is kept", || ends(kafka(), &dead).iter().sum::<i64>() == 2).await;
    for (of, count) in [(&topic, 3), (&first, 2), (&second, 2)] {
        assert_eq!(ends(kafka(), of).iter().sum::<i64>(), count, "{of}");
        eventually("all is committed", || {
            committed(kafka(), &topic, of).iter().sum::<i64>() == count
        })
        .await;
    }
    replier.stop().await.unwrap();
}

/// Row 49 of the fault matrix.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dead_letter_that_cannot_be_written_blocks_its_partition_and_nothing_else() {
    let (topic, replies) = topics("unwritable", 2);
    let dead = format!("{topic}.dlq");
    kafka().create_topic(&dead, 1).unwrap();
    let router = Router::new().handle_any(topic.clone(), |asked: Asked, _: Context| async move {
        match &asked.payload[..] {
            b"bad" => Err(Status::internal("on purpose")),
            _ => Ok(RawReply::new(asked.payload)),
        }
    });
    let replier = start(router, keeping(&topic, &[])).await;
    let (requester, _) = requester(kafka(), &replies).await;
    let ask = |partition, payload: &'static str| {
        let ask = requester.ask(RawRequest::new(topic.clone(), payload));
        ask.partition(partition).timeout(Duration::from_secs(300)).send()
    };
    kafka().delete_topic(&dead).unwrap();
    let mut bad = ask(0, "bad");
    eventually("the partition is blocked", || replier.metrics.blocked_partitions.get() == 1).await;
    eventually("it is paused", || replier.metrics.paused_partitions.get() == 1).await;
    let mut behind = ask(0, "good");
    for _ in 0..20 {
        assert_eq!(bounded("another partition", ask(1, "good")).await.unwrap().payload, "good");
    }
    eventually("the other is committed", || committed(kafka(), &topic, &topic)[1] == 20).await;
    assert!(tokio::time::timeout(Duration::ZERO, &mut bad).await.is_err(), "nobody was told");
    assert_eq!(committed(kafka(), &topic, &topic), [0, 20], "it is not skipped");
    let waited = tokio::time::timeout(Duration::ZERO, &mut behind).await;
    assert!(waited.is_err(), "the partition is not read any further");

    kafka().create_topic(&dead, 1).unwrap();
    let error = bounded("the bad call", bad).await.expect_err("it failed");
    assert_eq!(error.status().map(Status::code), Some(Code::Internal));
    assert_eq!(ends(kafka(), &dead), [1]);
    assert_eq!(bounded("the one behind it", behind).await.unwrap().payload, "good");
    eventually("all is committed", || committed(kafka(), &topic, &topic) == [2, 20]).await;
    eventually("it is not blocked", || replier.metrics.blocked_partitions.get() == 0).await;
    replier.stop().await.unwrap();
}
