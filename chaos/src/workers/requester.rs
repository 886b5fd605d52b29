//! This program as a requester: it asks at a fixed rate whatever becomes of its calls, until its
//! standard input says so or ends.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CallError, CallErrorKind, Requester};
use antiphon_chaos::history::{Class, Id, Kind, Writer, now_us, payload_hash, us};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use super::orders::{Asking, Keys};
use super::payload::{self, Deed};
use super::{newcomers, vitals};
use crate::Outcome;

const TICK: Duration = Duration::from_millis(2);
/// How long calls may take to end beyond their time limit before the process gives up on them.
const BEYOND: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Asks until told to stop.
pub(crate) fn run(orders: &str) -> Outcome {
    let orders: Asking = serde_json::from_str(orders)?;
    antiphon_common::clock::set_ahead(orders.common.ahead_ms);
    let mut runtime = match orders.at_once {
        0 | 1 => Builder::new_multi_thread(),
        // What is asked at once also leaves at once: no other thread takes the first of it away.
        _ => Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(ask(orders))
}

async fn ask(orders: Asking) -> Outcome {
    let writer = Arc::new(Writer::create(&orders.common.folder, &orders.common.name)?);
    let metrics = RequesterMetrics::new();
    let in_flight = metrics.in_flight.clone();
    let counting = metrics.clone();
    let counts = move || {
        vec![
            ("late", counting.late_replies.get()),
            ("foreign", counting.foreign_replies.get()),
            ("malformed", counting.malformed_replies.get()),
        ]
    };
    let vitals =
        vitals::watch(&writer, move || u64::try_from(in_flight.get()).ok(), counts.clone());
    let requester = Requester::builder(orders.common.kafka())
        .reply_topic(format!("{}.replies", orders.common.topic))
        .settings(orders.settings.clone())
        .metrics(metrics.clone())
        .build()
        .await?;
    writer.note(Kind::Started)?;
    let told = stop_when_told();
    let pending = Arc::new(AtomicU64::new(0));
    let timeout = Duration::from_millis(orders.timeout_ms);
    // Unique among all processes of a run: when and where it began, and a number.
    let first = u128::from(now_us()) << 64 | u128::from(std::process::id()) << 32;
    newcomers::ask(&orders, &writer, first | 1 << 31).await?;
    let began = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    // What a pause of the process has missed is not made up for at once.
    let mut skipped = Duration::ZERO;
    let mut number = 0_u64;
    let mut last = Instant::now();
    while !*told.borrow() {
        ticks.tick().await;
        let gap = last.elapsed();
        if gap > Duration::from_secs(1) {
            skipped += gap;
        }
        last = Instant::now();
        let running = began.elapsed().saturating_sub(skipped);
        let due = running.as_micros() * u128::from(orders.rate) / 1_000_000;
        let due = due - due % u128::from(orders.at_once.max(1));
        while u128::from(number) < due {
            let id = Id(first | u128::from(number));
            let marked = number.is_multiple_of(10);
            let deed = if marked { orders.odd } else { Deed::Echo };
            let payload = payload::write(id, deed, orders.padding);
            let payload_hash = payload_hash(payload::said(payload.as_bytes()));
            let deadline_us = now_us() + us(timeout);
            writer.note(Kind::Invoke { id, deadline_us, payload_hash })?;
            let request = RawRequest::new(orders.common.topic.clone(), payload);
            let question = requester.ask(request).timeout(timeout);
            let call = match orders.keys {
                Keys::Own => question.key(number.to_string()),
                Keys::Turns(keys) => question.key((number % keys.max(1)).to_string()),
                Keys::Without => question,
            }
            .send();
            if orders.drops && marked {
                drop(call);
                writer.note(failure(id, Class::Unknown, "dropped", String::new()))?;
            } else {
                pending.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(end(id, call, Arc::clone(&writer), Arc::clone(&pending)));
            }
            number += 1;
        }
    }
    let limit = Instant::now() + timeout + BEYOND;
    while pending.load(Ordering::Acquire) > 0 && Instant::now() < limit {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let left = u64::try_from(metrics.in_flight.get()).ok();
    writer.note(Kind::Gauge(vitals::reading(&Handle::current(), left)))?;
    requester.close(Duration::ZERO).await;
    vitals.end(&writer, counts())
}

/// Writes down how a call ends.
async fn end(id: Id, call: Call<Reply>, writer: Arc<Writer>, pending: Arc<AtomicU64>) {
    if noted_end(id, call, &writer).await.is_err() {
        // Without a history nothing that follows can be judged.
        std::process::exit(1);
    }
    pending.fetch_sub(1, Ordering::Release);
}

/// The same, and says whether it could be written.
pub(super) async fn noted_end(id: Id, call: Call<Reply>, writer: &Writer) -> io::Result<()> {
    writer.note(match call.await {
        Ok(reply) => Kind::Ok { id, payload_hash: payload_hash(payload::said(&reply.payload)) },
        Err(error) => failure(id, class(&error), &code(&error), error.to_string()),
    })
}

fn failure(id: Id, class: Class, code: &str, text: String) -> Kind {
    Kind::Err { id, class, code: code.to_owned(), text }
}

fn class(error: &CallError) -> Class {
    match error.outcome() {
        antiphon::Outcome::NotSent => Class::NotSent,
        antiphon::Outcome::Executed => Class::Executed,
        antiphon::Outcome::Unknown => Class::Unknown,
    }
}

fn code(error: &CallError) -> String {
    match error.kind() {
        CallErrorKind::Status(status) => status.code().name().to_owned(),
        CallErrorKind::Timeout => "timeout".to_owned(),
        CallErrorKind::Produce(_) => "produce".to_owned(),
        CallErrorKind::RequestTopic(_) => "request_topic".to_owned(),
        CallErrorKind::Overloaded(_) => "overloaded".to_owned(),
        CallErrorKind::NotPositioned => "not_positioned".to_owned(),
        CallErrorKind::Closed => "closed".to_owned(),
        other => format!("{other:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned(),
    }
}

/// The parent says a line when it is time; the kernel closes the pipe when the parent dies.
fn stop_when_told() -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    std::thread::spawn(move || {
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            // Nobody is left who would read the history.
            Ok(0) | Err(_) => std::process::exit(1),
            Ok(_) => tell.send_replace(true),
        }
    });
    told
}
