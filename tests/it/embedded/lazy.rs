//! Requesters that start before any broker can be reached.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use antiphon::config::{KafkaSettings, ReplyPartition, RequesterSettings};
use antiphon::kafka::WantedTopic;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{BuildError, RawRequest, RequesterBuilder};
use antiphon::{CallError, CallErrorKind, Outcome, Requester};
use antiphon_testkit::TestBroker;
use futures::StreamExt;
use futures::future::{FutureExt, join_all};

use crate::support::asking::{build, ended};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::replying::{mixed, start};
use crate::support::waiting::{bounded, eventually};

/// An address at which there is no broker until it is opened: it hangs up on whoever comes.
struct Door {
    address: String,
    to: Arc<Mutex<Option<String>>>,
}

impl Door {
    fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let to = Arc::new(Mutex::new(None::<String>));
        let behind = Arc::clone(&to);
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let to = behind.lock().unwrap().clone();
                let (Ok(client), Some(to)) = (client, to) else { continue };
                let broker = TcpStream::connect(to).unwrap();
                pass(client.try_clone().unwrap(), broker.try_clone().unwrap());
                pass(broker, client);
            }
        });
        Self { address, to }
    }

    fn open(&self, broker: &TestBroker) {
        *self.to.lock().unwrap() = Some(broker.bootstrap().to_owned());
    }

    fn settings(&self, broker: &TestBroker) -> KafkaSettings {
        KafkaSettings { bootstrap: self.address.clone(), ..settings(broker) }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    // Whichever side hangs up, the other one hears of it.
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

fn lazy(kafka: KafkaSettings) -> RequesterBuilder {
    let builder = Requester::builder(kafka).reply_topic(REPLIES);
    builder.reply_partition(ReplyPartition::Shared).lazy()
}

async fn unreachable() -> (Requester, RequesterMetrics) {
    let broker = embedded(1);
    build(lazy(Door::closed().settings(&broker))).await
}

fn not_sent<T>(what: &str, answer: Result<T, CallError>) -> CallError {
    let Err(error) = answer else { panic!("{what}: was answered") };
    assert_eq!(error.outcome(), Outcome::NotSent, "{what}: {error}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_calls_end_by_their_deadlines_and_were_not_sent() {
    let (requester, metrics) = unreachable().await;
    assert!(requester.ready().now_or_never().is_none(), "it is not ready");
    let ask = || requester.ask(RawRequest::new(QUOTES, "?")).timeout(Duration::from_millis(500));
    let (told, by_callback) = tokio::sync::oneshot::channel();
    ask().on_reply(move |answer| told.send(answer).unwrap());
    let queue = requester.replies(1);
    ask().queue(&queue, ()).unwrap();
    // It has time, so that it is looked at before that is up.
    let mut polled = ask().timeout(Duration::from_secs(5)).send();
    assert!(polled.try_reply().is_none(), "it waits");
    assert_eq!(requester.in_flight(), 0);

    let by_future = bounded("the future", ask().send()).await;
    let by_poll = bounded("the polled one", polled).await;
    let by_callback = bounded("the callback", by_callback).await.unwrap();
    let by_queue = bounded("the queue", queue.next()).await.unwrap().answer;
    for answer in [by_future, by_poll, by_callback, by_queue] {
        let error = not_sent("a call", answer);
        assert!(matches!(error.kind(), CallErrorKind::NotPositioned), "{error}");
        assert!(error.elapsed() >= Duration::from_millis(500), "{error}: it has not waited");
    }
    not_sent("a stream", bounded("it", ask().stream().next()).await.unwrap());
    let gathered = bounded("a scatter", ask().scatter([QUOTES]).into_future()).await.unwrap();
    not_sent("its answer", gathered.answers.into_iter().next().unwrap().result);
    assert_eq!((metrics.not_sent.get(), ended(&metrics), requester.in_flight()), (6, 6, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_through_by_themselves_when_a_broker_comes() {
    let broker = embedded(2);
    let door = Door::closed();
    let (requester, metrics) = build(lazy(door.settings(&broker))).await;
    let _replier = start(&broker, mixed(QUOTES)).await;
    let mut calls: Vec<_> = (0..50)
        .map(|number| requester.ask(RawRequest::new(QUOTES, number.to_string())).send())
        .collect();
    let (told, by_callback) = tokio::sync::oneshot::channel();
    requester.ask(RawRequest::new(QUOTES, "callback")).on_reply(move |answer| {
        told.send(answer).unwrap();
    });
    let refused = requester.ask(RawRequest::new(QUOTES, "?")).partition(-1).send();
    let error = not_sent("a wrong partition", bounded("it", refused).await);
    assert!(matches!(error.kind(), CallErrorKind::Invalid(_)), "{error}: no wait helps");
    assert!(calls.iter_mut().all(|call| call.try_reply().is_none()));

    door.open(&broker);
    bounded("it gets ready", requester.ready()).await;
    for (number, answer) in bounded("all calls", join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().payload, number.to_string());
    }
    let answer = bounded("the callback", by_callback).await.unwrap();
    assert_eq!(answer.unwrap().payload, "callback");
    let call = requester.ask(RawRequest::new(QUOTES, "later")).send();
    assert!(call.correlation_id().is_some(), "nothing is waited for any more");
    bounded("a later call", call).await.unwrap();
    assert_eq!((metrics.replies.get(), ended(&metrics)), (52, 53));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_and_dropping_end_calls_that_wait_for_a_broker() {
    for how in ["closed", "dropped"] {
        let (requester, metrics) = unreachable().await;
        let ask = || requester.ask(RawRequest::new(QUOTES, "?"));
        let calls: Vec<_> = (0..20).map(|_| ask().send()).collect();
        drop(ask().send());
        match how {
            "closed" => assert_eq!(requester.close(Duration::ZERO).await, 0),
            _ => drop(requester),
        }
        for answer in bounded("all calls", join_all(calls)).await {
            let error = not_sent(how, answer);
            assert!(matches!(error.kind(), CallErrorKind::Closed), "{how}: {error}");
        }
        eventually("each is counted", || metrics.not_sent.get() == 20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_in_itself_is_refused_all_the_same() {
    let broker = embedded(1);
    let refused = |builder: RequesterBuilder| async {
        match bounded("the refusal", builder.build()).await {
            Err(BuildError::Setting(what)) => what,
            other => panic!("{other:?}"),
        }
    };
    let topics = lazy(settings(&broker)).ensure_topics([WantedTopic::new(REPLIES, 1)]);
    let what = refused(topics).await;
    assert!(what.contains(".lazy()") && what.contains(".ensure_topics("), "{what}");
    let what = refused(lazy(settings(&broker)).reply_topic("")).await;
    assert!(what.contains(".reply_topic("), "{what}");
    let wrong = RequesterSettings { lazy_start: true, max_in_flight: 0, ..Default::default() };
    let what = refused(lazy(settings(&broker)).settings(wrong)).await;
    assert!(what.contains("max_in_flight"), "{what}");
}
