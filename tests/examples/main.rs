//! Runs the examples, each on an embedded broker of its own, and looks for what it is to print.

mod program;

use std::fs;
use std::path::Path;

/// Those that need brokers of one's own, and each other. They are built with the others.
const ON_BROKERS: [&str; 2] = ["replier", "requester"];

macro_rules! examples {
    ($($name:ident prints [$($part:literal),+ $(,)?];)+) => {
        const RUN: &[&str] = &[$(stringify!($name)),+];

        $(#[test]
        fn $name() {
            program::check(stringify!($name), &[$($part),+]);
        })+
    };
}

examples! {
    avro prints ["Total { total: 42 }"];
    backpressure prints [
        "max_in_flight is 3 calls (the request was not sent)",
        "of 100 calls that wait, 0 fail",
        "adaptive: true; ",
    ];
    blocking prints ["ONE\nTWO\nTHREE\na b c\nclosed with 0 calls left"];
    callback prints [
        "asked for both, and free for other work",
        "ACME: 12.50\n",
        "EMCA: NOT_FOUND: no quote for EMCA",
    ];
    cancel prints [
        "rendering sunrise\nstopped rendering sunrise\nrendering sunset\n\
         the call ended: the call was cancelled, the request may have been executed\n\
         stopped rendering sunset",
    ];
    chain prints ["ordered, 12 left of widgets"];
    dead_letter prints [
        "charged in run 3\nINTERNAL: the handler panicked\n\
         kept of charges: a broken card, after run 1: INTERNAL: the handler panicked",
    ];
    lanes prints [
        "24 steps\norder 1: pay, pack, ship\norder 8: pay, pack, ship\nseveral orders at once",
    ];
    large_payloads prints [
        "the handler has 5000000 bytes\n5000000 bytes came back; the last is Some(1)",
    ];
    deferred prints ["7: approved by rule\n7000: approved by hand"];
    extractors prints [
        "Count { left: 12, told: \"ada\" }",
        "UNAUTHENTICATED: the header `caller` is missing",
        "NOT_FOUND: no gadgets on Some(Key(b\\\"shelf-7\\\"))",
    ];
    layers prints [
        "open for ada\n\
         PERMISSION_DENIED: the token is not known\n\
         DEADLINE_EXCEEDED: the handler did not end in time",
    ];
    dedupe prints [
        "receipt 1: 12.50 EUR\nreceipt 1: 12.50 EUR\nreceipt 2: 12.50 EUR\n\
         and later: receipt 1: 12.50 EUR\nand later: receipt 2: 12.50 EUR\ncharged 2 times",
    ];
    lazy_start prints [
        "started\n",
        "no broker has answered since the start (the request was not sent)",
        "the patient call gets: hello\nready",
    ];
    pending_store prints [
        "order 17: charged 12.50 EUR\norder 18: charged 3.00 EUR\nleft after another start: 0",
    ];
    poll prints ["frames were drawn before the answer came\nto castle: north, north, east"];
    queue prints [
        "1000 answers; the sum of the squares is 333833500",
        "the queue of replies takes 1 (the request was not sent)",
    ];
    quotes prints ["ACME: 12.5", "no quote for EMCA"];
    raw prints [r#"b"HELLO" for Some(b"blue")"#, "the header `tenant` is missing"];
    retry_and_hedge prints [
        "UNAVAILABLE: the bank is closed just now\n\
         order-17 is charged by attempt 2\n\
         found by attempt 2",
    ];
    scatter_gather prints [
        "two of three, complete: true; fares.blue: 120, fares.green: 90, fares.red: missing",
        "all in time, complete: false; fares.blue: 120, fares.green: 90, fares.red: missing",
        "a cheap one, complete: true; ",
        "two groups, complete: true; replier 0: ",
        "partition 0: 90, partition 1: 90, partition 2: 90, partition 3: 90",
    ];
    stream prints [
        "Reading { number: 2 }\nthat was all; the handler's stream is gone",
        "Some(Reading { number: 0 }), and enough\nthe handler's stream is gone",
    ];
    ticket prints [
        "3 tickets, and whoever asked is gone\nantiphon1.",
        "the report of September\n",
        "the report of October\n",
        "the report of November\n",
        "once more: true",
    ];
    tower prints [
        "of 20 calls 5 failed, 15 were not made; the service was asked 5 times",
        "then it is tried again: 12 left",
    ];
    urgent prints [
        "an urgent job, by way of jobs.urgent\nmeanwhile 50 usual ones still wait\n\
         and then all 50 are done",
    ];
}

#[test]
fn every_example_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = 0;
    for entry in fs::read_dir(folder).expect("the examples can be listed") {
        let name = entry.expect("the examples can be listed").file_name();
        let name = name.into_string().expect("file names are UTF-8");
        let Some(name) = name.strip_suffix(".rs") else { continue };
        found += 1;
        assert!(RUN.contains(&name) || ON_BROKERS.contains(&name), "nothing runs {name}");
    }
    assert_eq!(found, RUN.len() + ON_BROKERS.len());
}
