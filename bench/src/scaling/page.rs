//! A plan in words, and several in a table.

use std::fmt::Write as _;

use super::plan::{Demand, Limit, Plan};

/// One plan.
pub(crate) fn words(demand: &Demand, plan: &Plan) -> String {
    let cell = &plan.cell;
    let mut page = String::new();
    let mut line = |what: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{what:<20} {value}");
    };
    line(
        "requests/s",
        format!(
            "{}, of {} + {} bytes",
            rounded(demand.rate),
            demand.request_payload,
            demand.reply_payload
        ),
    );
    line(
        "cells",
        match plan.cells {
            1 => "1 cluster".to_owned(),
            several => format!("{several} clusters of {} requests/s; of each:", rounded(cell.rate)),
        },
    );
    line("requesters", rounded(cell.requesters));
    line("repliers", rounded(cell.repliers));
    line("brokers", format!("{}, for the sake of {}", rounded(cell.brokers), cell.limit.name()));
    line("request partitions", rounded(cell.request_partitions));
    line("reply partitions", rounded(cell.reply_partitions));
    line(
        "CPU per request",
        format!(
            "{:.1} µs requester, {:.1} µs replier, {:.1} µs brokers",
            cell.requester_us, cell.replier_us, cell.broker_us
        ),
    );
    line(
        "bytes per request",
        format!("{:.0} written, times {} replicas", cell.bytes, demand.replicas),
    );
    line(
        "all cells",
        format!("{} cores, of which {} busy", rounded(plan.cores), rounded(plan.cores_busy)),
    );
    line("brokers' network", format!("{} in, and as much out", bytes(plan.network, "/s")));
    line("disk", format!("{} for {} s", bytes(plan.disk, ""), demand.retention_s));
    line(
        "cost",
        format!("${:.2} an hour, ${:.4} for a million requests", plan.per_hour, plan.per_million),
    );
    page
}

/// The table of docs/scaling.md.
pub(crate) fn table(plans: &[(Demand, Plan)]) -> String {
    let mut page = String::from(
        "| requests/s | cells | requesters | repliers | brokers | because of | request + reply partitions | CPU µs: requester + replier + broker | network in | disk | cores | $ per million |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (demand, plan) in plans {
        let (cell, cells) = (&plan.cell, f64::from(plan.cells));
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} + {} | {:.0} + {:.0} + {:.0} | {} | {} | {} | {:.3} |",
            rounded(demand.rate),
            plan.cells,
            rounded(cell.requesters * cells),
            rounded(cell.repliers * cells),
            rounded(cell.brokers * cells),
            cell.limit.name(),
            rounded(cell.request_partitions * cells),
            rounded(cell.reply_partitions * cells),
            cell.requester_us,
            cell.replier_us,
            cell.broker_us,
            bytes(plan.network, "/s"),
            bytes(plan.disk, ""),
            rounded(plan.cores),
            plan.per_million,
        );
    }
    page
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Self::Processors => "CPU",
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Partitions => "partitions",
            Self::Replicas => "replicas",
        }
    }
}

/// A whole number with its thousands apart.
fn rounded(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the unit that leaves one to three digits before the point.
fn bytes(number: f64, per: &str) -> String {
    let units = [(1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")];
    let (size, unit) = units.into_iter().find(|(size, _)| number >= *size).unwrap_or((1e3, "kB"));
    let value = number / size;
    let places = if value < 10.0 { 1 } else { 0 };
    format!("{value:.places$} {unit}{per}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(rounded(7.0), "7");
        assert_eq!(rounded(123_456.4), "123,456");
        assert_eq!(rounded(10_000_000.0), "10,000,000");
        assert_eq!(bytes(2_500_000.0, "/s"), "2.5 MB/s");
        assert_eq!(bytes(25e9, ""), "25 GB");
        assert_eq!(bytes(12.0, ""), "0.0 kB");
    }
}
