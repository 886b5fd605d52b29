//! `antiphon call` with several replies to a request, with retries, and interrupted.

use rustix::process::Signal;
use serde_json::Value;

use crate::brokers::mock;
use crate::gated::Gated;
use crate::http::{metrics, sum};
use crate::topics::Topics;

#[test]
fn all_replies_of_a_stream_are_printed_or_some() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--upper", "--stream", "5"]);
    let all = topics.call(&["hi", "--replies", "all"]).run().succeeded();
    assert_eq!(all.stdout, b"HI\n".repeat(5));
    let some = topics.call(&["hi", "--replies", "3", "--json"]).run().succeeded();
    let lines = std::str::from_utf8(&some.stdout).unwrap().lines();
    let replies: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replies.len(), 3);
    for (seq, reply) in replies.iter().enumerate() {
        assert_eq!((&reply["seq"], &reply["payload"]), (&seq.into(), &"HI".into()), "{reply}");
        assert_eq!(reply["correlation_id"], replies[0]["correlation_id"]);
    }
    let many = topics.call(&["hi", "--replies", "all", "--count", "20", "--summary"]).run();
    let summary = many.succeeded().json();
    assert_eq!((&summary["ok"], &summary["replies"]), (&20.into(), &100.into()), "{summary}");
    // Who expects one reply takes the first.
    assert_eq!(topics.call(&["hi"]).run().succeeded().line(), "HI");
}

#[test]
fn a_single_reply_is_a_stream_of_one_and_an_error_ends_one() {
    let topics = Topics::create(mock());
    let replier = topics.reply(&["--echo"]);
    assert_eq!(topics.call(&["hi", "--replies", "all"]).run().succeeded().line(), "hi");
    let plain = topics.call(&["hi", "--retries", "3", "--idempotency-key", "order-17"]).run();
    assert_eq!(plain.succeeded().line(), "hi");
    drop(replier);
    let failing = Topics::create(mock());
    let _replier = failing.reply(&["--command", "exit 1"]);
    failing.call(&["hi", "--replies", "all"]).run().failed(4, &["INTERNAL", "a replier answered"]);
    let nobody = Topics::create(mock());
    let called = nobody.call(&["hi", "--replies", "2", "--timeout", "200ms"]).run();
    called.failed(3, &["no reply by the deadline"]);
    for (arguments, words) in [
        (&["--replies", "0"][..], "neither `all` nor a number"),
        (&["--replies", "2", "--retries", "1"], "cannot be used with"),
    ] {
        nobody.call(&[&["hi"], arguments].concat()).run().failed(1, &[words]);
    }
}

#[test]
fn an_interrupted_call_is_cancelled_at_its_replier() {
    let topics = Topics::create(mock());
    let handler = Gated::new();
    let mut replier = topics.reply(&["--command", &handler.command, "--metrics", "0"]);
    let address = replier.metrics_address();
    let arguments = ["hi", "--cancel", "--timeout", "10m", "--count", "1000", "--in-flight", "1"];
    let mut call = topics.call(&arguments).start();
    call.until("handler", |_| handler.started.exists());
    call.signal(Signal::INT);
    // One line: no other call was made afterwards.
    call.wait().failed(3, &["the call was cancelled", "may have been executed"]);
    let running = "antiphon_replier_running";
    replier.until("free handler", |_| {
        let page = metrics(&address);
        sum(&page, "antiphon_replier_requests_total", "outcome=\"cancelled\"") == 1.0
            && sum(&page, running, "") == 0.0
    });
}
