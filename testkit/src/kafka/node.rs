//! One node of a cluster: its folder, its process and what may be done to it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::config::{self, Settings};
use super::leash::Leashed;
use super::log::tail;
use crate::TestkitError;

/// Formatting takes two seconds on an idle machine.
const FORMAT_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a node may take to shut down in good order.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the threads of a node may take to stand still. It takes them far less than a second.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How to run a Java program of Kafka: the same for all nodes.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) java: PathBuf,
    pub(super) libs: PathBuf,
    pub(super) log4j: PathBuf,
    pub(super) settings: Settings,
}

impl Launch {
    fn run(&self, flags: &[&str], program: &[&str], log: &Path) -> io::Result<Leashed> {
        let mut log_setting = OsString::from("-Dlog4j2.configurationFile=");
        log_setting.push(&self.log4j);
        let mut arguments: Vec<OsString> = flags.iter().map(OsString::from).collect();
        arguments.extend([log_setting, "-cp".into(), self.libs.join("*").into()]);
        arguments.extend(program.iter().map(OsString::from));
        Leashed::spawn(&self.java, arguments, log)
    }
}

/// A node, running or not.
#[derive(Debug)]
pub(super) struct Node {
    id: i32,
    config: PathBuf,
    log: PathBuf,
    process: Option<Leashed>,
    paused: bool,
}

impl Node {
    /// Writes the configuration of node `id` into `folder`, which is created.
    pub(super) fn prepare(id: i32, folder: &Path, properties: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let config = folder.join("server.properties");
        fs::write(&config, properties)?;
        Ok(Self { id, config, log: folder.join("node.log"), process: None, paused: false })
    }

    pub(super) fn id(&self) -> i32 {
        self.id
    }

    /// The end of what the node has logged.
    pub(super) fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Begins to prepare the storage. Several nodes can do so side by side.
    pub(super) fn start_format(
        &mut self,
        launch: &Launch,
        cluster: &str,
    ) -> Result<(), TestkitError> {
        let config = self.config.to_string_lossy();
        let program = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", &config];
        let process = launch.run(config::QUICK_START, &program, &self.log);
        self.process = Some(process.map_err(self.io("format the storage of"))?);
        Ok(())
    }

    /// Waits for what [`start_format`](Self::start_format) began.
    pub(super) fn finish_format(&mut self) -> Result<(), TestkitError> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let problem =
            match process.wait(FORMAT_TIMEOUT).map_err(self.io("format the storage of"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => status.to_string(),
                None => format!("no end after {} s", FORMAT_TIMEOUT.as_secs()),
            };
        Err(TestkitError::Format { node: self.id, problem, log: self.log_tail() })
    }

    /// Starts the broker's process, which takes some seconds until it serves.
    pub(super) fn start(&mut self, launch: &Launch) -> Result<(), TestkitError> {
        let config = self.config.to_string_lossy();
        let flags = config::jvm_flags(&launch.settings);
        let process = launch.run(&flags, &["kafka.Kafka", &config], &self.log);
        self.process = Some(process.map_err(self.io("start"))?);
        self.paused = false;
        Ok(())
    }

    pub(super) fn process_id(&mut self) -> Result<Option<u32>, TestkitError> {
        Ok(if self.ended()?.is_some() { None } else { self.process.as_ref().map(Leashed::id) })
    }

    /// Whether the node should be serving clients: its process exists and is not paused.
    pub(super) fn is_serving(&mut self) -> Result<bool, TestkitError> {
        Ok(self.process_id()?.is_some() && !self.paused)
    }

    /// Fails if the node was started and has ended without being told to.
    pub(super) fn check_alive(&mut self) -> Result<(), TestkitError> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => {
                Err(TestkitError::NodeExited { node: self.id, status, log: self.log_tail() })
            }
        }
    }

    pub(super) fn kill(&mut self) -> Result<(), TestkitError> {
        self.running("kill")?.kill().map_err(self.io("kill"))?;
        // Dropping the handle waits for the end, which SIGKILL makes a matter of milliseconds.
        self.process = None;
        Ok(())
    }

    /// Sends SIGKILL without waiting, so that a cluster's nodes end at the same time.
    pub(super) fn kill_soon(&mut self) {
        if let Some(process) = &mut self.process {
            // If this fails the drop of the handle tries again.
            let _ = process.kill();
        }
    }

    pub(super) fn stop(&mut self) -> Result<(), TestkitError> {
        let process = self.running("stop")?;
        let waited = process
            .signal(Signal::TERM)
            // A paused process gets the signal only when it goes on.
            .and_then(|()| process.signal(Signal::CONT))
            .and_then(|()| process.wait(STOP_TIMEOUT));
        let in_time = waited.map_err(self.io("stop"))?.is_some();
        self.process = None;
        if in_time {
            Ok(())
        } else {
            Err(TestkitError::StopTimedOut { node: self.id, waited: STOP_TIMEOUT })
        }
    }

    pub(super) fn pause(&mut self) -> Result<(), TestkitError> {
        let process = self.running("pause")?;
        let frozen = process.signal(Signal::STOP).and_then(|()| stopped(process.id()));
        frozen.map_err(self.io("pause"))?;
        self.paused = true;
        Ok(())
    }

    pub(super) fn resume(&mut self) -> Result<(), TestkitError> {
        self.running("resume")?.signal(Signal::CONT).map_err(self.io("resume"))?;
        self.paused = false;
        Ok(())
    }

    fn running(&mut self, operation: &'static str) -> Result<&mut Leashed, TestkitError> {
        let node = self.id;
        let running = self.process_id()?.is_some();
        match &mut self.process {
            Some(process) if running => Ok(process),
            _ => Err(TestkitError::NodeNotRunning { node, operation }),
        }
    }

    fn ended(&mut self) -> Result<Option<String>, TestkitError> {
        let ended = self.process.as_mut().map_or(Ok(None), Leashed::ended);
        Ok(ended.map_err(self.io("look after"))?.map(|status| status.to_string()))
    }

    fn io(&self, doing: &str) -> impl FnOnce(io::Error) -> TestkitError + use<> {
        TestkitError::io(format!("{doing} node {}", self.id))
    }
}
/// Waits until each thread of a process stands still. A signal is only sent by then: on a busy
/// machine threads that are amid a system call finish it first, and answer one more request.
fn stopped(process: u32) -> io::Result<()> {
    let until = Instant::now() + FREEZE_TIMEOUT;
    while !is_stopped(process)? {
        if Instant::now() > until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "its threads go on"));
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Whether all threads are stopped, by the third field of `/proc/<pid>/task/<tid>/stat` (proc(5)).
fn is_stopped(process: u32) -> io::Result<bool> {
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
        // The name, in parentheses, may contain anything.
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        if !state.is_some_and(|state| state.starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}
