//! The changelog topic of a request topic: its name, and what must hold of it at the start.

use antiphon_common::config::{KafkaSettings, ReplierSettings};
use antiphon_common::kafka::{TopicError, look_up};

use crate::replier::RunError;

/// Checks that each request topic has a changelog with as many partitions, if one is needed.
pub(crate) async fn check(
    kafka: &KafkaSettings,
    settings: &ReplierSettings,
    topics: &[String],
) -> Result<(), RunError> {
    let timeout = settings.start_timeout();
    for topic in topics {
        let Some(changelog) = settings.dedupe.topic_of(topic) else { return Ok(()) };
        let wanted = look_up(kafka, topic, timeout).await.map_err(RunError::RequestTopic)?;
        let found = match look_up(kafka, &changelog, timeout).await {
            Ok(found) => found,
            Err(TopicError::Missing(_)) => {
                return Err(RunError::DedupeTopic(missing(
                    &changelog,
                    topic,
                    wanted,
                    settings.dedupe.window_ms,
                )));
            }
            Err(error) => return Err(RunError::DedupeTopic(error.to_string())),
        };
        if found != wanted {
            return Err(RunError::DedupeTopic(uneven(&changelog, found, topic, wanted)));
        }
    }
    Ok(())
}

fn missing(changelog: &str, topic: &str, partitions: i32, window_ms: u64) -> String {
    format!(
        "`{changelog}` does not exist; create it with {partitions} partitions, as `{topic}` has, \
         cleanup.policy=compact,delete and retention.ms={window_ms} or more (replier.dedupe.window_ms), \
         or set replier.dedupe.store to \"memory\" or \"off\""
    )
}

fn uneven(changelog: &str, found: i32, topic: &str, wanted: i32) -> String {
    format!(
        "`{changelog}` has {found} partitions and `{topic}` has {wanted}; they must have the same \
         number: add partitions to the one that has fewer"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let missing = missing(
            &antiphon_common::config::DedupeSettings::name_of("quotes"),
            "quotes",
            12,
            600_000,
        );
        for part in ["`quotes.dedupe`", "12 partitions", "compact,delete", "retention.ms=600000"] {
            assert!(missing.contains(part), "{missing}");
        }
        let uneven = uneven("quotes.dedupe", 4, "quotes", 12);
        assert!(uneven.contains("has 4 partitions and `quotes` has 12"), "{uneven}");
    }
}
