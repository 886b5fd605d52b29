//! What is logged: kept, so that a test can see what an operator would.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The log of this process.
pub(crate) struct Journal;

impl Journal {
    /// Keeps warnings and errors from here on.
    pub(crate) fn start() {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(|| Self)
            .init();
    }

    /// All that was logged since it was cleared.
    pub(crate) fn all() -> String {
        let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }

    pub(crate) fn clear() {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The first line that tells of a missing right to this kind of thing.
    pub(crate) fn about_rights(kind: &str) -> String {
        let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&lines).into_owned();
        let told = text.lines().find(|line| {
            let line = line.to_lowercase();
            line.contains("authoriz") && line.contains(kind)
        });
        told.unwrap_or_default().trim().to_owned()
    }
}

impl Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
