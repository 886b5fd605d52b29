//! `antiphon-bench scaling-measure`: one requester, one replier and one broker at rising rates give
//! the figures that plans stand on; several of each tell how far plans can be believed.

use std::process::Command;
use std::thread;
use std::time::Duration;

use antiphon_testkit::{TestBroker, TopicSpec};
use clap::Args;

use super::bytes::Names;
use super::line::{Line, Point};
use super::log::Held;
use super::plan::{Cell, Costs, Demand, Machines};
use crate::Outcome;
use crate::contenders::{Contender, Role};
use crate::contract::{Figures, Order};
use crate::process::{Process, cpu};

const PAYLOAD: usize = 128;
const LARGE_PAYLOAD: usize = 4_096;
/// The rate at which the cost of payload is measured.
const COMMON_RATE: f64 = 20_000.0;
/// The first calls wait until the repliers have joined their group and the requesters theirs.
const FIRST: Duration = Duration::from_secs(90);
const WARM_UP_S: f64 = 4.0;
const MOST_AT_ONCE: usize = 100_000;
/// A plan's cost of a request that is off by more than this factor is reported as wrong.
const FAR_OFF: f64 = 1.5;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Requests per second.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000.0, 20_000.0, 40_000.0, 70_000.0, 100_000.0])]
    rates: Vec<f64>,
    /// The rate at which the cost of replicas is measured: a high one for three brokers.
    #[arg(long, default_value_t = 30_000.0)]
    replicated_rate: f64,
    /// About how long each measurement takes.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How often each is repeated; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// What takes part in a measurement.
#[derive(Debug, Clone, Copy)]
struct Size {
    repliers: u32,
    requesters: u32,
    rate: f64,
    payload: usize,
}

/// What was measured, for each request.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Requests per second that were reached.
    rate: f64,
    requester_us: f64,
    replier_us: f64,
    broker_us: f64,
    /// Batches for each record.
    requests: f64,
    replies: f64,
    /// Bytes of both records on disk, once.
    bytes: f64,
}

/// A size, and what was seen of it on so many brokers.
struct Check {
    brokers: u32,
    size: Size,
    seen: Seen,
}

pub(crate) fn measure(options: &Options) -> Outcome {
    let one = |rate| Size { repliers: 1, requesters: 1, rate, payload: PAYLOAD };
    let (mut points, mut checks) = (Vec::new(), Vec::new());
    let large;
    {
        let cluster = TestBroker::kafka().benchmark().start()?;
        // The first requests of a broker's life are slow for whoever sends them.
        options.seen(&cluster, one(COMMON_RATE), "warm-up")?;
        for &rate in &options.rates {
            points.push(options.seen(&cluster, one(rate), "curve")?);
        }
        let size = Size { payload: LARGE_PAYLOAD, ..one(COMMON_RATE) };
        large = options.seen(&cluster, size, "payload")?;
        let sizes = [(1, 1, 20_000.0), (2, 1, 20_000.0), (1, 4, 20_000.0), (2, 16, 20_000.0)];
        for (repliers, requesters, rate) in sizes {
            let size = Size { repliers, requesters, ..one(rate) };
            let seen = options.seen(&cluster, size, "check")?;
            checks.push(Check { brokers: 1, size, seen });
        }
    }
    let cluster = TestBroker::kafka().brokers(3).benchmark().start()?;
    options.seen(&cluster, one(COMMON_RATE), "warm-up")?;
    let replicated = options.seen(&cluster, one(options.replicated_rate), "replicas")?;
    for (repliers, requesters) in [(2, 1), (1, 4), (2, 4)] {
        let size = Size { repliers, requesters, ..one(options.replicated_rate) };
        let seen = options.seen(&cluster, size, "check")?;
        checks.push(Check { brokers: 3, size, seen });
    }
    let costs = costs(&points, large, replicated)?;
    tell(&points, &costs);
    judge(&checks, &costs)
}

/// The figures in the form of `measured`.
fn tell(points: &[Seen], costs: &Costs) {
    println!(
        "| requests/s | batches per request | per reply | requester µs | replier µs | broker µs |"
    );
    println!("|---|---|---|---|---|---|");
    for seen in points {
        let Seen { rate, requester_us, replier_us, broker_us, requests, replies, .. } = seen;
        println!(
            "| {rate:.0} | {requests:.3} | {replies:.3} | {requester_us:.1} | {replier_us:.1} | {broker_us:.1} |"
        );
    }
    for (name, line) in
        [("REQUESTER", costs.requester), ("REPLIER", costs.replier), ("BROKER", costs.broker)]
    {
        let Line { record_us, batch_us } = line;
        println!("{name}: Line {{ record_us: {record_us:.1}, batch_us: {batch_us:.0}.0 }}");
    }
    println!("REPLICA_US: {:.1}", costs.replica_us);
    let Costs { requester_kib_us, replier_kib_us, broker_kib_us, .. } = costs;
    println!("KIB_US: ({requester_kib_us:.1}, {replier_kib_us:.1}, {broker_kib_us:.1})");
    println!("INSTANCE_RATE: {:.0}", costs.instance_rate);
}

