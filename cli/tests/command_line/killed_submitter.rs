//! A process that has submitted thousands of requests is killed, and another one takes all replies.

use rustix::process::Signal;
use serde_json::Value;

use crate::brokers::kafka;
use crate::http::answers;
use crate::process::{Ended, Launch, Running};
use crate::topics::Topics;

/// How many tickets are printed before the kill.
const TICKETS: usize = 10_000;
/// How many of them are printed before the first replier leaves.
const FIRST: usize = 3_000;
/// More than are under way at once: those that were sent after a moment are among so many that are
/// printed after it.
const UNDER_WAY: u16 = 500;
/// Partitions of the reply topic.
const PARTITIONS: u64 = 4;

fn summary(ended: &Ended, code: i32) -> Value {
    assert_eq!((ended.code, &*ended.stderr), (Some(code), ""), "{ended:?}");
    ended.json()
}

fn assert_counts(summary: &Value, counts: &[(&str, usize)]) {
    for (key, count) in counts {
        assert_eq!(summary[key], *count, "{key} of {summary}");
    }
    let scans = summary["scans"].as_u64().unwrap();
    assert!((1..=PARTITIONS).contains(&scans), "one scan of each reply partition: {summary}");
}

/// How many tickets it has printed.
fn printed(submit: &Running) -> usize {
    submit.stdout().lines().count()
}

/// Submits without end, and is killed by SIGKILL when it has printed enough. The first replier
/// leaves long before that. Returns what was printed.
fn submitted_and_killed(topics: &Topics, reply_partition: &str) -> String {
    let mut replier = topics.reply(&["--echo", "--metrics", "0"]);
    let answered = replier.metrics_address();
    let endless = ["hi", "--count", "1000000000", "--in-flight", "256", "--timeout", "10m"];
    let mut submit = topics
        .command("submit", &endless)
        .arguments(["--reply-partition", reply_partition])
        .start();
    submit.until("tickets", |submit| printed(submit) >= FIRST);
    // Tickets are printed whether anybody answers or not.
    submit.until("answers", |_| answers(&answered) >= f64::from(UNDER_WAY));
    replier.signal(Signal::TERM);
    let left = replier.wait();
    assert_eq!(left.code, Some(0), "{left:?}");
    // However many it has answered, some of these it has not.
    let wanted = TICKETS.max(printed(&submit) + usize::from(UNDER_WAY));
    submit.until("more tickets", |submit| printed(submit) >= wanted);
    submit.signal(Signal::KILL);
    let killed = submit.wait();
    assert_eq!((killed.code, &*killed.stderr), (None, ""));
    let mut printed = String::from_utf8(killed.stdout).unwrap();
    // The kernel may have been stopped in the midst of a line.
    printed.truncate(printed.rfind('\n').unwrap() + 1);
    printed
}

fn assert_all_are_taken(reply_partition: &str) {
    let broker = kafka();
    let topics = Topics::create(&broker);
    let printed = submitted_and_killed(&topics, reply_partition);
    let tickets = printed.lines().count();
    assert!(tickets >= TICKETS, "{tickets}");
    let ask = |name, arguments: &[&str]| -> Launch {
        topics.ticket(name, &[&["-"], arguments].concat()).input(printed.as_bytes())
    };

    // Nobody answers now, and another process finds what was answered before.
    let polled = summary(&ask("poll", &["--summary"]).run(), 3);
    let (ok, pending) = (polled["ok"].as_u64().unwrap(), polled["pending"].as_u64().unwrap());
    assert!(ok > 0 && pending > 0, "some are answered and some are not: {polled}");
    assert_counts(&polled, &[("tickets", tickets), ("timeout", 0), ("unknown", 0)]);
    assert_eq!(ok + pending, tickets as u64, "{polled}");

    // A third one waits while the rest are answered.
    let waiting = ask("wait", &["--summary"]).start();
    let replier = topics.reply(&["--echo"]);
    let waited = summary(&waiting.wait(), 0);
    let none = ["error_reply", "pending", "timeout", "removed", "unknown", "refused"];
    let none = none.map(|key| (key, 0));
    assert_counts(&waited, &[&[("tickets", tickets), ("ok", tickets)][..], &none].concat());

    // They can be taken again, each with its payload.
    let again = ask("wait", &["--json"]).run().succeeded();
    let lines = std::str::from_utf8(&again.stdout).unwrap().lines();
    let mut ids: Vec<String> = lines
        .map(|line| {
            let taken: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&taken["payload"], &taken["result"]), (&"hi".into(), &"ok".into()));
            taken["correlation_id"].as_str().unwrap().to_owned()
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), tickets, "each ticket is for a reply of its own");
    drop(replier);
}

#[test]
fn every_ticket_of_a_killed_process_is_redeemed_in_another() {
    assert_all_are_taken("auto");
}

#[test]
fn so_is_every_ticket_whose_reply_may_be_in_any_partition() {
    assert_all_are_taken("shared");
}
