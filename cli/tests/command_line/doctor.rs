//! `antiphon doctor`: what it finds, and what it says to do about it.

use std::time::Instant;

use antiphon_testkit::{TestBroker, TopicSpec};
use serde_json::Value;

use crate::brokers::{NOBODY, kafka, mock};
use crate::process::{Ended, LIMIT, Launch, antiphon};
use crate::topics::{Topics, connection};

/// The checks of a report in JSON.
fn checks(ended: &Ended) -> Vec<Value> {
    let text = std::str::from_utf8(&ended.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The one check of this level with these words in what was looked at and what was found.
fn one<'a>(checks: &'a [Value], level: &str, check: &str, found: &str) -> &'a Value {
    let has = |value: &Value, words: &str| value.as_str().unwrap().contains(words);
    let mut matching = checks.iter().filter(|line| {
        line["level"] == level && has(&line["check"], check) && has(&line["found"], found)
    });
    let first = matching.next();
    assert!(
        first.is_some() && matching.next().is_none(),
        "not one {level} about `{check}` with `{found}`: {checks:#?}"
    );
    first.unwrap()
}

/// Runs it until nothing is left unread: what brokers are slow to tell is a warning, and no fault.
fn told(doctor: impl Fn() -> Launch) -> (Ended, Vec<Value>) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let ended = doctor().run();
        let checks = checks(&ended);
        let unread = |line: &Value| {
            let found = line["found"].as_str().unwrap();
            found.contains("cannot be read here") && !found.contains("there is none")
        };
        if !checks.iter().any(unread) || Instant::now() > deadline {
            return (ended, checks);
        }
    }
}

fn failures(checks: &[Value]) -> Vec<&Value> {
    checks.iter().filter(|check| check["level"] == "failure").collect()
}

#[test]
fn an_embedded_broker_with_a_replier_is_well() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo"]);
    let arguments = ["--json", "--timeout", "30s", "--requesters", "4"];
    let ended = topics.command("doctor", &arguments).run().succeeded();
    let checks = checks(&ended);
    one(&checks, "ok", "brokers", "1 can be reached");
    one(&checks, "ok", "request topic", "4 partitions, replication 1");
    one(&checks, "ok", "reply topic", "a partition for each of 4 requesters");
    one(&checks, "ok", "repliers", "4 of 4 partitions answer");
    let unread = one(&checks, "warning", "topic configurations", "cannot be read here");
    assert!(unread["fix"].as_str().unwrap().contains("DESCRIBE_CONFIGS"), "{unread}");
    assert!(failures(&checks).is_empty(), "{checks:#?}");
}

#[test]
fn nobody_answers() {
    let topics = Topics::create(mock());
    let ended = topics.command("doctor", &["--timeout", "300ms"]).run();
    assert_eq!((ended.code, &*ended.stderr), (Some(1), ""), "{ended:?}");
    let text = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(text.matches("nobody answers: ").count(), 4, "{text}");
    assert!(text.contains("\n    → start a replier; if one runs"), "{text}");

    let ended = topics.command("doctor", &["--no-ping", "--requesters", "5", "--json"]).run();
    let checks = checks(&ended.succeeded());
    one(&checks, "warning", "reply topic", "4 partitions for 5 requesters");
}

#[test]
fn topics_that_the_modes_need_and_do_not_exist() {
    let topics = Topics::create(mock());
    mock().create_topic(&format!("{}.dedupe", topics.request), 3).unwrap();
    let ended = topics
        .command("doctor", &["--json", "--no-ping"])
        .variable("ANTIPHON__REPLIER__DEAD_LETTER__ENABLED", "true")
        .variable("ANTIPHON__REPLIER__DEDUPE__STORE", "durable")
        .variable("ANTIPHON__REQUESTER__REPLY_PARTITION", "4")
        .run();
    assert_eq!((ended.code, &*ended.stderr), (Some(1), ""), "{ended:?}");
    let checks = checks(&ended);
    let missing = one(&checks, "failure", "dead-letter topic", "does not exist");
    assert!(missing["fix"].as_str().unwrap().contains("--create-topics"), "{missing}");
    one(&checks, "failure", "dedupe topic", "3 partitions, the request topic has 4");
    one(&checks, "failure", "reply topic", "requester.reply_partition is 4");
    assert_eq!(failures(&checks).len(), 3, "{checks:#?}");

    let ended = antiphon(["doctor", "none", "--json"]).arguments(connection(mock())).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    one(&self::checks(&ended), "failure", "request topic `none`", "does not exist");
}

