//! Pictures of closed loops by calls in flight, and of open loops by load.

use std::path::Path;

use super::Page;
use crate::Outcome;
use crate::cases::{Acks, Case, Load, Quantity};
use crate::plot::{Bars, Lines};
use crate::ratios::values;

/// What pictures are of: one broker, acks=all, and requests of this size.
const PAYLOAD: usize = 128;

const CLOSED: [(&str, Quantity, &str); 6] = [
    ("throughput", Quantity::PerSecond, "Requests per second"),
    ("p50", Quantity::P50, "Median of the latency, µs"),
    ("p99", Quantity::P99, "99th percentile of the latency, µs"),
    ("p999", Quantity::P999, "99.9th percentile of the latency, µs"),
    ("requester-cpu", Quantity::RequesterCpu, "Requester: CPU time per request, µs"),
    ("replier-cpu", Quantity::ReplierCpu, "Replier: CPU time per request, µs"),
];

const OPEN: [(&str, Quantity, &str); 2] = [
    ("load-p50", Quantity::P50, "Median of the latency by load, µs"),
    ("load-p99", Quantity::P99, "99th percentile of the latency by load, µs"),
];

/// Writes a picture, and gives the lines that show it.
pub(crate) fn show(folder: &Path, file: &str, title: &str, svg: Option<String>) -> Outcome<String> {
    let path = folder.join(file);
    match svg {
        Some(svg) => {
            std::fs::write(path, svg)?;
            return Ok(format!("![{title}]({file})\n\n"));
        }
        // A picture of an earlier run must not stay beside the tables of this one.
        None if path.exists() => std::fs::remove_file(path)?,
        None => {}
    }
    Ok(String::new())
}

impl Page<'_> {
    /// Draws them, and gives the lines that show them.
    pub(super) fn pictures(&self, folder: &Path, prefix: &str) -> Outcome<String> {
        let mut text =
            format!("## Pictures\n\nOne broker, acks=all, requests of {PAYLOAD} bytes.\n\n");
        let mut draw = |name: &str, title: &str, svg: Option<String>| -> Outcome {
            text += &show(folder, &format!("{prefix}-{name}.svg"), title, svg)?;
            Ok(())
        };
        for (name, quantity, title) in CLOSED {
            draw(name, title, self.closed(quantity, title))?;
        }
        for (name, quantity, title) in OPEN {
            draw(name, title, self.open(quantity, title))?;
        }
        Ok(text)
    }

    fn pictured(&self) -> impl Iterator<Item = &Case> {
        let fits =
            |case: &&Case| case.brokers == 1 && case.acks == Acks::All && case.payload == PAYLOAD;
        self.cases.iter().filter(fits)
    }

    fn closed(&self, quantity: Quantity, title: &str) -> Option<String> {
        let mut cases: Vec<&Case> = self.pictured().filter(|case| case.is_closed()).collect();
        cases.sort_by_key(|case| case.in_flight);
        let measurements = &self.results.measurements;
        let series = self.contenders.iter().map(|&contender| {
            let value = |case: &&Case| {
                values(measurements, contender, **case, quantity).map(|spread| spread.median)
            };
            (contender.name(), cases.iter().map(value).collect())
        });
        let groups = cases.iter().map(|case| case.in_flight.to_string()).collect();
        let bars = Bars { title, across: "calls in flight", groups, series: series.collect() };
        (!cases.is_empty()).then(|| bars.svg())
    }

    fn open(&self, quantity: Quantity, title: &str) -> Option<String> {
        let mut points: Vec<(u32, &Case)> = Vec::new();
        for case in self.pictured() {
            if let Some(Load::Percent(percent)) = case.load {
                points.push((percent, case));
            }
        }
        points.sort_by_key(|(percent, _)| *percent);
        let measurements = &self.results.measurements;
        let series = self.contenders.iter().map(|&contender| {
            let point = |(percent, case): &(u32, &Case)| {
                let spread = values(measurements, contender, **case, quantity)?;
                Some((f64::from(*percent), spread.median))
            };
            (contender.name(), points.iter().filter_map(point).collect::<Vec<_>>())
        });
        let lines = Lines {
            title,
            across: "load in percent of what the contender answers in a closed loop",
            end: 100.0,
            step: 10.0,
            series: series.collect(),
        };
        (!points.is_empty()).then(|| lines.svg())
    }
}
