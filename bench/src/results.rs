//! What runs write: files that a report reads together.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::cases::{Case, Measurement};
use crate::contenders::Contender;

/// A measurement that failed, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) round: usize,
    pub(crate) contender: Contender,
    pub(crate) case: Option<Case>,
    pub(crate) reason: String,
}

/// What a run has measured; or several, one after the other.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// More than one if results of several machines were put together.
    pub(crate) machines: Vec<Machine>,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) failed: Vec<Failed>,
    /// What took no part, and why.
    pub(crate) left_out: Vec<String>,
}

/// Where it ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
}

impl Results {
    /// Reads files of several runs as one.
    pub(crate) fn read(paths: &[PathBuf]) -> Outcome<Self> {
        let mut all = Self::default();
        for path in paths {
            all.add(read_json(path)?);
        }
        Ok(all)
    }

    /// Writes a file whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Outcome {
        write_json(self, path)
    }

    /// The rounds that were measured.
    pub(crate) fn rounds(&self) -> usize {
        let mut rounds: Vec<usize> = self.measurements.iter().map(|m| m.round).collect();
        rounds.sort_unstable();
        rounds.dedup();
        rounds.len()
    }

    /// Adds another run. Its rounds get numbers of their own: ratios are taken within a round, and
    /// rounds of two runs have nothing to do with each other.
    fn add(&mut self, other: Self) {
        let rounds = self.measurements.iter().map(|m| m.round);
        let rounds = rounds.chain(self.failed.iter().map(|f| f.round));
        let first = rounds.max().map_or(0, |last| last + 1);
        self.measurements.extend(other.measurements.into_iter().map(|mut measurement| {
            measurement.round += first;
            measurement
        }));
        self.failed.extend(other.failed.into_iter().map(|mut failed| {
            failed.round += first;
            failed
        }));
        for machine in other.machines {
            if !self.machines.contains(&machine) {
                self.machines.push(machine);
            }
        }
        for left_out in other.left_out {
            if !self.left_out.contains(&left_out) {
                self.left_out.push(left_out);
            }
        }
    }
}

/// Writes a file of JSON whole or not at all.
pub(crate) fn write_json(value: &impl Serialize, path: &Path) -> Outcome {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("json.new");
    std::fs::write(&new, serde_json::to_vec_pretty(value)?)?;
    Ok(std::fs::rename(new, path)?)
}

/// Reads what [`write_json`] has written; an error names the file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Outcome<T> {
    let at = |error: String| format!("{}: {error}", path.display());
    let text = std::fs::read(path).map_err(|e| at(e.to_string()))?;
    Ok(serde_json::from_slice(&text).map_err(|e| at(e.to_string()))?)
}

impl Machine {
    /// This one, as far as it tells.
    pub(crate) fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kilobytes = value(&read("/proc/meminfo"), "MemTotal")
            .and_then(|total| total.split(' ').next()?.parse::<u64>().ok());
        Self {
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gib: kilobytes.unwrap_or_default().div_ceil(1 << 20),
            kernel: release(&read("/proc/sys/kernel/osrelease")).to_owned(),
        }
    }
}

/// The release of a kernel, without what those who built it have named theirs.
fn release(kernel: &str) -> &str {
    kernel
        .trim()
        .split(|letter: char| letter != '.' && !letter.is_ascii_digit())
        .next()
        .unwrap_or("")
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { processor, cores, memory_gib, kernel } = self;
        write!(f, "{processor}, {cores} cores, {memory_gib} GiB, Linux {kernel}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratios::tests::measured;

    #[test]
    fn a_kernel_is_named_by_its_release() {
        assert_eq!(release("6.12.48+deb13-amd64\n"), "6.12.48");
        assert_eq!(release("6.18\n"), "6.18");
        assert_eq!(release(""), "");
    }

    fn run(rounds: usize) -> Results {
        let measurements =
            (0..rounds).map(|round| measured(round, Contender::Floor, 1.0)).collect();
        Results { measurements, machines: vec![Machine::default()], ..Results::default() }
    }

    #[test]
    fn rounds_of_several_files_stay_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = [folder.path().join("a.json"), folder.path().join("b.json")];
        run(2).write(&paths[0]).expect("it can be written");
        run(3).write(&paths[1]).expect("it can be written");
        let both = Results::read(&paths).expect("what was written can be read");
        assert_eq!((both.rounds(), both.measurements.len()), (5, 5));
        assert_eq!(both.machines.len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = Results::read(&[PathBuf::from("nowhere.json")]).expect_err("it is not there");
        assert!(error.to_string().contains("nowhere.json"));
    }
}
