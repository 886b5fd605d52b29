//! Configuration files and variables. They are the operator's own, so nothing is to be feared of them but
//! that a mistake ends in a panic, or that an error tells a secret.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Seek, Write};

use antiphon_common::config::Layers;
use tempfile::NamedTempFile;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a file"));
}

/// A file in TOML.
pub(crate) fn read(data: &[u8]) {
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).expect("a shorter file");
        file.rewind().expect("its beginning");
        file.write_all(data).expect("a longer file");
        let read = Layers::new().file(file.path()).load_from(&BTreeMap::new());
        let _ = read.map_err(|error| error.to_string());
    });
}

/// Variables, one a line. Those that name files are left out: here they could name any.
pub(crate) fn environment(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let variables: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| !name.to_uppercase().contains("FILE"))
        .map(|(name, value)| (format!("ANTIPHON__{name}"), value.to_owned()))
        .collect();
    let _ = Layers::new().load_from(&variables).map_err(|error| error.to_string());
}
