//! Handlers that block: what they hold, and that their deadlines and panics are seen.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use antiphon::config::ReplierSettings;
use antiphon::replier::State;
use antiphon::{Code, Deadline, Replier, Router, Status};

use super::Say;
use crate::support::asking::requester;
use crate::support::brokers::{REPLIES, embedded, settings};
use crate::support::replying::{run, start};
use crate::support::waiting::{LIMIT, eventually};

type Gate = Arc<Mutex<mpsc::Receiver<()>>>;

fn say(Say(what): Say, State(gate): State<Gate>, deadline: Deadline) -> Result<String, Status> {
    assert!(deadline.remaining() < LIMIT, "the caller's deadline is known here too");
    match what.as_str() {
        "panic" => panic!("on purpose"),
        "wait" => drop(gate.lock().unwrap().recv_timeout(LIMIT).is_ok()),
        _ => {}
    }
    Ok(what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_runs_on_keeps_its_place_and_is_seen() {
    let broker = embedded(1);
    let (open, gate) = mpsc::channel();
    let router = Router::new().handle_blocking(say).with_state::<Gate>(Arc::new(gate.into()));
    let one = ReplierSettings { concurrency: 1, ..ReplierSettings::default() };
    let builder = Replier::builder(settings(&broker)).settings(one).group("repliers");
    let replier = run(builder.service(router)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let ask = |what: &str| requester.call(Say(what.into()));

    // Long enough for the function to begin.
    let error = ask("wait").timeout(Duration::from_secs(10)).await.unwrap_err();
    assert!(error.status().is_none_or(|status| status.code() == Code::DeadlineExceeded));
    let metrics = &replier.metrics;
    eventually("the caller was given up", || metrics.handler("say").timed_out.get() == 1).await;
    assert_eq!(metrics.running.get(), 1, "the function runs on");
    let next = ask("next").timeout(Duration::from_secs(1)).await;
    assert!(next.is_err(), "there is no place for the next one");
    open.send(()).unwrap();
    assert_eq!(ask("last").await.unwrap(), "last");
    eventually("nothing runs", || metrics.running.get() == 0).await;
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_its_callers_error_and_costs_no_thread() {
    let broker = embedded(1);
    let (_open, gate) = mpsc::channel();
    let router = Router::new().handle_blocking(say).with_state::<Gate>(Arc::new(gate.into()));
    let replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    for _ in 0..3 {
        let error = requester.call(Say("panic".into())).await.unwrap_err();
        assert_eq!(error.status().unwrap().code(), Code::Internal);
    }
    assert_eq!(requester.call(Say("fine".into())).await.unwrap(), "fine");
    assert_eq!(replier.metrics.handler("say").panicked.get(), 3);
    replier.stop().await.unwrap();
}
