//! The reply is missing.

use antiphon_derive::Request;

#[derive(Request)]
#[request(topic = "quotes")]
struct GetQuote;

fn main() {}
