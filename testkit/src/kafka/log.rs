//! The end of a log file, for error messages.

use std::fs;
use std::path::Path;

/// Enough for a Java stack trace's causes, and still readable in a test's output.
const LINES: usize = 40;

/// The last lines of `path`, or why there are none.
pub(super) fn tail(path: &Path) -> String {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return format!("(no log at {}: {error})", path.display()),
    };
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return "(the log is empty)".to_owned();
    }
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Whether a node's log says that another process had taken its port.
pub(super) fn lost_port(log: &str) -> bool {
    log.contains("Address already in use")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_tail_is_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert!(tail(&path).starts_with("(no log at"));
        fs::write(&path, "").unwrap();
        assert_eq!(tail(&path), "(the log is empty)");
        let text: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        fs::write(&path, text).unwrap();
        assert!(tail(&path).starts_with("line 61\n") && tail(&path).ends_with("line 100"));
    }
}
