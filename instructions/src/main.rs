//! Runs a program under callgrind, and compares the instructions of its paths with what is committed.
#![forbid(unsafe_code)]

mod annotation;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use serde::{Deserialize, Serialize};

/// How often the program walks each path.
const TIMES: u64 = 10_000;
/// What a new patch of the compiler or of a dependency may cost.
const TOLERANCE_PERCENT: f64 = 5.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Debug, Parser)]
struct Arguments {
    /// The program; its paths are the functions of its module `measured`.
    program: PathBuf,
    /// What is expected.
    #[arg(long)]
    expected: PathBuf,
    /// Write what was counted, for it to be committed.
    #[arg(long)]
    accept: bool,
}

/// The committed counts.
#[derive(Debug, Serialize, Deserialize)]
struct Expected {
    /// Another compiler counts otherwise; then the counts are to be accepted anew.
    rustc: String,
    /// How far a count may be off, upwards; downwards it is a reason to accept anew, no failure.
    tolerance_percent: f64,
    /// Instructions of one walk of each path.
    instructions: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<bool> {
    let counted = count(&arguments.program)?;
    let text = std::fs::read(&arguments.expected);
    let rustc = rustc()?;
    if arguments.accept {
        let expected =
            Expected { rustc, tolerance_percent: TOLERANCE_PERCENT, instructions: counted };
        let text = serde_json::to_string_pretty(&expected)? + "\n";
        std::fs::write(&arguments.expected, text)?;
        return Ok(true);
    }
    let expected: Expected = serde_json::from_slice(&text?)?;
    if expected.rustc != rustc {
        println!("the counts were accepted with {}; this is {rustc}", expected.rustc);
    }
    Ok(report(&expected, &counted))
}

/// A line for each path, and one for all; whether nothing grew.
fn report(expected: &Expected, counted: &BTreeMap<String, u64>) -> bool {
    let (mut passed, mut failed) = (0, 0);
    let names = expected.instructions.keys().chain(counted.keys());
    let names: std::collections::BTreeSet<&String> = names.collect();
    for name in names {
        let verdict =
            verdict(expected.instructions.get(name), counted.get(name), expected.tolerance_percent);
        match verdict {
            Ok(said) => {
                passed += 1;
                println!("ok      {name}: {said}");
            }
            Err(said) => {
                failed += 1;
                println!("FAILED  {name}: {said}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    failed == 0
}

fn verdict(
    expected: Option<&u64>,
    counted: Option<&u64>,
    tolerance: f64,
) -> Result<String, String> {
    let accept = "`make instructions ARGS=--accept` takes it as it is";
    let (expected, counted) = match (expected, counted) {
        (Some(expected), Some(counted)) => (*expected, *counted),
        (None, _) => return Err(format!("nothing is committed for it; {accept}")),
        (_, None) => return Err(format!("it is not in the program any more; {accept}")),
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 instructions")]
    let percent = (counted as f64 / expected as f64 - 1.0) * 100.0;
    let said = format!("{counted} instructions, {percent:+.1} % of {expected}");
    if percent > tolerance {
        return Err(format!("{said}, more than {tolerance} %; if that is meant, {accept}"));
    }
    if percent < -tolerance {
        return Ok(format!("{said}; {accept}, so that it stays so"));
    }
    Ok(said)
}

/// The instructions of one walk of each path.
fn count(program: &Path) -> Outcome<BTreeMap<String, u64>> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("callgrind.out");
    // With debug information a function is split by the files that its code comes from, and no line
    // has all of it. Its name is a symbol, and stays.
    let bare = folder.path().join("program");
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(&bare).arg(program);
    if !strip.status().map_err(|e| format!("strip cannot be run: {e}"))?.success() {
        return Err(format!("{} cannot be stripped", program.display()).into());
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]);
    valgrind.arg(format!("--callgrind-out-file={}", profile.display())).arg(&bare);
    let status = valgrind.status().map_err(|e| format!("valgrind cannot be run: {e}"))?;
    if !status.success() {
        return Err(format!("{} ended under valgrind: {status}", program.display()).into());
    }
    let mut annotate = Command::new("callgrind_annotate");
    annotate.args(["--inclusive=yes", "--threshold=100", "--auto=no"]).arg(&profile);
    let output = annotate.output().map_err(|e| format!("callgrind_annotate: {e}"))?;
    let paths = annotation::paths(&String::from_utf8_lossy(&output.stdout));
    if paths.is_empty() {
        return Err("no function of a module `measured` was found in the profile".into());
    }
    let mut counts = BTreeMap::new();
    for (name, total) in paths {
        if counts.insert(name.clone(), total.div_ceil(TIMES)).is_some() {
            return Err(format!("{name} is in the profile twice, so neither is all of it").into());
        }
    }
    Ok(counts)
}

fn rustc() -> Outcome<String> {
    let output = Command::new("rustc").arg("--version").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_fails_and_shrinking_is_told() {
        assert!(verdict(Some(&1000), Some(&1030), 4.0).is_ok());
        assert!(verdict(Some(&1000), Some(&1050), 4.0).is_err());
        assert!(verdict(Some(&1000), Some(&900), 4.0).is_ok_and(|said| said.contains("--accept")));
    }

    #[test]
    fn paths_that_come_or_go_are_told() {
        assert!(verdict(None, Some(&10), 4.0).is_err());
        assert!(verdict(Some(&10), None, 4.0).is_err());
    }
}
