//! A million calls that nobody answers leave nothing behind. The test runs in a process of its own,
//! so that what other tests allocate is not counted.

use std::process::{Command, Stdio};
use std::time::Duration;

use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CallErrorKind, Outcome, Requester};
use antiphon_testkit::TestBroker;

use crate::support::asking::{build, ended};
use crate::support::brokers::{QUOTES, REPLIES, settings};

const ALONE: &str = "ANTIPHON_TEST_ALONE";
const NAME: &str = "embedded::endurance::a_million_calls_that_nobody_answers_leave_nothing_behind";

const WARM_UP: u64 = 200_000;
const ALL: u64 = 1_000_000;
/// Calls that are under way at once.
const BATCH: u64 = 2_000;
/// Requests that may wait to be written. How far the broker is behind is not what is measured.
const QUEUE: u64 = 10_000;
/// What the process may grow by after the warm-up, in bytes. One leaked table entry a call would
/// be a multiple of it.
const GROWTH: usize = 24 * 1024 * 1024;

#[test]
fn a_million_calls_that_nobody_answers_leave_nothing_behind() {
    if std::env::var_os(ALONE).is_some() {
        end_with_the_parent();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        return runtime.worker_threads(1).enable_all().build().unwrap().block_on(endure());
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        // Few arenas: the allocator's own growth is not what is measured.
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let leash = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(leash);
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}\n{}", text[0], text[1]);
    assert!(text[0].contains("1 passed"), "the test was not found under its name:\n{}", text[0]);
}

async fn endure() {
    let broker = TestBroker::mock().topic(QUOTES, 1).topic(REPLIES, 1).start().unwrap();
    let kafka = settings(&broker).property("queue.buffering.max.messages", QUEUE.to_string());
    let builder = Requester::builder(kafka).reply_topic(REPLIES);
    let (requester, metrics) = build(builder).await;
    let mut sent = 0;
    let mut warm = 0;
    while sent < ALL {
        // Half of the calls are dropped as soon as they are sent, half end by their deadlines.
        let timeout = Duration::from_millis(if sent % (2 * BATCH) == 0 { 60_000 } else { 1 });
        let mut batch: Vec<Call<Reply>> = Vec::new();
        for _ in 0..BATCH {
            batch.push(send(&requester, timeout).await);
        }
        if timeout.as_millis() == 1 {
            for call in batch {
                let error = call.await.expect_err("nobody answers");
                assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
                assert_eq!(error.outcome(), Outcome::Unknown);
            }
        } else {
            drop(batch);
        }
        sent += BATCH;
        assert_eq!(requester.in_flight(), 0);
        if sent == WARM_UP {
            warm = resident();
        }
    }
    assert_eq!((metrics.cancelled.get(), metrics.timeouts.get()), (ALL / 2, ALL / 2));
    assert_eq!((metrics.in_flight.get(), ended(&metrics) - metrics.not_sent.get()), (0, ALL));
    let grown = resident().saturating_sub(warm);
    assert!(grown < GROWTH, "grew by {grown} bytes, from {warm}");
}

/// Sends a request, however often it takes: one that is refused because the producer's queue is
/// full, or because its millisecond was over before it began, does not count.
async fn send(requester: &Requester, timeout: Duration) -> Call<Reply> {
    loop {
        let call = requester.ask(RawRequest::new(QUOTES, "?")).timeout(timeout).send();
        if call.correlation_id().is_some() {
            return call;
        }
        let error = call.await.expect_err("it was refused");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The memory of this process that is in RAM, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The parent holds the other end of standard input, and the kernel closes it with the parent.
fn end_with_the_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
}
