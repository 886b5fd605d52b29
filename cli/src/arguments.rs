//! The command line: which commands there are.

use clap::{Parser, Subcommand};

use crate::commands::bench::Bench;
use crate::commands::call::CallCommand;
use crate::commands::demo::Demo;
use crate::commands::dev::Dev;
use crate::commands::dlq::DlqCommand;
use crate::commands::doctor::Doctor;
use crate::commands::reply::Reply;
use crate::commands::submit::Submit;
use crate::commands::ticket::TicketCommand;
use crate::commands::top::Top;

/// Asynchronous request-reply over Apache Kafka.
#[derive(Debug, Parser)]
#[command(name = "antiphon", version, about, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Check the command line and do nothing; for tests of deployment files.
    #[arg(long, hide = true)]
    pub(crate) check_args: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 reply, 1 usage or configuration, 2 not sent, \
3 timeout or unknown outcome, 4 error reply.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send verified requests to several repliers, on an embedded broker or your own.
    Demo(Demo),
    /// Keep an embedded broker up for other processes.
    Dev(Dev),
    /// Send one request or many, and print the replies.
    Call(CallCommand),
    /// Send one request or many, and print a ticket for each reply, to be taken later.
    Submit(Submit),
    /// Take the replies that tickets are for, in this process or another.
    #[command(subcommand)]
    Ticket(TicketCommand),
    /// Answer the requests of a topic.
    Reply(Reply),
    /// Watch the replicas of the repliers of some topics.
    Top(Top),
    /// Check all that a request topic needs, and say what to do about the rest.
    Doctor(Doctor),
    /// Look into a dead-letter topic, hand requests back, and delete them.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Measure latency and throughput with a fixed number of calls in flight.
    Bench(Bench),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
