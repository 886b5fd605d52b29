//! `antiphon submit` and `antiphon ticket`: replies taken later, and every way not to get one.

use std::io::Write;

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::brokers::{NOBODY, mock};
use crate::process::{Ended, antiphon};
use crate::topics::Topics;

const USAGE: i32 = 1;
const NOT_SENT: i32 = 2;
const NO_REPLY: i32 = 3;
const ERROR_REPLY: i32 = 4;

fn submit(topics: &Topics, arguments: &[&str]) -> Ended {
    topics.command("submit", arguments).run().succeeded()
}

fn objects(ended: &Ended) -> Vec<Value> {
    let lines = std::str::from_utf8(&ended.stdout).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A ticket for a request that nobody has answered.
fn pending(topics: &Topics, timeout: &str) -> String {
    submit(topics, &["later", "--timeout", timeout]).line().to_owned()
}

#[test]
fn a_reply_is_taken_by_another_process_once_it_is_there() {
    let topics = Topics::create(mock());
    let ticket = pending(&topics, "10m");
    let polled = topics.ticket("poll", &[&ticket]).run();
    assert_eq!((polled.code, &*polled.stdout), (Some(NO_REPLY), &b""[..]), "{polled:?}");
    assert!(polled.stderr.starts_with("pending: no reply yet"), "{polled:?}");
    let polled = topics.ticket("poll", &[&ticket, "--json"]).run();
    assert_eq!((polled.code, polled.json()["result"].as_str()), (Some(NO_REPLY), Some("pending")));
    let waited = topics.ticket("wait", &[&ticket, "--timeout", "300ms"]).run();
    waited.failed(NO_REPLY, &["no reply within --timeout", "may still come"]);

    let waiting = topics.ticket("wait", &[&ticket]).start();
    let _replier = topics.reply(&["--upper"]);
    assert_eq!(waiting.wait().succeeded().line(), "LATER");
    for again in ["poll", "wait", "poll"] {
        assert_eq!(topics.ticket(again, &[&ticket]).run().succeeded().line(), "LATER");
    }
    let raw = topics.ticket("wait", &[&ticket, "--raw"]).run().succeeded();
    assert_eq!(raw.stdout, b"LATER");
    let taken = topics.ticket("wait", &[&ticket, "--json"]).run().succeeded().json();
    for (key, value) in [("payload", "LATER"), ("status", "OK"), ("result", "ok")] {
        assert_eq!(taken[key], value, "{key} of {taken}");
    }
}

#[test]
fn tickets_go_through_a_pipe_with_json_or_without() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo"]);
    let arguments = ["hi", "-k", "ACME", "--count", "50", "--in-flight", "8"];
    let plain = submit(&topics, &arguments);
    let described = submit(&topics, &[&arguments[..], &["--json"]].concat());
    let tickets = objects(&described);
    assert_eq!(tickets.len(), 50);
    for ticket in &tickets {
        let partition = ticket["partition"].as_i64().unwrap();
        assert!(partition == tickets[0]["partition"] && ticket["offset"].is_u64(), "{ticket}");
        assert!(ticket["ticket"].as_str().unwrap().starts_with("antiphon1."), "{ticket}");
    }
    let both = [&plain.stdout[..], b"\n", &described.stdout].concat();
    let taken = topics.ticket("wait", &["-", "--json"]).input(&both).run().succeeded();
    let taken = objects(&taken);
    assert_eq!(taken.len(), 100);
    let id = |object: &Value| object["correlation_id"].as_str().unwrap().to_owned();
    for ticket in &tickets {
        let one = taken.iter().filter(|taken| id(taken) == id(ticket));
        assert_eq!(one.map(|taken| &taken["key"]).collect::<Vec<_>>(), ["ACME"]);
    }
    let summary = topics.ticket("poll", &["-", "--summary"]).input(&both).run().succeeded().json();
    assert_eq!((&summary["tickets"], &summary["ok"]), (&100.into(), &100.into()), "{summary}");
    let (scans, error) = (summary["scans"].as_u64().unwrap(), summary.get("first_error"));
    assert!((1..=4).contains(&scans) && error.is_none(), "{summary}");
}

#[test]
fn a_ticket_is_shown_without_a_broker() {
    let topics = Topics::create(mock());
    let ticket = submit(&topics, &["hi", "--reply-partition", "2", "--json"]).json();
    let text = ticket["ticket"].as_str().unwrap();
    let shown = antiphon(["ticket", "show", text, "--json"]).run().succeeded().json();
    for key in ["correlation_id", "partition", "offset"] {
        assert_eq!(shown[key], ticket[key], "{key} of {shown}");
    }
    assert_eq!(shown["topic"], topics.request);
    assert_eq!(shown["reply_topic"], format!("{}.replies", topics.request));
    assert_eq!(shown["starts"], serde_json::json!([{"partition": 2, "offset": 0}]));
    assert_eq!(shown["sealed"], false);
    let line = antiphon(["ticket", "show", "-"]).input(text.as_bytes()).run().succeeded();
    let id = ticket["correlation_id"].as_str().unwrap();
    assert!(line.line().starts_with(id), "{line:?}");
    let wrong = antiphon(["ticket", "show", &text[..40]]).run();
    wrong.failed(USAGE, &["ticket 1: ", "it was cut or changed"]);
}

