//! Handlers that fail run again, inside their caller's deadline.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use antiphon::config::{ReplierSettings, RetrySettings};
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::RawRequest;
use antiphon::{Code, Context, Replier, Router, Status};
use antiphon_testkit::TestBroker;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::committed;
use crate::support::replying::{Running, run};
use crate::support::runs::Runs;
use crate::support::waiting::{bounded, eventually};

/// Fails as often as the payload says, then answers; notes when each run started.
fn failing(starts: &Arc<Mutex<Vec<Instant>>>, runs: &Runs, code: Code) -> Router {
    let (starts, runs) = (Arc::clone(starts), runs.clone());
    Router::new().handle_any(QUOTES, move |request: Asked, context: Context| {
        starts.lock().unwrap().push(Instant::now());
        runs.note(&context);
        assert_eq!(context.runs() as usize, runs.of(context.correlation_id()));
        async move {
            let fails: u32 = std::str::from_utf8(&request.payload).unwrap().parse().unwrap();
            match context.runs() <= fails {
                true => Err(Status::new(code, "not yet")),
                false => Ok(RawReply::new(context.runs().to_string())),
            }
        }
    })
}

async fn retrying(broker: &TestBroker, router: Router, attempts: u32, wait_ms: u64) -> Running {
    let retry =
        RetrySettings { attempts, initial_ms: wait_ms, max_ms: wait_ms, ..Default::default() };
    let patient = ReplierSettings { group: "repliers".into(), retry, ..Default::default() };
    run(Replier::builder(settings(broker)).settings(patient).service(router)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_passes_is_hidden_from_the_caller() {
    let broker = embedded(1);
    let (starts, runs) = (Arc::default(), Runs::default());
    let replier = retrying(&broker, failing(&starts, &runs, Code::Unavailable), 3, 5).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let reply = bounded("the call", requester.ask(RawRequest::new(QUOTES, "2")).send()).await;
    assert_eq!(reply.unwrap().payload, "3", "the third run answered");
    assert_eq!(replier.metrics.retries("run").get(), 2);
    let handler = replier.metrics.handler("*");
    assert_eq!((handler.ok.get(), handler.error.get()), (1, 0), "it is one request");

    let call = requester.ask(RawRequest::new(QUOTES, "3")).send();
    let error = bounded("the call", call).await.expect_err("the attempts are used up");
    assert_eq!(error.status().map(Status::code), Some(Code::Unavailable));
    assert_eq!((runs.total(), replier.metrics.retries("run").get()), (6, 4));
    eventually("both are committed", || committed(&broker, "repliers", QUOTES) == [2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_an_answer_is_given_at_once() {
    let broker = embedded(1);
    let (starts, runs) = (Arc::default(), Runs::default());
    let replier = retrying(&broker, failing(&starts, &runs, Code::NotFound), 9, 60_000).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let call = requester.ask(RawRequest::new(QUOTES, "1")).send();
    let error = bounded("the call", call).await.expect_err("a mistake");
    assert_eq!(error.status().map(Status::code), Some(Code::NotFound));
    assert_eq!((runs.total(), replier.metrics.retries("run").get()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_run_starts_past_the_callers_deadline() {
    let broker = embedded(1);
    let (starts, runs) = (Arc::default(), Runs::default());
    let _replier = retrying(&broker, failing(&starts, &runs, Code::Aborted), 100, 400).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    // On a slow day the first run may not start in time, or one that did is noted a while after that.
    // Runs that start late because nothing stops them do so each time.
    for round in 1.. {
        let deadline = Instant::now() + Duration::from_secs(1);
        let ask = requester.ask(RawRequest::new(QUOTES, "1000")).timeout(Duration::from_secs(1));
        // The last failure, or the end of the caller's patience, whichever came first.
        bounded("the call", ask.send()).await.expect_err("it never succeeds");
        // The hundred attempts would have lasted for some twenty seconds.
        let all = || committed(&broker, "repliers", QUOTES) == [round];
        eventually("it is committed", all).await;
        let starts = std::mem::take(&mut *starts.lock().unwrap());
        assert!(starts.len() < 100, "{} runs", starts.len());
        // The deadline travels in milliseconds, and was drawn a moment after ours.
        let late = Duration::from_millis(50);
        if !starts.is_empty() && starts.iter().all(|start| *start < deadline + late) {
            break;
        }
        assert!(round < 5, "{starts:?}, {deadline:?}");
    }
}
