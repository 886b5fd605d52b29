//! Payloads, as the codecs read them.

use std::collections::BTreeMap;
use std::collections::HashMap;

use antiphon_common::{Avro, Codec, Json};
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

/// What is decoded can be encoded, and is then decoded again.
pub(crate) fn avro(data: &[u8]) {
    let Ok(order) = <Avro as Codec<Order>>::decode(data) else { return };
    let mut payload = Vec::new();
    Avro::encode(&order, &mut payload).expect("what was decoded can be encoded");
    <Avro as Codec<Order>>::decode(&payload).expect("what was encoded can be decoded");
}

/// The same, in JSON.
pub(crate) fn json(data: &[u8]) {
    let Ok(document) = <Json as Codec<Document>>::decode(data) else { return };
    let mut payload = Vec::new();
    Json::encode(&document, &mut payload).expect("what was decoded can be encoded");
    <Json as Codec<Document>>::decode(&payload).expect("what was encoded can be decoded");
}
