//! What is inside a ticket, and the bounds on each of its fields: a ticket is untrusted input.

use antiphon_common::CorrelationId;
use antiphon_common::one_line::one_line;
use serde::{Deserialize, Serialize};

use super::refusal::TicketError;
use super::token::{ReplyStart, RequestPosition, Ticket};

/// The most partitions that a ticket may look in.
pub(crate) const MAX_STARTS: usize = 1024;
/// The longest name that Kafka gives a topic.
const MAX_TOPIC: usize = 249;

/// The JSON form. Fields are short: in shared routing a ticket names every partition.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    id: String,
    request: (String, i32, i64),
    replies: String,
    starts: Vec<ReplyStart>,
    deadline: u64,
}

pub(super) fn write(ticket: &Ticket) -> Vec<u8> {
    let RequestPosition { topic, partition, offset } = ticket.request.clone();
    let contents = Contents {
        id: ticket.correlation_id.to_string(),
        request: (topic, partition, offset),
        replies: ticket.reply_topic.clone(),
        starts: ticket.starts.clone(),
        deadline: ticket.deadline_unix_ms,
    };
    serde_json::to_vec(&contents).expect("texts and numbers have a JSON form")
}

/// Reads what [`write`] wrote, and nothing else: there is one text for each ticket.
pub(super) fn read(json: &[u8]) -> Result<Ticket, TicketError> {
    // The error quotes a field that is not known, as whoever made the ticket named it.
    let unreadable =
        |error: serde_json::Error| TicketError::Contents(one_line(&error.to_string()).into_owned());
    let contents: Contents = serde_json::from_slice(json).map_err(unreadable)?;
    let correlation_id = parse_id(&contents.id).ok_or_else(|| {
        field("correlation id", "is not a UUID of version 8, as requesters draw them".to_owned())
    })?;
    let (topic, partition, offset) = contents.request;
    let request = RequestPosition { topic, partition, offset };
    let (starts, deadline) = (contents.starts, contents.deadline);
    let ticket = Ticket::new(correlation_id, request, contents.replies, starts, deadline)?;
    if write(&ticket) != json {
        return Err(TicketError::Contents("they are not in the form that tickets have".to_owned()));
    }
    Ok(ticket)
}

pub(super) fn check(ticket: &Ticket) -> Result<(), TicketError> {
    topic("request topic", &ticket.request.topic)?;
    not_negative("request partition", ticket.request.partition.into())?;
    not_negative("request offset", ticket.request.offset)?;
    topic("reply topic", &ticket.reply_topic)?;
    check_starts(&ticket.starts)
}

/// Checks starts that are sorted by partition.
pub(crate) fn check_starts(starts: &[ReplyStart]) -> Result<(), TicketError> {
    let name = "list of reply partitions";
    if starts.is_empty() {
        return Err(field(name, "is empty; name the partition that the reply comes to".to_owned()));
    }
    if starts.len() > MAX_STARTS {
        let many = format!("has {} entries; at most {MAX_STARTS} are allowed", starts.len());
        return Err(field(name, many));
    }
    for start in starts {
        not_negative("reply partition", start.partition.into())?;
        not_negative("start offset", start.offset)?;
    }
    match starts.windows(2).find(|pair| pair[0].partition >= pair[1].partition) {
        Some(pair) => {
            let twice = format!("names partition {} twice or out of order", pair[1].partition);
            Err(field(name, twice))
        }
        None => Ok(()),
    }
}

/// Kafka's own rule for names of topics.
pub(crate) fn topic(name: &'static str, topic: &str) -> Result<(), TicketError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let named = !topic.is_empty() && topic != "." && topic != "..";
    if named && topic.len() <= MAX_TOPIC && topic.bytes().all(allowed) {
        return Ok(());
    }
    let problem = format!(
        "is no name of a topic: give 1 to {MAX_TOPIC} letters, digits, dots, underscores and \
         hyphens"
    );
    Err(field(name, problem))
}

fn not_negative(name: &'static str, value: i64) -> Result<(), TicketError> {
    if value >= 0 { Ok(()) } else { Err(field(name, format!("is {value}; it must be 0 or more"))) }
}

fn field(field: &'static str, problem: String) -> TicketError {
    TicketError::Field { field, problem }
}

/// Reads the hyphenated form of a correlation id.
fn parse_id(text: &str) -> Option<CorrelationId> {
    let digits: String = text.split('-').collect();
    if digits.len() != 2 * CorrelationId::LEN || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let id = u128::from_str_radix(&digits, 16).ok()?;
    CorrelationId::from_bytes(&id.to_be_bytes())
}
