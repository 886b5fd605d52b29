//! Every input of the corpus, once: what a fuzzer found stays found.

use std::fs;
use std::path::{Path, PathBuf};

use antiphon_fuzz::TARGETS;

/// The inputs of a target, in the order of their names.
fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut inputs: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    inputs.sort();
    inputs
}

#[test]
fn nothing_in_the_corpus_breaks_its_target() {
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name}: there are no inputs");
        for input in inputs {
            // The last line on a failure says which input it was.
            println!("{}", input.display());
            target(&fs::read(&input).expect("an input"));
        }
    }
}

#[test]
fn no_folder_of_the_corpus_is_without_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).expect("the corpus") {
        let name = entry.expect("an entry").file_name();
        assert!(TARGETS.iter().any(|(target, _)| **target == *name), "{}", name.display());
    }
}
