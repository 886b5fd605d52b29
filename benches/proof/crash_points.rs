//! A replier is killed at a certain point of one request, and another takes over: how often the
//! request is handled, how many replies there are, and what its caller gets.

use antiphon::config::{DedupeSettings, DedupeStore, ReplierSettings, TransactionSettings};
use antiphon::{Call, CallErrorKind};
use clap::{Args, ValueEnum};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::Outcome;
use crate::contract::{CrashPoint, Deed, Done};
use crate::effects::Effects;
use crate::kafka::Cluster;
use crate::load::{Load, Question};
use crate::replica::Replica;
use crate::report::Report;

/// The id of the request that the case is about.
const MARKED: &str = "marked";
/// The id of a request whose handler does not end in the replier that is killed.
const HELD: &str = "held";
/// So that offsets, or transactions, of the replier that is killed are not committed before that.
const NEVER_MS: u64 = 60_000;
const OUTSTANDING: &str = "antiphon_replier_outstanding";
const COMMIT_LAG: &str = "antiphon_replier_commit_lag";
const ANSWERED: &str = "antiphon_replier_requests_total{endpoint=act,outcome=ok}";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these modes; all if there are none.
    #[arg(long, value_enum)]
    mode: Vec<Mode>,
}

/// What protects a request from running twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Nothing.
    Plain,
    /// Durable dedupe.
    Durable,
    /// Durable dedupe, with a claim before the handler.
    Claim,
    /// Transactions.
    Transactions,
}

/// Where the replier is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The request is taken in, and waits for a place.
    Queued,
    BeforeEffect,
    AfterEffect,
    /// The caller has the reply.
    AfterReply,
    /// The caller has the reply and the offset is stored; in transactions, the handler has ended.
    BeforeCommit,
}

const POINTS: [Point; 5] = [
    Point::Queued,
    Point::BeforeEffect,
    Point::AfterEffect,
    Point::AfterReply,
    Point::BeforeCommit,
];

/// What a case comes to.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    runs: usize,
    replies: usize,
    caller: String,
}

pub(crate) async fn run(options: &Options) -> Outcome {
    let cluster = Cluster::start(1)?;
    let mut report = Report::new("crash-points");
    let mut table = Vec::new();
    for mode in Mode::value_variants() {
        if !options.mode.is_empty() && !options.mode.contains(mode) {
            continue;
        }
        // Each case mostly waits until the group has noticed the death, so they run side by side.
        let cases = POINTS.map(|point| case(&cluster, *mode, point));
        for (point, ended) in POINTS.into_iter().zip(join_all(cases).await) {
            let named = json!({ "mode": format!("{mode:?}"), "killed": format!("{point:?}") });
            let (figures, kept) = match ended {
                Ok((ended, again)) => {
                    let expected = expected(*mode, point);
                    let kept = ended == expected;
                    report
                        .promise(format!("{mode:?} {point:?}: {ended:?}, not {expected:?}"), kept);
                    (ended.figures(again), kept)
                }
                Err(error) => {
                    report.promise(format!("{mode:?} {point:?}: {error}"), false);
                    (json!({ "error": error.to_string() }), false)
                }
            };
            table.push(json!({ "case": named, "came_to": figures, "kept": kept }));
        }
    }
    report.figure("cases", table);
    report.finish()
}

/// What must come of a case. A request that was claimed before the death is not handled again:
/// nobody knows whether its effect has happened, and its caller is told so.
fn expected(mode: Mode, point: Point) -> Ended {
    let (runs, replies) = match (mode, point) {
        (_, Point::Queued) => (1, 1),
        (Mode::Claim, Point::BeforeEffect) => (0, 1),
        (_, Point::BeforeEffect) => (1, 1),
        (Mode::Claim, Point::AfterEffect) => (1, 1),
        (_, Point::AfterEffect) => (2, 1),
        (Mode::Plain, Point::AfterReply | Point::BeforeCommit) => (2, 2),
        // The second one is the first one's, kept; the caller takes the first that comes.
        (Mode::Durable | Mode::Claim, Point::AfterReply | Point::BeforeCommit) => (1, 2),
        (Mode::Transactions, Point::AfterReply) => (1, 1),
        (Mode::Transactions, Point::BeforeCommit) => (2, 1),
    };
    let claimed = mode == Mode::Claim && matches!(point, Point::BeforeEffect | Point::AfterEffect);
    let caller = if claimed { "ABORTED" } else { "OK" };
    Ended { runs, replies, caller: caller.to_owned() }
}

