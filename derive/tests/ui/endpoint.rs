//! Endpoints that are empty or too long.

use antiphon_derive::Request;

#[derive(Request)]
#[request(topic = "quotes", endpoint = "", reply = String)]
struct Empty;

#[derive(Request)]
#[request(
    topic = "quotes",
    endpoint = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    reply = String
)]
struct Long;

#[derive(Request)]
#[request(topic = "quotes", reply = String)]
struct XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX;

fn main() {}
