//! A flood of forged replies, while calls go on: none of them ends a call, and none of them fills
//! the log.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use antiphon::config::{KafkaSettings, ReplyPartition, RequesterSettings};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RawRequest;
use antiphon::{CorrelationId, Requester};
use antiphon_testkit::TestBroker;
use serde::Deserialize;
use serde_json::json;

use crate::Outcome;
use crate::replier::READY;
use crate::role::{GO, Role};

/// How long the forger forges, and how fast it tries to.
pub(crate) const SECONDS: u64 = 10;
pub(crate) const FORGED_PER_SECOND: u64 = 100_000;
/// The payload of every forged reply.
pub(crate) const FORGED: &[u8] = b"forged";

const AT_A_TIME: usize = 64;
/// Calls that have ended before the flood: so many by a reply, and as many by a drop.
const ENDED: usize = 1_000;
/// What the log may grow by in a second: the library lets five warnings of a kind through, and says
/// how many it held back.
const LOG_LINES_PER_SECOND: f64 = 5.0;
/// How long the reader may take, after the flood, to have read it all.
const CATCH_UP: Duration = Duration::from_secs(120);

const TOPIC: &str = "flood";
const REPLIES: &str = "flood.replies";
const UNANSWERED: &str = "flood.unanswered";

/// What the forger says that it has written.
#[derive(Debug, Deserialize)]
struct Forged {
    forged: u64,
    seconds: f64,
    ours: u64,
    foreign: u64,
    malformed: u64,
}

pub(crate) fn run() -> Outcome {
    let lines = LogLines::default();
    let written = lines.clone();
    tracing_subscriber::fmt().with_writer(move || written.clone()).init();
    let broker = TestBroker::kafka()
        .benchmark()
        .topic(TOPIC, 4)
        .topic(REPLIES, 1)
        .topic(UNANSWERED, 1)
        .start()?;
    tokio::runtime::Runtime::new()?.block_on(measure(&broker, &lines))
}

async fn measure(broker: &TestBroker, lines: &LogLines) -> Outcome {
    let metrics = RequesterMetrics::new();
    let settings = RequesterSettings {
        reply_partition: ReplyPartition::Fixed(0),
        timeout_ms: 120_000,
        ..RequesterSettings::default()
    };
    let requester = Requester::builder(KafkaSettings::new(broker.bootstrap()))
        .reply_topic(REPLIES)
        .settings(settings)
        .metrics(metrics.clone())
        .build()
        .await?;
    let mut replier = Role::start(&["replier", broker.bootstrap(), TOPIC])?;
    if replier.line().map_err(plain)? != READY {
        return Err("the replier is not ready".into());
    }

    let asking = Asking::new(requester.clone());
    let ended = asking.end_some().await?;
    let instance = requester.instance().bits().to_string();
    let mut forger = Role::start(&["forger", broker.bootstrap(), REPLIES, &instance])?;
    for id in ended {
        forger.tell(&u128::from_be_bytes(id.to_bytes()).to_string())?;
    }
    let before = asking.answered();
    let started = Instant::now();
    forger.tell(GO)?;

    let workers: Vec<_> = (0..AT_A_TIME).map(|_| tokio::spawn(asking.clone().ask_on())).collect();
    let (forger, forged) = tokio::task::spawn_blocking(move || {
        let line = forger.line();
        (forger, line)
    })
    .await?;
    let forged: Forged = serde_json::from_str(&forged.map_err(plain)?)?;
    let during = asking.answered() - before;
    let seconds = started.elapsed().as_secs_f64();
    asking.stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await?;
    }

    // Two of the kinds are told apart by one bit that a forger guesses.
    let ours = || metrics.late_replies.get() + metrics.ticket_replies.get();
    let counted = || [ours(), metrics.foreign_replies.get(), metrics.malformed_replies.get()];
    let expected = [forged.ours, forged.foreign, forged.malformed];
    let deadline = Instant::now() + CATCH_UP;
    while counted() != expected && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds_to_read_all = started.elapsed().as_secs_f64();
    drop(forger);

    let [late, foreign, malformed] = counted();
    let (failed, wrong) = (asking.failed.get(), asking.wrong.get());
    println!(
        "{}",
        json!({
            "forged": forged.forged,
            "forged_per_s_wanted": FORGED_PER_SECOND,
            "forged_per_s": forged.forged as f64 / forged.seconds,
            "read_per_s": forged.forged as f64 / seconds_to_read_all,
            "calls_at_a_time": AT_A_TIME,
            "calls": asking.answered() - before,
            "calls_per_s": during as f64 / seconds,
            "failed": failed,
            "false_completions": wrong,
            "late": late,
            "foreign": foreign,
            "malformed": malformed,
            "log_lines": lines.0.get(),
            "in_flight_after": requester.in_flight(),
        })
    );
    let in_flight = requester.in_flight();
    requester.close(Duration::ZERO).await;
    if wrong > 0 || failed > 0 || in_flight > 0 {
        return Err("not every call got its own reply".into());
    }
    if [late, foreign, malformed] != expected {
        return Err(format!("forged were {expected:?}, late, foreign and malformed").into());
    }
    // Two seconds are for the start and the end.
    let allowed = LOG_LINES_PER_SECOND * (seconds_to_read_all + 2.0);
    if lines.0.get() as f64 > allowed {
        return Err(format!("the log may grow by {allowed} lines").into());
    }
    Ok(())
}

fn plain(error: Box<dyn Error + Send + Sync>) -> Box<dyn Error> {
    error
}

/// Calls, each with a payload of its own that its reply must have.
#[derive(Clone)]
struct Asking {
    requester: Requester,
    stop: Arc<AtomicBool>,
    made: Counter,
    answered: Counter,
    failed: Counter,
    wrong: Counter,
}

impl Asking {
    fn new(requester: Requester) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let [made, answered, failed, wrong] = std::array::from_fn(|_| Counter::default());
        Self { requester, stop, made, answered, failed, wrong }
    }

    /// Makes calls that end before it returns: half of them are answered, half are dropped.
    async fn end_some(&self) -> Result<Vec<CorrelationId>, Box<dyn Error>> {
        let mut ended = Vec::new();
        for _ in 0..ENDED {
            let dropped = self.requester.ask(RawRequest::new(UNANSWERED, "anybody?")).send();
            ended.extend(dropped.correlation_id());
            drop(dropped);
            ended.extend(self.ask().await);
        }
        if ended.len() != 2 * ENDED || self.answered() != ENDED as u64 {
            return Err("the calls before the flood were not answered".into());
        }
        Ok(ended)
    }

    /// Makes one call after the other, until told to stop.
    async fn ask_on(self) {
        while !self.stop.load(Ordering::Relaxed) {
            self.ask().await;
        }
    }

    async fn ask(&self) -> Option<CorrelationId> {
        let payload = format!("call {}", self.made.add());
        let call = self.requester.ask(RawRequest::new(TOPIC, payload.clone())).send();
        let id = call.correlation_id();
        match call.await {
            Ok(reply) if reply.payload == payload => self.answered.add(),
            Ok(_) => self.wrong.add(),
            Err(error) => {
                eprintln!("{error}");
                self.failed.add()
            }
        };
        id
    }

    fn answered(&self) -> u64 {
        self.answered.get()
    }
}

#[derive(Debug, Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Counter {
    fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where the log goes: it is counted, and shown.
#[derive(Debug, Clone, Default)]
struct LogLines(Counter);

impl io::Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add();
        io::stderr().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
