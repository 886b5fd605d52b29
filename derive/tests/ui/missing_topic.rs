//! The topic is missing.

use antiphon_derive::Request;

#[derive(Request)]
#[request(reply = String)]
struct GetQuote;

fn main() {}
