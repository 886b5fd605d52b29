//! Results: one JSON object for machines, a table and a histogram for people.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use crate::latencies::Latencies;

/// What a load run measured. The field names are the keys of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct LoadReport {
    pub(crate) requests: u64,
    pub(crate) ok: u64,
    pub(crate) errors: u64,
    pub(crate) in_flight: usize,
    pub(crate) throughput_per_s: u64,
    #[serde(flatten)]
    pub(crate) latency: LatencyReport,
    pub(crate) cpu_us_per_request: f64,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct LatencyReport {
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

impl LatencyReport {
    pub(crate) fn of(latencies: &Latencies) -> Self {
        Self {
            p50_us: latencies.quantile(0.5),
            p90_us: latencies.quantile(0.9),
            p99_us: latencies.quantile(0.99),
            p999_us: latencies.quantile(0.999),
            max_us: latencies.max(),
        }
    }

    /// One row of latencies under their names.
    pub(crate) fn table(&self) -> String {
        let columns = [
            ("p50", self.p50_us),
            ("p90", self.p90_us),
            ("p99", self.p99_us),
            ("p99.9", self.p999_us),
            ("max", self.max_us),
        ];
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.set_header(columns.map(|(name, _)| right(name.to_owned())));
        table.add_row(columns.map(|(_, micros)| right(micros_text(micros))));
        table.to_string()
    }
}

/// Calls a second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate needs no more digits than a float has"
)]
pub(crate) fn rate(calls: u64, elapsed: Duration) -> u64 {
    (calls as f64 / elapsed.as_secs_f64().max(1e-9)).round() as u64
}

/// Microseconds of processor time for each of `calls`, to a hundredth.
#[expect(clippy::cast_precision_loss, reason = "as above")]
pub(crate) fn per_call(used: Duration, calls: u64) -> f64 {
    (used.as_secs_f64() * 1e8 / calls.max(1) as f64).round() / 100.0
}

/// A bar for each power of two that has calls.
pub(crate) fn histogram(latencies: &Latencies) -> String {
    const WIDTH: u64 = 40;
    let buckets = latencies.by_powers_of_two();
    let most = buckets.iter().map(|(_, calls)| *calls).max().unwrap_or(0).max(1);
    let lines = buckets.iter().map(|(high, calls)| {
        let width = usize::try_from((calls * WIDTH).div_ceil(most)).unwrap_or(0);
        format!("  ≤ {:>9} {:<40} {calls}", micros_text(*high), "█".repeat(width))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A latency as people write it.
pub(crate) fn micros_text(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let value = micros as f64;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.2} ms", value / 1e3),
        _ => format!("{:.2} s", value / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_has_a_bar_for_every_bucket_with_calls() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_micros(3));
        latencies.record(Duration::from_micros(1500));
        let drawn = histogram(&latencies);
        assert_eq!(drawn.lines().filter(|line| line.contains('█')).count(), 2, "{drawn}");
        assert!(drawn.contains("2.05 ms"), "{drawn}");
    }

    #[test]
    fn the_keys_are_those_that_scripts_read() {
        let report = LoadReport {
            requests: 1,
            ok: 1,
            errors: 0,
            in_flight: 1,
            throughput_per_s: 1,
            latency: LatencyReport::of(&Latencies::new()),
            cpu_us_per_request: 0.5,
        };
        let json = serde_json::to_value(report).expect("plain data");
        let keys: Vec<_> =
            json.as_object().expect("an object").keys().map(String::as_str).collect();
        for key in [
            "requests",
            "ok",
            "errors",
            "in_flight",
            "throughput_per_s",
            "p50_us",
            "p90_us",
            "p99_us",
            "p999_us",
            "max_us",
            "cpu_us_per_request",
        ] {
            assert!(keys.contains(&key), "{key} is missing in {keys:?}");
        }
    }
}
