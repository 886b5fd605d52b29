//! The `antiphon` command: ask, answer and measure over Kafka from a terminal.
//!
//! | module | what it holds |
//! |---|---|
//! | `arguments`, `options` | the command line, and options that several commands share |
//! | `commands` | one module for each command |
//! | `exit`, `usage` | what a command fails with, the exit codes, and a wrong command line |
//! | `question`, `load`, `cpu` | what is asked, in a closed loop, and what that costs |
//! | `output`, `report`, `latencies` | replies and results, for people and for machines |
//! | `service`, `topics` | metrics and health of long-running commands; checks before they start |

mod arguments;
mod commands;
mod cpu;
mod exit;
mod latencies;
mod load;
mod options;
mod output;
mod question;
mod report;
mod service;
mod topics;
mod usage;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command};
use crate::exit::Failure;

/// librdkafka allocates a record's parts on one thread and frees them on another, which costs this
/// allocator a good deal less than the C library's.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            if is_help(&error) {
                // Nobody may be reading it, as with `head`.
                let _ = error.print();
                return ExitCode::from(if error.use_stderr() { exit::USAGE } else { 0 });
            }
            return report_failure(&Failure::usage(usage::line(&error, std::env::args_os())));
        }
    };
    if arguments.check_args {
        return ExitCode::SUCCESS;
    }
    start_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report_failure(&Failure::usage(format!("cannot start: {error}"))),
    };
    let ended = runtime.block_on(run(arguments.command));
    // Client threads that still wait for a broker must not hold the exit up.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report_failure(&failure),
    }
}

/// Whether the text of a parse error is help or the version, asked for or not.
fn is_help(error: &clap::Error) -> bool {
    use clap::error::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(demo) => commands::demo::run(&demo).await,
        Command::Dev(dev) => commands::dev::run(&dev).await,
        Command::Call(call) => commands::call::run(&call).await,
        Command::Submit(submit) => commands::submit::run(&submit).await,
        Command::Ticket(ticket) => commands::ticket::run(&ticket).await,
        Command::Reply(reply) => commands::reply::run(&reply).await,
        Command::Dlq(dlq) => commands::dlq::run(&dlq).await,
        Command::Doctor(doctor) => commands::doctor::run(&doctor).await,
        Command::Top(top) => commands::top::run(&top).await,
        Command::Bench(bench) => commands::bench::run(&bench).await,
        Command::Completions { shell } => {
            commands::completions::run(shell);
            Ok(())
        }
    }
}

fn report_failure(failure: &Failure) -> ExitCode {
    if let Some(line) = failure.line() {
        eprintln!("error: {line}");
    }
    ExitCode::from(failure.code())
}

/// Diagnostics go to standard error, at a level that `RUST_LOG` changes. What the Kafka client
/// says of itself is off by default: each command puts the cause of a failure in its one line.
fn start_logging() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,antiphon_common::kafka=off,rdkafka=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
}
