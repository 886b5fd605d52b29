//! The answers of calls that are under way: one reply each, or several.

use std::str::FromStr;
use std::time::Instant;

use antiphon::requester::{Replies, Reply};
use antiphon::{Call, CallError, CorrelationId};
use futures::StreamExt;
use serde_json::json;

use crate::output::Style;

/// How many replies a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    AtMost(u64),
    All,
}

/// A call on its way.
pub(crate) enum Sent {
    One(Call<Reply>, Option<CorrelationId>),
    Several(Box<Replies<Reply>>, Expected),
}

/// How a call ended.
pub(crate) struct Answer {
    pub(crate) id: Option<CorrelationId>,
    pub(crate) result: Result<Replied, CallError>,
}

/// What a call that ended well was answered with.
pub(crate) enum Replied {
    One(Reply),
    /// So many replies, which were printed as they came.
    Several(u64),
}

impl Sent {
    /// The id is kept apart, since a reply does not carry it.
    pub(crate) fn one(call: Call<Reply>) -> Self {
        let id = call.correlation_id();
        Self::One(call, id)
    }

    pub(crate) fn several(replies: Replies<Reply>, expected: Expected) -> Self {
        Self::Several(Box::new(replies), expected)
    }

    /// Waits for the end. Prints replies of which there are several as they come.
    pub(crate) async fn end(self, style: Style) -> Answer {
        match self {
            Self::One(call, id) => Answer { id, result: call.await.map(Replied::One) },
            Self::Several(replies, expected) => {
                let id = replies.correlation_id();
                Answer { id, result: print_all(replies, expected, style).await }
            }
        }
    }
}

async fn print_all(
    mut replies: Box<Replies<Reply>>,
    expected: Expected,
    style: Style,
) -> Result<Replied, CallError> {
    let (started, id) = (Instant::now(), replies.correlation_id());
    let mut seen = 0;
    while expected != Expected::AtMost(seen) {
        let Some(reply) = replies.next().await else { break };
        let more = json!({"seq": seen, "round_trip_us": started.elapsed().as_micros()});
        style.reply(id, &reply?, &more);
        seen += 1;
    }
    Ok(Replied::Several(seen))
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number @ 1..) => Ok(Self::AtMost(number)),
            _ if text == "all" => Ok(Self::All),
            _ => Err(format!("`{text}` is neither `all` nor a number from 1 up")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Expected;

    #[test]
    fn expected_replies() {
        assert_eq!("all".parse(), Ok(Expected::All));
        assert_eq!("3".parse(), Ok(Expected::AtMost(3)));
        for bad in ["", "0", "-1", "some"] {
            assert!(bad.parse::<Expected>().is_err(), "{bad}");
        }
    }
}
