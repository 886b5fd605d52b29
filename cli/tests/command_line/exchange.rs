//! Requests and replies from a terminal: what goes in by arguments and pipes, and what comes out.

use std::collections::BTreeSet;

use rdkafka::message::Message;
use rustix::process::Signal;
use serde_json::Value;

use crate::brokers::mock;
use crate::process::antiphon;
use crate::topics::{Topics, ready};
use crate::wire::{first_record, header};

#[test]
fn three_terminals_are_enough() {
    let mut dev = antiphon(["dev", "--topic", "quotes:2"]).start();
    // The line that tells others how to get there, with all that they need.
    let line = dev.says("antiphon call quotes hello ");
    let connection: Vec<&str> = line.split_once("hello ").unwrap().1.split(' ').collect();
    assert_eq!(dev.stdout().trim_end(), connection[1], "{line}");

    let reply = antiphon(["reply", "quotes", "--upper"]).arguments(&connection);
    let replier = ready(reply);
    let called = antiphon(["call", "quotes", "hello, größe"]).arguments(&connection).run();
    assert_eq!(called.succeeded().line(), "HELLO, GRÖSSE");

    replier.signal(Signal::TERM);
    assert_eq!(replier.wait().code, Some(0));
    dev.signal(Signal::TERM);
    assert_eq!(dev.wait().code, Some(0));
}

#[test]
fn bytes_go_in_by_standard_input_and_come_out_raw() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo"]);
    let bytes = b"\x00\xff no text\r\n\n";
    let called = topics.call(&["-", "--raw"]).input(bytes).run().succeeded();
    assert_eq!(called.stdout, bytes);
    let text = topics.call(&["-"]).input(b"one line").run().succeeded();
    assert_eq!(text.stdout, b"one line\n");
}

#[test]
fn json_tells_all_of_a_reply() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo"]);
    let arguments = ["hi", "-k", "ACME", "--reply-partition", "2", "--json"];
    let reply = topics.call(&arguments).run().succeeded().json();
    assert_eq!(reply["payload"], "hi");
    assert_eq!(reply["key"], "ACME");
    assert_eq!(reply["partition"], 2);
    assert_eq!(reply["offset"], 0);
    assert!(reply["round_trip_us"].as_u64() > Some(0), "{reply}");
    let id = reply["correlation_id"].as_str().unwrap();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'8'), "not a UUID of version 8: {id}");
}

#[test]
fn headers_key_and_endpoint_are_in_the_record() {
    let topics = Topics::create(mock());
    // It prints what it is told, byte for byte, so the reply shows what a handler is given.
    let told = "printf '%s|%s|%s' \"$ANTIPHON_TOPIC\" \"$ANTIPHON_KEY\" \"$ANTIPHON_ENDPOINT\"";
    let _replier = topics.reply(&["--command", told]);
    let arguments = ["hi", "-k", "ACME", "--endpoint", "get", "-H", "tenant=a=b", "-H", "empty="];
    let called = topics.call(&arguments).run().succeeded();
    assert_eq!(called.line(), format!("{}|ACME|get", topics.request));

    let record = first_record(mock(), &topics.request);
    assert_eq!(record.key(), Some(&b"ACME"[..]));
    assert_eq!(record.payload(), Some(&b"hi"[..]));
    assert_eq!(header(&record, "tenant"), Some("a=b"));
    assert_eq!(header(&record, "empty"), Some(""));
    assert_eq!(header(&record, "antiphon-endpoint"), Some("get"));
    assert_eq!(header(&record, "kafka_replyTopic"), Some(&*format!("{}.replies", topics.request)));
}

#[test]
fn many_calls_print_many_lines_or_one_summary() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--upper"]);
    let called = topics.call(&["hi", "--count", "50"]).run().succeeded();
    assert_eq!(called.stdout, b"HI\n".repeat(50));

    let called = topics.call(&["hi", "--count", "50", "--json"]).run().succeeded();
    let lines = std::str::from_utf8(&called.stdout).unwrap().lines();
    let ids: BTreeSet<String> = lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|reply| reply["correlation_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 50, "each call has an id of its own");

    let arguments = ["hi", "--count", "500", "--in-flight", "8", "--summary"];
    let summary = topics.call(&arguments).run().succeeded().json();
    let counts = [("requests", 500), ("ok", 500)];
    let zeros = ["error_reply", "timeout", "unknown", "not_sent"].map(|key| (key, 0));
    for (key, count) in counts.into_iter().chain(zeros) {
        assert_eq!(summary[key], count, "{key} of {summary}");
    }
    for key in ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"] {
        assert!(summary[key].as_u64() > Some(0), "{key} of {summary}");
    }
    assert!(summary.get("first_error").is_none(), "{summary}");
}

#[test]
fn a_summary_counts_what_went_wrong_too() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--command", "exit 1"]);
    let called = topics.call(&["hi", "--count", "3", "--summary"]).run();
    assert_eq!((called.code, &*called.stderr), (Some(4), ""), "{called:?}");
    let summary = called.json();
    assert_eq!((&summary["error_reply"], &summary["ok"]), (&3.into(), &0.into()), "{summary}");
    assert!(summary["first_error"].as_str().unwrap().contains("INTERNAL"), "{summary}");
}
