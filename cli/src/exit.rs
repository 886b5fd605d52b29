//! What a command fails with, and the exit code that says so.

use antiphon::requester::BuildError;
use antiphon::{CallError, CallErrorKind, Outcome};

/// Usage or configuration.
pub(crate) const USAGE: u8 = 1;
/// Nothing was sent.
pub(crate) const NOT_SENT: u8 = 2;
/// No reply in time, or the outcome is unknown.
pub(crate) const UNKNOWN: u8 = 3;
/// The replier answered with an error.
pub(crate) const ERROR_REPLY: u8 = 4;

/// How a command failed: one line for people, one code for scripts.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    line: Option<String>,
}

impl Failure {
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { code: USAGE, line: Some(line.into()) }
    }

    pub(crate) fn not_sent(line: impl Into<String>) -> Self {
        Self { code: NOT_SENT, line: Some(line.into()) }
    }

    /// A failure whose lines were printed as they happened.
    pub(crate) fn said(code: u8) -> Self {
        Self { code, line: None }
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }
}

/// The exit code for a call that failed.
pub(crate) fn code_of(error: &CallError) -> u8 {
    match (error.kind(), error.outcome()) {
        (CallErrorKind::Status(_), _) => ERROR_REPLY,
        (_, Outcome::NotSent) => NOT_SENT,
        // Of several replies some may have come.
        (CallErrorKind::Timeout, _) | (_, Outcome::Unknown) => UNKNOWN,
        // A reply came, and cannot be read.
        (_, Outcome::Executed) => ERROR_REPLY,
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Setting(_) | BuildError::Client(_) => Self::usage(error.to_string()),
            _ => Self::not_sent(error.to_string()),
        }
    }
}
