//! Replicas that answer in transactions are killed one after the other: each request has exactly one
//! committed reply.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use antiphon::config::{ReplierSettings, TransactionSettings};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::effects::Effects;
use crate::kafka::{Cluster, Replied};
use crate::load::{Load, Question};
use crate::replica::Replica;
use crate::report::Report;

const TOPIC: &str = "exactly-once";
const PARTITIONS: i32 = 6;
/// How long a transaction of a replica that was killed may keep others from being read.
const READ_ALL: Duration = Duration::from_secs(90);

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// Seconds between two kills.
    #[arg(long, default_value_t = 3)]
    kill_every: u64,
    /// Requests go on beyond their number until there were so many kills.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    #[arg(long, default_value_t = 3)]
    replicas: usize,
    /// Calls that wait at a time.
    #[arg(long, default_value_t = 256)]
    calls: usize,
    #[arg(long, default_value_t = 1)]
    brokers: usize,
    /// Answers without transactions, to see that this run can fail.
    #[arg(long)]
    without_transactions: bool,
}

pub(crate) async fn run(options: &Options) -> Outcome {
    let cluster = Cluster::start(options.brokers)?;
    cluster.topic(TOPIC, PARTITIONS)?;
    let effects = Effects::default();
    let mut replicas = Vec::new();
    for number in 1..=options.replicas {
        let settings = ReplierSettings {
            // With its name, one that comes back takes up its own partitions and transactions.
            instance_id: format!("replica-{number}"),
            transactions: TransactionSettings {
                enabled: !options.without_transactions,
                ..TransactionSettings::default()
            },
            ..ReplierSettings::default()
        };
        let orders = cluster.orders(&settings.instance_id, TOPIC, &settings);
        replicas.push(Replica::start(orders, &effects)?);
    }
    for replica in &mut replicas {
        replica.ready().await?;
    }

    let load = Load::start(&cluster.0, TOPIC).await?;
    let kills = Arc::new(AtomicU32::new(0));
    let asked = CancellationToken::new();
    let began = Instant::now();
    let asking = tokio::spawn({
        let (load, asked, kills) = (load.clone(), asked.clone(), Arc::clone(&kills));
        let (requests, wanted, calls) = (options.requests, options.kills, options.calls);
        async move {
            let more = |number| number < requests || kills.load(Ordering::Relaxed) < wanted;
            let next = |number: u64| more(number).then(|| Question::new(number.to_string()));
            load.at_a_time(calls, &CancellationToken::new(), next).await;
            asked.cancel();
        }
    });
    while !asked.is_cancelled() {
        tokio::select! {
            () = asked.cancelled() => break,
            () = tokio::time::sleep(Duration::from_secs(options.kill_every)) => {}
        }
        let replica = replicas.remove(0);
        let orders = replica.orders.clone();
        replica.kill().await?;
        kills.fetch_add(1, Ordering::Relaxed);
        replicas.push(Replica::start(orders, &effects)?);
    }
    asking.await?;
    load.tally.settled().await;
    let seconds = began.elapsed().as_secs_f64();
    cluster.committed(TOPIC).await?;
    let requests = load.tally.total();
    let replies = all_replies(&cluster, requests).await?;
    for replica in replicas {
        replica.stop().await?;
    }

    let mut report = Report::new("exactly-once");
    report.calls(&load.tally);
    load.close().await;
    report.figure("kills", kills.load(Ordering::Relaxed));
    report.rounded("seconds", seconds);
    report.figure("handler_runs", effects.total());
    let by_request = by_request(&replies);
    let once = by_request.values().filter(|count| **count == 1).count();
    let several = by_request.len() - once;
    report.figure("committed_replies", replies.len());
    report.figure("requests_with_one", once);
    report.figure("requests_with_several", several);
    report.figure("error_replies", replies.iter().filter(|r| r.status.is_some()).count());
    let all = u64::try_from(by_request.len())? == requests;
    report.promise("every request has a committed reply", all);
    report.promise("no request has two committed replies", several == 0);
    report.finish()
}

/// Reads until there is a reply to every request, or it has taken too long.
async fn all_replies(cluster: &Cluster, requests: u64) -> Outcome<Vec<Replied>> {
    let deadline = Instant::now() + READ_ALL;
    loop {
        let replies = cluster.replies(TOPIC)?;
        let found = u64::try_from(by_request(&replies).len())?;
        if found >= requests || Instant::now() >= deadline {
            return Ok(replies);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn by_request(replies: &[Replied]) -> HashMap<&[u8], usize> {
    let mut counts = HashMap::with_capacity(replies.len());
    for reply in replies {
        *counts.entry(&reply.correlation_id[..]).or_default() += 1;
    }
    counts
}
