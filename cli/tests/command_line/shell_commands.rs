//! `antiphon reply --command`: programs as handlers, with all their bad manners.

use crate::brokers::mock;
use crate::topics::{Topics, ready};

/// More than a pipe holds.
const LARGE: usize = 300_000;

#[test]
fn a_filter_answers() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--command", "tr a-z A-Z"]);
    assert_eq!(topics.call(&["hello"]).run().succeeded().line(), "HELLO");
    let large = vec![b'x'; LARGE];
    let called = topics.call(&["-", "--raw"]).input(&large).run().succeeded();
    assert_eq!(called.stdout, large.to_ascii_uppercase());
}

#[test]
fn a_failing_command_is_an_error_reply_with_its_complaint() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--command", "echo no quote for ACME >&2; exit 3"]);
    let called = topics.call(&["hi"]).run();
    called.failed(4, &["INTERNAL", "exit status: 3", "no quote for ACME", "a replier answered"]);
    let called = topics.call(&["hi", "--json"]).run();
    assert_eq!((called.code, &*called.stderr), (Some(4), ""), "{called:?}");
    assert_eq!(called.json()["status"], "INTERNAL");
    assert_eq!(called.json()["outcome"], "executed");
}

#[test]
fn a_command_need_not_read_its_input() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--command", "echo done"]);
    let called = topics.call(&["-"]).input(&[b'x'; LARGE]).run().succeeded();
    assert_eq!(called.stdout, b"done\n\n");
}

#[test]
fn a_command_may_complain_at_length_and_succeed() {
    let topics = Topics::create(mock());
    let command = format!("head -c {LARGE} /dev/zero >&2; echo fine");
    let _replier = topics.reply(&["--command", &command]);
    assert_eq!(topics.call(&["hi", "--raw"]).run().succeeded().stdout, b"fine\n");
}

#[test]
fn a_command_that_prints_without_end_is_cut_off() {
    let topics = Topics::create(mock());
    let replier = topics.command("reply", &["--command", "yes"]);
    let _replier = ready(replier.variable("ANTIPHON__REPLIER__MAX_REPLY_BYTES", "1000"));
    let called = topics.call(&["hi"]).run();
    called.failed(4, &["INTERNAL", "the command printed over 1000 bytes"]);
}

#[test]
fn a_command_that_takes_too_long_is_given_up() {
    let topics = Topics::create(mock());
    let replier = topics.command("reply", &["--command", "exec sleep 60"]);
    let _replier = ready(replier.variable("ANTIPHON__REPLIER__HANDLER_TIMEOUT_MS", "300"));
    topics.call(&["hi"]).run().failed(4, &["DEADLINE_EXCEEDED", "did not end in time"]);
}
