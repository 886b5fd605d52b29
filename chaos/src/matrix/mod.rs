//! The fault matrix: each row steady, faulty, healed and recovered, and judged by its histories.

mod caps;
mod ground;
mod row;
mod rows;
pub(crate) mod soak;
mod stage;
mod witness;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use antiphon_chaos::checker::{Limits, Verdict, check};
use antiphon_chaos::history::{Class, History, Kind};
use antiphon_testkit::TopicSpec;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::faults::topics;
use crate::report::{self, Part};
use crate::{Outcome, judged};
use ground::Ground;
use row::Row;
use stage::{Setup, Stage};
use witness::Witness;

const PARTITIONS: i32 = 4;
const STEADY: Duration = Duration::from_secs(5);
const RECOVERY: Duration = Duration::from_secs(30);
/// At least so long the load goes on after the healing.
const AFTER: Duration = Duration::from_secs(4);
const STARTED: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Which rows, and how.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The numbers of the rows, or single ones such as `11-dedupe`, separated by commas; all if there
    /// are none.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// How soon brokers notice that one is lost.
    #[arg(long, value_enum, default_value_t = Settings::Fast)]
    settings: Settings,
    /// Writes the figures here too, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keeps the histories in this folder, one folder for each row.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Lets row 10 last its whole two minutes.
    #[arg(long)]
    long: bool,
    /// Writes a page with a timeline of each row to this file.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Settings {
    /// Within about two seconds.
    Fast,
    /// As Kafka does it by default: about nine.
    Default,
}

/// Runs the rows, prints a line for each, and fails if one came out otherwise than expected.
pub(crate) fn run(options: &Options) -> Outcome {
    let mut rows = rows::all();
    if let Some(unknown) = options.rows.iter().find(|wanted| !rows.iter().any(|row| row.is(wanted)))
    {
        return Err(format!("--rows: there is no row {unknown} to run; see docs/chaos.md").into());
    }
    rows.retain(|row| options.rows.is_empty() || options.rows.iter().any(|wanted| row.is(wanted)));
    let scratch = tempfile::tempdir()?;
    let folder = options.out.clone().unwrap_or_else(|| scratch.path().to_owned());
    if let Some(there) = rows.iter().map(|row| folder.join(topic(row))).find(|there| there.exists())
    {
        let there = there.display();
        return Err(format!("--out: {there} is there already; remove it, or name another").into());
    }
    eprintln!("chaos: three brokers start");
    let ground = Ground::start(options.settings, &rows)?;
    println!(
        "{:<17} {:<54} {:>8} {:>8} {:>5} {:>6} {:>6} {:>6} {:>8} {:>8} verdict",
        "row",
        "fault",
        "requests",
        "acked",
        "lost",
        "crossed",
        "twice",
        "errors",
        "stall/ms",
        "back/ms"
    );
    let (mut failed, mut results, mut parts) = (0, Vec::new(), Vec::new());
    let mut not_run = Vec::new();
    for row in &rows {
        if let Some(lack) = ground.lack(row) {
            not_run.push((row.id(), lack));
            continue;
        }
        eprintln!("chaos: row {}: {}", row.id(), row.name);
        let ended = perform(row, &ground, &folder, options.long);
        let (verdict, wrong) = match ended {
            Ok(verdict) => {
                let wrong = row.judge(&verdict);
                (Some(verdict), wrong)
            }
            Err(error) => (None, vec![error.to_string()]),
        };
        failed += usize::from(!wrong.is_empty());
        line(row, verdict.as_ref(), &wrong);
        if let Some(broken) = verdict.as_ref().filter(|verdict| !verdict.is_good()) {
            judged::tell(broken, &mut std::io::stderr())?;
        }
        results.push(json!({
            "row": row.id(), "fault": row.name, "verdict": verdict, "wrong": wrong,
        }));
        let name = format!("{} {}", row.id(), row.name);
        parts.push(Part { name, verdict, wrong });
    }
    for (rows, why) in rows::UNTESTED {
        println!("untested: row {rows}: {why}");
    }
    let passed = parts.len() - failed;
    if not_run.is_empty() {
        println!("{passed} passed, {failed} failed");
    } else {
        for (row, why) in &not_run {
            println!("untested: row {row}: {why}");
        }
        println!("{passed} passed, {failed} failed, {} NOT RUN", not_run.len());
    }
    if let Some(path) = &options.json {
        let untested: Vec<_> =
            rows::UNTESTED.iter().map(|(rows, why)| json!({ "rows": rows, "why": why })).collect();
        let not_run: Vec<_> =
            not_run.iter().map(|(row, why)| json!({ "row": row, "why": why })).collect();
        let all = json!({ "rows": results, "untested": untested, "not_run": not_run });
        File::create(path)?.write_all(serde_json::to_string_pretty(&all)?.as_bytes())?;
    }
    if let Some(path) = &options.report {
        File::create(path)?.write_all(report::page(&parts, rows::UNTESTED).as_bytes())?;
    }
    match failed {
        0 if !options.rows.is_empty() && !not_run.is_empty() => {
            Err(format!("{} rows that were asked for could not be run", not_run.len()).into())
        }
        0 => Ok(()),
        _ => Err(format!("{failed} rows failed").into()),
    }
}

