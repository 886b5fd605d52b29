//! Topics that no broker would create.

use antiphon_derive::Request;

#[derive(Request)]
#[request(topic = "", reply = String)]
struct Empty;

#[derive(Request)]
#[request(topic = "..", reply = String)]
struct Reserved;

#[derive(Request)]
#[request(topic = "get quotes", reply = String)]
struct Illegal;

#[derive(Request)]
#[request(
    topic = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    reply = String
)]
struct Long;

fn main() {}
