//! The command line of the fault tests: the matrix, and the processes that it starts.
#![forbid(unsafe_code)]

mod faults;
mod judged;
mod matrix;
mod report;
mod workers;

use std::error::Error;

use clap::{Parser, Subcommand};

/// What a run, or a process of it, may end with.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(name = "chaos", about = "Faults on three real brokers, and what became of the requests")]
struct Arguments {
    #[command(subcommand)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Run {
    /// Runs rows of the fault matrix.
    Matrix(matrix::Options),
    /// Runs for long under random faults.
    Soak(matrix::soak::Options),
    /// Judges a kept folder of histories again.
    Check(judged::Options),
    /// Is a requester: started by the rows.
    #[command(hide = true)]
    Requester {
        /// What it is to do, as JSON.
        orders: String,
    },
    /// Is a replier: started by the rows.
    #[command(hide = true)]
    Replier {
        /// What it is to do, as JSON.
        orders: String,
    },
}

fn main() -> Outcome {
    match Arguments::parse().run {
        Run::Matrix(options) => matrix::run(&options),
        Run::Soak(options) => matrix::soak::run(&options),
        Run::Check(options) => judged::run(&options),
        Run::Requester { orders } => workers::requester::run(&orders),
        Run::Replier { orders } => workers::replier::run(&orders),
    }
}
