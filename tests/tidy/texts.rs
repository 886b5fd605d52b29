//! Rules about every file that people write: code, manifests, scripts and documents.

use crate::tree::File;

/// The files that these rules look at.
pub(crate) const ENDINGS: &[&str] = &[
    ".java",
    ".json",
    ".md",
    ".py",
    ".rs",
    ".sh",
    ".toml",
    ".xml",
    ".yaml",
    ".yml",
    ".ci/run",
    "Dockerfile",
    "Makefile",
];

/// Words that mark work as unfinished. Joined from parts, so that this file does not offend.
const LATER: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Directories that one user or one machine has.
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("\\Us", "ers\\"),
    concat!("/t", "mp/"),
];

pub(crate) fn left_for_later(file: &File) -> Vec<String> {
    let is_word_part = |c: char| c.is_alphanumeric() || c == '_';
    file.lines_where(|line| {
        line.split(|c: char| !is_word_part(c)).any(|word| LATER.contains(&word))
    })
}

pub(crate) fn machine_paths(file: &File) -> Vec<String> {
    file.lines_where(|line| {
        MACHINE_PATHS
            .iter()
            .any(|path| line.match_indices(path).any(|(at, _)| is_absolute(line, at)))
    })
}

/// Whether a path begins at `at`, and not in the middle of a longer one, such as that of a URL.
fn is_absolute(line: &str, at: usize) -> bool {
    !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')'))
}

#[test]
fn a_note_for_later_offends() {
    for word in LATER {
        let file = File::new("a.md", &format!("fine\n// {word}: the rest\n"));
        assert_eq!(left_for_later(&file), [format!("a.md:2: // {word}: the rest")]);
    }
    assert!(left_for_later(&File::new("a.sh", "mktemp name.XXXXXX # Nothing to do.")).is_empty());
}

#[test]
fn a_path_of_one_machine_offends() {
    for path in MACHINE_PATHS {
        for before in ["", "let path = \"", "--config=", "cd "] {
            let file = File::new("a.rs", &format!("{before}{path}x"));
            assert_eq!(machine_paths(&file).len(), 1, "{}", file.text);
        }
        let url = File::new("a.md", &format!("https://example.com{path}x"));
        assert!(machine_paths(&url).is_empty(), "{}", url.text);
    }
    assert!(machine_paths(&File::new("a.yml", "/etc/prometheus/rules.yml")).is_empty());
}
