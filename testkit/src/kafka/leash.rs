//! A child process on a leash: it ends when its handle is dropped, and also when this process
//! dies in a way that runs no destructors, such as SIGKILL.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The shell starts a watcher and then becomes the program, so the child's process id is the
/// program's own. Only this process holds the writing end of the watcher's pipe, and the kernel
/// closes it when this process dies, however it dies. The watcher then reads the end of the file
/// and kills the process group, itself included.
///
/// When a process dies whose child is stopped, the kernel sends SIGHUP to that child's group. The
/// watcher ignores it: else it might be gone before it has read the end of the file.
///
/// The watcher is a member of the group it kills. A group's number is not given to a new process
/// while the group has members, so it cannot hit a stranger, even if the program ended long ago.
const LEASH: &str = "exec 3<&0
{ trap '' HUP TERM; read -r _ <&3; kill -9 -$$; } >/dev/null 2>&1 &
exec \"$@\" 3<&- </dev/null";

/// How often a wait looks whether the process has ended.
const POLL: Duration = Duration::from_millis(10);

/// A running or ended child process and its watcher.
#[derive(Debug)]
pub(super) struct Leashed {
    child: Child,
    // Closing this ends the watcher and with it everything in the group.
    leash: Option<ChildStdin>,
    status: Option<ExitStatus>,
}

impl Leashed {
    /// Starts `program`, which should be a path, with its output appended to the file `log`.
    ///
    /// The process gets a group of its own, so an interrupt key pressed in a terminal reaches this
    /// process alone, and the brokers last until it has finished.
    pub(super) fn spawn(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: &Path,
    ) -> io::Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", LEASH, "leash"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stderr(out.try_clone()?)
            .stdout(out)
            .process_group(0)
            .spawn()?;
        let leash = child.stdin.take();
        Ok(Self { child, leash, status: None })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                self.leash.take();
            }
        }
        Ok(self.status)
    }

    /// Waits until the process has ended, but not longer than `timeout`.
    pub(super) fn wait(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + timeout;
        loop {
            // `Child::wait` is no alternative: it closes the leash first.
            let status = self.ended()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    /// Sends a signal to the program itself. Nothing happens if it is known to have ended.
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_none() {
            // The child has not been waited for, so the number is still its own.
            kill_process(Pid::from_child(&self.child), signal)?;
        }
        Ok(())
    }

    /// Sends SIGKILL to the program and its watcher, without waiting for their end.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        if self.ended()?.is_none() {
            kill_process_group(Pid::from_child(&self.child), Signal::KILL)?;
        }
        Ok(())
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // A drop cannot report an error, and closing the leash does the same once more.
        let _ = self.kill();
        self.leash.take();
        let _ = self.child.wait();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> (Leashed, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        (Leashed::spawn(Path::new("/bin/sh"), ["-c", script], &log).unwrap(), dir)
    }

    /// Whether any process of the group still runs. Zombies do not count: who adopts an orphan may
    /// be slow to bury it, and nothing can be done about that here.
    fn group_exists(id: u32) -> bool {
        members(id).next().is_some()
    }

    /// The folders in /proc of the group's processes.
    fn members(id: u32) -> impl Iterator<Item = PathBuf> {
        fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(move |process| {
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            // After the name in brackets come the state, the parent and the group.
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            let mut fields = fields.split(' ');
            let state = fields.next();
            let group = fields.nth(1).and_then(|group| group.parse().ok());
            group == Some(id) && state != Some("Z")
        })
    }

    fn ignores_hang_up(process: &Path) -> bool {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
        // SIGHUP is signal 1, the lowest bit.
        u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1
    }

    fn assert_group_ends(id: u32) {
        let deadline = Instant::now() + LONG;
        while group_exists(id) {
            assert!(Instant::now() < deadline, "process group {id} is still there");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn output_and_status_arrive() {
        let (mut process, dir) = shell("echo to stdout; echo to stderr >&2; exit 7");
        assert_eq!(process.wait(LONG).unwrap().unwrap().code(), Some(7));
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(log, "to stdout\nto stderr\n");
        assert_group_ends(process.id());
    }

    #[test]
    fn drop_ends_the_program_and_its_watcher() {
        let (process, _dir) = shell("sleep 600");
        let id = process.id();
        assert!(group_exists(id));
        drop(process);
        assert_group_ends(id);
    }

    /// Before the program has started, a signal could hit the shell that is about to start the
    /// watcher.
    fn wait_for_start(dir: &Path) {
        let deadline = Instant::now() + LONG;
        while !fs::read_to_string(dir.join("log")).unwrap().contains("started") {
            assert!(Instant::now() < deadline, "the program does not start");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn the_watcher_outlives_a_hang_up() {
        let (mut process, dir) = shell("trap '' HUP; echo started; sleep 600");
        wait_for_start(dir.path());
        // The watcher may come to its trap after the program has started.
        let deadline = Instant::now() + LONG;
        while !members(process.id()).all(|member| ignores_hang_up(&member)) {
            assert!(Instant::now() < deadline, "a member of the group does not ignore SIGHUP");
            thread::sleep(POLL);
        }
        kill_process_group(Pid::from_child(&process.child), Signal::HUP).unwrap();
        process.leash.take();
        let status = process.wait(LONG).unwrap().expect("the watcher kills it");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        assert_group_ends(process.id());
    }

    #[test]
    fn losing_the_leash_ends_even_a_stopped_program() {
        let (mut process, dir) = shell("echo started; sleep 600");
        wait_for_start(dir.path());
        process.signal(Signal::STOP).unwrap();
        process.leash.take();
        let status = process.wait(LONG).unwrap().expect("the watcher kills it");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        assert_group_ends(process.id());
    }
}
