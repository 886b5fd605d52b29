//! A contender's process, and the processor time that any process has used.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::contenders::Role;
use crate::contract::{Figures, Order};

/// How long a process may take to start.
const READY: Duration = Duration::from_secs(60);

/// A requester or a replier. It ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<io::Result<String>>,
    /// Where it can be reached, if it listens itself.
    pub(crate) address: Option<String>,
}

impl Process {
    /// Starts a contender's program as its `requester` or `replier`.
    pub(crate) fn start(which: &str, mut program: Command, role: &Role) -> Outcome<Self> {
        program.arg(which).arg(role.contender.name()).args(["--bootstrap", &role.bootstrap]);
        program.args(["--topic", &role.topic, "--acks", &role.acks]);
        program.args(["--payload", &role.payload.to_string()]);
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the process has no output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        let mut process = Self { input, child, lines, address: None };
        let line = process.line(READY)?;
        match line.split_once(' ') {
            None if line == "ready" => Ok(process),
            Some(("ready", address)) => {
                process.address = Some(address.to_owned());
                Ok(process)
            }
            _ => Err(format!("the process said {line:?} instead of \"ready\"").into()),
        }
    }

    /// Has a requester measure.
    pub(crate) fn measure(&mut self, order: Order, limit: Duration) -> Outcome<Figures> {
        let input = self.input.as_mut().ok_or("the process has no input")?;
        writeln!(input, "{}", serde_json::to_string(&order)?)?;
        let figures: Figures = serde_json::from_str(&self.line(limit)?)?;
        if figures.errors > 0 {
            return Err(format!("{} of {} calls failed", figures.errors, order.requests).into());
        }
        Ok(figures)
    }

    /// The processor time that it has used so far.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        cpu(self.child.id())
    }

    fn line(&mut self, limit: Duration) -> Outcome<String> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(line?),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("the process said nothing for {} s", limit.as_secs()).into())
            }
            Err(RecvTimeoutError::Disconnected) => Err("the process ended early".into()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its end is asked for politely by the end of its input, and then less so.
        self.input = None;
        thread::sleep(Duration::from_millis(50));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process, from `/proc/<pid>/stat` (proc(5)): fields 14 and 15, in
/// clock ticks, of which Linux shows 100 a second on every architecture.
pub(crate) fn cpu(pid: u32) -> Outcome<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks * 10)).ok_or_else(|| "no times".into())
}

/// The name, in parentheses, may contain anything, so what is counted is behind it.
fn ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(field(14)? + field(15)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 9 0 0 0 120 34 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(154));
        assert_eq!(ticks("7 (cut"), None);
    }

    #[test]
    fn this_process_has_a_time() {
        assert!(cpu(std::process::id()).is_ok());
    }
}
