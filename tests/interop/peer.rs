//! A Java process that ends with the test: it watches its standard input, and the test holds the
//! other end.

use std::ffi::OsStr;
use std::fs;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

/// How long a peer may take to end after its standard input is closed, before it is killed.
const FAREWELL: Duration = Duration::from_secs(15);

/// A running peer. Dropping it closes its standard input and waits until it has ended.
pub(crate) struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    log: NamedTempFile,
}

impl Peer {
    /// Starts `main_class` and hands out its standard output.
    ///
    /// # Panics
    /// When Java cannot be started, with how to mend it.
    pub(crate) fn start(
        class_path: &OsStr,
        main_class: &str,
        args: &[String],
    ) -> (Self, ChildStdout) {
        let log = NamedTempFile::new().expect("a temporary file for the peer's log");
        let mut java = Command::new("java");
        // A short life: cheap start-up counts, peak speed does not.
        java.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        java.arg(class_path).arg(main_class).args(args);
        java.stdin(Stdio::piped()).stdout(Stdio::piped());
        java.stderr(log.reopen().expect("the temporary file was made just now"));
        let mut child = java.spawn().unwrap_or_else(|e| {
            panic!(
                "java could not be started: {e}; install a JDK of 17 or newer, \
                 on Debian with `apt-get install openjdk-17-jdk-headless`"
            )
        });
        // Taken out of the child, because waiting for a child closes what it still holds.
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output is piped");
        (Self { child, stdin, log }, stdout)
    }

    /// Waits until the peer ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the peer is a child of this process")
    }

    /// What the peer has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.log.path()).expect("the log lives as long as the peer");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + FAREWELL;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        // Without effect on a process that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
