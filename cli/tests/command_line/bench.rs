//! `antiphon bench`, and what the command says of itself.

use crate::brokers::mock;
use crate::process::antiphon;
use crate::topics::Topics;

#[test]
fn the_benchmark_reports_one_json_object() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo"]);
    let arguments = ["--requests", "2000", "--in-flight", "32", "--json"];
    let report = topics.command("bench", &arguments).run().succeeded().json();
    for (key, value) in [("requests", 2000), ("ok", 2000), ("errors", 0), ("in_flight", 32)] {
        assert_eq!(report[key], value, "{key} of {report}");
    }
    let us = ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"].map(|key| report[key].as_u64());
    assert!(us.is_sorted() && us[0] > Some(0), "{report}");
    assert!(report["throughput_per_s"].as_u64() > Some(0), "{report}");
    assert!(report["cpu_us_per_request"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn without_json_the_benchmark_prints_a_table() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo"]);
    let ended = topics.command("bench", &["--requests", "200", "--warm-up", "0"]).run();
    let text = String::from_utf8(ended.succeeded().stdout).unwrap();
    for words in ["200 requests, 200 ok", "p50", "█"] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let help = antiphon(["--help"]).run().succeeded();
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for code in [
        "Exit codes: 0 reply",
        "1 usage or configuration",
        "2 not sent",
        "3 timeout or unknown outcome",
        "4 error reply",
    ] {
        assert!(words.contains(code), "no `{code}` in:\n{help}");
    }
}

#[test]
fn completions_are_a_script_for_the_shell() {
    let script = antiphon(["completions", "bash"]).run().succeeded();
    // Bash itself says whether the script is one, and whether it completes the command.
    let check = [script.stdout.as_slice(), b"\ncomplete -p antiphon\n"].concat();
    let checked = crate::process::Launch::program("bash").input(&check).run().succeeded();
    assert!(checked.line().contains("-F _antiphon"), "{checked:?}");
}
