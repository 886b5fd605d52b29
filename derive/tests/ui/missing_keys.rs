//! Both required keys are missing, and both are reported.

use antiphon_derive::Request;

#[derive(Request)]
#[request(endpoint = "get-quote")]
struct GetQuote;

fn main() {}
