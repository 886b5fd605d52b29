//! Stands between clients and a broker, and lengthens each round trip by a fixed time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::Outcome;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// How many chunks may be on their way in one direction: memory is bounded, and a long delay does
/// not limit the throughput that is measured.
const UNDER_WAY: usize = 1_024;

/// Where to listen, whom to reach, and how far away to seem.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The address to listen on, which the broker must advertise.
    #[arg(long)]
    listen: SocketAddr,
    /// The broker's own address.
    #[arg(long)]
    to: SocketAddr,
    /// What is added to each round trip, in milliseconds; half of it in each direction.
    #[arg(long)]
    round_trip_ms: u64,
}

/// Forwards until the process ends.
pub(crate) fn run(options: &Options) -> Outcome {
    let listener = TcpListener::bind(options.listen)?;
    println!("ready");
    let one_way = Duration::from_millis(options.round_trip_ms) / 2;
    Ok(serve(&listener, options.to, one_way)?)
}

fn serve(listener: &TcpListener, to: SocketAddr, one_way: Duration) -> io::Result<()> {
    for client in listener.incoming() {
        let client = client?;
        // The client sees a closed connection, as it would with a broker that is down.
        let Ok(broker) = TcpStream::connect(to) else { continue };
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        forward(client.try_clone()?, broker.try_clone()?, one_way)?;
        forward(broker, client, one_way)?;
    }
    Ok(())
}

/// Two threads: with one, the wait for a chunk would add to that for the next.
fn forward(from: TcpStream, to: TcpStream, one_way: Duration) -> io::Result<()> {
    let (chunks, arriving) = sync_channel(UNDER_WAY);
    let named = |name: &str| thread::Builder::new().name(name.into());
    named("proxy-read").spawn(move || read(from, &chunks, one_way))?;
    named("proxy-write").spawn(move || write(to, &arriving))?;
    Ok(())
}

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

fn read(mut from: TcpStream, chunks: &SyncSender<Chunk>, one_way: Duration) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let chunk = Chunk { due: Instant::now() + one_way, bytes: buffer[..length].to_vec() };
        if chunks.send(chunk).is_err() {
            break;
        }
    }
}

fn write(mut to: TcpStream, arriving: &Receiver<Chunk>) {
    for Chunk { due, bytes } in arriving {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // Both directions, so that no half of a connection outlives the other.
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_WAY: Duration = Duration::from_millis(20);

    #[test]
    fn bytes_come_back_whole_and_not_before_a_round_trip() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let echo = TcpListener::bind(local).expect("a port");
        let to = echo.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut client, _) = echo.accept().expect("the proxy connects");
            let mut sender = client.try_clone().expect("a second handle");
            io::copy(&mut client, &mut sender)
        });
        let listener = TcpListener::bind(local).expect("a port");
        let near = listener.local_addr().expect("an address");
        thread::spawn(move || serve(&listener, to, ONE_WAY));

        let sent: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let mut client = TcpStream::connect(near).expect("the proxy listens");
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let began = Instant::now();
        let mut writer = client.try_clone().expect("a second handle");
        let all = sent.clone();
        thread::spawn(move || writer.write_all(&all));
        let mut got = vec![0; sent.len()];
        client.read_exact(&mut got).expect("everything comes back");
        assert!(got == sent, "the bytes differ");
        assert!(began.elapsed() >= 2 * ONE_WAY);
    }
}
