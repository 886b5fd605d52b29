//! Payloads that are bytes already.

use super::{Codec, CodecError};

/// Bytes as they are, for any type that is a wrapper of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Raw;

impl<T: AsRef<[u8]> + From<Vec<u8>>> Codec<T> for Raw {
    const CONTENT_TYPE: &'static str = "application/octet-stream";

    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(value.as_ref());
        Ok(())
    }

    fn decode(payload: &[u8]) -> Result<T, CodecError> {
        Ok(T::from(payload.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_through() {
        let value = vec![0, 255, b'x'];
        let mut bytes = Vec::new();
        Raw::encode(&value, &mut bytes).expect("bytes");
        assert_eq!(bytes, value);
        let back: bytes::Bytes = Raw::decode(&bytes).expect("bytes");
        assert_eq!(back, value);
    }
}
