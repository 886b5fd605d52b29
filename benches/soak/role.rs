//! This program as another process, in another role: its memory and its speed are then its own.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

/// What a role is told when it is to go on.
pub(crate) const GO: &str = "go";

/// A process in a role. It ends when this is dropped, or when the process that started it does:
/// its standard input is then closed.
pub(crate) struct Role {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Role {
    /// Starts this program with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
        Ok(Self { child, input, output: BufReader::new(output).lines() })
    }

    /// Writes a line to it.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        let input = self.input.as_mut().ok_or_else(|| io::Error::other("it has no input"))?;
        writeln!(input, "{line}")
    }

    /// Waits for the next line that it prints.
    pub(crate) fn line(&mut self) -> Result<String, Box<dyn Error + Send + Sync>> {
        Ok(self.output.next().ok_or("a process of the measurement ended early")??)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.input = None;
        // It ends by itself now; how, says nothing any more.
        let _ = self.child.wait();
    }
}

/// In a role: ends this process when the one that started it has gone.
pub(crate) fn end_with_the_measurement() {
    thread::spawn(|| {
        // Whatever is read, and whether it can be: what counts is that it is over.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
}
