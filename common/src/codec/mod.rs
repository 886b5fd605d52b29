//! How payloads become bytes and back: JSON, raw bytes, and Avro by the feature `avro`.

mod json;
mod raw;

#[cfg(feature = "avro")]
mod avro;

pub use json::Json;
pub use raw::Raw;

#[cfg(feature = "avro")]
pub use avro::Avro;

use std::borrow::Cow;

use crate::one_line::one_line;

/// Turns values of `T` into payloads and back.
///
/// Payloads come from the wire: an implementation must not panic on any input, and must bound
/// what it allocates by the size of the input.
#[diagnostic::on_unimplemented(
    message = "the codec `{Self}` cannot carry `{T}`",
    note = "`Json` needs `Serialize` and `Deserialize`; `Raw` needs `AsRef<[u8]>` and `From<Vec<u8>>`; `Avro` also needs `AvroSchema`"
)]
pub trait Codec<T> {
    /// The value of the `content-type` header.
    const CONTENT_TYPE: &'static str;

    /// Appends the payload of a value to `into`, a buffer that the caller reuses.
    ///
    /// # Errors
    /// [`CodecError`] if the value has no such form; `into` is then to be thrown away.
    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Reads a value from a payload.
    ///
    /// # Errors
    /// [`CodecError`] if the payload is not of the form expected.
    fn decode(payload: &[u8]) -> Result<T, CodecError>;
}

/// A payload could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{codec} {action}: {source}")]
pub struct CodecError {
    codec: &'static str,
    action: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl CodecError {
    /// An error of writing a payload.
    pub fn encode(
        codec: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { codec, action: "cannot encode the payload", source: on_one_line(source.into()) }
    }

    /// An error of reading a payload.
    pub fn decode(
        codec: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { codec, action: "cannot decode the payload", source: on_one_line(source.into()) }
    }
}

/// The same error, if its text can be shown; else its text as it can be. Codecs quote what is wrong
/// in a payload, and whoever wrote that may have meant it for the log.
fn on_one_line(
    source: Box<dyn std::error::Error + Send + Sync>,
) -> Box<dyn std::error::Error + Send + Sync> {
    match one_line(&source.to_string()) {
        Cow::Borrowed(_) => source,
        Cow::Owned(line) => line.into(),
    }
}
