//! The status of a reply: a code of the gRPC set, a message, and details.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// How a request ended, by the names and meanings of the [gRPC status codes].
///
/// The set is closed: a code that this version does not know reads as [`Code::Unknown`].
///
/// [gRPC status codes]: https://grpc.io/docs/guides/status-codes/
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are gRPC's, which defines them")]
pub enum Code {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

const NAMES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Cancelled, "CANCELLED"),
    (Code::Unknown, "UNKNOWN"),
    (Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Code::NotFound, "NOT_FOUND"),
    (Code::AlreadyExists, "ALREADY_EXISTS"),
    (Code::PermissionDenied, "PERMISSION_DENIED"),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    (Code::FailedPrecondition, "FAILED_PRECONDITION"),
    (Code::Aborted, "ABORTED"),
    (Code::OutOfRange, "OUT_OF_RANGE"),
    (Code::Unimplemented, "UNIMPLEMENTED"),
    (Code::Internal, "INTERNAL"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::DataLoss, "DATA_LOSS"),
    (Code::Unauthenticated, "UNAUTHENTICATED"),
];

impl Code {
    /// All codes, in the order of their numbers in gRPC.
    pub const ALL: [Self; 17] = {
        let mut all = [Self::Ok; 17];
        let mut at = 0;
        while at < all.len() {
            all[at] = NAMES[at].0;
            at += 1;
        }
        all
    };

    /// The name on the wire, such as `INVALID_ARGUMENT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Reads a name from the wire; anything unknown is [`Code::Unknown`].
    #[must_use]
    pub fn from_name(name: &[u8]) -> Self {
        NAMES
            .iter()
            .find(|(_, known)| known.as_bytes() == name)
            .map_or(Self::Unknown, |(code, _)| *code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error that a replier sends instead of a reply.
///
/// ```
/// use antiphon_common::{Code, Status};
///
/// let status = Status::new(Code::NotFound, "no quote for ACME");
/// assert_eq!(status.to_string(), "NOT_FOUND: no quote for ACME");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    code: Code,
    message: Cow<'static, str>,
    details: Bytes,
}

impl Status {
    /// The longest message that is sent, in bytes; a longer one is cut at a character.
    pub const MAX_MESSAGE: usize = 1024;

    /// Makes a status. The message is meant for the people who run the caller.
    #[must_use]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: cut(message.into(), Self::MAX_MESSAGE), details: Bytes::new() }
    }

    /// An error of the replier's own making: [`Code::Internal`].
    #[must_use]
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// A request that can never succeed as it is: [`Code::InvalidArgument`].
    #[must_use]
    pub fn invalid_argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// A thing that was asked for and is not there: [`Code::NotFound`].
    #[must_use]
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// Adds details, which travel as the payload of the error reply.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.details = details.into();
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The message, possibly empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The details, possibly empty.
    #[must_use]
    pub fn details(&self) -> &Bytes {
        &self.details
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return self.code.fmt(f);
        }
        write!(f, "{}: {}", self.code, self.message.escape_debug())
    }
}

impl std::error::Error for Status {}

fn cut(message: Cow<'static, str>, limit: usize) -> Cow<'static, str> {
    if message.len() <= limit {
        return message;
    }
    let end = message.floor_char_boundary(limit);
    Cow::Owned(message[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_codes() {
        for (index, (code, name)) in NAMES.iter().enumerate() {
            assert_eq!(*code as usize, index);
            assert_eq!(Code::from_name(name.as_bytes()), *code);
        }
        assert_eq!(Code::from_name(b"TEAPOT"), Code::Unknown);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let status = Status::internal("é".repeat(1000));
        assert_eq!(status.message().len(), Status::MAX_MESSAGE);
        let odd = Status::internal(format!("x{}", "é".repeat(1000)));
        assert_eq!(odd.message().len(), Status::MAX_MESSAGE - 1);
    }

    #[test]
    fn a_message_cannot_forge_a_log_line() {
        let status = Status::internal("a\nERROR b");
        assert!(!status.to_string().contains('\n'));
    }
}
