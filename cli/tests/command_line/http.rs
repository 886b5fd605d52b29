//! Pages read over HTTP, and samples found in pages of metrics.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The status and the body of a page; `None` if nobody answers.
pub(crate) fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    // Version 1.0 asks for a body that ends with the connection, in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    let (head, body) = page.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The page of metrics; empty if nobody answers.
pub(crate) fn metrics(address: &str) -> String {
    match get(address, "/metrics") {
        Some((200, page)) => page,
        _ => String::new(),
    }
}

/// The sum of a metric over all of its series that have `label`; zero if there are none.
pub(crate) fn sum(page: &str, name: &str, label: &str) -> f64 {
    page.lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(label))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// How many replies a requester has got, by the metrics at this address.
pub(crate) fn replies(requester: &str) -> f64 {
    sum(&metrics(requester), "antiphon_requester_calls_total", "outcome=\"reply\"")
}

/// How many partitions a replier holds, by the metrics at this address.
pub(crate) fn partitions(replier: &str) -> f64 {
    sum(&metrics(replier), "antiphon_replier_assigned_partitions", "")
}

/// How many requests a replier has answered well, by the metrics at this address.
pub(crate) fn answers(replier: &str) -> f64 {
    sum(&metrics(replier), "antiphon_replier_requests_total", "outcome=\"ok\"")
}
