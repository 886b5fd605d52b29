//! Tickets: a reply taken later, or by another process, from where the ticket says it is.

mod contents;
mod index;
mod kept;
mod key;
mod refusal;
mod search;
mod token;
mod waiters;

#[cfg(test)]
mod index_tests;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod token_tests;

pub use key::TicketKey;
pub use refusal::TicketError;
pub use token::{ReplyStart, RequestPosition, Ticket};
