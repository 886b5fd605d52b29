//! Payloads, as the codecs read them.

use std::collections::BTreeMap;
use std::collections::HashMap;

use antiphon_common::{Avro, Codec, CodecError, Json};
use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, AvroSchema)]
struct Order {
    id: i64,
    price: f64,
    paid: bool,
    note: Option<String>,
    lines: Vec<Line>,
    labels: HashMap<String, i32>,
    tree: Tree,
    ticks: Vec<()>,
}

#[derive(Debug, Serialize, Deserialize, AvroSchema)]
struct Line {
    article: String,
    count: i32,
}

#[derive(Debug, Serialize, Deserialize, AvroSchema)]
struct Tree {
    left: Option<Box<Tree>>,
    leaves: Vec<Tree>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    id: Option<u64>,
    tree: Option<Box<Document>>,
    any: Option<serde_json::Value>,
    labels: Option<BTreeMap<String, Vec<f64>>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Side {
    Buy { at: f64 },
}

/// What was decoded, if it was; an error must be one line.
fn shown<T>(decoded: Result<T, CodecError>) -> Option<T> {
    let error = match decoded {
        Ok(value) => return Some(value),
        Err(error) => error.to_string(),
    };
    assert!(!error.chars().any(char::is_control), "a log could be forged: {error:?}");
    None
}

/// What is decoded can be encoded, and is then decoded again.
pub(crate) fn avro(data: &[u8]) {
    let Some(order) = shown(<Avro as Codec<Order>>::decode(data)) else { return };
    let mut payload = Vec::new();
    Avro::encode(&order, &mut payload).expect("what was decoded can be encoded");
    <Avro as Codec<Order>>::decode(&payload).expect("what was encoded can be decoded");
}

/// The same, in JSON.
pub(crate) fn json(data: &[u8]) {
    let _ = shown(<Json as Codec<Side>>::decode(data));
    let Some(document) = shown(<Json as Codec<Document>>::decode(data)) else { return };
    let mut payload = Vec::new();
    Json::encode(&document, &mut payload).expect("what was decoded can be encoded");
    <Json as Codec<Document>>::decode(&payload).expect("what was encoded can be decoded");
}
