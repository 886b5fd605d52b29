//! Tests against real Kafka. Those that do not break the broker share one; each has its own topics.

mod bombs;
mod churn;
mod commits;
mod dedupe;
mod doubt;
mod drain;
mod ensuring;
mod giving_up;
mod growth;
mod leader;
mod leases;
mod membership;
mod offsets;
mod outage;
mod protocols;
mod rebalance;
mod replies;
mod secured;
mod tickets;
mod transactions;
mod unacknowledged;
mod wire;
