//! What Prometheus sees of a requester and a replier that are at work.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::brokers::mock;
use crate::http::{get, metrics, replies};
use crate::process::{Launch, Running};
use crate::topics::Topics;

/// A requester and a replier under load, and where each shows its metrics.
struct Pair {
    requester: String,
    replier: String,
    _running: [Running; 2],
}

impl Pair {
    fn start() -> Self {
        let topics = Topics::create(mock());
        let mut replier = topics.reply(&["--echo", "--metrics", "127.0.0.1:0"]);
        // More than it can send while the test runs; it ends with the test.
        let load = ["--requests", "1000000000", "--in-flight", "4", "--metrics", "127.0.0.1:0"];
        let mut requester = topics.command("bench", &load).start();
        let addresses = (requester.metrics_address(), replier.metrics_address());
        requester.until("load", |_| replies(&addresses.0) > 0.0);
        Self { requester: addresses.0, replier: addresses.1, _running: [requester, replier] }
    }
}

/// A program of Prometheus.
fn tool(name: &str) -> PathBuf {
    let fetched = root().join("target/tools/bin").join(name);
    if fetched.exists() {
        return fetched;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.exists())
        .unwrap_or_else(|| panic!("{name} is missing; run: scripts/setup.sh test"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn promtool_accepts_the_metrics_of_both() {
    let pair = Pair::start();
    for address in [&pair.requester, &pair.replier] {
        let page = metrics(address);
        let checked = Launch::program(tool("promtool"))
            .arguments(["check", "metrics"])
            .input(page.as_bytes())
            .run();
        assert_eq!((checked.code, &*checked.stderr), (Some(0), ""), "{checked:?}\n{page}");
    }
}

#[test]
fn every_metric_of_the_alert_rules_is_there() {
    let pair = Pair::start();
    let pages = metrics(&pair.requester) + &metrics(&pair.replier);
    let samples: BTreeSet<&str> = pages
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let rules = fs::read_to_string(root().join("deploy/prometheus/rules.yml")).unwrap();
    let named: BTreeSet<&str> = rules
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("antiphon_"))
        .collect();
    assert!(named.len() > 10, "the rules name only {named:?}");
    let absent: Vec<_> = named.difference(&samples).collect();
    assert!(absent.is_empty(), "no process serves {absent:?}; they serve {samples:?}");
}

#[test]
fn prometheus_scrapes_both() {
    let pair = Pair::start();
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("prometheus.yml");
    let targets = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs:\n\
         - {{job_name: requester, static_configs: [{{targets: ['{}']}}]}}\n\
         - {{job_name: replier, static_configs: [{{targets: ['{}']}}]}}\n",
        pair.requester, pair.replier
    );
    fs::write(&configuration, targets).unwrap();
    let mut prometheus = Launch::program(tool("prometheus"))
        .arguments([
            format!("--config.file={}", configuration.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            "--web.listen-address=127.0.0.1:0".to_owned(),
        ])
        .start();
    // The kernel has chosen the port by then, and the log tells it.
    let line = prometheus.says("msg=\"Listening on\" address=");
    let address = line.split_once("address=").unwrap().1;
    let address = address.split(' ').next().unwrap();
    for name in ["antiphon_requester_calls_total", "antiphon_replier_requests_total"] {
        prometheus.until(name, |_| sum(address, name) > 0.0);
    }
}

/// The sum of a metric over its series, as Prometheus has it.
fn sum(address: &str, name: &str) -> f64 {
    let Some((200, body)) = get(address, &format!("/api/v1/query?query=sum({name})")) else {
        return 0.0;
    };
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["status"], "success", "{answer}");
    // Nothing is scraped yet if the vector is empty.
    let value = answer["data"]["result"][0]["value"][1].as_str();
    value.map_or(0.0, |value| value.parse().unwrap())
}
