//! Reads the files of all processes, and merges them in order of time.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Event;
use super::writer::ENDING;

/// What happened in a run, in order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    events: Vec<Event>,
    origins: Vec<Origin>,
    torn: usize,
}

/// Where an event was read: a line of a process' file, counted from 1. Zero if it was not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// The line.
    pub line: usize,
}

/// Why a history cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// A file or the folder.
    Io(PathBuf, io::Error),
    /// A line that is no event, and is not the torn end of its file.
    Line(PathBuf, usize, serde_json::Error),
    /// There is no history in the folder, so nothing can be said of it.
    Empty(PathBuf),
}

impl History {
    /// Reads each `.jsonl` file of a folder. A last line without its end, which a process was
    /// killed amid, is left out and counted.
    ///
    /// # Errors
    /// If a file cannot be read, if a line is no event, or if there is no event at all.
    pub fn read(folder: &Path) -> Result<Self, ReadError> {
        let failed = |error| ReadError::Io(folder.to_owned(), error);
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                paths.push(path);
            }
        }
        // Events of the same time stay in this order, whatever the folder's.
        paths.sort();
        let mut read = Vec::new();
        let mut torn = 0;
        for path in paths {
            torn += usize::from(read_file(&path, &mut read)?);
        }
        if read.is_empty() {
            return Err(ReadError::Empty(folder.to_owned()));
        }
        Ok(Self::merge(read, torn))
    }

    /// A history of events that were not read from files, such as those of a test.
    #[must_use]
    pub fn of(events: impl IntoIterator<Item = Event>) -> Self {
        Self::merge(events.into_iter().map(|event| (event, Origin::default())).collect(), 0)
    }

    /// All events, the earliest first.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The same events, to be changed; a history of what comes of it is [`History::of`] them.
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Where the event of this index was read.
    #[must_use]
    pub fn origin(&self, index: usize) -> Origin {
        self.origins.get(index).copied().unwrap_or_default()
    }

    /// How many files end amid a line.
    #[must_use]
    pub fn torn(&self) -> usize {
        self.torn
    }

    fn merge(mut read: Vec<(Event, Origin)>, torn: usize) -> Self {
        // Stable: what a process wrote in the same microsecond stays in its order.
        read.sort_by_key(|(event, _)| event.at_us);
        let (events, origins) = read.into_iter().unzip();
        Self { events, origins, torn }
    }

    /// How many events each process wrote.
    #[must_use]
    pub fn processes(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for event in &self.events {
            *counts.entry(event.process.as_str()).or_default() += 1;
        }
        counts
    }
}

/// Whether the file ends amid a line.
fn read_file(path: &Path, events: &mut Vec<(Event, Origin)>) -> Result<bool, ReadError> {
    let bytes = fs::read(path).map_err(|error| ReadError::Io(path.to_owned(), error))?;
    let mut rest = &bytes[..];
    let mut line = 0;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        line += 1;
        let event = serde_json::from_slice(&rest[..end])
            .map_err(|error| ReadError::Line(path.to_owned(), line, error))?;
        events.push((event, Origin { line }));
        rest = &rest[end + 1..];
    }
    Ok(!rest.is_empty())
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "history {}: {error}", path.display()),
            Self::Line(path, line, error) => {
                write!(f, "history {}:{line}: no event: {error}", path.display())
            }
            Self::Empty(path) => write!(
                f,
                "history {}: no event in any .{ENDING} file; name the folder that the processes \
                 wrote to",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Line(_, _, error) => Some(error),
            Self::Empty(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    #[test]
    fn files_merge_in_order_of_time_and_a_torn_end_is_counted() {
        let folder = folder(&[
            (
                "b.jsonl",
                "{\"at_us\":1,\"process\":\"b\",\"event\":\"started\"}\n\
                 {\"at_us\":5,\"process\":\"b\",\"event\":\"stopped\"}\n{\"at_us\":6,\"pro",
            ),
            ("a.jsonl", "{\"at_us\":5,\"process\":\"a\",\"event\":\"started\"}\n"),
            ("limits.json", "{}"),
        ]);
        let history = History::read(folder.path()).expect("readable");
        let order: Vec<_> =
            history.events().iter().map(|event| (event.at_us, event.process.as_str())).collect();
        assert_eq!(order, [(1, "b"), (5, "a"), (5, "b")]);
        assert_eq!((history.torn(), history.origin(2)), (1, Origin { line: 2 }));
        assert_eq!(history.processes(), BTreeMap::from([("a", 1), ("b", 2)]));
    }

    #[test]
    fn a_line_in_the_middle_that_is_no_event_is_an_error() {
        let folder = folder(&[("a.jsonl", "{\"at_us\":\n{}\n")]);
        let error = History::read(folder.path()).expect_err("broken").to_string();
        assert!(error.contains("a.jsonl:1"), "{error}");
    }

    #[test]
    fn a_folder_without_events_proves_nothing() {
        let error = History::read(folder(&[("a.jsonl", "")]).path()).expect_err("empty");
        assert!(matches!(error, ReadError::Empty(_)), "{error}");
    }
}
