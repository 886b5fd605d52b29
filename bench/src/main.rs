//! Compares Antiphon with what one would write by hand: all in the same run, taking turns.
#![forbid(unsafe_code)]

mod cases;
mod contenders;
mod contract;
mod distance;
mod figures;
mod nats;
mod peers;
mod plot;
mod process;
mod promises;
mod proxy;
mod ratios;
mod report;
mod results;
mod run;
mod runtime;
mod scaling;
mod suite;
mod turn;

use std::error::Error;

use clap::{Parser, Subcommand};
use tikv_jemallocator::Jemalloc;

use crate::contenders::Role;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measures request-reply over Kafka, by ratios between contenders that take turns.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start Kafka, measure the contenders in turns, and write what was measured.
    Run(run::Options),
    /// Write a page and its pictures from what runs have written.
    Report(report::Options),
    /// Compare the number of produce requests in flight that follows the distance with fixed ones.
    Distance(distance::Options),
    /// Stand between clients and a broker, and lengthen each round trip.
    Proxy(proxy::Options),
    /// Plan for a load: how many of everything it takes, and what that costs.
    Scaling(scaling::Options),
    /// Measure what plans stand on, and check them at sizes that run here.
    ScalingMeasure(scaling::MeasureOptions),
    /// Be a contender's requester; `run` starts these processes.
    #[command(hide = true)]
    Requester(Role),
    /// Be a contender's replier.
    #[command(hide = true)]
    Replier(Role),
}

/// librdkafka allocates a record's parts on one thread and frees them on another, which costs this
/// allocator a good deal less than the C library's.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> Outcome {
    match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Report(options) => report::write(&options),
        Command::Distance(options) => distance::run(&options),
        Command::Proxy(options) => proxy::run(&options),
        Command::Scaling(options) => scaling::scaling(&options),
        Command::ScalingMeasure(options) => scaling::measure(&options),
        Command::Requester(role) => contenders::request(&role),
        Command::Replier(role) => contenders::reply(&role),
    }
}
