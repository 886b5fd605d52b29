//! `antiphon bench`: latency and throughput with a fixed number of calls in flight.

use std::time::{Duration, Instant};

use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RawRequest;
use antiphon::{CallError, Requester};
use clap::Args;

use crate::exit::{Failure, code_of};
use crate::latencies::Latencies;
use crate::load::{Ended, Load};
use crate::options::{Admin, Asking, Connection, duration};
use crate::report::{LatencyReport, LoadReport, histogram, per_call, rate};
use crate::service::Service;
use crate::{cpu, exit};

/// Measures a closed loop: a call that ends is replaced by the next.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The request topic.
    topic: String,
    /// How many requests to measure.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Measure for this long at most, such as 30s.
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// How many calls are in flight at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: u32,
    /// The bytes of each payload.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// How many requests come first and are not measured [default: a tenth, at most 10000].
    #[arg(long)]
    warm_up: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    connection: Connection,
}

struct Measured {
    latencies: Latencies,
    errors: u64,
    first_error: Option<CallError>,
}

impl Default for Measured {
    fn default() -> Self {
        Self { latencies: Latencies::new(), errors: 0, first_error: None }
    }
}

pub(crate) async fn run(bench: &Bench) -> Result<(), Failure> {
    let settings = bench.connection.settings()?;
    let service = Service::start(bench.admin.metrics.as_deref()).await?;
    let metrics = RequesterMetrics::new();
    metrics.register(&service.registry).map_err(|error| Failure::usage(error.to_string()))?;
    let requester = bench.asking.requester(&settings, &bench.topic, &metrics).await?;
    service.health.set_ready(true);

    let warm_up = bench.warm_up.unwrap_or((bench.requests / 10).min(10_000));
    let in_flight = bench.in_flight as usize;
    let warming = Load { requests: warm_up, in_flight, ..Load::default() };
    measure(bench, &requester, warming).await;
    let until = bench.duration.map(|duration| Instant::now() + duration);
    let (started, cpu_before) = (Instant::now(), cpu::used());
    let load = Load { requests: bench.requests, in_flight, until, ..Load::default() };
    let measured = measure(bench, &requester, load).await;
    let (elapsed, cpu_used) = (started.elapsed(), cpu::used().saturating_sub(cpu_before));

    let ok = measured.latencies.len();
    let requests = ok + measured.errors;
    let report = LoadReport {
        requests,
        ok,
        errors: measured.errors,
        in_flight,
        throughput_per_s: rate(ok, elapsed),
        latency: LatencyReport::of(&measured.latencies),
        cpu_us_per_request: per_call(cpu_used, requests),
    };
    print(bench, &report, &measured.latencies);
    match measured.first_error {
        None => Ok(()),
        Some(error) => {
            eprintln!("error: {} of {requests} calls failed; the first: {error}", measured.errors);
            Err(Failure::said(code_of(&error).max(exit::NOT_SENT)))
        }
    }
}

async fn measure(bench: &Bench, requester: &Requester, load: Load) -> Measured {
    let request = RawRequest::new(bench.topic.clone(), vec![b'x'; bench.size]);
    let folded = load
        .run(
            requester,
            move |requester, _| requester.ask(request.clone()).send(),
            |measured: &mut Measured, ended: Ended<Result<_, CallError>>| match ended.result {
                Ok(_) => measured.latencies.record(ended.latency),
                Err(error) => {
                    measured.errors += 1;
                    measured.first_error.get_or_insert(error);
                }
            },
        )
        .await;
    folded.into_iter().fold(Measured::default(), |mut all, part| {
        all.latencies.add(&part.latencies);
        all.errors += part.errors;
        all.first_error = all.first_error.or(part.first_error);
        all
    })
}

fn print(bench: &Bench, report: &LoadReport, latencies: &Latencies) {
    if bench.json {
        println!("{}", serde_json::to_string(report).expect("a report is plain data"));
        return;
    }
    println!(
        "{} requests, {} ok, {} in flight: {} requests/s, {} µs of processor time each",
        report.requests,
        report.ok,
        report.in_flight,
        report.throughput_per_s,
        report.cpu_us_per_request
    );
    println!("{}\n{}", report.latency.table(), histogram(latencies));
}
