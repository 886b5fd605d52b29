//! Two and four replicas do two and four times the work of one, when handlers are what takes the time.

use std::time::Duration;

use antiphon::config::ReplierSettings;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::effects::Effects;
use crate::kafka::Cluster;
use crate::load::{Load, Question};
use crate::replica::Replica;
use crate::report::Report;

const PARTITIONS: i32 = 8;
const EFFICIENCY: f64 = 0.9;
const WARM_UP: Duration = Duration::from_secs(2);
/// Calls that wait at a time, for each handler that can run.
const CALLS_PER_HANDLER: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each measurement takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many handlers run at once in a replica.
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    #[arg(long, default_value_t = 5)]
    handler_ms: u64,
}

pub(crate) async fn run(options: &Options) -> Outcome {
    let cluster = Cluster::start(1)?;
    let mut report = Report::new("scale-out");
    report.figure("concurrency", options.concurrency);
    report.figure("handler_ms", options.handler_ms);
    let mut alone = None;
    for replicas in [1, 2, 4] {
        let per_second = options.measure(&cluster, replicas, &mut report).await?;
        report.rounded(&format!("per_s_{replicas}"), per_second);
        let alone = *alone.get_or_insert(per_second);
        let efficiency = per_second / (f64::from(replicas) * alone);
        report.rounded(&format!("efficiency_{replicas}"), efficiency);
        let promise = format!("{replicas} replicas are {EFFICIENCY} as efficient as one");
        report.promise(promise, efficiency >= EFFICIENCY);
    }
    report.finish()
}

impl Options {
    async fn measure(&self, cluster: &Cluster, count: i32, report: &mut Report) -> Outcome<f64> {
        let topic = format!("scale-{count}");
        cluster.topic(&topic, PARTITIONS)?;
        let settings =
            ReplierSettings { concurrency: self.concurrency, ..ReplierSettings::default() };
        let effects = Effects::default();
        let mut replicas = Vec::new();
        for number in 1..=count {
            let mut orders = cluster.orders(&format!("replica-{number}"), &topic, &settings);
            orders.handler_ms = self.handler_ms;
            replicas.push(Replica::start(orders, &effects)?);
        }
        for replica in &mut replicas {
            replica.holds(PARTITIONS / count).await?;
        }
        let load = Load::start(&cluster.0, &topic).await?;
        let stop = CancellationToken::new();
        let calls = self.concurrency * CALLS_PER_HANDLER * replicas.len();
        let asking = tokio::spawn({
            let (load, stop) = (load.clone(), stop.clone());
            async move {
                // Partitions take turns, so that every replica has as much to do.
                let partition = |number| i32::try_from(number % 8).unwrap_or_default();
                let next = |number: u64| {
                    Some(Question::new(number.to_string()).partition(partition(number)))
                };
                load.at_a_time(calls, &stop, next).await;
            }
        });
        tokio::time::sleep(WARM_UP).await;
        let per_second = load.tally.rate(Duration::from_secs(self.seconds)).await;
        stop.cancel();
        asking.await?;
        load.tally.settled().await;
        for replica in replicas {
            replica.stop().await?;
        }
        let lost = load.tally.lost();
        load.close().await;
        report.promise(format!("{count} replicas answer every request"), lost == 0);
        Ok(per_second)
    }
}
