//! `antiphon ticket poll` and `wait`: all tickets by one reading of each reply partition.

use std::collections::HashMap;
use std::time::Duration;

use antiphon::Requester;
use antiphon::config::{ReplyPartition, RequesterSettings};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{Ticket, TicketKey};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::Redeeming;
use super::input::Given;
use super::tally::Tally;
use crate::exit::Failure;
use crate::options::Connection;
use crate::output::Style;
use crate::topics::START_MS;

/// Looks once.
pub(super) async fn poll(redeeming: &Redeeming) -> Result<(), Failure> {
    let mut redemption = Redemption::start(redeeming).await?;
    let (requester, mut tickets) = (&redemption.requester, redemption.tickets);
    // The one with the earliest start first, so that one reading serves those that follow.
    tickets.sort_unstable_by_key(|ticket| ticket.starts().first().map(|start| start.offset));
    let polls = tickets.iter().map(|ticket| async move { (ticket, requester.poll(ticket).await) });
    let mut polls: FuturesUnordered<_> = polls.collect();
    while let Some((ticket, polled)) = polls.next().await {
        match polled {
            Ok(None) => redemption.tally.not_yet(ticket.correlation_id()),
            Ok(Some(reply)) => redemption.tally.ended(ticket, Ok(reply)),
            Err(error) => redemption.tally.ended(ticket, Err(error)),
        }
    }
    redemption.tally.finish(redemption.metrics.ticket_scans.get())
}

/// Waits for each until its deadline, and for all until `timeout` at most.
pub(super) async fn wait(redeeming: &Redeeming, timeout: Option<Duration>) -> Result<(), Failure> {
    let mut redemption = Redemption::start(redeeming).await?;
    let mut left: HashMap<_, u64> = HashMap::new();
    for ticket in &redemption.tickets {
        *left.entry(ticket.correlation_id()).or_default() += 1;
    }
    let time_is_up = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let ended = redemption.requester.resume(redemption.tickets).take_until(Box::pin(time_is_up));
    let mut ended = std::pin::pin!(ended);
    while let Some((ticket, result)) = ended.next().await {
        if let Some(times) = left.get_mut(&ticket.correlation_id()) {
            *times -= 1;
        }
        redemption.tally.ended(&ticket, result);
    }
    for (id, times) in left {
        for _ in 0..times {
            redemption.tally.not_in_time(id);
        }
    }
    redemption.tally.finish(redemption.metrics.ticket_scans.get())
}

/// Tickets with a requester of their reply topic.
struct Redemption {
    requester: Requester,
    tickets: Vec<Ticket>,
    metrics: RequesterMetrics,
    tally: Tally,
}

impl Redemption {
    async fn start(redeeming: &Redeeming) -> Result<Self, Failure> {
        let Redeeming { tickets, raw, json, summary, connection } = redeeming;
        let (given, key) = tickets.read()?;
        let mut tally = Tally::new(Style::of(*summary, *raw, *json));
        let mut tickets = Vec::with_capacity(given.len());
        for Given { place, ticket } in given {
            match ticket {
                Ok(ticket) => tickets.push(ticket),
                Err(why) => tally.refused(&place, &why),
            }
        }
        let Some(topic) = reply_topic(&tickets)? else { return Err(tally.all_refused()) };
        let metrics = RequesterMetrics::new();
        let requester = requester(connection, topic, key, &metrics).await?;
        Ok(Self { requester, tickets, metrics, tally })
    }
}

/// The topic that all replies come to; `None` if there are no tickets.
fn reply_topic(tickets: &[Ticket]) -> Result<Option<&str>, Failure> {
    let Some(first) = tickets.first() else { return Ok(None) };
    match tickets.iter().find(|ticket| ticket.reply_topic() != first.reply_topic()) {
        None => Ok(Some(first.reply_topic())),
        Some(other) => Err(Failure::usage(format!(
            "the tickets name several reply topics, `{}` and `{}`; give those of one topic at a \
             time",
            first.reply_topic(),
            other.reply_topic()
        ))),
    }
}

/// Starts a requester that asks nothing itself, and so needs no reply partition of its own.
async fn requester(
    connection: &Connection,
    topic: &str,
    key: Option<TicketKey>,
    metrics: &RequesterMetrics,
) -> Result<Requester, Failure> {
    let settings = connection.settings()?;
    let own = RequesterSettings {
        // Every topic has it, and it takes no lease that somebody else could use.
        reply_partition: ReplyPartition::Fixed(0),
        start_timeout_ms: settings.requester.start_timeout_ms.min(START_MS),
        ..settings.requester
    };
    let builder = Requester::builder(settings.kafka).reply_topic(topic).settings(own);
    let builder = builder.metrics(metrics.clone());
    let builder = match key {
        Some(key) => builder.ticket_key(key),
        None => builder,
    };
    Ok(builder.build().await?)
}
