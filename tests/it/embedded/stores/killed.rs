//! A process that submits is killed by SIGKILL: what its store has kept ends exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use antiphon::config::{KafkaSettings, ReplyPartition};
use antiphon::requester::{EmbeddedStore, RawRequest, Recovered};
use antiphon::{CallErrorKind, Requester};
use antiphon_testkit::TestBroker;
use futures::StreamExt;
use futures::stream;
use serde::{Deserialize, Serialize};

use super::{recover, with};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::read_all;
use crate::support::replying::{Running, echo, start};
use crate::support::waiting::bounded;

/// Holds the orders of the process that is to be killed, as JSON.
const ORDERS: &str = "ANTIPHON_TEST_SUBMITTER";
/// What comes before the lines that are for its parent.
const SUBMITTED: &str = "submitted ";
/// How many it has submitted when it is killed.
const ENOUGH: usize = 300;
/// A request that was kept and never sent ends by this.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize)]
struct Orders {
    bootstrap: String,
    properties: BTreeMap<String, String>,
    store: PathBuf,
    /// Comes before the number of each question, so that those of several processes differ.
    name: String,
}

/// Runs twice: as the test, and as the process that the test starts and kills.
#[test]
fn what_a_killed_process_has_kept_ends_exactly_once() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    };
    if let Ok(orders) = std::env::var(ORDERS) {
        let orders = serde_json::from_str(&orders).unwrap();
        return runtime().block_on(submit_until_killed(orders));
    }
    runtime().block_on(async {
        let broker = embedded(2);
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("pending");
        let replier: Running = start(&broker, echo(QUOTES)).await;
        // The second one finds what the first has left, and leaves it alone.
        let mut submitted = run_and_kill(&broker, &store, "a");
        submitted.extend(run_and_kill(&broker, &store, "b"));

        let (requester, metrics) = with(&broker, EmbeddedStore::open(&store).unwrap()).await;
        let recovered = recover(&requester).await;
        assert_ends(&broker, &submitted, &recovered);
        let scans = metrics.ticket_scans.get();
        assert_eq!(scans, 1, "one scan for {} requests", recovered.len());
        // Settled in part, and then this process is gone as well.
        let (settled, left) = recovered.split_at(recovered.len() / 2);
        for one in settled {
            requester.settle(one.entry.correlation_id).await.unwrap();
        }
        requester.close(Duration::ZERO).await;

        let (requester, _) = with(&broker, EmbeddedStore::open(&store).unwrap()).await;
        let again = recover(&requester).await;
        let notes = |all: &[Recovered]| -> Vec<Vec<u8>> {
            all.iter().map(|one| one.entry.note.to_vec()).collect()
        };
        assert_eq!(notes(&again), notes(left));
        for one in &again {
            requester.settle(one.entry.correlation_id).await.unwrap();
        }
        assert!(recover(&requester).await.is_empty());
        replier.stop().await.unwrap();
    });
}

/// Each request that was acknowledged to its process is there, once, and so is each that was sent.
fn assert_ends(broker: &TestBroker, submitted: &BTreeSet<String>, recovered: &[Recovered]) {
    let sent = read_all(broker, QUOTES);
    let sent: BTreeSet<Vec<u8>> = sent.into_iter().map(|record| record.payload.unwrap()).collect();
    let mut seen = BTreeSet::new();
    for Recovered { entry, answer, .. } in recovered {
        let note = String::from_utf8(entry.note.to_vec()).unwrap();
        match answer {
            Ok(reply) => assert_eq!(reply.payload, note),
            Err(error) => {
                assert!(matches!(error.kind(), CallErrorKind::Timeout), "{note}: {error}");
                assert!(!sent.contains(note.as_bytes()), "{note} was sent: {error}");
                assert_eq!(entry.acknowledged, None, "{note}: {error}");
            }
        }
        assert!(seen.insert(note), "{entry:?} came twice");
    }
    let lost: Vec<_> = submitted.difference(&seen).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(sent.iter().all(|question| seen.contains(std::str::from_utf8(question).unwrap())));
}

/// Starts a process that submits, and kills it in the midst of that. Returns what it said it had
/// submitted.
fn run_and_kill(broker: &TestBroker, store: &Path, name: &str) -> BTreeSet<String> {
    let KafkaSettings { bootstrap, properties, .. } = settings(broker);
    let orders = Orders { bootstrap, properties, store: store.into(), name: name.into() };
    let test = module_path!().split_once("::").unwrap().1;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(format!("{test}::what_a_killed_process_has_kept_ends_exactly_once"))
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .env(ORDERS, serde_json::to_string(&orders).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut submitted = BTreeSet::new();
    // What it said before it died counts too.
    for line in lines {
        let line = line.unwrap();
        // Libtest's own words may come before.
        let Some((_, question)) = line.split_once(SUBMITTED) else { continue };
        submitted.insert(question.to_owned());
        if submitted.len() == ENOUGH {
            child.kill().unwrap();
        }
    }
    let ended = child.wait().unwrap();
    assert!(submitted.len() >= ENOUGH && ended.code().is_none(), "{ended} after {submitted:?}");
    submitted
}

/// Ends by the kill, or when the parent is gone.
async fn submit_until_killed(orders: Orders) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    let Orders { bootstrap, properties, store, name } = orders;
    let kafka = KafkaSettings { properties, ..KafkaSettings::new(bootstrap) };
    let store = EmbeddedStore::open(store).unwrap();
    let builder = Requester::builder(kafka).reply_topic(REPLIES).store(store);
    let builder = builder.reply_partition(ReplyPartition::Fixed(1));
    let requester = bounded("the requester starts", builder.build()).await.unwrap();
    println!();
    let submissions = stream::iter(0..).map(|number: u64| {
        let (requester, question) = (&requester, format!("{name}/{number}"));
        async move {
            let ask = requester.ask(RawRequest::new(QUOTES, question.clone()));
            ask.note(question.clone()).timeout(TIMEOUT).submit().await.unwrap();
            println!("{SUBMITTED}{question}");
        }
    });
    submissions.buffer_unordered(16).collect::<()>().await;
}
