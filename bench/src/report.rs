//! The page about a run: tables, ratios and pictures.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::Outcome;
use crate::cases::{Case, Quantity, Results};
use crate::contenders::Contender;
use crate::plot::Bars;
use crate::ratios::{Spread, ratio, values};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What a run has written.
    #[arg(default_value = "target/bench.json")]
    json: PathBuf,
    /// The folder for the page and its pictures.
    #[arg(long, default_value = "docs/benchmarks")]
    out: PathBuf,
    /// The name of the page.
    #[arg(long, default_value = "README")]
    name: String,
    /// Whom ratios are taken against.
    #[arg(long, value_enum, default_value = "floor")]
    against: Contender,
}

/// The run, with what was in it.
struct Page<'a> {
    results: &'a Results,
    against: Contender,
    contenders: Vec<Contender>,
    cases: Vec<Case>,
}

pub(crate) fn write(options: &Options) -> Outcome {
    let results: Results = serde_json::from_slice(&std::fs::read(&options.json)?)?;
    std::fs::create_dir_all(&options.out)?;
    let page = Page::new(&results, options.against);
    let mut text = page.heading();
    for (name, quantity, title) in [
        ("throughput", Quantity::PerSecond, "Requests per second by calls in flight"),
        ("requester-cpu", Quantity::RequesterCpu, "Requester: CPU per request, µs"),
        ("replier-cpu", Quantity::ReplierCpu, "Replier: CPU per request, µs"),
        ("p99", Quantity::P99, "p99 of the latency, µs"),
    ] {
        let file = format!("{}-{name}.svg", options.name.to_lowercase());
        page.picture(&options.out.join(&file), quantity, title)?;
        let _ = writeln!(text, "![{title}]({file})\n");
    }
    text += &page.tables();
    text += &page.losses();
    std::fs::write(options.out.join(format!("{}.md", options.name)), text)?;
    Ok(())
}

impl<'a> Page<'a> {
    fn new(results: &'a Results, against: Contender) -> Self {
        let (mut contenders, mut cases) = (Vec::new(), Vec::new());
        for measurement in &results.measurements {
            if !contenders.contains(&measurement.contender) {
                contenders.push(measurement.contender);
            }
            if !cases.contains(&measurement.case) {
                cases.push(measurement.case);
            }
        }
        Self { results, against, contenders, cases }
    }

    fn heading(&self) -> String {
        let Results { machine, brokers, acks, rounds, .. } = self.results;
        format!(
            "# Measured\n\n\
             Written by `make bench`; [how it measures](../../bench/README.md). {brokers} broker(s) \
             of real Apache Kafka, acks={acks}, on the same machine as requester and replier: \
             {}, {} cores, {} GiB, Linux {}. Medians of {rounds} rounds in which the contenders \
             take turns. Absolute figures hold for this machine at that time only; ratios are \
             taken within a round, with the least and the most of them in brackets.\n\n",
            machine.processor, machine.cores, machine.memory_gib, machine.kernel
        )
    }

    fn picture(&self, path: &Path, quantity: Quantity, title: &str) -> Outcome {
        let closed = |case: &&Case| case.rate.is_none() && case.in_flight >= 16;
        let cases: Vec<&Case> = self.cases.iter().filter(closed).collect();
        let series = self.contenders.iter().map(|&contender| {
            let value = |case: &&Case| {
                let spread = values(&self.results.measurements, contender, **case, quantity);
                spread.map(|spread| spread.median)
            };
            (contender.name(), cases.iter().map(value).collect())
        });
        let groups = cases.iter().map(ToString::to_string).collect();
        let bars = Bars { title, groups, series: series.collect() };
        std::fs::write(path, bars.svg())?;
        Ok(())
    }

    fn tables(&self) -> String {
        let mut text = String::new();
        for &case in &self.cases {
            let _ = writeln!(text, "## {case}\n");
            let titles = Quantity::ALL.map(Quantity::title);
            let _ = writeln!(text, "| | {} |", titles.join(" | "));
            let _ = writeln!(text, "|---{}|", "|---:".repeat(titles.len()));
            for &contender in &self.contenders {
                let cell = |quantity| {
                    let measurements = &self.results.measurements;
                    let value = values(measurements, contender, case, quantity);
                    let ratio = ratio(measurements, contender, self.against, case, quantity);
                    shown(value, ratio.filter(|_| contender != self.against))
                };
                let cells = Quantity::ALL.map(cell).join(" | ");
                let _ = writeln!(text, "| {} | {cells} |", contender.name());
            }
            text.push('\n');
        }
        text
    }

    /// Where Antiphon is worse than the yardstick, and what failed.
    fn losses(&self) -> String {
        let mut text = format!("## Where Antiphon loses against {}\n\n", self.against.name());
        let mut none = true;
        for &case in &self.cases {
            for quantity in Quantity::ALL {
                let ratio = ratio(
                    &self.results.measurements,
                    Contender::Antiphon,
                    self.against,
                    case,
                    quantity,
                );
                let Some(Spread { median, .. }) = ratio else { continue };
                let loses = if quantity.is_gain() { median < 1.0 } else { median > 1.0 };
                if loses {
                    none = false;
                    let _ = writeln!(text, "- {case}: {} {median:.2} ×", quantity.title());
                }
            }
        }
        if none {
            text.push_str("Nowhere in this run.\n");
        }
        for failed in &self.results.failed {
            let case = failed.case.map_or_else(String::new, |case| format!(", {case}"));
            let (name, round) = (failed.contender.name(), failed.round + 1);
            let _ = writeln!(text, "- Failed: {name}{case}, round {round}: {}", failed.reason);
        }
        text
    }
}

fn shown(value: Option<Spread>, ratio: Option<Spread>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let places = usize::from(value.median < 100.0);
    let shown = format!("{:.places$}", value.median);
    match ratio {
        None => shown,
        Some(Spread { median, min, max }) => {
            format!("{shown}<br>{median:.2} × ({min:.2}–{max:.2})")
        }
    }
}
