//! Rules about Rust files: their beginning, length, name and contents.

use crate::tree::File;

pub(crate) const MAX_LINES: usize = 500;
pub(crate) const MAX_MEDIAN: usize = 200;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "misc", "shared", "util", "utils"];

/// What marks code as unfinished. Joined from parts, so that this file does not offend.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("un", "implemented!("),
    concat!("db", "g!("),
    concat!("#[ig", "nore"),
];

/// What may follow the keyword where it is code, and not a word in a comment or the name of a lint.
const AFTER_UNSAFE: &[&str] = &["{", "(", "fn ", "impl ", "impl<", "extern ", "trait ", "async "];

pub(crate) fn without_module_comment(file: &File) -> Vec<String> {
    if file.text.starts_with("//!") { vec![] } else { vec![file.path.clone()] }
}

pub(crate) fn too_long(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    if lines <= MAX_LINES { vec![] } else { vec![format!("{}: {lines} lines", file.path)] }
}

/// Judges all files together; the offenders are the ten longest.
pub(crate) fn median_too_long(files: &[File]) -> Vec<String> {
    let mut lengths: Vec<(usize, &str)> =
        files.iter().map(|file| (file.text.lines().count(), file.path.as_str())).collect();
    lengths.sort_by(|a, b| b.cmp(a));
    match lengths.get(lengths.len() / 2) {
        Some((median, _)) if *median > MAX_MEDIAN => {
            std::iter::once(format!("median: {median} lines"))
                .chain(
                    lengths.iter().take(10).map(|(lines, path)| format!("{path}: {lines} lines")),
                )
                .collect()
        }
        _ => vec![],
    }
}

pub(crate) fn named_after_nothing(file: &File) -> Vec<String> {
    let parts: Vec<&str> = file.path.trim_end_matches(".rs").split('/').collect();
    // The crate `common` is a part of the product's vocabulary: what both sides have in common.
    let named = if parts[0] == "common" { &parts[1..] } else { &parts[..] };
    let empty = |part: &&str| {
        EMPTY_NAMES.contains(part)
            || part
                .split('_')
                .any(|word| matches!(word, "helper" | "helpers" | "misc" | "util" | "utils"))
    };
    if named.iter().any(empty) { vec![file.path.clone()] } else { vec![] }
}

pub(crate) fn unfinished(file: &File) -> Vec<String> {
    let offends = |line: &str| UNFINISHED.iter().any(|mark| line.contains(mark));
    file.lines_where(offends)
}

pub(crate) fn with_unsafe_code(file: &File) -> Vec<String> {
    if file.path.starts_with("native/") { vec![] } else { file.lines_where(has_unsafe_code) }
}

fn has_unsafe_code(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    let keyword = concat!("uns", "afe");
    code.match_indices(keyword).any(|(at, _)| {
        let after = code[at + keyword.len()..].trim_start();
        let begins_a_word =
            !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"');
        begins_a_word && AFTER_UNSAFE.iter().any(|next| after.starts_with(next))
    })
}

#[test]
fn a_file_without_a_module_comment_offends() {
    assert!(without_module_comment(&File::new("a.rs", "//! What it is.\n")).is_empty());
    assert_eq!(without_module_comment(&File::new("a.rs", "// What it is.\n")), ["a.rs"]);
}

#[test]
fn a_long_file_offends() {
    assert!(too_long(&File::new("a.rs", &"x\n".repeat(MAX_LINES))).is_empty());
    assert_eq!(too_long(&File::new("a.rs", &"x\n".repeat(MAX_LINES + 1))), ["a.rs: 501 lines"]);
}

#[test]
fn long_files_offend_by_their_median() {
    let of_lengths = |lengths: [usize; 3]| lengths.map(|n| File::new("a.rs", &"x\n".repeat(n)));
    assert!(median_too_long(&of_lengths([10, MAX_MEDIAN, 400])).is_empty());
    let offenders = median_too_long(&of_lengths([10, MAX_MEDIAN + 1, 400]));
    assert_eq!(offenders[..2], ["median: 201 lines", "a.rs: 400 lines"]);
}

#[test]
fn an_empty_name_offends() {
    let offends = |path| !named_after_nothing(&File::new(path, "")).is_empty();
    for path in
        ["src/utils.rs", "tests/common/mod.rs", "cli/src/misc/table.rs", "src/topic_helpers.rs"]
    {
        assert!(offends(path), "{path}");
    }
    for path in ["common/src/status.rs", "src/in_flight.rs", "src/shared_routing.rs"] {
        assert!(!offends(path), "{path}");
    }
    assert!(offends("common/src/common.rs"));
}

#[test]
fn unfinished_code_offends() {
    for mark in UNFINISHED {
        let file = File::new("a.rs", &format!("//! A.\n    {mark}x\n"));
        assert_eq!(unfinished(&file), [format!("a.rs:2: {mark}x")]);
    }
    assert!(unfinished(&File::new("a.rs", "let todos = 3; // Nothing to do!\n")).is_empty());
}

#[test]
fn unsafe_code_offends_outside_native() {
    let keyword = concat!("uns", "afe");
    let offends = |code: &str, path| !with_unsafe_code(&File::new(path, code)).is_empty();
    for rest in [" { f() }", " fn f() {}", " impl Send for T {}", " extern \"C\" {}", "(no_mangle)"]
    {
        assert!(offends(&format!("#[{keyword}{rest}"), "common/src/a.rs"), "{rest}");
        assert!(!offends(&format!("{keyword}{rest}"), "native/src/a.rs"), "{rest}");
    }
    for line in
        ["#![forbid(unsafe_code)]", "// It would be unsafe (or not) { to do so.", "unsafely(1)"]
    {
        assert!(!offends(line, "common/src/a.rs"), "{line}");
    }
}