#[test]
fn the_ends_of_tickets_are_told_apart() {
    let (topics, silent) = (Topics::create(mock()), Topics::create(mock()));
    // Nobody serves its topic, and its reply would come to where the other's comes. The deadline is
    // waited for, and leaves a broker that is slow the time to acknowledge the request.
    let replies = format!("{}.replies", topics.request);
    let late = submit(&silent, &["?", "--timeout", "10s", "--reply-topic", &replies]);
    let late = late.line().to_owned();
    let waited = topics.ticket("wait", &[&late]).run();
    waited.failed(NO_REPLY, &["no reply by the deadline", "may have been executed"]);
    let polled = topics.ticket("poll", &[&late]).run();
    polled.failed(NO_REPLY, &["no reply by the deadline"]);

    let _replier = topics.reply(&["--command", "echo sold out >&2; exit 1"]);
    let bad = pending(&topics, "10m");
    let waited = topics.ticket("wait", &[&bad]).run();
    waited.failed(ERROR_REPLY, &["INTERNAL", "sold out", "a replier answered"]);
    let waited = topics.ticket("wait", &[&bad, "--json"]).run();
    assert_eq!((waited.code, &*waited.stderr), (Some(ERROR_REPLY), ""), "{waited:?}");
    let ended = waited.json();
    for (key, value) in [("result", "error_reply"), ("status", "INTERNAL"), ("outcome", "executed")]
    {
        assert_eq!(ended[key], value, "{key} of {ended}");
    }
    let cut = &bad[..40];
    let counted = topics.ticket("wait", &[&late, &bad, cut, "--summary"]).run();
    assert_eq!((counted.code, &*counted.stderr), (Some(NO_REPLY), ""), "{counted:?}");
    let summary = counted.json();
    let counts = [("tickets", 3), ("ok", 0), ("error_reply", 1), ("timeout", 1), ("refused", 1)];
    for (key, count) in counts {
        assert_eq!(summary[key], count, "{key} of {summary}");
    }
    assert!(summary["first_error"].as_str().unwrap().starts_with("ticket 3: "), "{summary}");
    // One that is refused does not keep the others from being taken.
    let counted = topics.ticket("wait", &[cut, &bad]).run();
    assert_eq!((counted.code, counted.stderr.lines().count()), (Some(USAGE), 2), "{counted:?}");
}

#[test]
fn only_tickets_with_the_right_seal_are_taken() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo"]);
    let file = |secret: &[u8]| {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(secret).unwrap();
        file
    };
    let files = [file(&[1; 32]), file(&[2; 32]), file(&[3; 31])];
    let [key, other, short] = files.each_ref().map(|file| file.path().to_str().unwrap());
    let sealed = submit(&topics, &["hi", "--ticket-key-file", key]);
    let wait = |ticket: &str, key| topics.ticket("wait", &[ticket, "--ticket-key-file", key]).run();
    assert_eq!(wait(sealed.line(), key).succeeded().line(), "hi");
    wait(sealed.line(), other).failed(USAGE, &["the ticket's seal is wrong"]);
    let unsealed = submit(&topics, &["hi"]);
    wait(unsealed.line(), key).failed(USAGE, &["the ticket is not sealed"]);
    wait(unsealed.line(), short).failed(USAGE, &["a ticket key of 31 bytes is too short", short]);
    wait(unsealed.line(), "absent.key").failed(USAGE, &["absent.key", "No such file"]);
}

#[test]
fn what_cannot_be_redeemed_is_said_at_once() {
    let (topics, others) = (Topics::create(mock()), Topics::create(mock()));
    let (ours, theirs) = (pending(&topics, "10m"), pending(&others, "10m"));
    let (ours, theirs) = (ours.as_str(), theirs.as_str());
    let mixed = topics.ticket("wait", &[ours, theirs]).run();
    let replies = format!("{}.replies", others.request);
    mixed.failed(USAGE, &["the tickets name several reply topics", &replies]);
    let none = topics.ticket("wait", &["-"]).input(b"\n").run();
    none.failed(USAGE, &["standard input has no ticket"]);
    let missing = antiphon(["ticket", "poll", "-b", NOBODY]).run();
    missing.failed(USAGE, &["<TICKET|->"]);
    let gone = antiphon(["ticket", "poll", ours, "-b", NOBODY]).run();
    gone.failed(NOT_SENT, &["cannot look up the topic", "Connection refused"]);

    let unsent = topics.command("submit", &["-"]).input(&vec![b'x'; 1_000_001]).run();
    unsent.failed(NOT_SENT, &["max_request_bytes (1000000)", "was not sent"]);
    assert!(unsent.stdout.is_empty(), "{unsent:?}");
    let missing = antiphon(["submit", "none", "hi"]).arguments(["-b", mock().bootstrap()]).run();
    missing.failed(NOT_SENT, &["request topic: the topic `none` does not exist"]);
}
