//! Every way to fail: an exit code that tells what became of the request, and one line that tells
//! what to do.

use std::ffi::OsStr;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;

use tempfile::NamedTempFile;

use crate::brokers::{NOBODY, mock};
use crate::process::{Running, antiphon};
use crate::topics::{Topics, connection};

const USAGE: i32 = 1;
const NOT_SENT: i32 = 2;
const UNKNOWN: i32 = 3;

#[test]
fn no_broker() {
    let commands: [&[&str]; 5] = [
        &["call", "quotes", "hi"],
        &["call", "quotes", "hi", "--create-topics"],
        &["bench", "quotes"],
        &["reply", "quotes", "--echo"],
        &["demo"],
    ];
    // All at once, since each of them waits for some seconds.
    let running: Vec<Running> = commands
        .iter()
        .map(|command| antiphon(*command).arguments(["-b", NOBODY]).start())
        .collect();
    let words = ["cannot look up the topic", NOBODY, "Connection refused"];
    for running in running {
        running.wait().failed(NOT_SENT, &words);
    }
}

#[test]
fn missing_topics() {
    let topics = Topics::create(mock());
    let broker = connection(mock());
    let missing: [(&[&str], &str); 4] = [
        (&["call", "none", "hi"], "request topic: the topic `none` does not exist"),
        (&["reply", "none", "--echo"], "request topic: the topic `none` does not exist"),
        (&["bench", "none"], "request topic: the topic `none` does not exist"),
        (
            &["call", "none", "hi", "--reply-topic", &format!("{}.replies", topics.request)],
            "request topic: the topic `none` does not exist",
        ),
    ];
    for (command, words) in missing {
        let ended = antiphon(command).arguments(&broker).run();
        ended.failed(NOT_SENT, &[words, "--create-topics"]);
    }
    let ended = topics.call(&["hi", "--reply-topic", "absent.replies"]).run();
    ended.failed(NOT_SENT, &["reply topic: the topic `absent.replies` does not exist"]);
    let ended = topics.call(&["hi", "--reply-partition", "99"]).run();
    ended.failed(NOT_SENT, &["has 4 partitions, so there is no partition 99"]);
}

#[test]
fn nobody_answers() {
    let topics = Topics::create(mock());
    let called = topics.call(&["hi", "--timeout", "300ms"]).run();
    let words = ["no reply by the deadline", "may have been executed", "correlation id"];
    called.failed(UNKNOWN, &[&words[..], &[&topics.request]].concat());
    let called = topics.call(&["hi", "--timeout", "300ms", "--summary"]).run();
    assert_eq!((called.code, &*called.stderr), (Some(UNKNOWN), ""), "{called:?}");
    assert_eq!(called.json()["timeout"], 1);
    let ended = topics.command("bench", &["--requests", "1", "--timeout", "300ms"]).run();
    ended.failed(UNKNOWN, &["1 of 1 calls failed", "no reply by the deadline"]);
}

#[test]
fn too_large_a_payload() {
    let topics = Topics::create(mock());
    let called = topics.call(&["-"]).input(&vec![b'x'; 1_000_001]).run();
    called.failed(NOT_SENT, &["1000001 bytes", "max_request_bytes (1000000)", "was not sent"]);
}

#[test]
fn wrong_command_lines() {
    let wrong: [(&[&str], &str); 17] = [
        (&["call", "t", "hi", "--bogus"], "unexpected argument '--bogus'"),
        (&["call"], "required arguments were not provided: <TOPIC>"),
        (&["reply", "t"], "<--echo|--upper|--command <COMMAND>|--http <URL>>"),
        (&["shout"], "unrecognized subcommand 'shout'"),
        (&["call", "t", "hi", "--timeout", "5"], "`5` is not a duration such as 500ms, 2s or 1m"),
        (
            &["call", "t", "hi", "--reply-partition", "x"],
            "neither `auto`, `shared` nor a partition number",
        ),
        (&["call", "t", "hi", "-X", "linger.ms"], "`linger.ms` is not name=value"),
        (&["call", "t", "hi", "-X", "linger=1"], "No such configuration property: \"linger\""),
        (&["call", "t", "hi", "-X", "linger.ms=soon"], "the Kafka property `linger.ms`"),
        (&["call", "t", "hi", "-H", "tenant"], "`tenant` is not name=value"),
        (&["call", "t", "hi", "-H", "kafka_replyTopic=x"], "-H kafka_replyTopic: this header is"),
        (&["reply", "t", "--echo", "--allow-reply-to", "a["], "allow_reply_to: error parsing glob"),
        (&["reply", "t", "--http", "https://x/"], "https is not spoken here"),
        (&["reply", "t", "--echo", "--fail", "TEAPOT"], "`TEAPOT` is not the name of an error"),
        (&["reply", "t", "--echo", "--lane", "x"], "[possible values: unordered, by-key, by-"),
        (&["reply", "t", "--echo", "--retry-delays", "5s,soon"], "replier.retry.delays"),
        (&["reply", "t", "--echo", "--retry", "0"], "0 is not in 1..=100"),
    ];
    for (arguments, words) in wrong {
        antiphon(arguments).run().failed(USAGE, &[words]);
    }
    for address in ["nonsense", "127.0.0.1:99999", "localhost:9464"] {
        let ended = antiphon(["reply", "t", "--echo", "--metrics", address]).run();
        ended.failed(USAGE, &["--metrics", address, "is not an address to listen on"]);
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = antiphon(["reply", "t", "--echo", "--metrics", &address]).run();
    ended.failed(USAGE, &["--metrics", &address, "cannot listen on"]);
}

#[test]
fn arguments_that_are_not_text() {
    let bytes = OsStr::from_bytes(b"tenant=\xff");
    let ended = antiphon(["call", "t", "hi", "-H"]).arguments([bytes]).run();
    ended.failed(USAGE, &["argument 5, after `-H`, is not UTF-8", "standard input"]);
}

#[test]
fn wrong_configuration() {
    let call = ["call", "t", "hi"];
    let ended = antiphon(call).arguments(["--config", "absent.toml"]).run();
    ended.failed(USAGE, &["cannot read the file absent.toml", "No such file"]);

    let mut file = NamedTempFile::new().unwrap();
    file.write_all(b"[kafka]\nbootsrap = \"a:1\"\n").unwrap();
    let ended = antiphon(call).arguments([OsStr::new("--config"), file.path().as_os_str()]).run();
    ended.failed(USAGE, &["unknown key `kafka.bootsrap`", "known are `kafka.bootstrap`"]);

    let ended = antiphon(call).variable("ANTIPHON__REPLIER__CONCURENCY", "4").run();
    ended.failed(USAGE, &["the variable ANTIPHON__REPLIER__CONCURENCY", "unknown key"]);

    // A secret that is misplaced is not shown either.
    let ended = antiphon(call).arguments(["-X", "sasl.pasword=hunter2"]).run();
    ended.failed(USAGE, &["`sasl.pasword`"]);
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
}
