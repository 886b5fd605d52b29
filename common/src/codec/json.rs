//! JSON payloads by serde_json.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecError};

/// JSON payloads. serde_json's recursion limit of 128 bounds what a payload can do to the stack.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    const CONTENT_TYPE: &'static str = "application/json";

    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer(into, value).map_err(|error| CodecError::encode("JSON", error))
    }

    fn decode(payload: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(payload).map_err(|error| CodecError::decode("JSON", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusal() {
        let value = vec![Some("é".to_owned()), None];
        let mut bytes = Vec::new();
        Json::encode(&value, &mut bytes).expect("encodes");
        let back: Vec<Option<String>> = Json::decode(&bytes).expect("decodes");
        assert_eq!(back, value);

        let error = <Json as Codec<Vec<u32>>>::decode(b"[1, x]").expect_err("not JSON");
        assert!(error.to_string().starts_with("JSON cannot decode the payload: "), "{error}");
    }

    #[test]
    fn an_error_that_quotes_the_payload_forges_no_line_of_a_log() {
        #[derive(Debug, Serialize, serde::Deserialize)]
        enum Side {
            Buy,
        }
        let payload = br#""a\nERROR forged\u001b[2J""#;
        let error = <Json as Codec<Side>>::decode(payload).expect_err("no such side");
        let source = std::error::Error::source(&error).expect("a source").to_string();
        for text in [error.to_string(), source] {
            assert!(text.contains("a\\nERROR forged\\u{1b}"), "{text}");
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let deep = "[".repeat(100_000);
        assert!(<Json as Codec<serde_json::Value>>::decode(deep.as_bytes()).is_err());
    }
}
