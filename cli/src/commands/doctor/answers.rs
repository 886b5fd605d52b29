//! Who answers: a ping through each partition.

use std::time::Duration;

use antiphon::config::Settings;
use antiphon::{CallError, CallErrorKind};

use super::check::Check;
use super::topics::Names;
use crate::commands::top::asked::Watched;

/// Asks each partition of the request topic.
pub(super) async fn check(settings: &Settings, names: &Names, timeout: Duration) -> Vec<Check> {
    let started = Watched::start(settings, &names.request, Some(&names.reply), timeout).await;
    let asked = match started {
        Ok(watched) => watched.ping().await,
        Err(failure) => {
            let why = failure.line().unwrap_or("a requester cannot be started").to_owned();
            return vec![Check::failure("a requester", why, "mend what is named")];
        }
    };
    told(&names.request, &asked)
}

/// One check for those that answer, with the round trips, and one for each that does not.
fn told(topic: &str, asked: &[Result<Duration, CallError>]) -> Vec<Check> {
    let mut checks = Vec::new();
    let trips: Vec<Duration> =
        asked.iter().filter_map(|asked| asked.as_ref().ok()).copied().collect();
    if let (Some(least), Some(most)) = (trips.iter().min(), trips.iter().max()) {
        let millis = |trip: &Duration| trip.as_secs_f64() * 1000.0;
        checks.push(Check::ok(
            format!("repliers of `{topic}`"),
            format!(
                "{} of {} partitions answer, in {:.1} to {:.1} ms",
                trips.len(),
                asked.len(),
                millis(least),
                millis(most)
            ),
        ));
    }
    for (partition, asked) in asked.iter().enumerate() {
        let Err(error) = asked else { continue };
        let subject = format!("partition {partition} of `{topic}`");
        checks.push(match error.kind() {
            CallErrorKind::Status(status) => Check::warning(
                subject,
                format!("somebody answers, and does not know the ping: {status}"),
                "a replier of Antiphon answers it; other repliers may be as good",
            ),
            CallErrorKind::Timeout => Check::failure(
                subject,
                format!("nobody answers: {}", error.kind()),
                "start a replier; if one runs, see its log, its rights and its group's lag",
            ),
            kind => Check::failure(
                subject,
                format!("cannot be asked: {kind}"),
                "see whether this principal may write to the topic and read the reply topic",
            ),
        });
    }
    checks
}
