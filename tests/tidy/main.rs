//! Rules about the files of this repository that no compiler checks. Each rule is a pure function over
//! files, with tests that show it can fail; the tests here apply them to the whole work tree.

mod manifests;
mod sources;
mod texts;
mod tree;

use tree::File;

/// Fails with the rule, its fix and every offender, one to a line.
fn assert_none(offenders: &[String], rule: &str, fix: &str) {
    assert!(
        offenders.is_empty(),
        "{rule}\n  fix: {fix}\n  offenders:\n    {}\n",
        offenders.join("\n    ")
    );
}

/// Applies a rule to each file of the repository whose name ends in one of `endings`.
fn offenders(endings: &[&str], rule: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    let files = tree::files(endings);
    assert!(!files.is_empty(), "no {endings:?} file was found, so the rule would check nothing");
    files.iter().flat_map(rule).collect()
}

#[test]
fn every_source_says_what_it_is() {
    assert_none(
        &offenders(&[".rs"], sources::without_module_comment),
        "Every Rust file begins with a module comment.",
        "begin the file with `//!` and a sentence on what lives there, and what does not.",
    );
}

#[test]
fn sources_are_short() {
    assert_none(
        &offenders(&[".rs"], sources::too_long),
        &format!("No Rust file is longer than {} lines.", sources::MAX_LINES),
        "split it by concept.",
    );
    assert_none(
        &sources::median_too_long(&tree::files(&[".rs"])),
        &format!("The median Rust file has at most {} lines.", sources::MAX_MEDIAN),
        "split the longest files by concept.",
    );
}

#[test]
fn sources_are_named_by_their_concept() {
    assert_none(
        &offenders(&[".rs"], sources::named_after_nothing),
        "No Rust file or folder is named for being useful.",
        "name it by the concept that it holds, or move its parts to where they are used.",
    );
}

#[test]
fn sources_are_finished() {
    assert_none(
        &offenders(&[".rs"], sources::unfinished),
        "No Rust file has a placeholder or debugging macro, or an ignored test.",
        "finish or remove the code; make the test pass or delete it.",
    );
}

#[test]
fn unsafe_code_is_in_one_crate() {
    assert_none(
        &offenders(&[".rs"], sources::with_unsafe_code),
        "Only the crate native has unsafe code.",
        "find a safe way, or offer it from native with a safety argument.",
    );
}

#[test]
fn nothing_is_left_for_later() {
    assert_none(
        &offenders(texts::ENDINGS, texts::left_for_later),
        "No file has a note that something is still to be done.",
        "do it, or open an issue.",
    );
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    assert_none(
        &offenders(texts::ENDINGS, texts::machine_paths),
        "No file names a directory that exists on one machine only.",
        "use a path in the repository, a temporary directory made for the purpose, or an option.",
    );
}

#[test]
fn the_rust_version_is_written_once() {
    let root = tree::file("Cargo.toml");
    let version = manifests::rust_version(&root)
        .expect("Cargo.toml has no `rust-version = \"…\"` under [workspace.package]");
    assert_none(
        &manifests::with_own_rust_version(&root, &tree::files(&["Cargo.toml", "clippy.toml"])),
        "Only the root Cargo.toml says which Rust version is needed.",
        "write `rust-version.workspace = true` under [package], and no version anywhere else.",
    );
    assert_none(
        &manifests::with_other_rust_version(&version, &tree::file("deploy/Dockerfile")),
        &format!("The Dockerfile builds with the Rust version of the workspace, {version}."),
        &format!("write `ARG RUST_VERSION={version}`."),
    );
    assert_none(
        &offenders(&[".md"], |file| manifests::mentions_other_rust_version(&version, file)),
        &format!("Documents that name a Rust version name that of the workspace, {version}."),
        &format!("write `Rust {version}`."),
    );
}

#[test]
fn crates_share_their_settings() {
    let crates = manifests::crates(&tree::file("Cargo.toml"));
    assert!(crates.len() > 1, "no workspace member was found in Cargo.toml");
    let manifests: Vec<File> = crates.iter().map(|path| tree::file(path)).collect();
    assert_none(
        &manifests.iter().flat_map(manifests::without_shared_lints).collect::<Vec<_>>(),
        "Every crate but native has the lints of the workspace.",
        "add `[lints]` with `workspace = true` to its Cargo.toml.",
    );
    assert_none(
        &manifests.iter().flat_map(manifests::with_own_dependencies).collect::<Vec<_>>(),
        "Dependencies are declared once, in the root Cargo.toml.",
        "declare it under [workspace.dependencies] and write `NAME.workspace = true` in the crate.",
    );
}
