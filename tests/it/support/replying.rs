//! Repliers that a test starts, waits for, and stops.

use antiphon::metrics::ReplierMetrics;
use antiphon::replier::{RawReply, RawRequest, ReplierBuilder, RunError};
use antiphon::{Context, Replier, Router, Status};
use antiphon_testkit::TestBroker;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::brokers::{embedded, settings};
use super::waiting::bounded;

/// A replier that runs.
pub(crate) struct Running {
    pub(crate) metrics: ReplierMetrics,
    ready: watch::Receiver<bool>,
    stop: CancellationToken,
    done: JoinHandle<Result<(), RunError>>,
}

/// Starts a replier of the group `repliers`, and waits until it is a member.
pub(crate) async fn start(broker: &TestBroker, router: Router) -> Running {
    run(Replier::builder(settings(broker)).group("repliers").service(router)).await
}

/// Starts a replier, and waits until it is a member of its group.
pub(crate) async fn run(builder: ReplierBuilder) -> Running {
    let (told, mut ready) = watch::channel(false);
    let metrics = ReplierMetrics::new();
    let stop = CancellationToken::new();
    // A test that no longer waits does not mind.
    let tell = move |is| _ = told.send(is);
    let builder = builder.metrics(metrics.clone()).on_ready(tell);
    let done = tokio::spawn(builder.run(stop.clone().cancelled_owned()));
    let running = Running { metrics, ready: ready.clone(), stop, done };
    if bounded("a replier gets ready", ready.wait_for(|ready| *ready)).await.is_err() {
        panic!("the replier ended instead of getting ready: {:?}", running.done.await);
    }
    running
}

impl Running {
    /// Whether it says that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.done.is_finished()
    }

    /// Asks it to drain, and waits until it has ended.
    pub(crate) async fn stop(self) -> Result<(), RunError> {
        self.stop.cancel();
        bounded("a replier drains and ends", self.done).await.unwrap()
    }
}

/// A broker and a replier, whose runtime the test itself is not on.
pub(crate) fn served(router: Router) -> (TestBroker, Running, Runtime) {
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let broker = embedded(2);
    let replier = runtime.block_on(start(&broker, router));
    (broker, replier, runtime)
}

/// Answers every request of a topic with its own payload.
pub(crate) fn echo(topic: &str) -> Router {
    Router::new().handle_any(topic, |request: RawRequest, _: Context| async move {
        Ok::<_, Status>(RawReply::new(request.payload))
    })
}

/// The same, once the gate is open.
pub(crate) fn gated_echo(topic: &str, gate: &CancellationToken) -> Router {
    let gate = gate.clone();
    Router::new().handle_any(topic, move |request: RawRequest, _: Context| {
        let gate = gate.clone();
        async move {
            gate.cancelled().await;
            Ok::<_, Status>(RawReply::new(request.payload))
        }
    })
}

/// Answers with the payload, except: `bad` is refused, and `silence` is not answered at all.
pub(crate) fn mixed(topic: &str) -> Router {
    Router::new().handle_any(topic, |request: RawRequest, _: Context| async move {
        match &request.payload[..] {
            b"bad" => Err(Status::not_found("bad")),
            b"silence" => std::future::pending().await,
            _ => Ok(RawReply::new(request.payload)),
        }
    })
}
