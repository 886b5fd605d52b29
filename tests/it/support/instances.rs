//! Requesters in processes of their own: the test binary once more, told by its environment that it
//! is to ask questions until it is stopped, and to report then. They end with the process that
//! started them.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use antiphon::config::{KafkaSettings, ReplyPartition, RequesterSettings};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RawRequest;
use antiphon::{CallErrorKind, Requester};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

use super::waiting::{LIMIT, bounded, eventually};

/// Holds the orders of an instance, as JSON.
const ORDERS: &str = "ANTIPHON_TEST_INSTANCE";
/// What comes before the lines of an instance that are for its parent.
const READY: &str = "instance is ready";
const REPORT: &str = "instance reports ";
/// What an instance says when its group cannot be joined.
const REFUSED: &str = "cannot lease a reply partition";
/// A call in so many goes where nobody answers.
const UNANSWERED: u64 = 40;

/// What an instance is to do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) bootstrap: String,
    pub(crate) properties: BTreeMap<String, String>,
    /// The request topic, whose repliers send the payload back.
    pub(crate) topic: String,
    pub(crate) replies: String,
    /// A request topic without repliers.
    pub(crate) void: Option<String>,
    pub(crate) callers: usize,
    /// The pause of each caller between two calls, and the time that a call may take.
    pub(crate) pace_ms: u64,
    pub(crate) timeout_ms: u64,
    /// Whether the instance is ready only when its group has refused it.
    pub(crate) until_refused: bool,
}

/// What has become of an instance's calls.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) calls: u64,
    pub(crate) answered: u64,
    /// Calls that should have been answered and were not.
    pub(crate) lost: u64,
    /// Calls that got something else than what they had sent.
    pub(crate) crossed: u64,
    /// Calls that did not end.
    pub(crate) endless: u64,
    /// Calls that nobody was to answer, and that ended otherwise than by their deadline.
    pub(crate) odd: u64,
    /// By how much the latest call ended after its deadline, in milliseconds.
    pub(crate) past_deadline_ms: u64,
    pub(crate) moves: u64,
    pub(crate) late_replies: u64,
    pub(crate) foreign_replies: u64,
    pub(crate) first_error: Option<String>,
}

impl Report {
    /// Adds another instance's report.
    pub(crate) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.answered += other.answered;
        self.lost += other.lost;
        self.crossed += other.crossed;
        self.endless += other.endless;
        self.odd += other.odd;
        self.past_deadline_ms = self.past_deadline_ms.max(other.past_deadline_ms);
        self.moves += other.moves;
        self.late_replies += other.late_replies;
        self.foreign_replies += other.foreign_replies;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// Fails unless every call ended, each as it should have.
    pub(crate) fn assert_clean(&self) {
        let faults = [self.lost, self.crossed, self.endless, self.odd, self.late_replies];
        assert_eq!(faults, [0; 5], "{self:?}");
        assert!(self.answered > 0, "{self:?}");
    }
}

/// An instance that runs.
pub(crate) struct Instance {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Instance {
    /// Starts an instance in a new process, by way of the test of this name, which must begin with
    /// [`take_part`]. Returns when its requester has started.
    pub(crate) async fn start(test: &str, orders: &Orders) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(ORDERS, serde_json::to_string(orders).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut instance = Self { child, lines };
        instance.line(READY).await;
        instance
    }

    /// Lets it end its calls and leave.
    pub(crate) async fn stop(mut self) -> Report {
        // Held until the end: the instance takes its close for the death of this process.
        let mut leash = self.child.stdin.take().unwrap();
        leash.write_all(b"stop\n").await.unwrap();
        let report = serde_json::from_str(&self.line(REPORT).await).unwrap();
        let ended = bounded("an instance ends", self.child.wait()).await.unwrap();
        assert!(ended.success(), "{ended}");
        drop(leash);
        report
    }

