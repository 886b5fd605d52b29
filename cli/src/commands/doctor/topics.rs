//! Checks of topics: do they exist, and do they suit the settings. Pure.

use antiphon::config::{ReplyPartition, Settings};

use super::check::Check;
use super::cluster::{Cluster, Found, Shape};

/// The topics of a request topic.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) request: String,
    pub(super) reply: String,
    pub(super) retry: Vec<String>,
    pub(super) dead_letter: Option<String>,
    pub(super) dedupe: Option<String>,
}

impl Names {
    /// Those that the settings call for.
    pub(super) fn of(settings: &Settings, request: &str, reply: Option<&str>) -> Self {
        let replier = &settings.replier;
        Self {
            request: request.to_owned(),
            reply: reply.map_or_else(|| format!("{request}.replies"), str::to_owned),
            retry: replier.retry.topics(request),
            dead_letter: replier.dead_letter.topic_of(request),
            dedupe: replier.dedupe.topic_of(request),
        }
    }

    /// Each with what it is for.
    pub(super) fn all(&self) -> Vec<(&str, &str)> {
        let mut all = vec![("request topic", &*self.request), ("reply topic", &*self.reply)];
        all.extend(self.retry.iter().map(|name| ("retry topic", &**name)));
        all.extend(self.dead_letter.iter().map(|name| ("dead-letter topic", &**name)));
        all.extend(self.dedupe.iter().map(|name| ("dedupe topic", &**name)));
        all
    }
}

/// Checks that each topic exists and bears the loss of a broker, and the numbers of partitions.
pub(super) fn shapes(cluster: &Cluster, names: &Names, settings: &Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    for (role, name) in names.all() {
        let subject = format!("{role} `{name}`");
        let Some(found) = cluster.topics.get(name) else { continue };
        match found {
            Found::There(shape) => checks.extend(laid_out(&subject, shape, cluster.brokers)),
            Found::Missing => checks.push(Check::failure(
                subject,
                "does not exist",
                "create it; --create-topics of `antiphon reply`, with the same configuration, \
                 creates all topics that are missing",
            )),
            Found::Unauthorized => checks.push(Check::failure(
                subject,
                "this principal may not see it",
                "grant it DESCRIBE, READ or WRITE; --acls prints what requesters and repliers need",
            )),
            Found::Unknown(why) => checks.push(Check::failure(
                subject,
                format!("the brokers tell nothing of it: {why}"),
                "try again; look at the brokers' logs",
            )),
        }
    }
    if let (Some(dedupe), Some(asked), Some(kept)) = (
        &names.dedupe,
        shape(cluster, &names.request),
        names.dedupe.as_ref().and_then(|name| shape(cluster, name)),
    ) && asked.partitions != kept.partitions
    {
        checks.push(Check::failure(
            format!("dedupe topic `{dedupe}`"),
            format!("{} partitions, the request topic has {}", kept.partitions, asked.partitions),
            "give both the same number; what is kept is read by partition",
        ));
    }
    if let Some(shape) = shape(cluster, &names.reply) {
        checks.extend(reply_partition(&names.reply, shape, settings.requester.reply_partition));
    }
    checks
}

/// Checks that as many requesters have a reply partition of their own each.
pub(super) fn requesters(cluster: &Cluster, names: &Names, wanted: i32) -> Option<Check> {
    let partitions = shape(cluster, &names.reply)?.partitions;
    let subject = format!("reply topic `{}`", names.reply);
    Some(if partitions < wanted {
        Check::warning(
            subject,
            format!("{partitions} partitions for {wanted} requesters"),
            "add partitions: requesters that share one read each other's replies and drop them",
        )
    } else {
        Check::ok(subject, format!("a partition for each of {wanted} requesters"))
    })
}

fn shape<'a>(cluster: &'a Cluster, topic: &str) -> Option<&'a Shape> {
    match cluster.topics.get(topic) {
        Some(Found::There(shape)) => Some(shape),
        _ => None,
    }
}

