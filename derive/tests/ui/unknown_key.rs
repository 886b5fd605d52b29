//! Keys that the derive does not know.

use antiphon_derive::Request;

#[derive(Request)]
#[request(topic = "quotes", response = String)]
struct Misnamed;

#[derive(Request)]
#[request(kafka::topic = "quotes", reply = String)]
struct Qualified;

fn main() {}
