//! The lane by key does many times the work of the lane by partition, and keeps the order of each
//! key, also while partitions move to another replica and back.

use std::time::Duration;

use antiphon::config::{Lane, ReplierSettings};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::effects::Effects;
use crate::kafka::Cluster;
use crate::load::{Load, Question};
use crate::replica::Replica;
use crate::report::Report;
use crate::tally::Tally;

const PARTITIONS: i32 = 4;
const KEYS: u64 = 1_000;
/// So many requests with the same key come together: else they would be so far apart that no lane
/// could bring them out of order.
const TOGETHER: u64 = 4;
const TIMES: f64 = 10.0;
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each measurement takes, and each stage of the moves.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    #[arg(long, default_value_t = 5)]
    handler_ms: u64,
    /// Calls that wait at a time, several for each key.
    #[arg(long, default_value_t = 4_000)]
    calls: usize,
}

/// What a lane did.
struct Measured {
    per_second: f64,
    tally: Tally,
    effects: Effects,
}

pub(crate) async fn run(options: &Options) -> Outcome {
    let cluster = Cluster::start(1)?;
    let by_partition = options.measure(&cluster, Lane::ByPartition).await?;
    let by_key = options.measure(&cluster, Lane::ByKey).await?;

    let mut report = Report::new("lanes");
    report.figure("keys", KEYS);
    report.figure("partitions", PARTITIONS);
    report.figure("concurrency", options.concurrency);
    report.figure("handler_ms", options.handler_ms);
    report.rounded("by_partition_per_s", by_partition.per_second);
    report.rounded("by_key_per_s", by_key.per_second);
    let times = by_key.per_second / by_partition.per_second;
    report.rounded("times", times);
    report.promise(format!("by key is {TIMES} times as fast"), times >= TIMES);
    report.promise("by partition, every request is answered", by_partition.tally.lost() == 0);
    report.calls(&by_key.tally);
    for (lane, measured) in [("by_partition", &by_partition), ("by_key", &by_key)] {
        let disorder = measured.effects.disorder();
        report.figure(&format!("{lane}_overlaps"), disorder.overlaps);
        report.figure(&format!("{lane}_swaps"), disorder.swaps);
        report.figure(&format!("{lane}_duplicate_runs"), measured.effects.repeated());
        let ordered = disorder.overlaps + disorder.swaps == 0;
        report.promise(format!("{lane} keeps the order of each key"), ordered);
        report.promise(format!("{lane} handles each once"), measured.effects.repeated() == 0);
    }
    report.finish()
}

impl Options {
    async fn measure(&self, cluster: &Cluster, lane: Lane) -> Outcome<Measured> {
        let topic = format!("{lane:?}").to_lowercase();
        cluster.topic(&topic, PARTITIONS)?;
        let settings =
            ReplierSettings { lane, concurrency: self.concurrency, ..ReplierSettings::default() };
        let effects = Effects::default();
        let start = |name| {
            let mut orders = cluster.orders(name, &topic, &settings);
            orders.handler_ms = self.handler_ms;
            Replica::start(orders, &effects)
        };
        let mut first = start("first")?;
        first.holds(PARTITIONS).await?;
        let load = Load::start(&cluster.0, &topic).await?;
        let stop = CancellationToken::new();
        let asking = tokio::spawn({
            let (load, stop, calls) = (load.clone(), stop.clone(), self.calls);
            async move { load.at_a_time(calls, &stop, |number| Some(question(number))).await }
        });
        let stage = Duration::from_secs(self.seconds);
        tokio::time::sleep(WARM_UP).await;
        let per_second = load.tally.rate(stage).await;

        // Partitions move to another replica, and back.
        let mut second = start("second")?;
        second.holds(PARTITIONS / 2).await?;
        tokio::time::sleep(stage / 2).await;
        second.stop().await?;
        first.holds(PARTITIONS).await?;
        tokio::time::sleep(stage / 2).await;
        stop.cancel();
        asking.await?;
        load.tally.settled().await;
        first.stop().await?;
        let tally = load.tally.clone();
        load.close().await;
        Ok(Measured { per_second, tally, effects })
    }
}

/// Keys take turns, and each partition has as many of them.
fn question(number: u64) -> Question {
    let (turn, place) = (number / TOGETHER, number % TOGETHER);
    let (key, place) = (turn % KEYS, turn / KEYS * TOGETHER + place);
    let partition = i32::try_from(key).unwrap_or_default() % PARTITIONS;
    Question::new(format!("k{key}/{place}")).key(format!("k{key}")).partition(partition)
}
