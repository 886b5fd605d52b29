//! This program as a replier in a process of its own. It tells what its handlers do in lines on
//! standard output, each written by one call to the system, so that a kill loses none of them.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use antiphon::config::{KafkaSettings, ReplierSettings};
use antiphon::metrics::ReplierMetrics;
use antiphon::replier::shutdown_signal;
use antiphon::{Replier, Router};
use prometheus::Registry;
use rustix::process::{Signal, getpid, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::contract::{Act, Answer, CrashPoint, Deed, Done};

/// The lines that a worker writes begin with one of these.
pub(crate) const READY: &str = "ready";
pub(crate) const EFFECT: &str = "effect ";
pub(crate) const METRICS: &str = "metrics ";
pub(crate) const BEGUN: &str = "begun ";
/// The line that asks a worker for its metrics.
pub(crate) const TELL: &str = "tell";

/// How long a blocking handler holds its thread: several times the watchdog's limit.
const BLOCKED: Duration = Duration::from_millis(1_500);

/// What a handler says when it panics on request. It is not printed.
const ASKED_TO: &str = "it was asked to";

/// What a worker is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) name: String,
    pub(crate) bootstrap: String,
    /// librdkafka's properties.
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) settings: ReplierSettings,
    pub(crate) topic: String,
    /// How long a handler takes.
    pub(crate) handler_ms: u64,
    pub(crate) crash: Option<CrashPoint>,
    /// Whether requests that are to be held are.
    pub(crate) holds: bool,
}

pub(crate) async fn run(orders: &str) -> Outcome {
    let orders: Orders = serde_json::from_str(orders)?;
    let metrics = ReplierMetrics::new();
    let registry = Registry::new();
    metrics.register(&registry)?;
    obey_standard_input(registry);
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(ASKED_TO) {
            print(panic);
        }
    }));

    let kafka = KafkaSettings::new(&orders.bootstrap);
    let kafka =
        orders.properties.iter().fold(kafka, |kafka, (key, value)| kafka.property(key, value));
    let settings = orders.settings.clone();
    let (topic, orders) = (orders.topic.clone(), Arc::new(orders));
    let router = Router::new().handle_on(topic, move |act: Act| {
        let orders = Arc::clone(&orders);
        async move { handle(&orders, act).await }
    });
    Replier::builder(kafka)
        .settings(settings)
        .metrics(metrics)
        .on_ready(|ready| {
            if ready {
                say(READY);
            }
        })
        .service(router)
        .run(shutdown_signal())
        .await?;
    Ok(())
}

async fn handle(orders: &Orders, act: Act) -> Answer {
    let begun = now();
    match act.deed {
        Deed::Answer | Deed::Marked => {}
        Deed::Hold if !orders.holds => {}
        Deed::Hold | Deed::Hang => {
            say(&format!("{BEGUN}{}", act.id));
            std::future::pending::<()>().await;
        }
        Deed::Panic => panic!("{ASKED_TO}"),
        Deed::Block => std::thread::sleep(BLOCKED),
    }
    let crash = orders.crash.filter(|_| act.deed == Deed::Marked);
    if crash == Some(CrashPoint::BeforeEffect) {
        die();
    }
    tokio::time::sleep(Duration::from_millis(orders.handler_ms)).await;
    say(&format!("{EFFECT}{} {begun} {}", act.id, now()));
    if crash == Some(CrashPoint::AfterEffect) {
        die();
    }
    Ok(Done { id: act.id, by: orders.name.clone() })
}

/// One write, unless the pipe is full: Rust's standard output is buffered by lines.
fn say(line: &str) {
    let mut line = line.to_owned();
    line.push('\n');
    // If nobody reads any more then the run is over, and this process with it.
    let _ = io::stdout().lock().write_all(line.as_bytes());
}

/// Nanoseconds on the clock that all processes of a machine share.
fn now() -> i128 {
    let now = clock_gettime(ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

fn die() {
    if let Err(error) = kill_process(getpid(), Signal::KILL) {
        eprintln!("cannot kill myself: {error}");
        std::process::exit(1);
    }
}

/// The parent holds the other end, and the kernel closes it with the parent.
fn obey_standard_input(registry: Registry) {
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            match line {
                Ok(line) if line == TELL => say(&format!("{METRICS}{}", figures(&registry))),
                _ => break,
            }
        }
        std::process::exit(1);
    });
}

/// The counters and gauges, by their names and labels.
fn figures(registry: &Registry) -> String {
    let mut figures = BTreeMap::new();
    for family in registry.gather() {
        for metric in family.get_metric() {
            let labels = metric.get_label().iter().map(|l| format!("{}={}", l.name(), l.value()));
            let labels: Vec<String> = labels.collect();
            let name = match labels[..] {
                [] => family.name().to_owned(),
                _ => format!("{}{{{}}}", family.name(), labels.join(",")),
            };
            let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
            figures.insert(name, value);
        }
    }
    serde_json::json!(figures).to_string()
}
