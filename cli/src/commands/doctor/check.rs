//! What a check found: a line for people, with the fix below it, or a JSON object.

use serde_json::{Value, json};

/// How good what was found is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    /// It works, or may; it cannot be seen, or will not bear a fault.
    Warning,
    /// It does not work.
    Failure,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) subject: String,
    pub(super) level: Level,
    pub(super) found: String,
    /// What to do about it; empty if all is well.
    pub(super) fix: String,
}

impl Check {
    pub(super) fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        let (subject, found) = (subject.into(), found.into());
        Self { subject, level: Level::Ok, found, fix: String::new() }
    }

    pub(super) fn warning(
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { level: Level::Warning, fix: fix.into(), ..Self::ok(subject, found) }
    }

    pub(super) fn failure(
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { level: Level::Failure, fix: fix.into(), ..Self::ok(subject, found) }
    }

    /// The lines for people. What came from brokers and repliers is escaped.
    pub(super) fn text(&self) -> String {
        let mark = match self.level {
            Level::Ok => '✓',
            Level::Warning => '!',
            Level::Failure => '✗',
        };
        let visible = |text: &str| crate::output::shown(text.as_bytes(), 1000);
        let first = format!("{mark} {}: {}", visible(&self.subject), visible(&self.found));
        match &*self.fix {
            "" => first,
            fix => format!("{first}\n    → {}", visible(fix)),
        }
    }

    pub(super) fn line(&self) -> Value {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Failure => "failure",
        };
        json!({
            "check": self.subject,
            "level": level,
            "found": self.found,
            "fix": if self.fix.is_empty() { Value::Null } else { self.fix.as_str().into() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_a_line_for_people_or_an_object() {
        let well = Check::ok("brokers", "3 answer");
        assert_eq!(well.text(), "✓ brokers: 3 answer");
        assert_eq!(well.line()["fix"], Value::Null);
        let bad = Check::failure("topic `a`", "gone\x1b[2J", "create it");
        assert_eq!(bad.text(), "✗ topic `a`: gone\\u{1b}[2J\n    → create it");
        assert_eq!(
            (&bad.line()["level"], &bad.line()["fix"]),
            (&"failure".into(), &"create it".into())
        );
        assert!(Check::warning("a", "b", "c").text().starts_with("! a: b"));
    }
}
