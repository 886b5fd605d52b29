//! Repliers are restarted in turn, in good order, under a fixed rate of requests: none is lost, and
//! none is handled twice.

use std::time::{Duration, Instant};

use antiphon::config::ReplierSettings;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::effects::Effects;
use crate::kafka::Cluster;
use crate::load::{Load, Question};
use crate::replica::Replica;
use crate::report::Report;
use crate::tally::Tally;
use crate::worker::Orders;

const TOPIC: &str = "rolling";
const REPLICAS: i32 = 3;
const PARTITIONS: i32 = 12;
/// What is not measured at the start: clients look topics up and connect.
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Requests a second.
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// About how long the whole takes; the restarts themselves come on top.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    #[arg(long, default_value_t = 3)]
    brokers: usize,
    /// How long a handler takes, in milliseconds.
    #[arg(long, default_value_t = 1)]
    handler_ms: u64,
    /// The group protocol.
    #[arg(long, value_enum, default_value_t = Protocol::Consumer)]
    protocol: Protocol,
    /// Whether replicas keep their names, and so their partitions, over a restart.
    #[arg(long = "static", action = clap::ArgAction::Set, default_value_t = true)]
    is_static: bool,
    /// A librdkafka property of the repliers, as `name=value`.
    #[arg(short = 'X', long)]
    property: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Classic,
    Consumer,
}

pub(crate) async fn run(options: &Options) -> Outcome {
    let cluster = Cluster::start(options.brokers)?;
    cluster.topic(TOPIC, PARTITIONS)?;
    let effects = Effects::default();
    let mut replicas = Vec::new();
    for number in 1..=REPLICAS {
        replicas.push(Replica::start(options.orders(&cluster, number), &effects)?);
    }
    for replica in &mut replicas {
        replica.holds(PARTITIONS / REPLICAS).await?;
    }

    let load = Load::start(&cluster.0, TOPIC).await?;
    let stop = CancellationToken::new();
    let asking = tokio::spawn({
        let (load, stop, rate) = (load.clone(), stop.clone(), options.rate);
        async move { load.at_rate(rate, &stop, |number| Question::new(number.to_string())).await }
    });
    let quiet = Duration::from_secs(1) * options.seconds / 6;
    tokio::time::sleep(WARM_UP).await;
    let began = Instant::now();
    tokio::time::sleep(quiet).await;
    let mut restarts = Vec::new();
    for _ in 0..REPLICAS {
        let replica = replicas.remove(0);
        let (orders, from) = (replica.orders.clone(), Instant::now());
        replica.stop().await?;
        let stopped = from.elapsed();
        replicas.push(Replica::start(orders, &effects)?);
        for replica in &mut replicas {
            replica.holds(PARTITIONS / REPLICAS).await?;
        }
        restarts.push(Restart { from, stopped, until: Instant::now() });
        tokio::time::sleep(quiet).await;
    }
    stop.cancel();
    asking.await?;
    load.tally.settled().await;
    for replica in replicas {
        replica.stop().await?;
    }
    cluster.committed(TOPIC).await?;
    let tally = load.tally.clone();
    load.close().await;
    options.judge(&tally, &effects, began, &restarts).finish()
}

/// From the signal until all partitions are held as before.
struct Restart {
    from: Instant,
    /// How long the old process took to end.
    stopped: Duration,
    until: Instant,
}

impl Options {
    fn orders(&self, cluster: &Cluster, number: i32) -> Orders {
        let name = format!("replica-{number}");
        let instance_id = if self.is_static { name.clone() } else { String::new() };
        let settings = ReplierSettings { instance_id, ..Default::default() };
        let mut orders = cluster.orders(&name, TOPIC, &settings);
        orders.handler_ms = self.handler_ms;
        if self.protocol == Protocol::Consumer {
            orders.properties.insert("group.protocol".to_owned(), "consumer".to_owned());
        }
        let properties = self.property.iter().filter_map(|property| property.split_once('='));
        orders.properties.extend(properties.map(|(key, value)| (key.into(), value.into())));
        orders
    }

    fn judge(
        &self,
        tally: &Tally,
        effects: &Effects,
        began: Instant,
        restarts: &[Restart],
    ) -> Report {
        let mut report = Report::new("rolling");
        report.figure("rate_per_s", self.rate);
        report.figure("brokers", self.brokers);
        report.figure("protocol", format!("{:?}", self.protocol).to_lowercase());
        report.figure("static", self.is_static);
        report.calls(tally);
        report.figure("handler_runs", effects.total());
        report.figure("duplicate_runs", effects.repeated());
        report.promise("no request is handled twice", effects.repeated() == 0);

        let first = restarts.first().map_or(began, |restart| restart.from);
        let before = |at: Instant| at >= began && at < first;
        let during =
            |at: Instant| restarts.iter().any(|restart| at >= restart.from && at < restart.until);
        for (share, of_1000) in [("p50", 500), ("p99", 990), ("max", 1_000)] {
            for (when, took) in [
                ("before", tally.quantile(of_1000, before)),
                ("during", tally.quantile(of_1000, during)),
            ] {
                if let Some(took) = took {
                    report.rounded(&format!("{share}_ms_{when}"), took);
                }
            }
        }
        let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
        let mean = |of: fn(&Restart) -> Duration| {
            let count = u32::try_from(restarts.len()).unwrap_or(u32::MAX).max(1);
            milliseconds(restarts.iter().map(of).sum::<Duration>() / count)
        };
        report.rounded("stop_ms", mean(|restart| restart.stopped));
        report.rounded("restart_ms", mean(|restart| restart.until - restart.from));
        report
    }
}
