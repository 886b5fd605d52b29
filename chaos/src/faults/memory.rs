//! A control group that gives a process no more memory than it is allowed.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::Outcome;

const ROOT: &str = "/sys/fs/cgroup";

/// A control group around one process. Goes with this value, when the process has ended.
#[derive(Debug)]
pub(crate) struct Cage {
    name: String,
    folder: PathBuf,
    version: Version,
}

/// The names that the kernel's two versions of control groups have for the same.
#[derive(Debug, Clone, Copy)]
enum Version {
    One,
    Two,
}

impl Cage {
    /// Puts a process into a new group.
    pub(crate) fn around(name: &str, pid: Pid, bytes: u64) -> Outcome<Self> {
        let (parent, version) = parent()?;
        let folder = parent.join(format!("antiphon-chaos-{}", pid.as_raw_nonzero()));
        fs::create_dir(&folder).map_err(|error| {
            format!("{}: {error}: a limit of memory needs the right to make one", folder.display())
        })?;
        let cage = Self { name: name.to_owned(), folder, version };
        match version {
            Version::One => cage.write("memory.limit_in_bytes", &bytes.to_string())?,
            Version::Two => {
                cage.write("memory.max", &bytes.to_string())?;
                // What is swapped out is memory as well. A machine may have no swap to forbid.
                let _ = cage.write("memory.swap.max", "0");
            }
        }
        cage.write("cgroup.procs", &pid.as_raw_nonzero().to_string())?;
        Ok(cage)
    }

    /// Fails if the kernel had to kill for want of memory.
    pub(crate) fn check(&self) -> Outcome {
        let (events, peak) = match self.version {
            Version::One => ("memory.oom_control", "memory.max_usage_in_bytes"),
            Version::Two => ("memory.events", "memory.peak"),
        };
        let text = fs::read_to_string(self.folder.join(events))?;
        let killed = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        if killed.is_some_and(|count| count.trim() != "0") {
            return Err(format!("{} was killed for want of memory", self.name).into());
        }
        // Not all kernels tell.
        if let Ok(peak) = fs::read_to_string(self.folder.join(peak))
            && let Ok(bytes) = peak.trim().parse::<u64>()
        {
            eprintln!("  {} took {} MiB at most", self.name, bytes >> 20);
        }
        Ok(())
    }

    fn write(&self, file: &str, text: &str) -> Outcome {
        let path = self.folder.join(file);
        Ok(fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?)
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // Only an empty one goes. What is left does no harm, and goes with the machine.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Where groups with a limit of memory can be made.
fn parent() -> Outcome<(PathBuf, Version)> {
    let two = Path::new(ROOT);
    let controllers = fs::read_to_string(two.join("cgroup.controllers")).unwrap_or_default();
    if controllers.split_whitespace().any(|name| name == "memory") {
        // Of a group's children, only what the group passes on can be limited.
        let _ = fs::write(two.join("cgroup.subtree_control"), "+memory");
        return Ok((two.to_owned(), Version::Two));
    }
    let one = two.join("memory");
    if one.join("memory.limit_in_bytes").exists() {
        return Ok((one, Version::One));
    }
    Err(format!("{ROOT} has no controller of memory").into())
}
