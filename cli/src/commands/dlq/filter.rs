//! Which of the dead letters are meant.

use std::time::{Duration, SystemTime};

use antiphon::Code;
use clap::Args;

use super::letter::Letter;

#[derive(Debug, Clone, Default, Args)]
pub(super) struct Filter {
    /// Only those that failed with this code, such as INTERNAL; may be repeated.
    #[arg(long, value_parser = code)]
    code: Vec<Code>,
    /// Only those that failed within this time, such as 10m or 2days.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Only those for this endpoint.
    #[arg(long)]
    endpoint: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
}

impl Filter {
    /// Whether a record is meant. One that is no dead letter is, unless something is asked of it.
    pub(super) fn takes(&self, letter: &Letter, now: SystemTime) -> bool {
        if let Some(endpoint) = &self.endpoint
            && letter.endpoint() != Some(endpoint.as_bytes())
        {
            return false;
        }
        if self.code.is_empty() && self.since.is_none() {
            return true;
        }
        let Ok(read) = letter.read() else { return false };
        let recent = |since| {
            read.failed_at.is_some_and(|at| now.duration_since(at).unwrap_or_default() <= since)
        };
        (self.code.is_empty() || self.code.contains(&read.code)) && self.since.is_none_or(recent)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.code.is_empty() && self.since.is_none() && self.endpoint.is_none()
    }
}

fn code(name: &str) -> Result<Code, String> {
    let known = Code::ALL.into_iter().find(|code| code.name().eq_ignore_ascii_case(name));
    known.ok_or_else(|| format!("`{name}` is not the name of an error, such as INTERNAL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon::wire::names;

    fn letter(code: &str, failed_at: &str, endpoint: &str) -> Letter {
        let headers = [
            (names::ORIGIN_TOPIC, "quotes"),
            (names::ORIGIN_PARTITION, "0"),
            (names::ORIGIN_OFFSET, "1"),
            (names::STATUS, code),
            (names::FAILED_AT, failed_at),
            (names::ENDPOINT, endpoint),
        ];
        let bytes = |(name, value): (&str, &str)| (name.into(), Some(value.into()));
        Letter { headers: headers.map(bytes).into(), ..Letter::default() }
    }

    #[test]
    fn each_condition_has_to_hold() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let found = letter("INTERNAL", "95000", "get");
        let any = Filter::default();
        assert!(any.takes(&found, now) && any.takes(&Letter::default(), now));
        let code = Filter { code: vec![Code::Internal, Code::Aborted], ..Filter::default() };
        assert!(code.takes(&found, now));
        assert!(!code.takes(&letter("UNAVAILABLE", "95000", "get"), now));
        assert!(!code.takes(&Letter::default(), now));
        let since = Filter { since: Some(Duration::from_secs(5)), ..Filter::default() };
        assert!(since.takes(&found, now));
        assert!(!since.takes(&letter("INTERNAL", "94999", "get"), now));
        let endpoint = Filter { endpoint: Some("get".into()), ..Filter::default() };
        assert!(endpoint.takes(&found, now));
        assert!(!endpoint.takes(&letter("INTERNAL", "95000", "put"), now));
    }
}
