//! Programs run as a user runs them, with an end that comes for certain: when the test is done,
//! and when the test process dies in whatever way.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::NamedTempFile;

/// No wait ends later than this. A healthy one takes a small part of it.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// The shell starts a watcher and becomes the program. Only this test holds the writing end of the
/// watcher's pipe; when it closes, the watcher kills the process group. The program's own standard
/// input is a file.
const LEASH: &str = "exec 3<&0
{ read -r _ <&3; kill -9 -$$; } >/dev/null 2>&1 &
exec \"$@\" 3<&- <\"$0\"";

/// A program to run.
pub(crate) struct Launch {
    command: Vec<OsString>,
    variables: Vec<(String, String)>,
    input: NamedTempFile,
}

/// A program that runs.
pub(crate) struct Running {
    child: Child,
    leash: Option<ChildStdin>,
    output: NamedTempFile,
    errors: NamedTempFile,
    _input: NamedTempFile,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// The `antiphon` command with these arguments.
pub(crate) fn antiphon(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Launch {
    Launch::program(env!("CARGO_BIN_EXE_antiphon")).arguments(arguments)
}

impl Launch {
    pub(crate) fn program(program: impl AsRef<OsStr>) -> Self {
        let input = NamedTempFile::new().unwrap();
        Self { command: vec![program.as_ref().to_owned()], variables: Vec::new(), input }
    }

    pub(crate) fn arguments(
        mut self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        self.command.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// What the program reads from its standard input; nothing by default.
    pub(crate) fn input(mut self, bytes: &[u8]) -> Self {
        self.input.write_all(bytes).unwrap();
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn start(self) -> Running {
        let output = NamedTempFile::new().unwrap();
        let to = output.reopen().unwrap();
        self.start_with(output, to)
    }

    /// Starts the program with its standard output on a terminal.
    pub(crate) fn on(self, terminal: File) -> Running {
        self.start_with(NamedTempFile::new().unwrap(), terminal)
    }

    fn start_with(self, output: NamedTempFile, to: File) -> Running {
        let errors = NamedTempFile::new().unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", LEASH])
            .arg(self.input.path())
            .args(&self.command)
            // Nothing of the developer's own settings.
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .envs(self.variables)
            .stdin(Stdio::piped())
            .stdout(to)
            .stderr(errors.reopen().unwrap())
            .process_group(0)
            .spawn()
            .unwrap();
        let leash = child.stdin.take();
        Running { child, leash, output, errors, _input: self.input }
    }

    /// Runs the program to its end.
    pub(crate) fn run(self) -> Ended {
        self.start().wait()
    }
}

impl Running {
    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not come in time.
    pub(crate) fn wait(mut self) -> Ended {
        let mut status = None;
        // `Child::wait` is no alternative: it would let go of the leash first.
        self.until("its end", |running| {
            status = running.child.try_wait().unwrap();
            status.is_some()
        });
        let code = status.unwrap().code();
        Ended { code, stdout: fs::read(self.output.path()).unwrap(), stderr: self.stderr() }
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.output.path()).unwrap()).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.errors.path()).unwrap()).into_owned()
    }

    /// Waits for a line on standard error that has `words` in it.
    pub(crate) fn says(&mut self, words: &str) -> String {
        let mut said = None;
        self.until(words, |running| {
            // In this order: when the end is seen, what was said before it is there to be read.
            let ended = running.child.try_wait().unwrap();
            let stderr = running.stderr();
            // A line may be written in pieces, so only what has an end is a line.
            let mut whole = stderr.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            said = whole.find(|line| line.contains(words)).map(str::to_owned);
            assert!(said.is_some() || ended.is_none(), "it ended ({ended:?}):\n{stderr}");
            said.is_some()
        });
        said.unwrap()
    }

    /// The address that `--metrics` was given, as `host:port`.
    pub(crate) fn metrics_address(&mut self) -> String {
        let line = self.says("metrics: http://");
        let address = line.strip_prefix("metrics: http://").unwrap();
        address.strip_suffix("/metrics").unwrap().to_owned()
    }

    /// Waits until `done`, and shows what the program has said if that does not come.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !done(self) {
            assert!(Instant::now() < deadline, "no {what} in time:\n{}", self.stderr());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal to the program alone.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The watcher is still in the group, so its number cannot be another's by now.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.leash.take();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The one line of standard output.
    pub(crate) fn line(&self) -> &str {
        let text = std::str::from_utf8(&self.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{self:?}");
        text.trim_end()
    }

    /// The one JSON object of standard output.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.line()).unwrap()
    }

    /// Checks that it ended well, with nothing said on standard error.
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""), "{self:?}");
        self
    }

    /// Checks that it failed with this exit code, and that the last line has these words.
    pub(crate) fn failed_at_last(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let last = self.stderr.lines().next_back();
        assert!(last.is_some_and(|line| line.contains(words)), "no `{words}` in: {self:?}");
    }

    /// Checks that it failed with this exit code, and one line that has all these words.
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        for words in words {
            assert!(self.stderr.contains(words), "no `{words}` in: {self:?}");
        }
    }
}
