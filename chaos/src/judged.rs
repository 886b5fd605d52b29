//! Judges histories by the checker, and says in words what it found.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use antiphon_chaos::checker::{Limits, Verdict, check};
use antiphon_chaos::history::History;
use clap::Args;

use crate::Outcome;

/// What the histories of a folder are judged by lies beside them.
const LIMITS: &str = "limits.json";

/// Which histories.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder with the histories of one run: that of one row, as `--out` keeps it.
    folder: PathBuf,
    /// Prints all of the verdict, as JSON.
    #[arg(long)]
    json: bool,
}

/// Judges a kept folder. Fails if a guarantee was broken.
pub(crate) fn run(options: &Options) -> Outcome {
    let limits = match fs::read_to_string(options.folder.join(LIMITS)) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{LIMITS}: {error}"))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Limits::default(),
        Err(error) => return Err(format!("{LIMITS}: {error}").into()),
    };
    let verdict = check(&History::read(&options.folder)?, &limits);
    let mut output = io::stdout().lock();
    if options.json {
        writeln!(output, "{}", serde_json::to_string_pretty(&verdict)?)?;
    } else {
        tell(&verdict, &mut output)?;
    }
    if verdict.is_good() { Ok(()) } else { Err("a guarantee was broken".into()) }
}

/// Judges what a row has written, and keeps beside it what it was judged by.
pub(crate) fn judge(folder: &Path, limits: &Limits) -> Outcome<Verdict> {
    fs::write(folder.join(LIMITS), serde_json::to_string_pretty(limits)?)?;
    Ok(check(&History::read(folder)?, limits))
}

/// Says what was found: each violation with the records that show it, and what was not judged.
pub(crate) fn tell(verdict: &Verdict, output: &mut impl Write) -> io::Result<()> {
    for violation in &verdict.violations {
        writeln!(output, "{}: {}", violation.guarantee, violation.what)?;
        for record in &violation.records {
            let (seconds, micros) = (record.at_us / 1_000_000, record.at_us % 1_000_000);
            let (process, line) = (&record.process, record.line);
            writeln!(output, "    {seconds}.{micros:06} {process}:{line} {}", record.event)?;
        }
    }
    for (guarantee, count) in &verdict.broken {
        writeln!(output, "{guarantee}: {count} violations")?;
    }
    for what in &verdict.not_judged {
        writeln!(output, "not judged: {what}")?;
    }
    if verdict.is_good() {
        let counts = &verdict.counts;
        writeln!(output, "no violation in {} events of {} calls", counts.events, counts.requests)?;
    }
    Ok(())
}