#[test]
fn no_broker_can_be_reached() {
    let ended = antiphon(["doctor", "quotes", "--json", "-b", NOBODY]).run();
    assert_eq!((ended.code, &*ended.stderr), (Some(2), ""), "{ended:?}");
    let checks = checks(&ended);
    assert_eq!(checks.len(), 1, "{checks:#?}");
    one(&checks, "failure", NOBODY, "Connection refused");
}

#[test]
fn rights_are_printed_without_any_broker() {
    let ended = antiphon(["doctor", "quotes", "--acls", "--group", "pricing", "-b", "k:9092"])
        .arguments(["--replier-principal", "User:pricing"])
        .variable("ANTIPHON__REPLIER__DEAD_LETTER__ENABLED", "true")
        .run()
        .succeeded();
    let text = String::from_utf8(ended.stdout).unwrap();
    for rights in [
        "User:requester --operation Write --topic quotes\n",
        "User:pricing --operation Read --group pricing\n",
        "User:pricing --operation Write --topic quotes.dlq\n",
    ] {
        let line =
            format!("kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal {rights}");
        assert!(text.contains(&line), "no {line} in\n{text}");
    }
}

fn create(broker: &TestBroker, name: &str, partitions: i32, config: &[(&str, &str)]) {
    let topic = TopicSpec::new(name).partitions(partitions);
    let topic = config.iter().fold(topic, |topic, (key, value)| topic.config(*key, *value));
    broker.create_topic_with(&topic).unwrap();
}

#[test]
fn configurations_on_real_kafka() {
    let broker = kafka();
    let well = Topics::create(&broker);
    let _replier = well.reply(&["--echo", "--group", "doctored"]);
    well.call(&["hi"]).run().succeeded();
    let arguments = ["--json", "--timeout", "30s", "--group", "doctored"];
    let (ended, found) = told(|| well.command("doctor", &arguments));
    ended.succeeded();
    one(&found, "ok", "request topic", "requester.max_request_bytes is 1000000");
    one(&found, "ok", "reply topic", "replier.max_reply_bytes is 1000000");
    one(&found, "ok", "reply topic", "requester.timeout_ms is 30000");
    one(&found, "ok", "request topic", "min.insync.replicas is 1 of 1");
    one(&found, "ok", "group `doctored`", "stable, with 1 members");
    one(&found, "ok", "group `doctored`", "lag ");
    one(&found, "ok", "repliers", "4 of 4 partitions answer");

    let name = format!("{}-badly", well.request);
    create(&broker, &name, 2, &[("max.message.bytes", "5000"), ("min.insync.replicas", "2")]);
    let config = [("retention.ms", "1000"), ("cleanup.policy", "compact")];
    create(&broker, &format!("{name}.replies"), 2, &config);
    create(&broker, &format!("{name}.dedupe"), 2, &[("cleanup.policy", "delete")]);
    let (ended, found) = told(|| {
        antiphon(["doctor", &name, "--json", "--no-ping"])
            .arguments(connection(&broker))
            .variable("ANTIPHON__REPLIER__DEDUPE__STORE", "durable")
    });
    assert_eq!((ended.code, &*ended.stderr), (Some(1), ""), "{ended:?}");
    one(&found, "failure", "request topic", "max.message.bytes is 5000");
    one(&found, "failure", "request topic", "nothing can be written");
    one(&found, "failure", "reply topic", "retention.ms is 1000");
    one(&found, "failure", "reply topic", "cleanup.policy is compact");
    one(&found, "failure", "dedupe topic", "cleanup.policy is delete");
    assert_eq!(failures(&found).len(), 5, "{found:#?}");
    one(&found, "warning", &format!("group `{name}`"), "");
}
