//! Types that would need an endpoint for each of their instances.

use antiphon_derive::Request;

#[derive(Request)]
#[request(topic = "quotes", reply = String)]
struct Typed<T>(T);

#[derive(Request)]
#[request(topic = "quotes", reply = String)]
struct Borrowed<'a>(&'a str);

fn main() {}
