//! Names that are not literals, which cannot be checked when the program is compiled.

use antiphon_derive::Request;

const TOPIC: &str = "quotes";

#[derive(Request)]
#[request(topic = TOPIC, reply = String)]
struct Constant;

#[derive(Request)]
#[request(topic = "quotes", endpoint = 7, reply = String)]
struct Number;

fn main() {}
