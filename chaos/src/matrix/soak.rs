//! A long run under random faults: three brokers, two repliers, and a requester that lives
//! throughout.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use antiphon_chaos::checker::Limits;
use antiphon_chaos::history::{Gauge, History, Kind};
use antiphon_testkit::TopicSpec;
use clap::Args;
use fastrand::Rng;

use super::caps::caps;
use super::stage::{Setup, Stage};
use super::witness::Witness;
use super::{PARTITIONS, STARTED, STEADY, Settings, count, is_answer, is_started, until};
use crate::faults::{leaders, records};
use crate::report::{self, Part};
use crate::{Outcome, judged};

const TOPIC: &str = "chaos-soak";
/// Two repliers with four handlers of 20 ms each can do 400 requests a second.
const REPLIERS: usize = 2;
const CONCURRENCY: usize = 4;
const HANDLER_MS: u64 = 20;
/// What part of that is asked for, in percent.
const LOAD: u64 = 60;
/// How long nothing is wrong between two faults, at least.
const REST: Duration = Duration::from_secs(10);
/// Memory may grow so fast in the second half of a life that is long enough to tell: over half an
/// hour that is 15 MiB.
const GROWTH_PER_S: f64 = 16_384.0;
/// At the end a fault is no longer begun, so that it can be recovered from.
const LAST: Duration = Duration::from_secs(60);

/// How long, and which faults.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// The faults are the same for the same seed; one is chosen and printed if none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// Keeps the histories in this folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Writes a page with the timeline to this file.
    #[arg(long)]
    report: Option<PathBuf>,
}

type Fault = (&'static str, fn(&mut Stage<'_>, &mut Rng) -> Outcome);

const FAULTS: [Fault; 8] = [
    ("a broker killed", |stage, random| {
        let node = random.i32(1..=3);
        stage.broker.kill(node)?;
        sleep(Duration::from_secs(random.u64(2..=10)));
        stage.broker.restart(node)?;
        leaders::settle(stage.bootstrap(), &stage.topic, 3, None)
    }),
    ("a broker frozen", |stage, random| {
        let node = random.i32(1..=3);
        stage.broker.pause(node)?;
        sleep(Duration::from_secs(random.u64(1..=8)));
        stage.broker.resume(node)?;
        leaders::settle(stage.bootstrap(), &stage.topic, 3, None)
    }),
    ("a replier killed", |stage, _| {
        stage.kill_replier()?;
        stage.add_replier()
    }),
    ("a replier replaced in good order", |stage, _| {
        stage.add_replier()?;
        stage.stop_replier()
    }),
    ("a replier stopped past its session", |stage, random| {
        stage.pause(true, Duration::from_secs(random.u64(7..=12)))
    }),
    ("the requester stopped", |stage, random| {
        stage.pause(false, Duration::from_secs(random.u64(1..=4)))
    }),
    ("forged replies", |stage, random| {
        let topic = format!("{}.replies", stage.topic);
        let rate = random.u32(500..=5_000);
        records::forge(stage.bootstrap(), &topic, rate, Duration::from_secs(3)).map(drop)
    }),
    ("malformed requests", |stage, _| records::poison(stage.bootstrap(), &stage.topic, 20)),
];

