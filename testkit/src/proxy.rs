//! [`Proxy`]: stands between clients and a broker, and makes the way between them long, uneven or
//! dead, while it is used.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// How many chunks may be on their way in one direction: memory is bounded, and a long delay does
/// not limit the throughput that is measured.
const UNDER_WAY: usize = 1_024;

/// What the way through a proxy is like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Way {
    /// How long whatever is sent takes in one direction.
    pub delay: Duration,
    /// How much longer or shorter than that it may take, by chance. Nothing overtakes anything.
    pub jitter: Duration,
    /// Connections are accepted and kept, and nothing that is sent arrives. A connection that has
    /// lost something so is dead for good, as behind a firewall that has forgotten it: neither side
    /// hears of that.
    pub swallows: bool,
}

/// A TCP proxy in this process. It ends with this value; connections that it forwards go on until
/// one of their sides ends them.
#[derive(Debug)]
pub struct Proxy {
    near: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: Mutex<Option<SocketAddr>>,
    way: Mutex<Way>,
    swallowed: AtomicU64,
    ended: AtomicBool,
}

/// Both directions of a connection.
#[derive(Debug)]
struct Link {
    shared: Arc<Shared>,
    dead: AtomicBool,
}

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

impl Proxy {
    /// Listens on an address; port 0 lets the kernel choose. Connections are closed at once until
    /// [`lead_to`](Self::lead_to) says whom to reach.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let near = listener.local_addr()?;
        let shared = Arc::new(Shared {
            to: Mutex::default(),
            way: Mutex::default(),
            swallowed: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::Builder::new().name("proxy".into()).spawn(move || serve(&listener, &serving))?;
        Ok(Self { near, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.near
    }

    /// Leads new connections to this address.
    pub fn lead_to(&self, to: SocketAddr) {
        *lock(&self.shared.to) = Some(to);
    }

    /// Changes the way, also of connections that there are.
    pub fn set(&self, way: Way) {
        *lock(&self.shared.way) = way;
    }

    /// How many bytes have been swallowed.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the thread that accepts. If nobody accepts, it has ended by itself.
        drop(TcpStream::connect(self.near));
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::Acquire) {
            return;
        }
        let Some(to) = *lock(&shared.to) else { continue };
        // The client sees a closed connection, as it would with a broker that is down.
        let linked = client.and_then(|client| link(client, to, shared));
        if linked.is_err() && shared.ended.load(Ordering::Acquire) {
            return;
        }
    }
}

fn link(client: TcpStream, to: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    let is_dead = lock(&shared.way).swallows;
    let link = Arc::new(Link { shared: Arc::clone(shared), dead: AtomicBool::new(is_dead) });
    let broker = TcpStream::connect(to)?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    forward(client.try_clone()?, broker.try_clone()?, &link)?;
    forward(broker, client, &link)
}

/// Two threads: with one, the wait for a chunk would add to that for the next.
fn forward(from: TcpStream, to: TcpStream, link: &Arc<Link>) -> io::Result<()> {
    let (chunks, arriving) = sync_channel(UNDER_WAY);
    let named = |name: &str| thread::Builder::new().name(name.into());
    let (reads, writes) = (Arc::clone(link), Arc::clone(link));
    named("proxy-read").spawn(move || read(from, &chunks, &reads))?;
    named("proxy-write").spawn(move || write(to, &arriving, &writes))?;
    Ok(())
}

fn read(mut from: TcpStream, chunks: &SyncSender<Chunk>, link: &Link) {
    let mut buffer = vec![0; CHUNK];
    let mut last = Instant::now();
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let way = *lock(&link.shared.way);
        if link.is_swallowed(way, length) {
            continue;
        }
        last = last.max(Instant::now() + one_way(way, fastrand::f64()));
        let chunk = Chunk { due: last, bytes: buffer[..length].to_vec() };
        if chunks.send(chunk).is_err() {
            break;
        }
    }
}

fn write(mut to: TcpStream, arriving: &Receiver<Chunk>, link: &Link) {
    for Chunk { due, bytes } in arriving {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let way = *lock(&link.shared.way);
        if !link.is_swallowed(way, bytes.len()) && to.write_all(&bytes).is_err() {
            break;
        }
    }
    // Both directions, so that no half of a connection outlives the other.
    let _ = to.shutdown(Shutdown::Both);
}

