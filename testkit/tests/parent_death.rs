//! Nodes die with the process that started them, even if it is killed and even if they are frozen.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, stdin};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_testkit::TestBroker;

/// What the holder prints before the process ids.
const MARK: &str = "nodes:";

/// Set for the process that is to be killed.
const HOLDER: &str = "ANTIPHON_TEST_HOLDER";

/// What the process does that is to be killed.
fn hold_a_cluster() {
    let cluster = TestBroker::kafka().brokers(2).start().unwrap();
    cluster.pause(2).unwrap();
    let [running, frozen] = [1, 2].map(|node| cluster.process_id(node).unwrap());
    println!("\n{MARK} {running} {frozen}");
    // Until it is killed, or the test that waits for that is gone.
    stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn nodes_die_with_a_killed_parent() {
    // It runs this test once more in a process of its own, which takes the other part.
    if env::var_os(HOLDER).is_some() {
        return hold_a_cluster();
    }
    // The killed process cannot remove its files, so they are put where this test can.
    let temporary = tempfile::tempdir().unwrap();
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["--exact", "nodes_die_with_a_killed_parent", "--nocapture"])
        .env(HOLDER, "1")
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(holder.stdout.take().unwrap());
    let nodes: Vec<u32> = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix(MARK).map(str::to_owned))
        .expect("the holder prints the process ids")
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(nodes.len(), 2);
    // A node's watcher is in the node's process group, so it is found along with it.
    let groups: Vec<usize> = nodes.iter().map(|&node| group_size(node)).collect();
    assert_eq!(groups, [2, 2]);

    // SIGKILL, so nothing in the holder gets a chance to clean up.
    holder.kill().unwrap();
    holder.wait().unwrap();

    let deadline = Instant::now() + Duration::from_secs(60);
    while nodes.iter().any(|&node| group_size(node) > 0) {
        assert!(Instant::now() < deadline, "the nodes outlive their parent");
        thread::sleep(Duration::from_millis(20));
    }
}

/// How many processes of a group there are. Zombies, whom their new parent has yet to bury, do not
/// count.
fn group_size(group: u32) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            // After the name in brackets come the state, the parent and the group.
            let (_, fields) = stat.rsplit_once(") ").unwrap();
            let fields: Vec<&str> = fields.split(' ').collect();
            fields[0] != "Z" && fields[2] == group.to_string()
        })
        .count()
}
