//! The least rights of requesters and repliers, as command lines of Kafka's own tool. Pure.

use antiphon::config::{ReplyPartition, Settings};

use super::topics::Names;

/// Who is granted what.
#[derive(Debug, Clone)]
pub(super) struct Principals {
    pub(super) requester: String,
    pub(super) replier: String,
}

/// Command lines, with a comment before each side's.
pub(super) fn lines(
    settings: &Settings,
    names: &Names,
    group: &str,
    principals: &Principals,
) -> Vec<String> {
    let bootstrap = &settings.kafka.bootstrap;
    let grant = |principal: &str, operations: &[&str], resource: &[&str]| {
        let mut words = vec!["kafka-acls.sh", "--bootstrap-server", bootstrap, "--add"];
        words.extend(["--allow-principal", principal]);
        words.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        words.extend(resource);
        words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
    };
    let who = &*principals.requester;
    let mut lines = vec!["# requesters".to_owned()];
    lines.push(grant(who, &["Write"], &["--topic", &names.request]));
    lines.push(grant(who, &["Read"], &["--topic", &names.reply]));
    if settings.requester.reply_partition == ReplyPartition::Auto {
        let leases = match &*settings.requester.lease_group {
            "" => format!("{}.leases", names.reply),
            named => named.to_owned(),
        };
        lines.push(grant(who, &["Read"], &["--group", &leases]));
    }

    let who = &*principals.replier;
    lines.push("# repliers".to_owned());
    lines.push(grant(who, &["Read"], &["--group", group]));
    lines.push(grant(who, &["Read"], &["--topic", &names.request]));
    lines.push(grant(who, &["Write"], &["--topic", &names.reply]));
    for topic in names.retry.iter().chain(&names.dedupe) {
        lines.push(grant(who, &["Read", "Write"], &["--topic", topic]));
    }
    if let Some(topic) = &names.dead_letter {
        lines.push(grant(who, &["Write"], &["--topic", topic]));
    }
    if settings.replier.transactions.enabled {
        let replier = &settings.replier;
        let (id, prefixed) = match (&*replier.transactions.id, &*replier.instance_id) {
            ("", "") => (format!("{group}-"), true),
            ("", instance) => (format!("{group}-{instance}"), false),
            (id, _) => (id.to_owned(), false),
        };
        let mut resource = vec!["--transactional-id", &id];
        if prefixed {
            // Each replica draws the rest.
            resource.extend(["--resource-pattern-type", "prefixed"]);
        }
        lines.push(grant(who, &["Write"], &resource));
    }
    lines
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:,/=@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use antiphon::config::DedupeStore;

    use super::*;

    fn granted(settings: &Settings) -> Vec<String> {
        let principals = Principals { requester: "User:ask".into(), replier: "User:CN=a b".into() };
        let names = Names::of(settings, "q", None);
        let before = "kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --add --allow-principal ";
        let lines = lines(settings, &names, "g", &principals).into_iter();
        lines.map(|line| line.replace(before, "")).collect()
    }

    #[test]
    fn without_modes_each_side_has_its_two_topics_and_its_group() {
        let expected = [
            "# requesters",
            "User:ask --operation Write --topic q",
            "User:ask --operation Read --topic q.replies",
            "User:ask --operation Read --group q.replies.leases",
            "# repliers",
            "'User:CN=a b' --operation Read --group g",
            "'User:CN=a b' --operation Read --topic q",
            "'User:CN=a b' --operation Write --topic q.replies",
        ];
        assert_eq!(granted(&Settings::default()), expected);
        let mut settings = Settings::default();
        settings.requester.reply_partition = ReplyPartition::Shared;
        assert!(!granted(&settings).concat().contains("leases"));
    }

    #[test]
    fn each_mode_adds_its_own() {
        let mut settings = Settings::default();
        settings.replier.retry.delays = vec!["5s".into()];
        settings.replier.dead_letter.enabled = true;
        settings.replier.dedupe.store = DedupeStore::Durable;
        settings.replier.transactions.enabled = true;
        let tail = |settings: &Settings| granted(settings).split_off(8);
        let who = "'User:CN=a b' --operation";
        let expected = [
            format!("{who} Read --operation Write --topic q.retry.1"),
            format!("{who} Read --operation Write --topic q.dedupe"),
            format!("{who} Write --topic q.dlq"),
            format!("{who} Write --transactional-id g- --resource-pattern-type prefixed"),
        ];
        assert_eq!(tail(&settings), expected);
        settings.replier.instance_id = "r-1".into();
        assert!(tail(&settings)[3].ends_with("--transactional-id g-r-1"));
        settings.replier.transactions.id = "mine".into();
        assert!(tail(&settings)[3].ends_with("--transactional-id mine"));
    }

    #[test]
    fn words_are_safe_in_a_shell() {
        assert_eq!(quoted("a'; rm b"), "'a'\\''; rm b'");
        assert_eq!(quoted(""), "''");
    }
}
