//! This program as a replier. It ends in good order on SIGTERM, and at once when its parent dies.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use antiphon::metrics::ReplierMetrics;
use antiphon::replier::{PartitionChange, PartitionEvent, RawReply, RawRequest, shutdown_signal};
use antiphon::{Context, Replier, Router, Status};
use antiphon_chaos::history::{Id, Kind, Writer, now_us, payload_hash, us};

use super::crash::Crash;
use super::orders::{Answering, CrashPoint};
use super::payload::{self, Deed};
use super::vitals;
use crate::Outcome;

/// How long a blocking handler holds its thread: longer than the watchdog allows.
const BLOCKED: Duration = Duration::from_millis(1_200);
/// More than a broker takes in one record by default, and more than a replier's own limit.
const TOO_LARGE: usize = 2_000_000;

/// Answers until told to stop.
pub(crate) fn run(orders: &str) -> Outcome {
    let orders: Answering = serde_json::from_str(orders)?;
    antiphon_common::clock::set_ahead(orders.common.ahead_ms);
    // More than the machine may have processors: a handler that blocks is to take one of several.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(4).enable_all().build()?.block_on(answer(orders))
}

async fn answer(orders: Answering) -> Outcome {
    std::thread::spawn(|| {
        // Ends with the parent, which never writes.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(1);
    });
    let writer = Arc::new(Writer::create(&orders.common.folder, &orders.common.name)?);
    let metrics = ReplierMetrics::new();
    let outstanding = metrics.outstanding.clone();
    let counting = metrics.clone();
    let counts = move || {
        vec![
            ("deleted", counting.deleted.get()),
            ("skipped", counting.skipped.get()),
            ("expired", counting.expired.get()),
            ("clock_skew", counting.clock_skew.get()),
            ("rebuilt", counting.transactions("rebuilt").get()),
            ("kept_replies", counting.duplicates("reply").get()),
            ("claims", counting.duplicates("claim").get()),
        ]
    };
    let in_flight = move || u64::try_from(outstanding.get()).ok();
    let vitals = vitals::watch(&writer, in_flight, counts.clone());
    let crash = Crash::prepare(orders.crash, Arc::clone(&writer), metrics.clone())?;
    let takes = Duration::from_millis(orders.handler_ms);
    let history = Arc::clone(&writer);
    let router = Router::new().handle_any(orders.common.topic.clone(), move |request, context| {
        let (history, crash) = (Arc::clone(&history), crash.clone());
        async move { handle(&history, &crash, takes, request, context).await }
    });
    let (ready, draining) = (Arc::clone(&writer), Arc::clone(&writer));
    let (partitions, requests) = (Arc::clone(&writer), orders.common.topic.clone());
    Replier::builder(orders.common.kafka())
        .settings(orders.settings.clone())
        .metrics(metrics)
        .on_ready(move |is_ready| {
            if is_ready && ready.note(Kind::Started).is_err() {
                std::process::exit(1);
            }
        })
        .on_partition(move |event| {
            if event.topic == requests {
                note_partition(&partitions, event);
            }
        })
        .service(router)
        .run(async move {
            shutdown_signal().await;
            if draining.note(Kind::Draining).is_err() {
                std::process::exit(1);
            }
        })
        .await?;
    vitals.end(&writer, counts())
}

fn note_partition(history: &Writer, event: PartitionEvent<'_>) {
    let (topic, partition) = (event.topic.to_owned(), event.partition);
    note(
        history,
        match event.change {
            PartitionChange::Assigned => Kind::Assigned { topic, partition },
            PartitionChange::Revoked => Kind::Revoked { topic, partition },
            PartitionChange::Lost => Kind::Lost { topic, partition },
            PartitionChange::Committed(offset) => Kind::CommitTold { topic, partition, offset },
            // What is not known here cannot be judged either.
            _ => return,
        },
    );
}

async fn handle(
    history: &Writer,
    crash: &Crash,
    takes: Duration,
    request: RawRequest,
    context: Context,
) -> Result<RawReply, Status> {
    let Some((id, deed)) = payload::read(&request.payload) else {
        return Err(Status::invalid_argument("no request of this run"));
    };
    crash.at(CrashPoint::BeforeHandler);
    note(history, started(id, &context));
    match deed {
        Deed::Echo | Deed::Large => {}
        Deed::Hang => std::future::pending().await,
        Deed::Block => std::thread::sleep(BLOCKED),
        Deed::Panic => panic!("{}", vitals::ASKED_TO),
    }
    if !takes.is_zero() {
        tokio::time::sleep(takes).await;
    }
    note(history, Kind::Effect { id });
    crash.at(CrashPoint::AfterEffect);
    match deed {
        Deed::Large => Ok(RawReply::new(vec![b'x'; TOO_LARGE])),
        _ => Ok(RawReply::new(request.payload)),
    }
}

fn started(id: Id, context: &Context) -> Kind {
    Kind::HandlerStart {
        id,
        attempt: context.attempt(),
        deadline_us: context.deadline().map(|deadline| now_us() + us(deadline.remaining())),
        topic: context.topic().to_owned(),
        partition: context.partition(),
        offset: context.offset(),
        key: context.key().map(|key| payload_hash(key)),
    }
}

/// An effect that cannot be written down must not be had.
fn note(history: &Writer, kind: Kind) {
    if history.note(kind).is_err() {
        std::process::exit(1);
    }
}
