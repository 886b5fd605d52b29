//! The store in a file against the store in memory, killed and opened again.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use antiphon_common::{CorrelationId, InstanceId};
use futures::future::join_all;
use proptest::prelude::*;

use super::EmbeddedStore;
use crate::store::{Acknowledged, Entry, MemoryStore, PendingStore, StoreError, Stored};
use crate::ticket::ReplyStart;

/// Names the file to the process that is to be killed.
const FILE: &str = "ANTIPHON_TEST_STORE";

fn id(number: u64) -> CorrelationId {
    CorrelationId::new(InstanceId::from_bits(1), number)
}

fn entry(number: u64, note: &[u8]) -> Entry {
    Entry {
        correlation_id: id(number),
        request_topic: "quotes".to_owned(),
        reply_topic: "quotes.replies".to_owned(),
        starts: vec![ReplyStart { partition: 3, offset: 42 }],
        deadline_unix_ms: number,
        acknowledged: None,
        note: note.to_vec().into(),
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn wait<T>(stored: Stored<T>) -> Result<T, StoreError> {
    block_on(stored)
}

fn sorted(store: &impl PendingStore) -> Vec<Entry> {
    let mut entries = wait(store.load()).unwrap();
    entries.sort_by_key(|entry| entry.correlation_id.call());
    entries
}

#[derive(Debug, Clone)]
enum Step {
    Put(u64, Vec<u8>),
    Acknowledge(u64, i64),
    Remove(u64),
    /// The process dies: what is on the disk at that moment is opened again.
    Crash,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0..8_u64;
    let step = prop_oneof![
        6 => (number.clone(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(number, note)| Step::Put(number, note)),
        3 => (number.clone(), 0..i64::MAX).prop_map(|(number, at)| Step::Acknowledge(number, at)),
        3 => number.prop_map(Step::Remove),
        1 => Just(Step::Crash),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_keeps_what_the_model_keeps(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut path = folder.path().join("0");
        let (model, mut store) = (MemoryStore::new(), EmbeddedStore::open(&path).unwrap());
        for (number, step) in steps.into_iter().enumerate() {
            let both: [&dyn PendingStore; 2] = [&model, &store];
            match step {
                Step::Put(number, note) => {
                    both.into_iter().for_each(|store| wait(store.put(entry(number, &note))).unwrap());
                }
                Step::Acknowledge(number, offset) => {
                    let at = Acknowledged { partition: 7, offset };
                    both.into_iter().for_each(|store| wait(store.acknowledge(id(number), at)).unwrap());
                }
                Step::Remove(number) => {
                    both.into_iter().for_each(|store| wait(store.remove(id(number))).unwrap());
                }
                Step::Crash => {
                    let copy = folder.path().join((number + 1).to_string());
                    fs::copy(&path, &copy).unwrap();
                    path = copy;
                    store = EmbeddedStore::open(&path).unwrap();
                }
                Step::Reopen => {
                    drop(store);
                    store = EmbeddedStore::open(&path).unwrap();
                }
            }
            prop_assert_eq!(sorted(&store), sorted(&model));
        }
    }
}

/// Runs twice: as the test, and as the process that the test starts and kills.
#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(path) = std::env::var_os(FILE) {
        return put_until_killed(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pending");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg(
            concat!(module_path!(), "::what_was_acknowledged_survives_a_kill")
                .split_once("::")
                .unwrap()
                .1,
        )
        .env(FILE, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = None;
    let mut number = || -> Option<u64> {
        lines.by_ref().find_map(|line| line.unwrap().strip_prefix("put ")?.parse().ok())
    };
    while last < Some(300) {
        last = Some(number().expect("the child puts until it is killed"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died counts too.
    while let Some(more) = number() {
        last = Some(more);
    }
    let store = EmbeddedStore::open(&path).unwrap();
    let kept = sorted(&store);
    let last = last.unwrap();
    assert!(kept.len() as u64 > last, "{} of {last} are left", kept.len());
    for (number, kept) in (0..=last).zip(kept) {
        assert_eq!(kept, entry(number, b"note"));
    }
}

/// Ends by the kill, or when the parent is gone.
fn put_until_killed(path: &Path) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    let store = EmbeddedStore::open(path).unwrap();
    for first in (0..).step_by(10) {
        let puts = (first..first + 10).map(|number| store.put(entry(number, b"note")));
        for done in block_on(join_all(puts)) {
            done.unwrap();
        }
        println!("put {}", first + 9);
    }
}

#[test]
fn one_file_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pending");
    let store = EmbeddedStore::open(&path).unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::InUse(used)) if used == path));
    let late = store.put(entry(1, b""));
    drop(store);
    assert!(matches!(wait(late), Err(StoreError::Closed)));
    EmbeddedStore::open(&path).unwrap();
}

#[test]
fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pending");
    fs::write(&path, "something else").unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Open { .. })));
    let nowhere = folder.path().join("no/such/folder");
    assert!(matches!(EmbeddedStore::open(nowhere), Err(StoreError::Open { .. })));
}

#[test]
fn what_is_out_of_bounds_is_refused_by_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path().join("pending")).unwrap();
    let field = |entry| match wait(store.put(entry)) {
        Err(StoreError::Entry { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(entry(1, &vec![0; Entry::MAX_NOTE + 1])), "note");
    assert_eq!(field(Entry { reply_topic: "a b".to_owned(), ..entry(1, b"") }), "reply topic");
    assert_eq!(field(Entry { starts: vec![], ..entry(1, b"") }), "list of reply partitions");
    assert_eq!(sorted(&store), []);
}

#[test]
fn more_than_the_queue_holds_is_written_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path().join("pending")).unwrap();
    let puts = (0..5000).map(|number| store.put(entry(number, b"")));
    for done in block_on(join_all(puts)) {
        done.unwrap();
    }
    assert_eq!(sorted(&store).len(), 5000);
}

#[test]
fn an_acknowledged_entry_makes_a_ticket() {
    let mut entry = entry(9, b"");
    assert_eq!(entry.ticket().unwrap(), None);
    entry.acknowledged = Some(Acknowledged { partition: 1, offset: 2 });
    let ticket = entry.ticket().unwrap().unwrap();
    assert_eq!(ticket.correlation_id(), entry.correlation_id);
    assert_eq!((ticket.request().partition, ticket.request().offset), (1, 2));
}
