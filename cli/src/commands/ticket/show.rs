//! `antiphon ticket show`: what tickets say.

use std::time::{SystemTime, UNIX_EPOCH};

use antiphon::requester::Ticket;
use serde_json::{Value, json};

use super::Show;
use super::input::Given;
use crate::exit::{self, Failure};
use crate::output::print_line;

pub(super) fn run(show: &Show) -> Result<(), Failure> {
    let (given, _) = show.tickets.read()?;
    let mut refused = false;
    for Given { place, ticket } in given {
        match ticket {
            Ok(ticket) if show.json => print_line(&object(&ticket).to_string()),
            Ok(ticket) => print_line(&text(&ticket, unix_now())),
            Err(why) => {
                eprintln!("error: {place}: {why}");
                refused = true;
            }
        }
    }
    if refused { Err(Failure::said(exit::USAGE)) } else { Ok(()) }
}

fn object(ticket: &Ticket) -> Value {
    let request = ticket.request();
    let starts = ticket.starts().iter();
    json!({
        "correlation_id": ticket.correlation_id().to_string(),
        "topic": request.topic,
        "partition": request.partition,
        "offset": request.offset,
        "reply_topic": ticket.reply_topic(),
        "starts": starts.map(|s| json!({"partition": s.partition, "offset": s.offset})).collect::<Vec<_>>(),
        "deadline_unix_ms": ticket.deadline_unix_ms(),
        "sealed": ticket.is_sealed(),
    })
}

/// The same for people, as one line: many tickets make a list.
fn text(ticket: &Ticket, now_unix_ms: u64) -> String {
    let (request, deadline) = (ticket.request(), ticket.deadline_unix_ms());
    let starts = ticket.starts().iter();
    let starts: Vec<String> = starts.map(|s| format!("{}@{}", s.partition, s.offset)).collect();
    let when = match deadline.checked_sub(now_unix_ms) {
        Some(left) => format!("{:.0} s left", ms_as_s(left)),
        None => format!("deadline passed {:.0} s ago", ms_as_s(now_unix_ms - deadline)),
    };
    format!(
        "{} to {} {}@{}, reply in {} from {}, {when}, {}",
        ticket.correlation_id(),
        request.topic,
        request.partition,
        request.offset,
        ticket.reply_topic(),
        starts.join(" "),
        if ticket.is_sealed() { "sealed" } else { "not sealed" },
    )
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ms_as_s(millis: u64) -> f64 {
    millis as f64 / 1e3
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon::requester::{ReplyStart, RequestPosition};
    use antiphon::{CorrelationId, InstanceId};

    #[test]
    fn a_ticket_is_one_line_for_people() {
        let id = CorrelationId::new(InstanceId::from_bits(7), 1);
        let request = RequestPosition { topic: "quotes".into(), partition: 0, offset: 1 };
        let starts = [(2, 3), (4, 5)].map(|(partition, offset)| ReplyStart { partition, offset });
        let ticket = Ticket::new(id, request, "answers", starts.to_vec(), 60_000);
        let ticket = ticket.expect("all fields are in range");
        let rest = "to quotes 0@1, reply in answers from 2@3 4@5";
        assert_eq!(text(&ticket, 10_000), format!("{id} {rest}, 50 s left, not sealed"));
        let passed = format!("{id} {rest}, deadline passed 30 s ago, not sealed");
        assert_eq!(text(&ticket, 90_000), passed);
    }
}
