//! Attributes of the wrong form.

use antiphon_derive::Request;

#[derive(Request)]
#[request]
struct Bare;

#[derive(Request)]
#[request(topic, reply = String)]
struct NoValue;

#[derive(Request)]
#[request(topic = "quotes", reply = "String")]
struct QuotedType;

#[derive(Request)]
#[request(topic = "quotes", reply = String, crate = "antiphon")]
struct QuotedPath;

fn main() {}
