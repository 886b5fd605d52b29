//! Tests against the embedded broker. Each test has a broker of its own.

mod cancellation;
mod closing;
mod endpoints;
mod endurance;
mod failures;
mod first_request;
mod forged_replies;
mod hostile_requests;
mod limits;
mod replier_cancellation;
mod replier_streams;
mod round_trip;
mod routing;
mod statuses;