/// The request topic of a row, and the name of its folder.
fn topic(row: &Row) -> String {
    format!("chaos-{}", row.id())
}

fn perform(row: &Row, ground: &Ground, folder: &Path, long: bool) -> Outcome<Verdict> {
    let broker = &ground.broker;
    for node in 1..=3 {
        if !broker.is_running(node)? {
            // An earlier row failed amid its fault.
            broker.restart(node)?;
        }
    }
    let topic = topic(row);
    let folder = folder.join(&topic);
    fs::create_dir_all(&folder)?;
    broker.create_topic_with(&TopicSpec::new(&topic).partitions(PARTITIONS))?;
    let mut setup = Setup::default();
    (row.setup)(&mut setup);
    let reply_partitions = setup.reply_partitions;
    let replies = TopicSpec::new(format!("{topic}.replies")).partitions(reply_partitions);
    broker.create_topic_with(&replies)?;
    if let Some(kept) = setup.answering.dedupe.topic_of(&topic) {
        let kept = TopicSpec::new(kept).partitions(PARTITIONS);
        broker.create_topic_with(&kept.config("cleanup.policy", "compact,delete"))?;
    }
    let partitions = (PARTITIONS, reply_partitions);
    let witness = Witness::start(&folder, broker.bootstrap(), &topic, partitions)?;
    let limits = row.limits(&topic);
    let mut stage = Stage::new(ground, folder.clone(), topic, row.id(), setup)?;
    stage.is_long = long;
    stage.witness = Some(witness.changes());
    for _ in 0..stage.setup.repliers {
        stage.add_replier()?;
    }
    for number in 1..=stage.setup.repliers {
        // The first one may be the last to be there, and is the one that most faults are for.
        let replier = format!("replier-{number}");
        until(STARTED, "the repliers to start", || count(&folder, &replier, is_started))?;
    }
    stage.add_requester()?;
    until(STARTED, "an answer", || count(&folder, "requester-3", is_answer))?;
    sleep(STEADY);
    stage.fault(row.name)?;
    let faulty = (row.fault)(&mut stage);
    stage.healed()?;
    faulty?;
    sleep(AFTER);
    let end = Instant::now() + RECOVERY;
    while Instant::now() < end {
        // What has not ended yet is not judged yet.
        let so_far = Limits { is_complete: false, ..limits.clone() };
        let verdict = check(&History::read(&folder)?, &so_far);
        if verdict.faults.iter().all(|fault| fault.is_recovered) {
            break;
        }
        sleep(LOOK_AGAIN);
    }
    stage.check_alive()?;
    stage.stop_asking()?;
    // What waits in the topic is neither lost nor judged before repliers have come to it. If they do
    // not, it is for the checker to say what that was.
    let _ = until(RECOVERY, "repliers to come to the last request", || {
        topics::is_read(broker.bootstrap(), &stage.topic, &stage.topic)
    });
    stage.stop_repliers()?;
    witness.finish()?;
    judged::judge(&folder, &limits)
}

fn is_started(kind: &Kind) -> bool {
    matches!(kind, Kind::Started)
}

fn is_answer(kind: &Kind) -> bool {
    matches!(kind, Kind::Ok { .. })
}

/// Whether a process has written such an event.
fn count(folder: &Path, process: &str, is: fn(&Kind) -> bool) -> bool {
    History::read(folder).is_ok_and(|history| {
        history.events().iter().any(|event| event.process == process && is(&event.event))
    })
}

fn until(limit: Duration, what: &str, is: impl Fn() -> bool) -> Outcome {
    let end = Instant::now() + limit;
    while !is() {
        if Instant::now() > end {
            return Err(format!("waited {limit:?} for {what}").into());
        }
        sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn line(row: &Row, judged: Option<&Verdict>, wrong: &[String]) {
    let said = if wrong.is_empty() { "ok".to_owned() } else { wrong.join("; ") };
    let (id, name) = (row.id(), row.name);
    let Some(Verdict { counts, faults, .. }) = judged else {
        return println!("{id:<17} {name:<54} did not come to its end: {said}");
    };
    let back = faults.first().and_then(|fault| fault.recovery_us);
    let back = back.map_or_else(|| "never".to_owned(), |us| (us / 1_000).to_string());
    let count = |class| counts.errors.get(&class).copied().unwrap_or_default();
    let errors = [Class::NotSent, Class::Unknown, Class::Executed].map(count);
    println!(
        "{id:<17} {name:<54} {:>8} {:>8} {:>5} {:>6} {:>6} {:>6} {:>8} {back:>8} {said}",
        counts.requests,
        counts.acknowledged,
        counts.lost,
        counts.cross_talk,
        counts.duplicates,
        errors.iter().sum::<usize>(),
        counts.longest_stall_us / 1_000,
    );
}
