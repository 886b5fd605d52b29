//! Tickets as they are given: as arguments, or as lines of standard input.

use antiphon::requester::{Ticket, TicketKey};

use super::Tickets;
use crate::exit::Failure;

/// Where a text came from, and the ticket that it is, or why it is none.
pub(super) struct Given {
    pub(super) place: String,
    pub(super) ticket: Result<Ticket, String>,
}

impl Tickets {
    /// Reads all tickets. One that is refused does not keep the others from being taken: the last
    /// line of a process that was killed may have been cut.
    pub(super) fn read(&self) -> Result<(Vec<Given>, Option<TicketKey>), Failure> {
        let key = self.sealing.key()?;
        let mut given = Vec::new();
        for (number, text) in self.tickets.iter().enumerate() {
            if text == "-" {
                let input = std::io::read_to_string(std::io::stdin());
                let input = input.map_err(|error| {
                    Failure::usage(format!("cannot read standard input: {error}"))
                })?;
                given.extend(lines(&input, key.as_ref()));
            } else {
                let place = format!("ticket {}", number + 1);
                given.push(Given { place, ticket: open(text, key.as_ref()) });
            }
        }
        if given.is_empty() {
            return Err(Failure::usage("standard input has no ticket; give one on each line"));
        }
        Ok((given, key))
    }
}

fn lines<'a>(input: &'a str, key: Option<&'a TicketKey>) -> impl Iterator<Item = Given> + use<'a> {
    let lines = input.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(move |(number, line)| {
        let place = format!("line {} of standard input", number + 1);
        Given { place, ticket: open(line, key) }
    })
}

/// Reads a ticket, or the JSON object that `antiphon submit --json` prints for one.
fn open(text: &str, key: Option<&TicketKey>) -> Result<Ticket, String> {
    let text = text.trim();
    if !text.starts_with('{') {
        return Ticket::open(text, key).map_err(|error| error.to_string());
    }
    let object: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))?;
    let inner = object["ticket"].as_str().ok_or("the JSON object has no text `ticket`")?;
    Ticket::open(inner, key).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon::requester::{ReplyStart, RequestPosition};
    use antiphon::{CorrelationId, InstanceId};

    fn ticket(call: u64) -> Ticket {
        let id = CorrelationId::new(InstanceId::from_bits(7), call);
        let request = RequestPosition { topic: "quotes".into(), partition: 0, offset: 1 };
        let starts = vec![ReplyStart { partition: 2, offset: 3 }];
        Ticket::new(id, request, "quotes.replies", starts, 4).expect("all fields are in range")
    }

    #[test]
    fn lines_are_tickets_or_objects_and_empty_ones_are_skipped() {
        let (first, second) = (ticket(1), ticket(2));
        let object = serde_json::json!({"ticket": second.to_string(), "offset": 1});
        let input = format!("{first}\r\n\n  {object}\nantiphon1.cut");
        let given: Vec<Given> = lines(&input, None).collect();
        assert_eq!(given.len(), 3);
        assert_eq!(given[0].ticket, Ok(first));
        assert_eq!(given[1].ticket, Ok(second));
        assert_eq!(given[2].place, "line 4 of standard input");
        let refused = given[2].ticket.as_ref().expect_err("it was cut");
        assert!(refused.contains("it was cut or changed"), "{refused}");
        for bad in ["{", "{\"offset\": 1}", "[]", "quotes"] {
            open(bad, None).expect_err(bad);
        }
    }

    #[test]
    fn with_a_key_only_sealed_tickets_are_taken() {
        let key = TicketKey::new(&[1; 32]).expect("it is long enough");
        let sealed = key.seal(ticket(1)).to_string();
        assert!(open(&sealed, Some(&key)).is_ok());
        open(&ticket(1).to_string(), Some(&key)).expect_err("it is not sealed");
        let other = TicketKey::new(&[2; 32]).expect("it is long enough");
        open(&sealed, Some(&other)).expect_err("it is sealed with another key");
    }
}