impl Link {
    /// Whether these bytes are lost, and with them the connection.
    fn is_swallowed(&self, way: Way, length: usize) -> bool {
        if way.swallows {
            self.dead.store(true, Ordering::Relaxed);
        }
        let is_dead = self.dead.load(Ordering::Relaxed);
        if is_dead {
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            self.shared.swallowed.fetch_add(length, Ordering::Relaxed);
        }
        is_dead
    }
}

/// How long a chunk takes; `random` is even between 0 and 1.
fn one_way(way: Way, random: f64) -> Duration {
    (way.delay + way.jitter.mul_f64(2.0 * random)).saturating_sub(way.jitter)
}

/// What is locked is whole at any time, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_WAY: Duration = Duration::from_millis(20);
    const LIMIT: Duration = Duration::from_secs(20);
    const QUIET: Duration = Duration::from_millis(200);

    /// A server that says everything back, and a proxy before it.
    fn echo() -> Proxy {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let echo = TcpListener::bind(local).expect("a port");
        let proxy = Proxy::bind(local).expect("a port");
        proxy.lead_to(echo.local_addr().expect("an address"));
        thread::spawn(move || {
            for client in echo.incoming() {
                let mut client = client.expect("the proxy connects");
                let mut sender = client.try_clone().expect("a second handle");
                thread::spawn(move || io::copy(&mut client, &mut sender));
            }
        });
        proxy
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let client = TcpStream::connect(proxy.address()).expect("the proxy listens");
        client.set_read_timeout(Some(LIMIT)).expect("a limit");
        client
    }

    fn comes_back(client: &mut TcpStream) -> bool {
        client.write_all(b"x").expect("it is kept open");
        client.read_exact(&mut [0]).is_ok()
    }

    /// What is swallowed is counted, and its connection dead, when the proxy has read it: which may be
    /// after the client has given up.
    fn until_swallowed(proxy: &Proxy, bytes: u64) {
        let deadline = Instant::now() + LIMIT;
        while proxy.swallowed() < bytes {
            assert!(Instant::now() < deadline, "{} of {bytes} were swallowed", proxy.swallowed());
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn bytes_come_back_whole_and_not_before_a_round_trip() {
        let proxy = echo();
        proxy.set(Way { delay: ONE_WAY, jitter: ONE_WAY / 4, ..Way::default() });
        let sent: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let mut client = connect(&proxy);
        let began = Instant::now();
        let mut writer = client.try_clone().expect("a second handle");
        let all = sent.clone();
        thread::spawn(move || writer.write_all(&all));
        let mut got = vec![0; sent.len()];
        client.read_exact(&mut got).expect("everything comes back");
        assert!(got == sent, "the bytes differ");
        assert!(began.elapsed() >= 2 * (ONE_WAY - ONE_WAY / 4));
    }

    #[test]
    fn what_is_swallowed_is_missed_for_good_and_a_new_connection_is_well() {
        let proxy = echo();
        let mut client = connect(&proxy);
        assert!(comes_back(&mut client));
        proxy.set(Way { swallows: true, ..Way::default() });
        client.set_read_timeout(Some(QUIET)).expect("a limit");
        assert!(!comes_back(&mut client));
        until_swallowed(&proxy, 1);
        let mut born_dead = connect(&proxy);
        born_dead.set_read_timeout(Some(QUIET)).expect("a limit");
        assert!(!comes_back(&mut born_dead));
        until_swallowed(&proxy, 2);
        proxy.set(Way::default());
        assert!(!comes_back(&mut client) && !comes_back(&mut born_dead));
        assert!(comes_back(&mut connect(&proxy)));
    }

    #[test]
    fn nobody_is_reached_before_it_is_said_whom_to_reach() {
        let proxy = Proxy::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let mut client = connect(&proxy);
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    }

    #[test]
    fn chance_moves_the_delay_by_the_jitter_at_most() {
        let way = Way { delay: ONE_WAY, jitter: ONE_WAY / 2, swallows: false };
        assert_eq!(one_way(way, 0.0), ONE_WAY / 2);
        assert_eq!(one_way(way, 0.5), ONE_WAY);
        assert_eq!(one_way(way, 1.0), ONE_WAY * 3 / 2);
        let uneven = Way { delay: ONE_WAY, jitter: ONE_WAY * 2, swallows: false };
        assert_eq!(one_way(uneven, 0.0), Duration::ZERO);
    }
}
