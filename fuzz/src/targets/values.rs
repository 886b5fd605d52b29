//! Single values: ids, deadlines and tickets.

use std::time::Duration;

use antiphon_common::payloads::PayloadId;
use antiphon_common::{Code, CorrelationId, Deadline};
use antiphon_requester::{Ticket, TicketKey};

use crate::pieces::Pieces;

/// Correlation ids and claim checks: there is one form of each.
pub(crate) fn ids(data: &[u8]) {
    if let Some(id) = CorrelationId::from_bytes(data) {
        assert_eq!(id.to_bytes(), data);
        assert_eq!(CorrelationId::new(id.instance(), id.call()), id);
        assert_eq!(id.to_string().len(), 36);
    }
    if let Some(id) = PayloadId::parse(data) {
        assert_eq!(id.to_string().as_bytes(), data);
    }
    let code = Code::from_name(data);
    assert!(code == Code::Unknown || code.name().as_bytes() == data);
}

/// No deadline is later than the most that is allowed, or than a day.
pub(crate) fn deadline(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let most = Duration::from_millis(pieces.number());
    let Some(deadline) = Deadline::from_wire(pieces.rest(), most) else { return };
    assert!(deadline.remaining() <= most.min(Deadline::MAX_TIMEOUT));
    let _ = deadline.to_unix_millis();
}

/// There is one text for each ticket, and none that was not sealed with the key opens with it.
pub(crate) fn ticket(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let key = TicketKey::new(&[7; 32]).expect("long enough");
    let ticket: Ticket = match text.parse() {
        Ok(ticket) => ticket,
        Err(error) => {
            let words = error.to_string();
            assert!(!words.chars().any(char::is_control), "a log could be forged: {words:?}");
            return;
        }
    };
    assert_eq!(ticket.to_string(), text);
    assert!(Ticket::open(text, Some(&key)).is_err(), "a seal was guessed");
    assert!(!ticket.starts().is_empty() && ticket.starts().len() <= 1024);
    let sealed = key.seal(ticket).to_string();
    assert!(Ticket::open(&sealed, Some(&key)).is_ok());
}
