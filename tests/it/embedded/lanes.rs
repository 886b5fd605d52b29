//! Lanes: what runs in order, what runs side by side, and what must not hold up what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use antiphon::config::{Lane, ReplierSettings};
use antiphon::replier::{RawReply, RawRequest, RunError};
use antiphon::{Context, Replier, Router, Status};
use antiphon_testkit::TestBroker;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::support::brokers::{QUOTES, REPLIES, client, embedded, settings};
use crate::support::records::{committed, ends};
use crate::support::replying::{Running, echo, gated_echo, run, start};
use crate::support::waiting::{LIMIT, bounded, eventually};

/// Writes requests to partitions, in order.
struct Asking<'a> {
    producer: BaseProducer,
    topic: &'a str,
    sent: usize,
}

impl<'a> Asking<'a> {
    fn of(broker: &TestBroker, topic: &'a str) -> Self {
        let producer = client(broker).set("enable.idempotence", "true").create().unwrap();
        Self { producer, topic, sent: 0 }
    }

    fn ask(&mut self, partition: i32, key: Option<&str>, payload: &[u8]) {
        self.sent += 1;
        let id = self.sent.to_string();
        let headers = OwnedHeaders::new()
            .insert(Header { key: "kafka_correlationId", value: Some(&id) })
            .insert(Header { key: "kafka_replyTopic", value: Some(REPLIES) });
        let record = BaseRecord::<str, [u8]>::to(self.topic).partition(partition);
        let record = record.payload(payload).headers(headers);
        let record = match key {
            Some(key) => record.key(key),
            None => record,
        };
        self.producer.send(record).map_err(|refused| refused.0).unwrap();
    }

    fn flush(&self) {
        self.producer.flush(LIMIT).unwrap();
    }
}

/// A partition and a key whose requests are in order.
type Chain = (i32, Option<Vec<u8>>);

/// What ran, in the order in which it started, and how much of it at once.
#[derive(Default)]
struct Seen {
    /// What started, and whether it has ended.
    runs: HashMap<Chain, Vec<(i64, bool)>>,
    running: usize,
    most: usize,
    /// Something started before the one before it in its order had ended.
    overlaps: usize,
}

/// Takes a little while that differs from request to request, and notes what runs.
fn noting(seen: &Arc<Mutex<Seen>>, by_key: bool) -> Router {
    let seen = Arc::clone(seen);
    Router::new().handle_any(QUOTES, move |request: RawRequest, context: Context| {
        let seen = Arc::clone(&seen);
        async move {
            let key = context.key().filter(|_| by_key).map(|key| key.to_vec());
            let chain = (context.partition(), key);
            {
                let mut seen = seen.lock().unwrap();
                seen.running += 1;
                seen.most = seen.most.max(seen.running);
                let runs = seen.runs.entry(chain.clone()).or_default();
                let overlaps = runs.last().is_some_and(|(_, ended)| !ended);
                runs.push((context.offset(), false));
                seen.overlaps += usize::from(overlaps);
            }
            let delay = context.offset().wrapping_mul(7919) % 5;
            tokio::time::sleep(Duration::from_millis(delay.unsigned_abs())).await;
            let mut seen = seen.lock().unwrap();
            seen.running -= 1;
            if let Some(last) = seen.runs.get_mut(&chain).and_then(|runs| runs.last_mut()) {
                last.1 = true;
            }
            Ok::<_, Status>(RawReply::new(request.payload))
        }
    })
}

async fn with(broker: &TestBroker, settings: ReplierSettings, router: Router) -> Running {
    let settings = ReplierSettings { group: "repliers".into(), ..settings };
    let kafka = crate::support::brokers::settings(broker);
    run(Replier::builder(kafka).settings(settings).service(router)).await
}

fn answers(broker: &TestBroker) -> i64 {
    ends(broker, REPLIES).iter().sum()
}

