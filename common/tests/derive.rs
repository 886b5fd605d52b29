//! The derive against the real trait. This crate stands in for the facade here, under its name.

extern crate antiphon_common as antiphon;

use antiphon::{Codec, CodecError, Request};
use antiphon_derive::Request;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, Request)]
#[request(topic = "quotes", reply = Quote)]
struct GetQuote {
    symbol: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Quote {
    price: f64,
}

#[derive(Request)]
#[request(topic = "bytes", endpoint = "echo", reply = Vec<u8>, codec = Raw)]
struct Echo(Vec<u8>);

impl AsRef<[u8]> for Echo {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Echo {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// A codec of the application's own: a single byte.
struct Byte;

impl Codec<u8> for Byte {
    const CONTENT_TYPE: &'static str = "application/x-byte";

    fn encode(value: &u8, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.push(*value);
        Ok(())
    }

    fn decode(payload: &[u8]) -> Result<u8, CodecError> {
        match payload {
            [byte] => Ok(*byte),
            _ => Err(CodecError::decode("byte", "not one byte")),
        }
    }
}

impl Codec<Next> for Byte {
    const CONTENT_TYPE: &'static str = "application/x-byte";

    fn encode(value: &Next, into: &mut Vec<u8>) -> Result<(), CodecError> {
        Self::encode(&value.0, into)
    }

    fn decode(payload: &[u8]) -> Result<Next, CodecError> {
        Self::decode(payload).map(Next)
    }
}

#[derive(Debug, PartialEq, Request)]
#[request(topic = "numbers", reply = u8, codec = self::Byte, crate = antiphon_common)]
struct Next(u8);

fn through_its_codec<R: Request>(request: &R) -> R {
    let mut payload = Vec::new();
    R::Codec::encode(request, &mut payload).expect("encodes");
    R::Codec::decode(&payload).expect("decodes")
}

#[test]
fn a_derived_request_has_its_names_and_its_codec() {
    assert_eq!((GetQuote::TOPIC, GetQuote::ENDPOINT), ("quotes", "get-quote"));
    let request = GetQuote { symbol: "ACME".to_owned() };
    assert_eq!(through_its_codec(&request), request);
    let reply = <GetQuote as Request>::Codec::decode(br#"{"price": 1.5}"#);
    let reply: <GetQuote as Request>::Reply = reply.expect("JSON");
    assert_eq!(reply, Quote { price: 1.5 });

    assert_eq!((Echo::TOPIC, Echo::ENDPOINT), ("bytes", "echo"));
    assert_eq!(through_its_codec(&Echo(vec![0, 255])).0, [0, 255]);

    assert_eq!(Next::ENDPOINT, "next");
    assert_eq!(through_its_codec(&Next(7)), Next(7));
}

#[cfg(feature = "avro")]
mod avro {
    use super::*;
    use apache_avro::AvroSchema;

    #[derive(Debug, PartialEq, Serialize, Deserialize, AvroSchema, Request)]
    #[request(topic = "positions", reply = Position, codec = Avro)]
    struct GetPosition {
        account: i64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
    struct Position {
        amount: Option<f64>,
    }

    #[test]
    fn avro_needs_no_import() {
        let request = GetPosition { account: 7 };
        assert_eq!(through_its_codec(&request), request);
    }
}