    /// Kills it in the midst of its calls.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// What follows `mark` in the next line that has it. Libtest's own words may come before.
    async fn line(&mut self, mark: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if let Some((_, rest)) = line.split_once(mark) {
                    return rest.to_owned();
                }
            }
            panic!("the instance ended without the line {mark:?}");
        };
        bounded("an instance says how it is", found).await
    }
}

/// Does what an instance has to do, if this process is one; otherwise returns `false` at once.
pub(crate) fn take_part() -> bool {
    let Ok(orders) = std::env::var(ORDERS) else { return false };
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    let stop = stop_when_told();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(ask_until(stop, orders));
    true
}

/// The parent holds the other end of standard input, and the kernel closes it with the parent.
fn stop_when_told() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    std::thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {
            told.cancel();
        }
        std::process::exit(1);
    });
    stop
}

/// The warnings of this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn contains(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(words)
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn ask_until(stop: CancellationToken, orders: Orders) {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let kafka = KafkaSettings::new(&orders.bootstrap);
    let kafka =
        orders.properties.iter().fold(kafka, |kafka, (name, value)| kafka.property(name, value));
    let settings = RequesterSettings { lease_after_ms: 100, ..Default::default() };
    let metrics = RequesterMetrics::new();
    let builder = Requester::builder(kafka).settings(settings).metrics(metrics.clone());
    let builder = builder.reply_topic(&orders.replies).reply_partition(ReplyPartition::Auto);
    let requester = builder.build().await.unwrap();

    let orders = Arc::new(orders);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..orders.callers {
        callers.spawn(call_until(stop.clone(), orders.clone(), requester.clone(), caller));
    }
    if orders.until_refused {
        eventually("the group refuses the instance", || log.contains(REFUSED)).await;
    }
    println!("\n{READY}");
    let mut report = Report::default();
    while let Some(ended) = callers.join_next().await {
        report.add(ended.unwrap());
    }
    requester.close(Duration::ZERO).await;
    report.moves = metrics.lease_moves.get();
    report.late_replies = metrics.late_replies.get();
    report.foreign_replies = metrics.foreign_replies.get();
    println!("\n{REPORT}{}", serde_json::to_string(&report).unwrap());
}

/// Asks one question after the other. The payload names the instance, the caller and the call, so
/// a reply to any other call is told by it.
async fn call_until(
    stop: CancellationToken,
    orders: Arc<Orders>,
    requester: Requester,
    caller: usize,
) -> Report {
    let mut report = Report::default();
    while !stop.is_cancelled() {
        let number = report.calls;
        report.calls += 1;
        let question = format!("{:?}/{caller}/{number}", requester.instance());
        let void = orders.void.as_ref().filter(|_| number % UNANSWERED == UNANSWERED - 1);
        let timeout = match void {
            Some(_) => Duration::from_millis(500),
            None => Duration::from_millis(orders.timeout_ms),
        };
        let ask = RawRequest::new(void.unwrap_or(&orders.topic).clone(), question.clone());
        let begun = Instant::now();
        let call = requester.ask(ask).key(question.clone()).timeout(timeout).send();
        let Ok(ended) = tokio::time::timeout(timeout + LIMIT, call).await else {
            report.endless += 1;
            continue;
        };
        let past = begun.elapsed().saturating_sub(timeout).as_millis();
        report.past_deadline_ms = report.past_deadline_ms.max(u64::try_from(past).unwrap());
        match (ended, void) {
            (Ok(reply), None) if reply.payload == question => report.answered += 1,
            (Ok(_), _) => report.crossed += 1,
            (Err(error), Some(_)) if matches!(error.kind(), CallErrorKind::Timeout) => {}
            (Err(error), void) => {
                *if void.is_some() { &mut report.odd } else { &mut report.lost } += 1;
                report.first_error.get_or_insert_with(|| error.to_string());
            }
        }
        tokio::time::sleep(Duration::from_millis(orders.pace_ms)).await;
    }
    report
}
