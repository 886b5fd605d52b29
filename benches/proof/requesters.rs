//! However many requesters share a reply topic, what they read for each reply stays the same: with
//! leases each has a partition of its own. Beside it, all read all of it, and the check must fail.
//!
//! The same load on more requesters comes in smaller batches, each in a response of its own, so that
//! more is read around the records. That is so for one requester with little to do as well. Hence
//! two checks: of the records, against one requester with all of the load; and of all bytes, against
//! one requester with as much to do as each of the many.

use std::time::{Duration, Instant};

use antiphon::Requester;
use antiphon::config::{KafkaSettings, ReplierSettings, ReplyPartition, RequesterSettings};
use antiphon::metrics::RequesterMetrics;
use clap::Args;
use futures::future::try_join_all;
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::effects::Effects;
use crate::kafka::Cluster;
use crate::load::{Load, Question};
use crate::replica::Replica;
use crate::report::Report;
use crate::statistics::{INTERVAL, Received};
use crate::tally::Tally;

/// Partitions of the request topic.
const PARTITIONS: i32 = 8;
const REPLY_PARTITIONS: i32 = 64;
/// How much more may be read for a reply than by one requester alone.
const FLAT: f64 = 1.25;
/// How long leases may take: the group lets in all that join at about the same time.
const LEASED: Duration = Duration::from_secs(120);
/// For how long nothing moves when leases are settled.
const SETTLED: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// So many times a measurement hears from each client.
const TOLD: u64 = 5;
/// Clients end behind a requester that is closed, and would report brokers that ended before them.
const CLOSED: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many requesters there are.
    #[arg(long, value_delimiter = ',', default_values_t = [4, 16, 64])]
    requesters: Vec<u32>,
    /// Requests per second of all requesters together.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// One measurement: so many requesters, and so much for all of them to do.
#[derive(Debug, Clone)]
struct Setting {
    name: String,
    routing: ReplyPartition,
    requesters: u32,
    rate: u32,
}

/// What a measurement found, for each reply.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// All bytes that reply readers received, and those of keys and values among them.
    bytes: f64,
    record_bytes: f64,
    records: f64,
    responses: f64,
    foreign: f64,
    /// Bytes that members of the group received.
    lease_bytes: f64,
    /// Processor time of all requesters, and of the broker.
    requester_us: f64,
    broker_us: f64,
}

/// What the measurements of a run have in common.
struct Run<'a> {
    cluster: Cluster,
    received: &'a Received,
    length: Duration,
}

pub(crate) async fn run(options: &Options, received: &Received) -> Outcome {
    let length = Duration::from_secs(options.seconds);
    let run = Run { cluster: Cluster::start(1)?, received, length };
    let mut report = Report::new("requesters");
    report.figure("rate", options.rate);
    let mut one = Setting::new("one", ReplyPartition::Auto, 1, options.rate);
    // The first requests of a broker's life are slow for whoever sends them.
    run.measure(&Setting { name: "warm_up".to_owned(), ..one.clone() }).await?;
    let all_load = run.report(&one, &mut report).await?;
    for &count in &options.requesters {
        one.rate = options.rate / count.max(1);
        one.name = format!("one_of_{count}");
        let as_much = run.report(&one, &mut report).await?;
        let leased = Setting::new("leased", ReplyPartition::Auto, count, options.rate);
        let leased = run.report(&leased, &mut report).await?;
        let shared = Setting::new("shared", ReplyPartition::Shared, count, options.rate);
        let shared = run.report(&shared, &mut report).await?;

        let records = |many: &Measured| many.record_bytes / all_load.record_bytes;
        let bytes = |many: &Measured| many.bytes / as_much.bytes;
        for (way, many) in [("leased", &leased), ("shared", &shared)] {
            report.rounded(&format!("{way}_{count}_record_bytes_ratio"), records(many));
            report.rounded(&format!("{way}_{count}_bytes_ratio"), bytes(many));
        }
        let flat = |many: &Measured| records(many) <= FLAT && bytes(many) <= FLAT;
        let what = format!("{count} requesters read {FLAT} times the bytes of one at most");
        report.promise(what, flat(&leased));
        let what = format!("{count} requesters read nothing but their own replies");
        report.promise(what, leased.foreign < 0.01 && leased.records < 1.01);
        let what = format!("the check is seen to fail where {count} requesters read everything");
        report.promise(what, records(&shared) > FLAT && bytes(&shared) > FLAT);
    }
    report.finish()
}

impl Setting {
    fn new(way: &str, routing: ReplyPartition, requesters: u32, rate: u32) -> Self {
        let name = if requesters == 1 { way.to_owned() } else { format!("{way}_{requesters}") };
        Self { name, routing, requesters, rate }
    }
}

