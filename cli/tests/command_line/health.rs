//! The probes of a replier over its life: starting, answering, draining.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;

use crate::brokers::mock;
use crate::gated::Gated;
use crate::http::get;
use crate::process::antiphon;
use crate::topics::{Topics, properties};

/// Takes connections at once, and lets their bytes through to `broker` when it is told to.
struct Gate {
    address: String,
    open: mpsc::Sender<()>,
}

impl Gate {
    fn before(broker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, opened) = mpsc::channel::<()>();
        let broker = broker.to_owned();
        thread::spawn(move || {
            if opened.recv().is_err() {
                return;
            }
            // Those that came before wait in the listener's queue.
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&broker) else { return };
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || pass(client, server));
                thread::spawn(move || pass(back.0, back.1));
            }
        });
        Self { address, open }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    // However it ends, the other side is told.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn readiness_follows_the_life_of_a_replier() {
    let topics = Topics::create(mock());
    let handler = Gated::new();
    let gate = Gate::before(mock().bootstrap());
    let mut replier = antiphon(["reply", &topics.request, "--command", &handler.command])
        .arguments(["--metrics", "127.0.0.1:0", "-b", &gate.address])
        .arguments(properties(mock()))
        .start();
    let address = replier.metrics_address();
    let probe = |path| get(&address, path).map(|(status, _)| status);

    assert_eq!((probe("/readyz"), probe("/livez")), (Some(503), Some(200)), "starting");
    gate.open.send(()).unwrap();
    replier.says("ready: answering");
    assert_eq!((probe("/readyz"), probe("/livez")), (Some(200), Some(200)), "answering");

    let mut call = topics.call(&["hi"]).start();
    call.until("handler", |_| handler.started.exists());
    replier.signal(Signal::TERM);
    replier.says("leaving");
    assert_eq!((probe("/readyz"), probe("/livez")), (Some(503), Some(200)), "draining");
    let (_, why) = get(&address, "/readyz").unwrap();
    assert!(why.contains("draining"), "{why}");

    handler.open();
    assert_eq!(call.wait().succeeded().line(), "hi");
    assert_eq!(replier.wait().code, Some(0));
    assert_eq!(probe("/readyz"), None, "ended");
}
