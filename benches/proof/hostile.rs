//! One partition is full of requests whose handlers hang, panic and block, and of records that are no
//! requests. The others go on, the group stays as it is, and each fault shows in the metrics.

use std::time::{Duration, Instant};

use antiphon::config::{Lane, ReplierSettings};
use antiphon::requester::RawRequest;
use antiphon::{CallErrorKind, Code};
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::contract::Deed;
use crate::effects::Effects;
use crate::kafka::Cluster;
use crate::load::{Load, Question, TIMEOUT};
use crate::replica::{Metrics, Replica};
use crate::report::Report;

const TOPIC: &str = "hostile";
const PARTITIONS: i32 = 4;
/// The partition that is full of trouble.
const TROUBLED: i32 = 0;
/// How long a handler may take: so long one that hangs does.
const HANDLER_TIMEOUT_MS: u64 = 2_000;
/// What is not measured at the start: clients look topics up and connect.
const WARM_UP: Duration = Duration::from_secs(2);
const REBALANCES: &str = "antiphon_replier_rebalances_total";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Good requests a second, over all partitions.
    #[arg(long, default_value_t = 400)]
    rate: u32,
    #[arg(long, value_enum, default_value_t = Order::Unordered)]
    lane: Order,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    Unordered,
    ByKey,
    ByPartition,
}

/// What was sent to the troubled partition, and what did not end as it should.
#[derive(Debug, Default)]
struct Trouble {
    rounds: u32,
    poison: usize,
    odd: Vec<String>,
    /// Rounds in which no good request of another partition was answered while one hung.
    halted: u32,
}

pub(crate) async fn run(options: &Options) -> Outcome {
    let cluster = Cluster::start(1)?;
    cluster.topic(TOPIC, PARTITIONS)?;
    let settings = ReplierSettings {
        lane: options.lane.lane(),
        concurrency: 64,
        handler_timeout_ms: HANDLER_TIMEOUT_MS,
        ..ReplierSettings::default()
    };
    let effects = Effects::default();
    let mut replica = Replica::start(cluster.orders("replica", TOPIC, &settings), &effects)?;
    replica.holds(PARTITIONS).await?;
    let others = Load::start(&cluster.0, TOPIC).await?;
    let troubled = others.apart();
    let before = (replica.metrics().await?, cluster.members(TOPIC)?);

    let stop = CancellationToken::new();
    let share = options.rate / PARTITIONS.unsigned_abs();
    let asking = [
        ask(&others, options.rate - share, &stop, |number| 1 + number % 3),
        ask(&troubled, share, &stop, |_| 0),
    ];
    tokio::time::sleep(WARM_UP).await;
    let mut trouble = Trouble::default();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(options.seconds) {
        trouble.round(&cluster, &troubled, &others).await?;
        replica.check_alive()?;
    }
    stop.cancel();
    for asking in asking {
        asking.await?;
    }
    others.tally.settled().await;
    troubled.tally.settled().await;
    cluster.committed(TOPIC).await?;
    let after = (replica.metrics().await?, cluster.members(TOPIC)?);
    replica.stop().await?;

    let mut report = Report::new("hostile");
    report.rounded("seconds", began.elapsed().as_secs_f64());
    report.figure("lane", format!("{:?}", options.lane));
    report.calls(&others.tally);
    report.figure("troubled_requests", troubled.tally.total());
    let lost = troubled.tally.lost();
    report.promise("good requests of the troubled partition are answered too", lost == 0);
    for (name, load) in [("others", &others), ("troubled", &troubled)] {
        for (share, of_1000) in [("p50", 500), ("p99", 990), ("max", 1_000)] {
            let took = load.tally.quantile(of_1000, |at| at >= began).unwrap_or_default();
            report.rounded(&format!("{name}_{share}_ms"), took);
        }
    }
    others.close().await;
    trouble.judge(&mut report);
    let rebalances = after.0.get(REBALANCES) - before.0.get(REBALANCES);
    report.rounded("rebalances", rebalances);
    report.figure("group", after.1.0.clone());
    report.promise("the group is kept", rebalances == 0.0 && after.1 == before.1);
    judge_metrics(&mut report, &after.0, &trouble);
    report.finish()
}

