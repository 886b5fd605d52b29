//! How many file descriptors a process may have.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::Outcome;

/// Fewer than any of our processes has for its files, pipes and threads alone, so that it cannot
/// open another socket, whichever it has lost.
const FEW: u64 = 16;

/// Lets a process have as good as none, or as many as this process.
pub(crate) fn limit(pid: Pid, is_limited: bool) -> Outcome {
    let own = getrlimit(Resource::Nofile);
    let current = if is_limited { Some(FEW) } else { own.current };
    prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum: own.maximum })?;
    Ok(())
}
