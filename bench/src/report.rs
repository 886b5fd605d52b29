//! The page about one run or several: promises, pictures, tables, and where Antiphon loses.

mod losses;
mod pictures;
mod tables;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::Outcome;
use crate::cases::Case;
use crate::contenders::Contender;
use crate::promises;
use crate::results::{Machine, Results};

pub(crate) use self::pictures::show;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What runs have written; of several, the rounds are put together.
    #[arg(default_value = "target/bench.json")]
    json: Vec<PathBuf>,
    /// What `make million` has printed, if it has run.
    #[arg(long, default_value = "target/million.json")]
    million: PathBuf,
    /// The folder for the page and its pictures.
    #[arg(long, default_value = "docs/benchmarks")]
    out: PathBuf,
    /// The name of the page.
    #[arg(long, default_value = "README")]
    name: String,
    /// Whom the ratios in tables are taken against.
    #[arg(long, value_enum, default_value = "floor")]
    against: Contender,
}

/// The results, with what is in them.
struct Page<'a> {
    results: &'a Results,
    against: Contender,
    contenders: Vec<Contender>,
    cases: Vec<Case>,
}

pub(crate) fn write(options: &Options) -> Outcome {
    let results = Results::read(&options.json)?;
    std::fs::create_dir_all(&options.out)?;
    let page = Page::new(&results, options.against);
    let mut text = page.heading();
    text += "## What must hold\n\n";
    text += &promises::table(&results);
    text += &page.losses();
    text += &page.pictures(&options.out, &options.name.to_lowercase())?;
    text += &memory(&options.million)?;
    text += &page.tables();
    std::fs::write(options.out.join(format!("{}.md", options.name)), text)?;
    Ok(())
}

/// The table of each load, with ratios to one contender.
pub(crate) fn tables(results: &Results, against: Contender) -> String {
    let page = Page::new(results, against);
    page.cases.iter().map(|case| page.table(*case)).collect()
}

impl<'a> Page<'a> {
    fn new(results: &'a Results, against: Contender) -> Self {
        let mut cases = Vec::new();
        for measurement in &results.measurements {
            if !cases.contains(&measurement.case) {
                cases.push(measurement.case);
            }
        }
        let took_part = |who: &Contender| results.measurements.iter().any(|m| m.contender == *who);
        let contenders = Contender::ALL.into_iter().filter(took_part).collect();
        Self { results, against, contenders, cases }
    }

    fn heading(&self) -> String {
        let machines: Vec<String> = self.results.machines.iter().map(Machine::to_string).collect();
        format!(
            "# Measured\n\n\
             Written by `make bench`; [how it measures](../../bench/README.md). Brokers of real \
             Apache Kafka, or whatever stands between, run on the same machine as requester and \
             replier: {}. Contenders take turns, in rounds. Absolute figures are medians, and hold for \
             this machine at that time only; ratios are taken within a round, with the least and \
             the most of them beside.\n\n",
            machines.join("; and "),
        )
    }
}

/// What a call in flight costs, if that was measured.
fn memory(path: &Path) -> Outcome<String> {
    let Ok(text) = std::fs::read(path) else {
        return Ok("## Memory\n\nNot measured: `make million > target/million.json` does it.\n\n"
            .to_owned());
    };
    let million: Value = serde_json::from_slice(&text)?;
    let figure = |name: &str| million[name].as_u64().ok_or(format!("{name} is not in it"));
    Ok(format!(
        "## Memory\n\nWith a million calls in flight (`make million`), each costs {} bytes on the \
         heap, and {} of the process's resident memory. All have ended {:.1} s after their replies \
         could be read.\n\n",
        figure("bytes_per_call_heap")?,
        figure("bytes_per_call_rss")?,
        million["seconds_to_complete"].as_f64().ok_or("seconds_to_complete is not in it")?
    ))
}