/// Tells what the case came to, and whether the handler ran in the second replier.
async fn case(cluster: &Cluster, mode: Mode, point: Point) -> Outcome<(Ended, bool)> {
    let topic = format!("{mode:?}-{point:?}").to_lowercase();
    cluster.topic(&topic, 1)?;
    let load = Load::start(&cluster.0, &topic).await?;
    let (before, after) = (Effects::default(), Effects::default());
    let mut first = start(cluster, &topic, mode, Some(point), &before)?;
    first.holds(1).await?;
    let held = (point == Point::Queued).then(|| load.send(Question::new(HELD).deed(Deed::Hold)));
    if held.is_some() {
        first.begun(HELD).await?;
    }
    let mut call = load.send(Question::new(MARKED).deed(Deed::Marked));
    let id = call.correlation_id().ok_or("the request was not sent")?;
    let mut caller = None;
    match point {
        Point::Queued => first.until("both taken in", |m| m.get(OUTSTANDING) >= 2.0).await?,
        Point::BeforeEffect | Point::AfterEffect => {}
        Point::BeforeCommit if mode == Mode::Transactions => {
            first.until("the handler has ended", |m| m.get(ANSWERED) >= 1.0).await?;
        }
        Point::AfterReply => caller = Some(outcome(&mut call).await),
        Point::BeforeCommit => {
            caller = Some(outcome(&mut call).await);
            first.until("the offset is stored", |m| m.get(COMMIT_LAG) >= 1.0).await?;
        }
    }
    match point {
        Point::BeforeEffect | Point::AfterEffect => first.killed().await?,
        _ => first.kill().await?,
    }

    let mut second = start(cluster, &topic, mode, None, &after)?;
    second.ready().await?;
    cluster.committed(&topic).await?;
    let caller = match caller {
        Some(caller) => caller,
        None => outcome(&mut call).await,
    };
    second.stop().await?;
    drop(held);
    load.close().await;
    let replies = cluster.replies(&topic)?;
    let replies = replies.iter().filter(|reply| reply.correlation_id == id.to_bytes()).count();
    let runs = before.of(MARKED) + after.of(MARKED);
    Ok((Ended { runs, replies, caller }, after.of(MARKED) > 0))
}

fn start(
    cluster: &Cluster,
    topic: &str,
    mode: Mode,
    killed_at: Option<Point>,
    effects: &Effects,
) -> Outcome<Replica> {
    let mut settings = ReplierSettings::default();
    if killed_at.is_some() {
        settings.commit_interval_ms = NEVER_MS;
    }
    if killed_at == Some(Point::Queued) {
        settings.concurrency = 1;
    }
    let durable =
        |claim| DedupeSettings { store: DedupeStore::Durable, claim, ..Default::default() };
    match mode {
        Mode::Plain => {}
        Mode::Durable => settings.dedupe = durable(false),
        Mode::Claim => settings.dedupe = durable(true),
        Mode::Transactions => {
            settings.transactions = TransactionSettings {
                enabled: true,
                id: format!("{topic}-1"),
                ..TransactionSettings::default()
            };
            if killed_at == Some(Point::BeforeCommit) {
                settings.transactions.interval_ms = NEVER_MS / 2;
                settings.transactions.timeout_ms = NEVER_MS;
            }
        }
    }
    let name = if killed_at.is_some() { "first" } else { "second" };
    let mut orders = cluster.orders(name, topic, &settings);
    // The shortest that brokers allow: the group waits so long for the one that was killed.
    orders.properties.insert("session.timeout.ms".to_owned(), "6000".to_owned());
    orders.holds = killed_at.is_some();
    orders.crash = match killed_at {
        Some(Point::BeforeEffect) => Some(CrashPoint::BeforeEffect),
        Some(Point::AfterEffect) => Some(CrashPoint::AfterEffect),
        _ => None,
    };
    Replica::start(orders, effects)
}

/// What the caller gets, in one word.
async fn outcome(call: &mut Call<Done>) -> String {
    match call.await {
        Ok(done) if done.id == MARKED => "OK".to_owned(),
        Ok(done) => format!("the reply to {}", done.id),
        Err(error) => match error.kind() {
            CallErrorKind::Status(status) => status.code().name().to_owned(),
            _ => error.to_string(),
        },
    }
}

impl Ended {
    fn figures(&self, again: bool) -> Value {
        json!({
            "handled_again": again,
            "effects": self.runs,
            "replies": self.replies,
            "caller": self.caller,
        })
    }
}
