//! Closed and open loops around any asynchronous call, as those of Antiphon's futures are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};

use crate::Outcome;
use crate::contract::{Figures, Order};
use crate::figures::Meter;

const LONGEST: Duration = Duration::from_secs(60);

/// What can be asked, many times at once.
pub(crate) trait Caller: Clone + Send + Sync + 'static {
    /// One call; whether it was answered.
    fn call(&self) -> impl Future<Output = Outcome> + Send;
}

pub(crate) async fn measure<C: Caller>(caller: &C, order: Order) -> Outcome<Figures> {
    match order.rate {
        None => closed(caller, order).await,
        Some(rate) => open(caller, order, rate).await,
    }
}

/// A task for each call in flight.
async fn closed<C: Caller>(caller: &C, order: Order) -> Outcome<Figures> {
    let mut meter = Meter::start();
    let next = Arc::new(AtomicU64::new(0));
    let (ended, mut results) = mpsc::unbounded_channel();
    for _ in 0..order.in_flight {
        let (next, ended, caller) = (Arc::clone(&next), ended.clone(), caller.clone());
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < order.requests {
                let started = Instant::now();
                latencies.push(answered(&caller).await.then(|| started.elapsed()));
            }
            let _ = ended.send(latencies);
        });
    }
    drop(ended);
    while let Some(latencies) = results.recv().await {
        for latency in latencies {
            note(&mut meter, latency);
        }
    }
    Ok(meter.finish())
}

/// A task for each call, started at its time.
async fn open<C: Caller>(caller: &C, order: Order, rate: f64) -> Outcome<Figures> {
    let mut meter = Meter::start();
    let room = Arc::new(Semaphore::new(order.in_flight));
    let (ended, mut results) = mpsc::unbounded_channel();
    let started = meter.started();
    let (caller, requests) = (caller.clone(), order.requests);
    tokio::spawn(async move {
        for number in 0..requests {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52 calls")]
            let due = started + Duration::from_secs_f64(number as f64 / rate);
            if due > Instant::now() {
                tokio::time::sleep_until(due.into()).await;
            }
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
            let (caller, ended) = (caller.clone(), ended.clone());
            tokio::spawn(async move {
                let latency = answered(&caller).await.then(|| due.elapsed());
                drop(place);
                let _ = ended.send(latency);
            });
        }
    });
    while let Some(latency) = results.recv().await {
        note(&mut meter, latency);
    }
    Ok(meter.finish())
}

async fn answered<C: Caller>(caller: &C) -> bool {
    match tokio::time::timeout(LONGEST, caller.call()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            eprintln!("a call failed: {error}");
            false
        }
        Err(_) => false,
    }
}

fn note(meter: &mut Meter, latency: Option<Duration>) {
    match latency {
        Some(latency) => meter.answered(latency),
        None => meter.failed(),
    }
}
