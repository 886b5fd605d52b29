//! The consumer group of the repliers: its state, and how far behind it is.

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon::kafka::Observer;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::check::Check;
use crate::commands::top::lag;

/// How long the brokers may take to tell what groups there are.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at the group without joining it.
pub(super) async fn check(
    kafka: &KafkaSettings,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Vec<Check> {
    let config = kafka.consumer(&[("group.id", group), ("enable.auto.commit", "false")]);
    let places = (0..partitions).map(|partition| (topic.to_owned(), partition));
    let (subject, places) = (format!("group `{group}`"), places.collect::<BTreeSet<_>>());
    let (name, about) = (group.to_owned(), subject.clone());
    let looked = antiphon::blocking::on_own_thread("antiphon-doctor-group", move || {
        let consumer: BaseConsumer<Observer> = config.create_with_context(Observer::default())?;
        let state = state(&consumer, &name, &about);
        Ok::<_, rdkafka::error::KafkaError>(vec![state, behind(&consumer, &places, &about)])
    });
    let unreadable = |why: String| vec![cannot(&subject, "it", &why)];
    match looked.await {
        Ok(Ok(checks)) => checks,
        Ok(Err(error)) => unreadable(error.to_string()),
        Err(error) => unreadable(error.to_string()),
    }
}

fn state(consumer: &BaseConsumer<Observer>, group: &str, subject: &str) -> Check {
    let listed = match consumer.fetch_group_list(Some(group), PATIENCE) {
        Ok(listed) => listed,
        Err(error) => return cannot(subject, "its state", &error.to_string()),
    };
    let Some(found) = listed.groups().iter().find(|found| found.name() == group) else {
        return empty(subject, "does not exist");
    };
    match (found.state(), found.members().len()) {
        // What brokers say of a group of the newer protocol to those who ask in the older way.
        ("Dead" | "", _) => cannot(subject, "its state", "there is none, or it is of KIP-848"),
        ("Empty", _) | (_, 0) => empty(subject, "has no members"),
        ("Stable", members) => Check::ok(subject, format!("stable, with {members} members")),
        (state, members) => Check::warning(
            subject,
            format!("{state}, with {members} members"),
            "it rebalances; ask again when repliers have started or stopped",
        ),
    }
}

fn empty(subject: &str, found: &str) -> Check {
    Check::warning(subject, found, "start a replier, or name the group by --group")
}

fn behind(
    consumer: &BaseConsumer<Observer>,
    places: &BTreeSet<lag::Place>,
    subject: &str,
) -> Check {
    match lag::look(consumer, places) {
        None => cannot(subject, "its lag", "the brokers do not tell its offsets"),
        Some(lags) => {
            let (all, most) =
                (lags.values().sum::<i64>(), lags.iter().max_by_key(|(_, lag)| **lag));
            let found = match most {
                Some(((_, partition), most)) if *most > 0 => {
                    format!("lag {all}, of which {most} in partition {partition}")
                }
                _ => format!("lag {all}"),
            };
            Check::ok(subject, found)
        }
    }
}

fn cannot(subject: &str, what: &str, why: &str) -> Check {
    let found = format!("{what} cannot be read here: {why}");
    Check::warning(subject, found, "ask with a principal that has READ on the group")
}
