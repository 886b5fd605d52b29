//! A stand-in for the facade crate: the trait that is derived, and its own codecs.

pub use antiphon_derive::Request;

pub trait Request {
    type Reply;
    type Codec;
    const TOPIC: &'static str;
    const ENDPOINT: &'static str;
}

pub struct Json;
pub struct Raw;
pub struct Avro;

/// Asserts, when compiled, that the codec of `R` is `C`.
pub fn codec_is<R: Request<Codec = C>, C>() {}
