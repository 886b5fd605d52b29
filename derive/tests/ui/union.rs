//! A union has no form on the wire.

use antiphon_derive::Request;

#[derive(Request)]
#[request(topic = "quotes", reply = String)]
union Either {
    number: u32,
    bytes: [u8; 4],
}

fn main() {}