fn laid_out(subject: &str, shape: &Shape, brokers: usize) -> Vec<Check> {
    let Shape { partitions, replication, offline, behind } = *shape;
    let found = format!("{partitions} partitions, replication {replication}");
    let mut checks = vec![if replication == 1 && brokers > 1 {
        Check::warning(
            subject,
            format!("{found} on {brokers} brokers: the loss of one loses records"),
            "replicate it on three brokers",
        )
    } else {
        Check::ok(subject, found)
    }];
    if offline > 0 {
        checks.push(Check::failure(
            subject,
            format!("{offline} of {partitions} partitions have no leader"),
            "bring their brokers back",
        ));
    } else if behind > 0 {
        checks.push(Check::warning(
            subject,
            format!("replicas of {behind} of {partitions} partitions are behind or gone"),
            "look at the brokers; they may be starting",
        ));
    }
    checks
}

fn reply_partition(topic: &str, shape: &Shape, wanted: ReplyPartition) -> Option<Check> {
    let ReplyPartition::Fixed(wanted) = wanted else { return None };
    (wanted >= shape.partitions).then(|| {
        Check::failure(
            format!("reply topic `{topic}`"),
            format!("{} partitions; requester.reply_partition is {wanted}", shape.partitions),
            "add partitions, or set requester.reply_partition to `auto`; they count from 0",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::check::Level;
    use super::*;

    fn cluster(topics: &[(&str, Found)]) -> Cluster {
        let topics = topics.iter().map(|(name, found)| ((*name).to_owned(), found.clone()));
        Cluster { brokers: 3, topics: topics.collect() }
    }

    fn there(partitions: i32, replication: usize) -> Found {
        Found::There(Shape { partitions, replication, ..Shape::default() })
    }

    fn settings() -> Settings {
        let mut settings = Settings::default();
        settings.replier.retry.delays = vec!["5s".into(), "1m".into()];
        settings.replier.dead_letter.enabled = true;
        settings.replier.dedupe.store = antiphon::config::DedupeStore::Durable;
        settings
    }

    #[test]
    fn the_modes_call_for_their_topics() {
        let names = Names::of(&settings(), "q", None);
        let all: Vec<_> = names.all().into_iter().map(|(_, name)| name.to_owned()).collect();
        assert_eq!(all, ["q", "q.replies", "q.retry.1", "q.retry.2", "q.dlq", "q.dedupe"]);
        assert_eq!(Names::of(&Settings::default(), "q", Some("r")).all().len(), 2);
    }

    #[test]
    fn every_fault_of_the_layout_is_found() {
        let mut settings = settings();
        settings.requester.reply_partition = ReplyPartition::Fixed(4);
        let names = Names::of(&settings, "q", None);
        let offline = Shape { partitions: 2, replication: 3, offline: 1, behind: 1 };
        let cluster = cluster(&[
            ("q", there(4, 1)),
            ("q.replies", there(4, 3)),
            ("q.retry.1", Found::Missing),
            ("q.retry.2", Found::Unauthorized),
            ("q.dlq", Found::There(offline)),
            ("q.dedupe", there(3, 3)),
        ]);
        let checks = shapes(&cluster, &names, &settings);
        let bad: Vec<_> = checks.iter().filter(|check| check.level != Level::Ok).collect();
        let words = [
            "on 3 brokers",
            "does not exist",
            "may not see it",
            "1 of 2 partitions have no leader",
            "3 partitions, the request topic has 4",
            "requester.reply_partition is 4",
        ];
        assert_eq!(bad.len(), words.len(), "{bad:#?}");
        for (check, words) in bad.iter().zip(words) {
            assert!(check.found.contains(words) && !check.fix.is_empty(), "{check:?}");
        }
        let few = requesters(&cluster, &names, 5).map(|check| check.level);
        assert_eq!(few, Some(Level::Warning));
        assert_eq!(requesters(&cluster, &names, 4).map(|check| check.level), Some(Level::Ok));
    }
}
