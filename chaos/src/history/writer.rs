//! Writes the history of one process, ahead of what it announces.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Event, Kind, now_us, us};

/// A line that took longer to write has held up the process. One takes microseconds.
const SLOW: Duration = Duration::from_millis(10);
/// The ending of the files' names.
pub(super) const ENDING: &str = "jsonl";

/// The history of one process. When a method returns, the kernel has the line: a process that is
/// killed at once has lost none of what it announced. (A machine that loses power has; no fault
/// here is one.)
#[derive(Debug)]
pub struct Writer {
    process: String,
    path: PathBuf,
    file: Mutex<File>,
}

impl Writer {
    /// Begins a history in this folder.
    ///
    /// # Errors
    /// If the file cannot be made; above all, if there is one of that process already. Each start
    /// of a process needs a name of its own, since what one has begun another cannot end.
    pub fn create(folder: &Path, process: impl Into<String>) -> io::Result<Self> {
        let process = process.into();
        let path = folder.join(format!("{process}.{ENDING}"));
        let file =
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("history {}: {error}", path.display()))
            })?;
        Ok(Self { process, path, file: Mutex::new(file) })
    }

    /// Writes down what is about to happen, or was just learnt.
    ///
    /// # Errors
    /// If it cannot be written. What it announces must then not be done.
    pub fn note(&self, kind: Kind) -> io::Result<()> {
        let file = self.lock();
        // Under the lock, so that the lines of a file are in order of time.
        self.append(&file, now_us(), kind)
    }

    /// Writes down what happened at a time that is known from elsewhere.
    ///
    /// # Errors
    /// As [`Writer::note`].
    pub fn note_at(&self, at_us: u64, kind: Kind) -> io::Result<()> {
        self.append(&self.lock(), at_us, kind)
    }

    /// Writes several events, all of now, by one call to the kernel.
    ///
    /// # Errors
    /// As [`Writer::note`].
    pub fn note_all(&self, kinds: impl IntoIterator<Item = Kind>) -> io::Result<()> {
        let file = self.lock();
        let now = now_us();
        let mut lines = Vec::new();
        for kind in kinds {
            lines.extend(self.line(now, kind)?);
        }
        self.write(&file, &lines)
    }

    /// The name that this process has in its history.
    #[must_use]
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Where the history is written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn append(&self, file: &File, at_us: u64, kind: Kind) -> io::Result<()> {
        self.write(file, &self.line(at_us, kind)?)
    }

    /// Whoever writes holds up all that write, and so the whole process, when the kernel takes its time:
    /// while brokers that start again use the disk, say. Then that is written down as well.
    fn write(&self, mut file: &File, lines: &[u8]) -> io::Result<()> {
        let began = Instant::now();
        file.write_all(lines)?;
        let took = began.elapsed();
        if took <= SLOW {
            return Ok(());
        }
        file.write_all(&self.line(now_us(), Kind::Starved { for_us: us(took) })?)
    }

    fn line(&self, at_us: u64, kind: Kind) -> io::Result<Vec<u8>> {
        let event = Event { at_us, process: self.process.clone(), event: kind };
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        Ok(line)
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        // Whoever panicked has written its line or not; the file is good either way.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::thread;

    use super::*;
    use crate::history::{Class, History, Id};

    #[test]
    fn what_was_noted_can_be_read_while_the_writer_lives() {
        let folder = tempfile::tempdir().expect("a folder");
        let writer = Writer::create(folder.path(), "r-1").expect("new");
        writer.note(Kind::Started).expect("written");
        writer.note_all([Kind::Effect { id: Id(1) }, Kind::Effect { id: Id(2) }]).expect("written");
        writer.note_at(1, Kind::Draining).expect("written");
        let history = History::read(folder.path()).expect("readable");
        let kinds: Vec<_> = history.events().iter().map(|event| event.event.clone()).collect();
        assert_eq!(
            kinds,
            [Kind::Draining, Kind::Started, Kind::Effect { id: Id(1) }, Kind::Effect { id: Id(2) }]
        );
        assert!(history.events().iter().all(|event| event.process == "r-1"));
    }

    #[test]
    fn no_two_processes_have_one_name() {
        let folder = tempfile::tempdir().expect("a folder");
        Writer::create(folder.path(), "r-1").expect("new");
        let error = Writer::create(folder.path(), "r-1").expect_err("it is there");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("r-1.jsonl"), "{error}");
    }

    #[test]
    fn a_line_that_holds_up_its_process_says_for_how_long() {
        let (mut reader, sink) = io::pipe().expect("a pipe");
        let file = Mutex::new(File::from(OwnedFd::from(sink)));
        let writer = Writer { process: "r-1".into(), path: PathBuf::new(), file };
        let read = thread::spawn(move || {
            // From here on the line is being written.
            let mut first = [0];
            reader.read_exact(&mut first)?;
            thread::sleep(SLOW * 2);
            let mut text = char::from(first[0]).to_string();
            reader.read_to_string(&mut text).map(|_| text)
        });
        // More than any pipe holds, so that it waits to be read.
        let text = "long".repeat(1 << 20);
        let (id, class, code) = (Id(1), Class::NotSent, "timeout".to_owned());
        writer.note(Kind::Err { id, class, code, text }).expect("written");
        drop(writer);
        let text = read.join().expect("it reads").expect("text");
        let lines: Vec<Event> =
            text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        let [_, Event { event: Kind::Starved { for_us }, .. }] = &lines[..] else {
            panic!("{} lines", lines.len());
        };
        assert!(*for_us >= us(SLOW), "{for_us} µs");
    }
}
