//! `antiphon top`: the replicas of the repliers of some topics, asked again and again.

pub(super) mod asked;
pub(super) mod lag;
mod replicas;
mod view;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;

use self::asked::Watched;
use self::lag::Lags;
use self::replicas::Replicas;
use crate::exit::{Failure, UNKNOWN};
use crate::options::{Connection, duration};
use crate::output::print_line;

/// Goes to the top of the terminal and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Watches the replicas of the repliers of some topics.
///
/// Each partition of the topics is asked, through the topic itself, who holds it and what it does.
/// The answers come to <TOPIC>.replies.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Request topics.
    #[arg(required = true)]
    topics: Vec<String>,
    /// How often to ask, such as 500ms or 5s.
    #[arg(long, value_parser = duration, default_value = "2s")]
    interval: Duration,
    /// How long a partition may take to answer.
    #[arg(long, value_parser = duration, default_value = "2s")]
    timeout: Duration,
    /// Ask once.
    #[arg(long)]
    once: bool,
    /// Print a JSON object for each replica, and one for each topic with partitions that nobody
    /// answers for.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(top: &Top) -> Result<(), Failure> {
    let settings = top.connection.settings()?;
    let mut watched = Vec::new();
    for topic in &top.topics {
        watched.push(Watched::start(&settings, topic, None, top.timeout).await?);
    }
    let mut lags = Lags::new(&settings.kafka);
    let mut before = Replicas::default();
    let mut beats = tokio::time::interval(top.interval);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let answers = futures::future::join_all(watched.iter().map(Watched::ask)).await;
        let mut replicas = Replicas::of(answers.into_iter().flatten());
        replicas.compare(&before);
        lags.add_to(&mut replicas).await;
        if top.json {
            replicas.lines().iter().for_each(|line| print_line(&line.to_string()));
        } else {
            let clear = !top.once && std::io::stdout().is_terminal();
            print_line(&format!("{}{}", if clear { CLEAR } else { "" }, view::text(&replicas)));
        }
        if top.once {
            return if replicas.is_empty() { Err(Failure::said(UNKNOWN)) } else { Ok(()) };
        }
        before = replicas;
    }
}
