//! Structs and enums, defaults, every key, and keys over several attributes.

extern crate self as antiphon;

#[path = "../../stand_in/mod.rs"]
mod stand_in;

pub use stand_in::*;

#[derive(Request)]
#[request(topic = "quotes", reply = Quote)]
pub struct GetQuote {
    pub symbol: String,
}

pub struct Quote;

#[derive(Request)]
#[request(topic = "orders.v1_new-2", endpoint = "place", reply = Result<Vec<u8>, String>, codec = Raw)]
pub struct PlaceOrder(pub Vec<u8>);

#[derive(Request)]
#[request(topic = "orders")]
#[request(reply = ())]
#[request(codec = antiphon::Avro)]
pub enum HTTPOrder {
    Get,
    Put(u32),
}

#[derive(Request)]
#[request(topic = "types", reply = self::Quote,)]
pub struct r#Type;

fn main() {
    assert_eq!((GetQuote::TOPIC, GetQuote::ENDPOINT), ("quotes", "get-quote"));
    assert_eq!((PlaceOrder::TOPIC, PlaceOrder::ENDPOINT), ("orders.v1_new-2", "place"));
    assert_eq!((HTTPOrder::TOPIC, HTTPOrder::ENDPOINT), ("orders", "http-order"));
    assert_eq!(r#Type::ENDPOINT, "type");
    codec_is::<GetQuote, Json>();
    codec_is::<PlaceOrder, Raw>();
    codec_is::<HTTPOrder, Avro>();
}
