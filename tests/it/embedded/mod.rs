//! Tests against the embedded broker. Each test has a broker of its own.

mod callbacks;
mod cancellation;
mod closing;
mod endpoints;
mod endurance;
mod failures;
mod first_request;
mod forged_replies;
mod gathering;
mod hostile_requests;
mod limits;
mod polling;
mod queues;
mod replier_cancellation;
mod replier_streams;
mod retries;
mod round_trip;
mod routing;
mod statuses;
mod streams;
