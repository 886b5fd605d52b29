//! A request without the attribute.

use antiphon_derive::Request;

#[derive(Request)]
struct GetQuote;

fn main() {}
