//! `antiphon dlq`: looks into a dead-letter topic, hands requests back, and deletes them.

mod delete;
mod filter;
mod letter;
mod list;
mod position;
mod producer;
mod purge;
mod read;
mod replay;
mod replayed;
mod show;

use antiphon::config::Settings;
use clap::{Args, Subcommand};

use crate::exit::Failure;
use crate::options::Connection;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 usage or configuration, 2 not done, 3 it is not \
known whether all was done, 4 some dead letters cannot be handed back.";

/// Looks into a dead-letter topic, hands requests back, and deletes them.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List dead letters.
    #[command(after_help = EXIT_CODES)]
    Ls(list::List),
    /// Print one dead letter with all its headers.
    #[command(after_help = EXIT_CODES)]
    Show(show::Show),
    /// Hand requests back to their request topic, as they were before they failed.
    #[command(after_help = EXIT_CODES)]
    Replay(replay::Replay),
    /// Delete dead letters up to an offset, for good.
    #[command(after_help = EXIT_CODES)]
    Purge(purge::Purge),
}

/// Which dead letters.
#[derive(Debug, Args)]
struct Where {
    /// The request topic.
    topic: String,
    /// The topic that its dead letters are in [default: <TOPIC>.dlq].
    #[arg(long, value_name = "TOPIC")]
    dead_letter_topic: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Where {
    fn settings(&self) -> Result<Settings, Failure> {
        self.connection.settings()
    }

    fn dead_letters(&self, settings: &Settings) -> String {
        let named = self.dead_letter_topic.clone();
        named.unwrap_or_else(|| settings.replier.dead_letter.name_of(&self.topic))
    }
}

pub(crate) async fn run(command: &DlqCommand) -> Result<(), Failure> {
    match command {
        DlqCommand::Ls(list) => list::run(list).await,
        DlqCommand::Show(show) => show::run(show).await,
        DlqCommand::Replay(replay) => replay::run(replay).await,
        DlqCommand::Purge(purge) => purge::run(purge).await,
    }
}
