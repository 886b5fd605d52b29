//! `antiphon call --one-way`: what is sent, and how it ends.

use antiphon::wire::names;
use rdkafka::message::Message;

use crate::brokers::mock;
use crate::process::antiphon;
use crate::topics::Topics;
use crate::wire::{first_record, header};

#[test]
fn it_ends_when_the_request_is_in_its_topic() {
    let topics = Topics::create(mock());
    // Nobody answers, and nobody is waited for.
    let told = topics.call(&["logged in", "--one-way", "--timeout", "30s"]).run().succeeded();
    assert!(told.stdout.is_empty(), "{told:?}");
    let record = first_record(mock(), &topics.request);
    assert_eq!(record.payload(), Some(&b"logged in"[..]));
    assert_eq!(header(&record, names::REPLY_TOPIC), None);
    topics.call(&["hi", "--one-way", "--count", "100", "--timeout", "30s"]).run().succeeded();
}

#[test]
fn it_fails_by_what_became_of_the_request() {
    let topics = Topics::create(mock());
    let ended = topics.call(&["-", "--one-way"]).input(&vec![b'x'; 1_000_001]).run();
    ended.failed(2, &["max_request_bytes (1000000)", "was not sent"]);
    for option in ["--json", "--raw", "--summary", "--cancel"] {
        let ended = antiphon(["call", "t", "hi", "--one-way", option]).run();
        ended.failed(1, &["cannot be used with"]);
    }
}
