//! Peers that are written in Rust, as contenders: `requester` and `replier` of NATS, JetStream and gRPC.
//! They speak the contract of `bench/src/contract.rs`.
#![forbid(unsafe_code)]

#[path = "../../../src/contract.rs"]
mod contract;
mod drive;
#[path = "../../../src/figures.rs"]
mod figures;
mod grpc;
mod jetstream;
mod nats;
#[path = "../../../src/runtime.rs"]
mod runtime;

use std::error::Error;
use std::io::{self, BufRead, Write};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

use crate::contract::Order;
use crate::drive::Caller;
use crate::runtime::half_of_the_cores;

/// The same as that of the other contenders in Rust.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    Requester(Role),
    Replier(Role),
}

#[derive(Debug, Clone, Args)]
struct Role {
    contender: Contender,
    /// The server's address; for gRPC that of the replier.
    #[arg(long)]
    bootstrap: String,
    /// The subject of requests.
    #[arg(long)]
    topic: String,
    #[arg(long)]
    payload: usize,
    /// Kafka's; here each contender has its own way.
    #[arg(long)]
    acks: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Contender {
    /// Core NATS request-reply: nothing is stored.
    Nats,
    /// Requests are stored in a stream on disk and acknowledged; replies are not stored.
    Jetstream,
    /// A unary call of tonic: nothing between the two.
    Grpc,
}

fn main() -> Outcome {
    let arguments = Arguments::parse();
    let runtime = half_of_the_cores()?;
    match &arguments.side {
        Side::Requester(role) => request(&runtime, role),
        Side::Replier(role) => {
            std::thread::spawn(|| {
                // Whatever is read, and whether it can be: what counts is that it is over.
                let _ = io::copy(&mut io::stdin(), &mut io::sink());
                std::process::exit(0);
            });
            runtime.block_on(async {
                match role.contender {
                    Contender::Nats => nats::echo(role).await,
                    Contender::Jetstream => jetstream::echo(role).await,
                    Contender::Grpc => grpc::echo().await,
                }
            })
        }
    }
}

fn request(runtime: &Runtime, role: &Role) -> Outcome {
    match role.contender {
        Contender::Nats => serve(runtime, &runtime.block_on(nats::Asking::start(role))?),
        Contender::Jetstream => serve(runtime, &runtime.block_on(jetstream::Asking::start(role))?),
        Contender::Grpc => serve(runtime, &runtime.block_on(grpc::Asking::start(role))?),
    }
}

/// Measures what standard input orders, until it ends.
fn serve<C: Caller>(runtime: &Runtime, caller: &C) -> Outcome {
    let mut output = io::stdout();
    writeln!(output, "ready")?;
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let figures = runtime.block_on(drive::measure(caller, order))?;
        writeln!(output, "{}", serde_json::to_string(&figures)?)?;
    }
    Ok(())
}

/// Tells the harness that requests can be made; at an address, if it is not the one given.
fn ready(address: Option<std::net::SocketAddr>) -> Outcome {
    let mut output = io::stdout();
    match address {
        Some(address) => writeln!(output, "ready {address}")?,
        None => writeln!(output, "ready")?,
    }
    Ok(output.flush()?)
}
