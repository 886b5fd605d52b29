//! The hold on a process: it is signalled and waited for, and ends with this one.

use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::Outcome;

const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How a process is started, beside what it is told.
#[derive(Debug, Default)]
pub(crate) struct Launch {
    /// A command that replaces itself by the one behind it.
    pub(crate) prefix: Vec<String>,
}

/// A process of a row.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    child: Child,
    /// Open until the end: a process takes its close for the death of this one.
    input: ChildStdin,
}

impl Worker {
    pub(crate) fn start(
        role: &str,
        name: &str,
        orders: &impl Serialize,
        launch: &Launch,
    ) -> Outcome<Self> {
        let program = std::env::current_exe()?;
        let mut command = match launch.prefix.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        let mut child = command
            .args([role, &serde_json::to_string(orders)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        let input = child.stdin.take().ok_or("a process has no input")?;
        Ok(Self { name: name.to_owned(), child, input })
    }

    /// Sends a signal, unless the process has ended.
    pub(crate) fn signal(&mut self, signal: Signal) -> Outcome {
        if self.child.try_wait()?.is_none() {
            kill_process(self.pid(), signal)?;
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Tells a requester to ask no more.
    pub(crate) fn stop_asking(&mut self) -> Outcome {
        use std::io::Write;
        Ok(self.input.write_all(b"stop\n")?)
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> Outcome<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end, so long at most.
    pub(crate) fn ended(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= until {
                return Err(format!("{} does not end within {limit:?}", self.name).into());
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and that is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