impl Run<'_> {
    async fn report(&self, setting: &Setting, report: &mut Report) -> Outcome<Measured> {
        let (measured, lost) = self.measure(setting).await?;
        measured.tell(&setting.name, report);
        report.promise(format!("{}: every request is answered", setting.name), lost == 0);
        Ok(measured)
    }

    /// What was measured, and how many requests were not answered.
    async fn measure(&self, setting: &Setting) -> Outcome<(Measured, u64)> {
        let topic = format!("requesters-{}", setting.name);
        self.cluster.topic_with_replies(&topic, PARTITIONS, REPLY_PARTITIONS)?;
        let orders = self.cluster.orders("replier", &topic, &ReplierSettings::default());
        let mut replier = Replica::start(orders, &Effects::default())?;
        replier.holds(PARTITIONS).await?;
        let (metrics, tally) = (RequesterMetrics::new(), Tally::default());
        let starting =
            (0..setting.requesters).map(|_| self.requester(&topic, setting.routing, &metrics));
        let loads: Vec<Load> = try_join_all(starting)
            .await?
            .into_iter()
            .map(|requester| Load { requester, topic: topic.clone(), tally: tally.clone() })
            .collect();
        let stop = CancellationToken::new();
        let asking = tokio::spawn({
            let (loads, stop, rate) = (loads.clone(), stop.clone(), setting.rate);
            async move { Load::in_turn(&loads, rate, &stop, |n| Question::new(n.to_string())).await }
        });
        if setting.routing == ReplyPartition::Auto {
            leased(&metrics, setting.requesters).await?;
        }
        let measured = self.watch(setting.requesters, &metrics, &tally).await?;
        stop.cancel();
        asking.await?;
        tally.settled().await;
        for load in loads {
            load.close().await;
        }
        replier.stop().await?;
        tokio::time::sleep(CLOSED).await;
        Ok((measured, tally.lost()))
    }

    async fn requester(
        &self,
        topic: &str,
        routing: ReplyPartition,
        metrics: &RequesterMetrics,
    ) -> Outcome<Requester> {
        let every = self.length.as_millis() / u128::from(TOLD);
        let kafka =
            KafkaSettings::new(self.cluster.0.bootstrap()).property(INTERVAL, every.to_string());
        let settings =
            RequesterSettings { reply_partition: routing, ..RequesterSettings::default() };
        let building = Requester::builder(kafka)
            .reply_topic(format!("{topic}.replies"))
            .settings(settings)
            .metrics(metrics.clone());
        Ok(building.build().await?)
    }

    #[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 replies")]
    async fn watch(
        &self,
        requesters: u32,
        metrics: &RequesterMetrics,
        tally: &Tally,
    ) -> Outcome<Measured> {
        self.received.forget();
        let before = (own_cpu(), self.cluster.cpu()?, metrics.foreign_replies.get());
        let began = Instant::now();
        let per_second = tally.rate(self.length).await;
        let answered = per_second * began.elapsed().as_secs_f64();
        let (own, broker) = (own_cpu() - before.0, self.cluster.cpu()? - before.1);
        let foreign = metrics.foreign_replies.get() - before.2;
        let (readers, members) = self.received.rates();
        if readers.clients != usize::try_from(requesters)? {
            let clients = readers.clients;
            return Err(
                format!("{clients} of {requesters} reply readers told what they read").into()
            );
        }
        Ok(Measured {
            bytes: readers.bytes / per_second,
            record_bytes: readers.record_bytes / per_second,
            records: readers.records / per_second,
            responses: readers.responses / per_second,
            foreign: foreign as f64 / answered,
            lease_bytes: members.bytes / per_second,
            requester_us: own.as_secs_f64() * 1e6 / answered,
            broker_us: broker.as_secs_f64() * 1e6 / answered,
        })
    }
}

impl Measured {
    fn tell(&self, name: &str, report: &mut Report) {
        let figures = [
            ("bytes_per_reply", self.bytes),
            ("record_bytes_per_reply", self.record_bytes),
            ("records_per_reply", self.records),
            ("responses_per_reply", self.responses),
            ("foreign_per_reply", self.foreign),
            ("lease_bytes_per_reply", self.lease_bytes),
            ("requester_cpu_us", self.requester_us),
            ("broker_cpu_us", self.broker_us),
        ];
        for (what, figure) in figures {
            report.rounded(&format!("{name}_{what}"), figure);
        }
    }
}

/// Waits until each requester reads one partition, which is leased, and nothing moves any more.
async fn leased(metrics: &RequesterMetrics, requesters: u32) -> Outcome {
    let deadline = Instant::now() + LEASED;
    let state = || (metrics.leased_partitions.get(), metrics.reply_partitions.get());
    let wanted = (i64::from(REPLY_PARTITIONS), i64::from(requesters));
    let mut since = Instant::now();
    let mut moves = metrics.lease_moves.get();
    while since.elapsed() < SETTLED {
        if state() != wanted || metrics.lease_moves.get() != moves {
            (since, moves) = (Instant::now(), metrics.lease_moves.get());
        }
        if Instant::now() >= deadline {
            let (leased, read) = state();
            return Err(format!(
                "{requesters} requesters: {leased} partitions are leased and {read} are read after \
                 {LEASED:?}"
            )
            .into());
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    Ok(())
}

/// User and system time of this process, which is all requesters.
fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanoseconds)
}