/// Runs, and fails if a guarantee was broken.
pub(crate) fn run(options: &Options) -> Outcome {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut random = Rng::with_seed(seed);
    let scratch = tempfile::tempdir()?;
    let folder = options.out.clone().unwrap_or_else(|| scratch.path().to_owned());
    fs::create_dir_all(&folder)?;
    eprintln!("soak: seed {seed}; three brokers start");
    let ground = super::ground::Ground::start(Settings::Fast, &[])?;
    let broker = &ground.broker;
    broker.create_topic_with(&TopicSpec::new(TOPIC).partitions(PARTITIONS))?;
    broker.create_topic_with(&TopicSpec::new(format!("{TOPIC}.replies")))?;
    let witness = Witness::start(&folder, broker.bootstrap(), TOPIC, (PARTITIONS, 1))?;
    let capacity = (REPLIERS * CONCURRENCY) as u64 * 1_000 / HANDLER_MS;
    let mut setup = Setup { repliers: REPLIERS, handler_ms: HANDLER_MS, ..Setup::default() };
    setup.rate = u32::try_from(capacity * LOAD / 100)?;
    setup.answering.concurrency = CONCURRENCY;
    eprintln!("soak: {} of {capacity} requests per second", setup.rate);
    let mut stage = Stage::new(&ground, folder.clone(), TOPIC.to_owned(), "0".to_owned(), setup)?;
    for _ in 0..REPLIERS {
        stage.add_replier()?;
    }
    until(STARTED, "the repliers to start", || count(&folder, "replier-2", is_started))?;
    stage.add_requester()?;
    until(STARTED, "an answer", || count(&folder, "requester-3", is_answer))?;
    sleep(STEADY);
    let end = Instant::now() + Duration::from_secs(options.minutes * 60);
    let mut number = 0_u32;
    while Instant::now() + LAST < end {
        number += 1;
        let (name, inject) = FAULTS[random.usize(..FAULTS.len())];
        eprintln!("soak: {:>5} s left, fault {number}: {name}", (end - Instant::now()).as_secs());
        stage.next_row(number.to_string());
        stage.fault(name)?;
        let injected = inject(&mut stage, &mut random);
        stage.healed()?;
        injected?;
        stage.check_alive()?;
        sleep(REST + Duration::from_millis(random.u64(..10_000)));
    }
    sleep(end.saturating_duration_since(Instant::now()));
    stage.stop_asking()?;
    stage.stop_repliers()?;
    witness.finish()?;
    judge(options, &folder, number)
}

fn judge(options: &Options, folder: &std::path::Path, faults: u32) -> Outcome {
    let limits = Limits {
        caps: caps(),
        memory_growth_per_s: Some(GROWTH_PER_S),
        growth_from_us: 300_000_000,
        clean_drain: false,
        reply_topics: vec![format!("{TOPIC}.replies")],
        ..Limits::default()
    };
    let verdict = judged::judge(folder, &limits)?;
    judged::tell(&verdict, &mut std::io::stdout())?;
    let counts = &verdict.counts;
    println!(
        "{faults} faults, {} requests, {} acknowledged, {} answered, {} lost, {} crossed, {} twice",
        counts.requests,
        counts.acknowledged,
        counts.answered,
        counts.lost,
        counts.cross_talk,
        counts.duplicates
    );
    holdings(&History::read(folder)?);
    let good = verdict.is_good();
    if let Some(path) = &options.report {
        let wrong = verdict.broken.keys().map(ToString::to_string).collect();
        let name = format!("{} minutes under random faults", options.minutes);
        let part = Part { name, verdict: Some(verdict), wrong };
        fs::write(path, report::page(&[part], &[]))?;
    }
    if good { Ok(()) } else { Err("a guarantee was broken".into()) }
}

/// What the requester, which lives throughout, held early and late: at a quarter of its life and
/// just before its end.
fn holdings(history: &History) {
    let readings: Vec<&Gauge> = history
        .events()
        .iter()
        .filter(|event| event.process.starts_with("requester"))
        .filter_map(|event| match &event.event {
            Kind::Gauge(gauge) => Some(gauge),
            _ => None,
        })
        .collect();
    for (when, at) in [("early", readings.len() / 4), ("late", readings.len().saturating_sub(2))] {
        if let Some(Gauge { in_flight, memory_bytes, fds, tasks, .. }) = readings.get(at) {
            println!(
                "requester {when}: {} in flight, {} KiB, {} file descriptors, {} tasks",
                in_flight.unwrap_or_default(),
                memory_bytes.unwrap_or_default() / 1024,
                fds.unwrap_or_default(),
                tasks.unwrap_or_default()
            );
        }
    }
}
