//! `antiphon demo`: what it reports, on either kind of broker.

use serde_json::Value;

use crate::brokers::kafka;
use crate::process::antiphon;

#[test]
fn every_reply_of_the_demo_is_verified() {
    let report = antiphon(["demo", "--requests", "2000", "--json"]).run().succeeded().json();
    assert_verified(&report, 2000);
    let by_replier = report["by_replier"].as_object().unwrap();
    let shares: Vec<u64> = by_replier.values().map(|share| share.as_u64().unwrap()).collect();
    assert_eq!(shares.iter().sum::<u64>(), 2000, "{report}");
    assert!(shares.len() <= 3, "{report}");
}

#[test]
fn without_json_the_demo_prints_a_table() {
    let ended = antiphon(["demo", "--requests", "500", "--repliers", "2"]).run().succeeded();
    let text = String::from_utf8(ended.stdout).unwrap();
    for words in [
        "2 repliers on an embedded broker",
        "500 of 500 replies verified: 0 missing, 0 wrong, 0 duplicated",
        "p50",
        "p99.9",
        "requests/s",
        "█",
    ] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal:\n{text}");
}

#[test]
fn the_demo_runs_again_and_again_on_a_broker_of_ones_own() {
    let broker = kafka();
    for _ in 0..2 {
        let arguments = ["demo", "--requests", "2000", "--json", "-b", broker.bootstrap()];
        assert_verified(&antiphon(arguments).run().succeeded().json(), 2000);
    }
}

fn assert_verified(report: &Value, requests: u64) {
    let counts = [
        ("requests", requests),
        ("ok", requests),
        ("verified", requests),
        ("errors", 0),
        ("missing", 0),
        ("wrong", 0),
        ("duplicated", 0),
    ];
    for (key, count) in counts {
        assert_eq!(report[key], count, "{key} of {report}");
    }
    for key in ["in_flight", "throughput_per_s", "p50_us", "p99_us", "max_us", "first_reply_ms"] {
        assert!(report[key].as_u64().is_some_and(|value| value > 0), "{key} of {report}");
    }
}
