//! The server as its clients see it, over plain sockets.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use antiphon_admin::{AdminError, AdminHandle, AdminServer, Health};
use prometheus::{IntCounter, Registry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn server(registry: Registry, health: Health) -> AdminServer {
    AdminServer::bind((Ipv4Addr::LOCALHOST, 0).into(), registry, health).await.unwrap()
}

async fn spawned(health: Health) -> AdminHandle {
    server(Registry::new(), health).await.spawn()
}

/// Sends a request, and reads until the server closes the connection.
async fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await
}

/// Whether the other side has closed a connection on which it has sent nothing.
async fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]).await, Ok(1..))
}

#[tokio::test]
async fn metrics_are_in_the_text_format() {
    let registry = Registry::new();
    let counter = IntCounter::new("calls_total", "Calls.").unwrap();
    registry.register(Box::new(counter.clone())).unwrap();
    counter.inc_by(7);
    let server = server(registry, Health::new()).await.spawn();
    let answer = get(server.local_addr(), "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("\r\ncontent-type: text/plain; version=0.0.4"), "{}", answer.head);
    assert_eq!(
        answer.body,
        "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total 7\n"
    );
}

#[tokio::test]
async fn readiness_follows_the_process() {
    let health = Health::new();
    let server = spawned(health.clone()).await;
    for (ready, status, reason) in [(false, 503, "not ready: "), (true, 200, "ready\n")] {
        health.set_ready(ready);
        let answer = get(server.local_addr(), "/readyz").await;
        assert_eq!(answer.status, status);
        assert!(answer.body.starts_with(reason), "{}", answer.body);
    }
}

#[tokio::test]
async fn liveness_wants_beats_once_there_was_one() {
    let health = Health::with_bound(Duration::ZERO);
    let server = spawned(health.clone()).await;
    assert_eq!(get(server.local_addr(), "/livez").await.status, 200);
    health.beat();
    let answer = get(server.local_addr(), "/livez").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with("not live: the loop last turned "), "{}", answer.body);

    let beating = Health::new();
    beating.beat();
    let server = spawned(beating).await;
    assert_eq!(get(server.local_addr(), "/livez").await.body, "live\n");
}

#[tokio::test]
async fn other_paths_and_methods() {
    let server = spawned(Health::new()).await;
    for path in ["/", "/metrics/", "/healthz", "/livez/../metrics"] {
        assert_eq!(get(server.local_addr(), path).await.status, 404, "{path}");
    }
    let post = "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(ask(server.local_addr(), post).await.status, 405);
    let head = ask(server.local_addr(), "HEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(ask(server.local_addr(), "nonsense\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn a_taken_address_is_named_with_the_way_out() {
    let first = spawned(Health::new()).await;
    let address = first.local_addr();
    let error = AdminServer::bind(address, Registry::new(), Health::new()).await.unwrap_err();
    assert!(matches!(error, AdminError::Bind { .. }));
    let message = error.to_string();
    assert!(message.contains(&format!("cannot listen on {address}")), "{message}");
    assert!(message.contains("choose another"), "{message}");
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_out() {
    let server = spawned(Health::new()).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(server.local_addr()).await.unwrap());
    }
    assert_eq!(get(server.local_addr(), "/livez").await.status, 200);
    assert!(is_closed(&mut silent[0]).await, "the oldest had to give way");
}

/// The clock is the test's own: it leaps to the next timer whenever nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn a_slow_head_is_cut_off() {
    let server = spawned(Health::new()).await;
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(b"GET /metr").await.unwrap();
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let server = spawned(Health::new()).await;
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    // The server may close before all of it is sent.
    let request = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(get(server.local_addr(), "/livez").await.status, 200);
}

#[tokio::test]
async fn stop_and_drop_close_the_socket() {
    let server = spawned(Health::new()).await;
    let address = server.local_addr();
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());

    let server = spawned(Health::new()).await;
    let address = server.local_addr();
    drop(server);
    // The task notices when it is scheduled next.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_slow_client_does_not_hold_up_the_shutdown() {
    let server = server(Registry::new(), Health::new()).await;
    let address = server.local_addr();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async { drop(stopped.await) }));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    // Connections are accepted in their order, so the slow one is among the open ones by then.
    assert_eq!(get(address, "/livez").await.status, 200);
    stop.send(()).unwrap();
    running.await.unwrap();
    assert!(is_closed(&mut stream).await);
}
