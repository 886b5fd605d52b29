//! `antiphon ticket`: takes the replies that tickets are for, and shows what tickets say.

mod input;
mod redeem;
mod show;
mod tally;

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::exit::Failure;
use crate::options::{Connection, Sealing, duration};

const EXIT_CODES: &str = "Exit codes: 0 every reply is there, 1 usage, configuration or a refused \
ticket, 2 the reply topic cannot be reached, 3 no reply yet, in time or any more, 4 error reply.";

/// Takes the replies that tickets are for.
#[derive(Debug, Subcommand)]
pub(crate) enum TicketCommand {
    /// Look once which replies are there.
    #[command(after_help = EXIT_CODES)]
    Poll(Poll),
    /// Wait for each reply until its deadline, and print it. Replies that are there already are
    /// printed even after it.
    #[command(visible_alias = "resume", after_help = EXIT_CODES)]
    Wait(Wait),
    /// Print what tickets say. Asks no broker.
    Show(Show),
}

/// Looks once which replies are there.
#[derive(Debug, Args)]
pub(crate) struct Poll {
    #[command(flatten)]
    redeeming: Redeeming,
}

/// Waits for replies.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Wait no longer than this, such as 500ms, 2s or 1m, whatever the deadlines are.
    #[arg(long, value_parser = duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    redeeming: Redeeming,
}

/// Prints what tickets say.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    tickets: Tickets,
    /// Print a JSON object for each ticket.
    #[arg(long)]
    json: bool,
}

/// Which tickets, what is printed of their replies, and where these are.
#[derive(Debug, Args)]
struct Redeeming {
    #[command(flatten)]
    tickets: Tickets,
    /// Print the bytes of each reply and nothing else.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print a JSON object for each ticket.
    #[arg(long)]
    json: bool,
    /// Print no replies, but one JSON object at the end that counts them.
    #[arg(long)]
    summary: bool,
    #[command(flatten)]
    connection: Connection,
}

/// The tickets of a command line.
#[derive(Debug, Args)]
struct Tickets {
    /// Tickets; `-` reads them from standard input, as `antiphon submit` prints them, with or
    /// without --json.
    #[arg(required = true, value_name = "TICKET|-")]
    tickets: Vec<String>,
    #[command(flatten)]
    sealing: Sealing,
}

pub(crate) async fn run(command: &TicketCommand) -> Result<(), Failure> {
    match command {
        TicketCommand::Poll(poll) => redeem::poll(&poll.redeeming).await,
        TicketCommand::Wait(wait) => redeem::wait(&wait.redeeming, wait.timeout).await,
        TicketCommand::Show(show) => show::run(show),
    }
}
