//! Reads the files of the work tree. Everything that the rules look at comes through here.

use std::fs;
use std::path::Path;

/// Folders that hold what was built or fetched, not what was written.
const SKIPPED: &[&str] = &[".git", "node_modules", "target"];

/// A text file: its path from the root of the repository, with `/` between the parts, and its contents.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The contents as lines, with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines that offend, as `path:number: line`.
    pub(crate) fn lines_where(&self, offends: impl Fn(&str) -> bool) -> Vec<String> {
        self.lines()
            .filter(|(_, line)| offends(line))
            .map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim()))
            .collect()
    }
}

/// The files of the repository whose names end in one of `endings`, sorted by path.
pub(crate) fn files(endings: &[&str]) -> Vec<File> {
    let mut paths = Vec::new();
    collect(root(), "", &mut paths);
    paths.sort();
    paths.retain(|path| endings.iter().any(|ending| path.ends_with(ending)));
    paths.iter().map(|path| file(path)).collect()
}

/// The file at `path`, counted from the root of the repository.
pub(crate) fn file(path: &str) -> File {
    match fs::read_to_string(root().join(path)) {
        Ok(text) => File { path: path.to_owned(), text },
        Err(error) => panic!("{path} cannot be read: {error}"),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(directory: &Path, prefix: &str, paths: &mut Vec<String>) {
    let entries = fs::read_dir(directory).expect("the repository can be listed");
    for entry in entries {
        let entry = entry.expect("the repository can be listed");
        let name = entry.file_name().into_string().expect("file names are UTF-8");
        let kind = entry.file_type().expect("a listed file has a type");
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
            collect(&entry.path(), &format!("{prefix}{name}/"), paths);
        } else if kind.is_file() {
            paths.push(format!("{prefix}{name}"));
        }
    }
}

#[test]
fn finds_this_file_and_nothing_that_was_built() {
    let files = files(&[".rs"]);
    assert!(files.iter().any(|file| file.path == "tests/tidy/tree.rs"));
    assert!(files.iter().all(|file| !file.path.split('/').any(|part| part == "target")));
}