/// Good requests at a fixed rate, to the partition that is chosen for each.
fn ask(
    load: &Load,
    rate: u32,
    stop: &CancellationToken,
    choose: impl Fn(u64) -> u64 + Send + Sync + 'static,
) -> tokio::task::JoinHandle<()> {
    let (load, stop) = (load.clone(), stop.clone());
    tokio::spawn(async move {
        let next = |number: u64| {
            let partition = i32::try_from(choose(number)).unwrap_or_default();
            let id = format!("p{partition}/{number}");
            Question::new(id).key(number.to_string()).partition(partition)
        };
        load.at_rate(rate, &stop, next).await;
    })
}

impl Trouble {
    /// One of each at once, on the troubled partition, until all have ended.
    async fn round(&mut self, cluster: &Cluster, load: &Load, others: &Load) -> Outcome {
        let good = others.tally.good();
        self.rounds += 1;
        self.poison += cluster.poison(TOPIC, TROUBLED)?;
        let act = |deed: Deed| {
            let id = format!("{deed:?}");
            load.send(Question::new(id.clone()).key(id).partition(TROUBLED).deed(deed))
        };
        let nonsense = RawRequest::new(TOPIC, "{ nonsense").endpoint("act");
        let nonsense = load.requester.ask(nonsense).partition(TROUBLED).timeout(TIMEOUT).send();
        let (hung, panicked, blocked) = (act(Deed::Hang), act(Deed::Panic), act(Deed::Block));
        self.expect("panic", Some(Code::Internal), panicked.await.map(drop));
        self.expect("nonsense", Some(Code::InvalidArgument), nonsense.await.map(drop));
        self.expect("block", None, blocked.await.map(drop));
        self.expect("hang", Some(Code::DeadlineExceeded), hung.await.map(drop));
        self.halted += u32::from(others.tally.good() == good);
        Ok(())
    }

    fn expect(&mut self, what: &str, code: Option<Code>, ended: Result<(), antiphon::CallError>) {
        let told = match &ended {
            Ok(()) => Some(None),
            Err(error) => match error.kind() {
                CallErrorKind::Status(status) => Some(Some(status.code())),
                _ => None,
            },
        };
        if told != Some(code) && self.odd.len() < 10 {
            let how = ended.map_or_else(|error| error.to_string(), |()| "well".to_owned());
            self.odd.push(format!("{what} ended otherwise: {how}"));
        }
    }

    fn judge(&self, report: &mut Report) {
        report.figure("rounds", self.rounds);
        report.figure("poison_records", self.poison);
        report.figure("rounds_without_progress", self.halted);
        report.promise("others proceed while a handler hangs", self.halted == 0);
        for odd in &self.odd {
            report.promise(odd.clone(), false);
        }
    }
}

/// Each fault is counted as often as it happened.
fn judge_metrics(report: &mut Report, metrics: &Metrics, trouble: &Trouble) {
    let request =
        |outcome| format!("antiphon_replier_requests_total{{endpoint=act,outcome={outcome}}}");
    let rounds = f64::from(trouble.rounds);
    for outcome in ["timed_out", "panicked", "error"] {
        let count = metrics.get(&request(outcome));
        report.rounded(outcome, count);
        report.promise(format!("{outcome} is counted"), count >= rounds);
    }
    let blocked = metrics.get("antiphon_replier_runtime_blocked_total{endpoint=act}");
    report.rounded("runtime_blocked", blocked);
    report.promise("a blocked runtime is counted", blocked >= 1.0);
    let reasons = ["headers", "reply_headers", "reply_topic"];
    let reason = |reason| format!("antiphon_replier_rejected_total{{reason={reason}}}");
    let rejected: f64 = reasons.iter().map(|name| metrics.get(&reason(name))).sum();
    report.rounded("rejected", rejected);
    let poison = u32::try_from(trouble.poison).map_or(f64::INFINITY, f64::from);
    report.promise("every poison record is counted", rejected >= poison);
}

impl Order {
    fn lane(self) -> Lane {
        match self {
            Self::Unordered => Lane::Unordered,
            Self::ByKey => Lane::ByKey,
            Self::ByPartition => Lane::ByPartition,
        }
    }
}
