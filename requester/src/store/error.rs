//! How a store of pending requests fails.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// A store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A field of the entry has a value that is not allowed.
    #[error("the entry's {field} {problem}")]
    Entry {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Another process, or this one, has the file open.
    #[error("the store `{0}` is open already; give each process a file of its own")]
    InUse(PathBuf),
    /// The file cannot be opened as a store.
    #[error("cannot open the store `{path}`: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// An operation failed. Whether it was done is not known.
    #[error("cannot {doing} the store: {source}")]
    Failed {
        /// What was to be done with it.
        doing: &'static str,
        /// What went wrong.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// An entry cannot be read back.
    #[error("the store holds an entry that cannot be read, {id}: {problem}; the file is damaged")]
    Damaged {
        /// The entry's key.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// A failure of an implementation's own.
    pub fn failed(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed { doing, source: Arc::from(source.into()) }
    }
}
