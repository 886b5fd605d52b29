//! A key twice, in one attribute and over two.

use antiphon_derive::Request;

#[derive(Request)]
#[request(topic = "quotes", reply = String, topic = "prices")]
struct InOne;

#[derive(Request)]
#[request(topic = "quotes", reply = String)]
#[request(reply = u32)]
struct OverTwo;

fn main() {}
