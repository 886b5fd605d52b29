//! Long runs on real Kafka that prove what a replier promises: `make proof`, or one of its parts. Each
//! prints one JSON object, and fails if a promise is broken.
//!
//! | module | what it holds |
//! |---|---|
//! | `rolling` | repliers restarted in turn under load lose nothing and run nothing twice |
//! | `crash_points` | what becomes of a request whose replier is killed at a certain point |
//! | `exactly_once` | with transactions, each request has one committed reply, whoever is killed |
//! | `lanes` | order per key through rebalances, and what it costs |
//! | `hostile` | bad handlers and bad records on one partition hurt no other |
//! | `scale_out` | more replicas do more, in proportion |
//! | `requesters` | more requesters read no more for each reply |
//! | `worker` · `replica` | this program as a replier in a process of its own, and the hold on it |
//! | `contract` | what is asked and answered, and what a handler does |
//! | `load` · `tally` | requests at a rate or so many at a time, and what became of them |
//! | `effects` | what handlers did, as they told it |
//! | `kafka` | the cluster, and what is in it |
//! | `statistics` | what the clients of this process have received, as librdkafka counts it |
//! | `report` | figures, promises, and the line at the end |

mod contract;
mod crash_points;
mod effects;
mod exactly_once;
mod hostile;
mod kafka;
mod lanes;
mod load;
mod replica;
mod report;
mod requesters;
mod rolling;
mod scale_out;
mod statistics;
mod tally;
mod worker;

use std::error::Error;

use clap::{Parser, Subcommand};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::statistics::Received;

/// What a run, or a role, may end with.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(name = "proof", about = "Long runs on real Kafka that prove what a replier promises")]
struct Arguments {
    #[command(subcommand)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Run {
    /// Restarts three repliers in turn under load.
    Rolling(rolling::Options),
    /// Kills a replier at each of several points.
    CrashPoints(crash_points::Options),
    /// Kills repliers that answer in transactions.
    ExactlyOnce(exactly_once::Options),
    /// Compares lanes, and checks the order per key.
    Lanes(lanes::Options),
    /// Mixes in bad handlers and bad records.
    Hostile(hostile::Options),
    /// Measures 1, 2 and 4 replicas.
    ScaleOut(scale_out::Options),
    /// Measures what 1, 4, 16 and 64 requesters read.
    Requesters(requesters::Options),
    /// Is a replier: started by the runs.
    #[command(hide = true)]
    Worker {
        /// What it is to do, as JSON.
        orders: String,
    },
}

fn main() -> Outcome {
    // `cargo bench` adds an argument of its own.
    let arguments = std::env::args().filter(|argument| argument != "--bench");
    let run = Arguments::parse_from(arguments).run;
    let received = Received::default();
    // The reader of a whole topic is told of its end as if that were an error.
    let log = fmt::layer()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .with_filter(EnvFilter::new("warn,rdkafka=off"));
    tracing_subscriber::registry().with(received.layer()).with(log).init();
    // More than the machine may have processors: a handler that blocks is to take one of several.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(4).enable_all().build()?;
    match run {
        Run::Rolling(options) => runtime.block_on(rolling::run(&options)),
        Run::CrashPoints(options) => runtime.block_on(crash_points::run(&options)),
        Run::ExactlyOnce(options) => runtime.block_on(exactly_once::run(&options)),
        Run::Lanes(options) => runtime.block_on(lanes::run(&options)),
        Run::Hostile(options) => runtime.block_on(hostile::run(&options)),
        Run::ScaleOut(options) => runtime.block_on(scale_out::run(&options)),
        Run::Requesters(options) => runtime.block_on(requesters::run(&options, &received)),
        Run::Worker { orders } => runtime.block_on(worker::run(&orders)),
    }
}
