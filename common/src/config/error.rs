//! Why settings could not be read, or cannot be used.

use std::io;
use std::path::PathBuf;

/// Settings could not be read, or cannot be used. No message shows the value of a client property,
/// which may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("configuration: cannot read the file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file is not TOML.
    #[error("configuration: {origin} is not TOML: line {line}: {problem}")]
    Syntax {
        /// The file.
        origin: String,
        /// The line, counted from one.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such key.
    #[error("configuration: {origin} sets the unknown key `{key}`; known are {known}")]
    UnknownKey {
        /// The key, with its section.
        key: String,
        /// The file or variable.
        origin: String,
        /// The keys that the section has.
        known: String,
    },
    /// A key has a value of the wrong type.
    #[error("configuration: `{key}` in {origin} is {given}, but must be {expected}")]
    Type {
        /// The key, with its section.
        key: String,
        /// The file or variable.
        origin: String,
        /// What the value is.
        given: String,
        /// What the value must be.
        expected: &'static str,
    },
    /// A value is of the right type, but is none of the allowed ones.
    #[error("configuration: {origin} has a value that is not allowed: {problem}")]
    Value {
        /// The file or variable.
        origin: String,
        /// Which key it is, and what is wrong with its value.
        problem: String,
    },
    /// A variable cannot be used.
    #[error("configuration: the variable {variable} {problem}")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong with it, and how to set it right.
        problem: String,
    },
    /// A value is outside its range.
    #[error("configuration: `{key}` is {value}, but must be {allowed}")]
    Range {
        /// The key, with its section.
        key: &'static str,
        /// Its value.
        value: String,
        /// The values that are allowed.
        allowed: String,
    },
    /// The layers are right one by one, but cannot be put together.
    #[error("configuration: {0}")]
    Layers(#[source] config::ConfigError),
}
