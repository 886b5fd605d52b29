//! Stands between clients and a broker, and lengthens each round trip by a fixed time.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use antiphon_testkit::{Proxy, Way};
use clap::Args;

use crate::Outcome;

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
    let proxy = Proxy::bind(options.listen)?;
    let delay = Duration::from_millis(options.round_trip_ms) / 2;
    proxy.set(Way { delay, ..Way::default() });
    proxy.lead_to(options.to);
    println!("ready");
    loop {
        thread::park();
    }
}
