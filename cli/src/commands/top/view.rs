//! Replicas for people: a table of them, and one of their endpoints.

use comfy_table::{Table, presets};

use super::replicas::{Replica, Replicas, done};
use crate::output::shown;

/// How long a name may be: what repliers say is not trusted to be short.
const NAME: usize = 32;

pub(super) fn text(replicas: &Replicas) -> String {
    let mut parts = Vec::new();
    if !replicas.is_empty() {
        let header = [
            "replica",
            "group",
            "host",
            "version",
            "partitions",
            "running",
            "outstanding",
            "uncommitted",
            "lag",
        ];
        parts.push(table(&header, replicas.all.values().map(|replica| row(replicas, replica))));
        let header = ["replica", "endpoint", "requests", "errors", "per s", "p50 ms", "p99 ms"];
        parts.push(table(&header, replicas.all.values().flat_map(endpoints)));
    }
    for ((topic, partition), why) in &replicas.silent {
        parts.push(format!("no answer for {topic} {partition}: {}", shown(why.as_bytes(), 120)));
    }
    parts.join("\n")
}

fn row(replicas: &Replicas, replica: &Replica) -> Vec<String> {
    let Replica { info, stats, held, .. } = replica;
    let name = |text: &str| shown(text.as_bytes(), NAME);
    let lags: Vec<i64> =
        held.iter().filter_map(|place| replicas.lags.get(place).copied()).collect();
    vec![
        match &*info.instance_id {
            "" => name(&info.asked.replica),
            named => name(named),
        },
        name(&info.group),
        format!("{} ({})", name(&info.host), info.pid),
        name(&info.version),
        places(replica),
        stats.running.to_string(),
        stats.outstanding.to_string(),
        stats.commit_lag.to_string(),
        if lags.is_empty() { "?".to_owned() } else { lags.iter().sum::<i64>().to_string() },
    ]
}

/// The partitions of a replica, by topic.
fn places(replica: &Replica) -> String {
    let mut text = String::new();
    let mut last: Option<&str> = None;
    for (topic, partition) in &replica.held {
        if last == Some(topic) {
            text.push_str(&format!(",{partition}"));
        } else {
            let space = if last.is_some() { " " } else { "" };
            text.push_str(&format!("{space}{topic}:{partition}"));
        }
        last = Some(topic);
    }
    text
}

fn endpoints(replica: &Replica) -> impl Iterator<Item = Vec<String>> {
    let millis = |millis: Option<f64>| millis.map_or_else(String::new, |ms| format!("{ms:.1}"));
    replica.stats.endpoints.iter().map(move |(name, stats)| {
        vec![
            shown(replica.info.asked.replica.as_bytes(), NAME),
            shown(name.as_bytes(), NAME),
            done(stats).to_string(),
            done(stats).saturating_sub(stats.ok).to_string(),
            replica.rates.get(name).map_or_else(String::new, |rate| format!("{rate:.1}")),
            millis(stats.p50_ms),
            millis(stats.p99_ms),
        ]
    })
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    table.to_string()
}
