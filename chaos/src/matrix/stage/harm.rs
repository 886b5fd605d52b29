//! What a row may do to processes beyond signals.

use std::time::Duration;

use rustix::process::Signal;

use super::{Stage, kill, transactional_id};
use crate::Outcome;
use crate::faults::rogue::{self, Sent};
use crate::faults::{descriptors, fencing};
use crate::matrix::PARTITIONS;

/// How long a replier may take to come to the point where it dies.
const DIES: Duration = Duration::from_secs(30);

impl Stage<'_> {
    /// Lets the first replier kill itself where the row says, and waits for that.
    pub(in crate::matrix) fn crash_replier(&mut self) -> Outcome {
        if self.repliers.is_empty() {
            return Err("no replier is left".into());
        }
        let mut worker = self.repliers.remove(0);
        worker.signal(Signal::USR1)?;
        let status = worker.ended(DIES)?;
        // By its own SIGKILL: it has no code then.
        if status.code().is_some() {
            return Err(format!("{} was not killed: {status}", worker.name).into());
        }
        Ok(())
    }

    /// Kills all repliers.
    pub(in crate::matrix) fn kill_repliers(&mut self) -> Outcome {
        while !self.repliers.is_empty() {
            kill(&mut self.repliers, &self.journal)?;
        }
        Ok(())
    }

    /// Lets somebody answer for so long as no replier should.
    pub(in crate::matrix) fn rogue(&mut self, length: Duration) -> Outcome<Sent> {
        let timeout = Duration::from_millis(self.setup.timeout_ms);
        let (folder, bootstrap) = (&self.folder, self.broker.bootstrap());
        rogue::answer(folder, bootstrap, &self.topic, PARTITIONS, (length, timeout))
    }

    /// Takes the transactional id of the first replier.
    pub(in crate::matrix) fn fence(&mut self) -> Outcome {
        let worker = self.repliers.first().ok_or("no replier is left")?;
        fencing::fence(self.bootstrap(), &transactional_id(&self.topic, &worker.name))
    }

    /// Lets no process of the row open a file or a socket, or again as many as before.
    pub(in crate::matrix) fn limit_descriptors(&mut self, is_limited: bool) -> Outcome {
        for worker in self.repliers.iter().chain(&self.requesters) {
            descriptors::limit(worker.pid(), is_limited)?;
        }
        Ok(())
    }
}
