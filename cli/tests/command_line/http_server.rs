//! A small HTTP server for `antiphon reply --http`: it says what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Starts a server that ends with the process. It answers with the request's headers and body; a
/// path such as `/404` with that status.
pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let connection = connection.unwrap();
            thread::spawn(move || serve(&connection));
        }
    });
    address
}

/// Answers until the client goes.
fn serve(mut connection: &TcpStream) {
    let mut reader = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let status: u16 = path.trim_start_matches('/').parse().unwrap_or(200);
        let said = [lower.as_bytes(), &body].concat();
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: text/x-test\r\ncontent-length: {}\r\n\r\n",
            said.len()
        );
        if connection.write_all(&[answer.as_bytes(), &said].concat()).is_err() {
            return;
        }
    }
}
