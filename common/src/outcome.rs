//! What a failed call may have done at the other end.

use std::fmt;

/// What is known of a request whose call failed.
///
/// It decides what may be done next: a request that was not sent can be sent again; one whose
/// outcome is unknown only if handling it twice does no harm. Of two outcomes the greater is the one
/// that says more was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The request is not in the request topic and never will be.
    NotSent,
    /// The request may have been handled, or may yet be.
    Unknown,
    /// A replier took the request and answered it. If the answer is an error, its status says how
    /// far the request got: `UNIMPLEMENTED`, for one, means that no handler ran.
    Executed,
}

impl Outcome {
    /// The outcome as one lower-case word, as in metrics and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Executed => "executed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "the request was not sent",
            Self::Unknown => "the request may have been executed",
            Self::Executed => "a replier answered",
        })
    }
}
