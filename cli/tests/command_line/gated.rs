//! A shell command that a test holds back: it says that it has started, and waits to be let go.

use std::fs;
use std::path::PathBuf;

/// The command, and the folder by which it and the test talk.
pub(crate) struct Gated {
    pub(crate) command: String,
    pub(crate) started: PathBuf,
    go_on: PathBuf,
    _folder: tempfile::TempDir,
}

impl Gated {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (started, go_on) = (folder.path().join("started"), folder.path().join("go-on"));
        // It waits for the test, and gives up when the test is gone and its folder with it.
        let command = format!(
            "touch {0}; while [ -e {0} ] && [ ! -e {1} ]; do sleep 0.02; done; cat",
            started.display(),
            go_on.display()
        );
        Self { command, started, go_on, _folder: folder }
    }

    /// Lets the command go on.
    pub(crate) fn open(&self) {
        fs::write(&self.go_on, "").unwrap();
    }

    /// Holds back the next one, as if none had run.
    pub(crate) fn reset(&self) {
        fs::remove_file(&self.started).unwrap();
        fs::remove_file(&self.go_on).unwrap();
    }
}