/// What the figures make of each size, beside what was seen.
fn judge(checks: &[Check], costs: &Costs) -> Outcome {
    println!(
        "| brokers | repliers | requesters | requests/s | a batch is collected for | requests in a batch of replies: planned | measured | CPU µs, requester + replier + broker: planned | measured | planned ÷ measured | bytes: planned | measured |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut far_off = 0;
    for Check { brokers, size, seen } in checks {
        let batch_s = seen.collected(*size);
        let cell = planned(*brokers, *size, seen, costs);
        let planned = cell.requester_us + cell.replier_us + cell.broker_us;
        let measured = seen.requester_us + seen.replier_us + seen.broker_us;
        let ratio = planned / measured;
        if !(1.0 / FAR_OFF..=FAR_OFF).contains(&ratio) {
            far_off += 1;
        }
        println!(
            "| {brokers} | {} | {} | {:.0} | {:.1} ms | {:.1} | {:.1} | {:.0} + {:.0} + {:.0} | {:.0} + {:.0} + {:.0} | {ratio:.2} | {:.0} | {:.0} |",
            size.repliers,
            size.requesters,
            seen.rate,
            batch_s * 1e3,
            cell.batches.replies.recip(),
            seen.replies.recip(),
            cell.requester_us,
            cell.replier_us,
            cell.broker_us,
            seen.requester_us,
            seen.replier_us,
            seen.broker_us,
            cell.bytes,
            seen.bytes,
        );
    }
    match far_off {
        0 => Ok(()),
        wrong => Err(format!("{wrong} plans are off by more than a factor of {FAR_OFF}").into()),
    }
}

/// The plan for a size. How long batches are collected is taken from the requests: it is as long as
/// the machine takes for the one before.
fn planned(brokers: u32, size: Size, seen: &Seen, costs: &Costs) -> Cell {
    let demand = Demand {
        rate: seen.rate,
        batch_s: seen.collected(size),
        // What the contender sends has no endpoint and no content type.
        names: Names {
            reply_topic: topic_name(size, 0).len() + 8,
            endpoint: None,
            content_type: None,
        },
        request_payload: size.payload,
        reply_payload: size.payload,
        handler_us: 0.0,
        replicas: f64::from(brokers.min(3)),
        retention_s: 0.0,
        requesters: None,
    };
    let (requesters, repliers) = (f64::from(size.requesters), f64::from(size.repliers));
    Cell::with(requesters, repliers, f64::from(brokers), &demand, &Machines::default(), costs)
}

/// The figures that plans stand on.
fn costs(points: &[Seen], large: Seen, replicated: Seen) -> Outcome<Costs> {
    let line = |micros: fn(&Seen) -> f64| {
        let point = |seen: &Seen| Point {
            batches: f64::midpoint(seen.requests, seen.replies),
            micros: micros(seen),
        };
        let points: Vec<Point> = points.iter().map(point).collect();
        Line::through(&points).ok_or("the rates are too few or too near to each other")
    };
    let mut costs = Costs {
        requester: line(|seen| seen.requester_us)?,
        replier: line(|seen| seen.replier_us)?,
        broker: line(|seen| seen.broker_us)?,
        replica_us: 0.0,
        requester_kib_us: 0.0,
        replier_kib_us: 0.0,
        broker_kib_us: 0.0,
        instance_rate: points.iter().map(|seen| seen.rate).fold(0.0, f64::max),
        ..Costs::measured()
    };
    let small = Size { repliers: 1, requesters: 1, rate: COMMON_RATE, payload: PAYLOAD };
    let without = planned(1, small, &large, &costs);
    let kib = f64::from(2 * u32::try_from(LARGE_PAYLOAD - PAYLOAD)?) / 1024.0;
    let per_kib = |seen: f64, without: f64| ((seen - without) / kib).max(0.0);
    let once = planned(3, small, &replicated, &costs);
    costs.requester_kib_us = per_kib(large.requester_us, without.requester_us);
    costs.replier_kib_us = per_kib(large.replier_us, without.replier_us);
    costs.broker_kib_us = per_kib(large.broker_us, without.broker_us);
    costs.replica_us = ((replicated.broker_us - once.broker_us) / 2.0).max(0.0);
    Ok(costs)
}

impl Options {
    /// The median of several rounds, by the sum of costs.
    fn seen(&self, cluster: &TestBroker, size: Size, why: &str) -> Outcome<Seen> {
        let rounds = (0..self.rounds.max(1)).map(|_| self.once(cluster, size));
        let mut rounds = rounds.collect::<Outcome<Vec<Seen>>>()?;
        rounds.sort_by(|a, b| a.total_us().total_cmp(&b.total_us()));
        let seen = rounds[rounds.len() / 2];
        eprintln!("{why}: {size:?}: {seen:?}");
        Ok(seen)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "numbers of calls are positive and far below 2^52"
    )]
    fn once(&self, cluster: &TestBroker, size: Size) -> Outcome<Seen> {
        let topic = topic_name(size, unique());
        let partitions = i32::try_from(4.max(2 * size.repliers))?;
        let reply_partitions = i32::try_from(4.max(2 * size.requesters))?;
        let replies = format!("{topic}.replies");
        cluster.create_topic_with(&TopicSpec::new(&topic).partitions(partitions))?;
        cluster.create_topic_with(&TopicSpec::new(&replies).partitions(reply_partitions))?;
        let role = Role {
            contender: Contender::Antiphon,
            bootstrap: cluster.bootstrap().to_owned(),
            topic: topic.clone(),
            payload: size.payload,
            acks: "all".to_owned(),
        };
        let start = |which: &'static str, number: u32| {
            let one = |_| Process::start(which, Command::new(std::env::current_exe()?), &role);
            (0..number).map(one).collect::<Outcome<Vec<Process>>>()
        };
        let repliers = start("replier", size.repliers)?;
        let mut requesters = start("requester", size.requesters)?;
        together(&mut requesters, Order { in_flight: 1, requests: 100, rate: None }, FIRST)?;
        let share = size.rate / f64::from(size.requesters);
        let limit = Duration::from_secs_f64(self.seconds * 20.0 + 60.0);
        let order = |seconds: f64| Order {
            in_flight: MOST_AT_ONCE,
            requests: ((share * seconds) as u64).max(1),
            rate: Some(share),
        };
        together(&mut requesters, order(WARM_UP_S), limit)?;
        let replier_cpu = || repliers.iter().map(Process::cpu).sum::<Outcome<Duration>>();
        let folder = cluster.data_dir().ok_or("the cluster has no folder")?;
        let on_disk = || -> Outcome<(Held, Held)> {
            Ok((Held::of(folder, &topic)?, Held::of(folder, &replies)?))
        };
        let held = on_disk()?;
        let before = (replier_cpu()?, broker_cpu(cluster)?);
        let figures = together(&mut requesters, order(self.seconds), limit)?;
        let replier = replier_cpu()?.saturating_sub(before.0);
        let broker = broker_cpu(cluster)?.saturating_sub(before.1);
        let now_held = on_disk()?;
        let (asked, answered) = (now_held.0 - held.0, now_held.1 - held.1);
        let requests = figures.iter().map(|figures| figures.requests).sum::<u64>().max(1) as f64;
        let seconds = figures.iter().map(|figures| figures.seconds).fold(0.0, f64::max);
        let replicas = cluster.brokers().min(3) as f64;
        Ok(Seen {
            rate: requests / seconds,
            requester_us: figures.iter().map(|figures| figures.cpu_us).sum::<u64>() as f64
                / requests,
            replier_us: replier.as_secs_f64() * 1e6 / requests,
            broker_us: broker.as_secs_f64() * 1e6 / requests,
            requests: asked.batches_per_record(),
            replies: answered.batches_per_record(),
            bytes: (asked.bytes + answered.bytes) as f64 / requests / replicas,
        })
    }
}

impl Seen {
    /// For how long each requester collected a batch, in seconds.
    fn collected(&self, size: Size) -> f64 {
        f64::from(size.requesters) / self.requests / self.rate
    }

    fn total_us(&self) -> f64 {
        self.requester_us + self.replier_us + self.broker_us
    }
}

/// Has all requesters measure at the same time.
fn together(requesters: &mut [Process], order: Order, limit: Duration) -> Outcome<Vec<Figures>> {
    thread::scope(|scope| {
        let measuring: Vec<_> = requesters
            .iter_mut()
            .map(|requester| scope.spawn(move || requester.measure(order, limit)))
            .collect();
        let figures =
            measuring.into_iter().map(|one| one.join().map_err(|_| "a thread panicked")?);
        figures.collect()
    })
}

fn broker_cpu(cluster: &TestBroker) -> Outcome<Duration> {
    (1..).take(cluster.brokers()).map(|node| cpu(cluster.process_id(node)?)).sum()
}

/// All have the same length, which is that of what is written.
fn topic_name(size: Size, number: u32) -> String {
    format!("scaling-{:02}-{:02}-{number:04}", size.repliers, size.requesters)
}

fn unique() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
