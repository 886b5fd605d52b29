//! Tests against real Kafka. Those that do not break the broker share one; each has its own topics.

mod commits;
mod drain;
mod growth;
mod leader;
mod outage;
mod protocols;
mod rebalance;
mod replies;
mod unacknowledged;
mod wire;
