//! Tickets: a reply taken later, or by another process, from where the ticket says it is.
//!
//! | module | what it holds |
//! |---|---|
//! | `token`, `contents`, `key`, `refusal` | the ticket as a text, its bounds, its seal, and why one is refused |
//! | `index`, `kept`, `waiters` | pure: the scan of one partition, what it keeps and who waits on it |
//! | `search` | pure: the search for many replies in many partitions |
//! | `mailbox`, `scanner`, `answer` | the thread that reads for all, and how questions reach it |
//! | `redeemer`, `together`, `claim` | what a requester asks: poll, wait, and many at once |

mod answer;
mod claim;
mod contents;
mod index;
mod kept;
mod key;
mod mailbox;
mod redeemer;
mod refusal;
mod scanner;
mod search;
mod together;
mod token;
mod waiters;

#[cfg(test)]
mod index_tests;
#[cfg(test)]
mod redeemer_tests;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod test_world;
#[cfg(test)]
mod together_tests;
#[cfg(test)]
mod token_tests;

pub use key::TicketKey;
pub(crate) use redeemer::Redeemer;
pub use refusal::TicketError;
pub use token::{ReplyStart, RequestPosition, Ticket};