/// Runs what is asked for, and checks that it ran in order.
async fn in_order(lane: Lane, concurrency: usize) -> Seen {
    let broker = embedded(2);
    let mut asking = Asking::of(&broker, QUOTES);
    let mut asked = 0;
    for round in 0..30 {
        for key in ["a", "b", "c", "d", "e"] {
            asking.ask(round % 2, Some(key), b"?");
            asked += 1;
        }
    }
    asking.flush();
    let seen = Arc::default();
    let by_key = lane == Lane::ByKey;
    let settings = ReplierSettings { lane, concurrency, ..Default::default() };
    let replier = with(&broker, settings, noting(&seen, by_key)).await;
    eventually("all are answered", || answers(&broker) == asked).await;
    replier.stop().await.unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.overlaps, 0);
    for (chain, runs) in &seen.runs {
        assert!(runs.is_sorted_by_key(|(offset, _)| *offset), "{chain:?}: {runs:?}");
    }
    assert_eq!(seen.runs.values().map(Vec::len).sum::<usize>(), 150);
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_key_each_key_is_in_order_and_there_are_more_at_once_than_partitions() {
    let seen = in_order(Lane::ByKey, 7).await;
    assert_eq!(seen.runs.len(), 10, "five keys in each of two partitions");
    assert!(seen.most > 2 && seen.most <= 7, "{} at once", seen.most);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_partition_each_partition_is_in_order() {
    let seen = in_order(Lane::ByPartition, 7).await;
    assert_eq!(seen.runs.len(), 2);
    assert!(seen.most <= 2, "{} at once", seen.most);
}

/// Requests that say so are never answered.
fn hanging() -> Router {
    Router::new().handle_any(QUOTES, |request: RawRequest, _: Context| async move {
        if request.payload == "hang" {
            std::future::pending::<()>().await;
        }
        Ok::<_, Status>(RawReply::new(request.payload))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_hangs_is_paused_alone_and_the_others_go_on() {
    let broker = embedded(2);
    let mut asking = Asking::of(&broker, QUOTES);
    for _ in 0..100 {
        asking.ask(0, None, b"hang");
    }
    asking.flush();
    // Of sixteen places and forty requests, two places and half of the requests are left to others.
    let settings = ReplierSettings {
        concurrency: 16,
        max_outstanding: 40,
        drain_ms: 100,
        ..Default::default()
    };
    let replier = with(&broker, settings, hanging()).await;
    eventually("the partition is paused", || replier.metrics.paused_partitions.get() == 1).await;
    assert_eq!(replier.metrics.assigned_partitions.get(), 2);
    eventually("it holds its share", || {
        (replier.metrics.running.get(), replier.metrics.outstanding.get()) == (14, 20)
    })
    .await;
    for _ in 0..200 {
        asking.ask(1, None, b"?");
    }
    asking.flush();
    eventually("the others are answered", || answers(&broker) == 200).await;
    eventually("and committed", || committed(&broker, "repliers", QUOTES) == [0, 200]).await;
    assert_eq!(replier.metrics.running.get(), 14);
    // A request is let go of after it is complete.
    eventually("none of the others is held", || replier.metrics.outstanding.get() == 20).await;
    let ended = replier.stop().await;
    assert!(matches!(ended, Err(RunError::Unfinished(20))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_hangs_leaves_room_for_the_others() {
    let broker = embedded(1);
    broker.create_topic("other", 1).unwrap();
    let mut asking = Asking::of(&broker, QUOTES);
    for _ in 0..20 {
        asking.ask(0, None, b"hang");
    }
    asking.flush();
    let settings = ReplierSettings {
        concurrency: 4,
        drain_ms: 100,
        allow_reply_to: vec![REPLIES.to_owned()],
        ..Default::default()
    };
    let other = |request: RawRequest, _: Context| async move {
        Ok::<_, Status>(RawReply::new(request.payload))
    };
    let replier = with(&broker, settings, hanging().handle_any("other", other)).await;
    eventually("three hang", || replier.metrics.running.get() == 3).await;
    let mut asking = Asking::of(&broker, "other");
    for _ in 0..50 {
        asking.ask(0, None, b"?");
    }
    asking.flush();
    eventually("the other endpoint answers", || answers(&broker) == 50).await;
    assert_eq!(replier.metrics.running.get(), 3);
    // The answers are in the log before the replier hears of it.
    eventually("only those that hang are held", || replier.metrics.outstanding.get() == 20).await;
    let ended = replier.stop().await;
    assert!(matches!(ended, Err(RunError::Unfinished(20))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intake_stops_at_so_many_bytes_and_goes_on_when_half_of_them_are_done() {
    let broker = embedded(2);
    let mut asking = Asking::of(&broker, QUOTES);
    for number in 0..100 {
        asking.ask(number % 2, None, &[b'x'; 1_000]);
    }
    asking.flush();
    let gate = CancellationToken::new();
    let settings = ReplierSettings { max_outstanding_bytes: 10_000, ..Default::default() };
    let replier = with(&broker, settings, gated_echo(QUOTES, &gate)).await;
    eventually("all are paused", || replier.metrics.paused_partitions.get() == 2).await;
    assert_eq!(replier.metrics.outstanding_bytes.get(), 10_000);
    assert_eq!(replier.metrics.outstanding.get(), 10);
    gate.cancel();
    eventually("all are answered", || answers(&broker) == 100).await;
    eventually("nothing is held", || replier.metrics.outstanding_bytes.get() == 0).await;
    eventually("nothing is paused", || replier.metrics.paused_partitions.get() == 0).await;
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urgent_topics_go_first() {
    let broker = embedded(1);
    broker.create_topic("urgent", 1).unwrap();
    broker.create_topic("most-urgent", 1).unwrap();
    let (order, steps) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
    let handler = {
        let (order, steps) = (Arc::clone(&order), Arc::clone(&steps));
        move |request: RawRequest, context: Context| {
            let (order, steps) = (Arc::clone(&order), Arc::clone(&steps));
            async move {
                order.lock().unwrap().push(context.topic().to_owned());
                steps.acquire().await.unwrap().forget();
                Ok::<_, Status>(RawReply::new(request.payload))
            }
        }
    };
    let router = Router::new()
        .handle_any(QUOTES, handler.clone())
        .handle_any("urgent", handler.clone())
        .handle_any("most-urgent", handler)
        .priority("urgent", 1)
        .priority("most-urgent", 2);
    let settings = ReplierSettings {
        concurrency: 1,
        allow_reply_to: vec![REPLIES.to_owned()],
        ..Default::default()
    };
    let replier = with(&broker, settings, router).await;
    let mut usual = Asking::of(&broker, QUOTES);
    (0..50).for_each(|_| usual.ask(0, None, b"?"));
    usual.flush();
    eventually("the usual ones are queued", || replier.metrics.outstanding.get() == 50).await;
    let mut urgent = Asking::of(&broker, "urgent");
    (0..30).for_each(|_| urgent.ask(0, None, b"!"));
    urgent.flush();
    eventually("all are taken in", || replier.metrics.outstanding.get() == 80).await;
    // What is taken in is in the lane a moment later, behind what was taken in before it. So once
    // this one starts, all are there; until then they start one by one.
    let mut last = Asking::of(&broker, "most-urgent");
    last.ask(0, None, b"!!");
    last.flush();
    eventually("the last is taken in", || replier.metrics.outstanding.get() == 81).await;
    let started = || order.lock().unwrap().len();
    eventually("the first has started", || started() == 1).await;
    loop {
        let before = started();
        steps.add_permits(1);
        eventually("the next one starts", || started() > before).await;
        if order.lock().unwrap()[before] == "most-urgent" {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let all_there = started();
    steps.add_permits(81);
    eventually("all are answered", || answers(&broker) == 81).await;
    let order = order.lock().unwrap().clone();
    // One start in sixteen goes to the others. As a rule the second one is the most urgent, and of the
    // next 32 two go to the others.
    let behind = order.iter().rposition(|topic| topic == "urgent").unwrap() + 1;
    let others = (all_there..behind).filter(|start| order[*start] == QUOTES).count();
    let turns = (all_there..behind).filter(|start| start % 16 == 15).count();
    assert_eq!(others, turns, "{order:?}");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_can_be_cut_short() {
    let broker = embedded(1);
    let mut asking = Asking::of(&broker, QUOTES);
    (0..5).for_each(|_| asking.ask(0, None, b"hang"));
    asking.flush();
    let now = CancellationToken::new();
    // Before the drain it does nothing.
    now.cancel();
    let settings_of_it = ReplierSettings {
        group: "repliers".into(),
        concurrency: 2,
        drain_ms: 600_000,
        ..Default::default()
    };
    let builder = Replier::builder(settings(&broker)).settings(settings_of_it);
    let replier = run(builder.service(hanging()).end_now(now.cancelled_owned())).await;
    eventually("two hang", || replier.metrics.running.get() == 2).await;
    eventually("all are held", || replier.metrics.outstanding.get() == 5).await;
    let ended = replier.stop().await;
    assert!(matches!(ended, Err(RunError::CutShort(5))), "{ended:?}");
    // Nobody has answered them, so the next one does.
    let replier = start(&broker, echo(QUOTES)).await;
    eventually("all are answered", || answers(&broker) == 5).await;
    replier.stop().await.unwrap();
}

/// A replier on a runtime of its own, all threads of which are held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_block_all_threads_are_named_and_the_group_is_kept() {
    let broker = embedded(2);
    let (free, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let blocking = Router::new().handle_any(QUOTES, move |request: RawRequest, _: Context| {
        let held = Arc::clone(&held);
        async move {
            // Until the test lets go: the sender is dropped.
            let _ = held.lock().unwrap().recv_timeout(LIMIT);
            Ok::<_, Status>(RawReply::new(request.payload))
        }
    });
    let (metrics, stop) = (antiphon::metrics::ReplierMetrics::new(), CancellationToken::new());
    let settings_of_it =
        ReplierSettings { group: "repliers".into(), watchdog_ms: 50, ..Default::default() };
    // How long the client itself lets its owner go without polling.
    let kafka = settings(&broker).property("max.poll.interval.ms", "5000");
    let builder =
        Replier::builder(kafka).settings(settings_of_it).service(blocking).metrics(metrics.clone());
    let thread = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(builder.run(stop.cancelled_owned()))
        }
    });
    let holds_both = || {
        if thread.is_finished() {
            panic!("the replier ended");
        }
        metrics.assigned_partitions.get() == 2
    };
    eventually("it holds both", holds_both).await;
    let mut asking = Asking::of(&broker, QUOTES);
    (0..4).for_each(|partition| asking.ask(partition % 2, None, b"?"));
    asking.flush();
    eventually("both threads are reported", || metrics.runtime_blocked("*").get() >= 2).await;
    let rebalances = metrics.rebalances.get();
    // Longer than the group, or the client itself, waits for one that does not poll.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(answers(&broker), 0);
    drop(free);
    eventually("all are answered", || answers(&broker) == 4).await;
    assert_eq!((metrics.rebalances.get(), metrics.assigned_partitions.get()), (rebalances, 2));
    stop.cancel();
    let joined = tokio::task::spawn_blocking(|| thread.join().unwrap());
    bounded("the replier ends", joined).await.unwrap().unwrap();
}
