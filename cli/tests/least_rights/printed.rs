//! What `antiphon doctor --acls` prints, read as Kafka's own tool would read it.

use std::process::Command;

use antiphon::config::Settings;
use antiphon_testkit::{Operation, Resource, Right, SecuredKafka};

use crate::TOPIC;

/// Every right in the printed lines.
pub(crate) fn rights(kafka: &SecuredKafka, settings: &Settings) -> Vec<Right> {
    let file = kafka.folder().join("settings.toml");
    std::fs::write(&file, toml(settings)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_antiphon"))
        .args(["doctor", TOPIC, "--acls", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).flat_map(of_line).collect()
}

fn of_line(line: &str) -> Vec<Right> {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "kafka-acls.sh", "{line}");
    let after = |flag: &str| {
        let at = words.iter().position(|word| *word == flag)?;
        Some(words[at + 1].to_owned())
    };
    let kinds = [
        ("--topic", Resource::Topic),
        ("--group", Resource::Group),
        ("--transactional-id", Resource::TransactionalId),
    ];
    let (resource, name) =
        kinds.iter().find_map(|(flag, kind)| Some((*kind, after(flag)?))).unwrap();
    let operations = words.iter().zip(&words[1..]).filter(|(flag, _)| **flag == "--operation");
    let right = |operation: &str| Right {
        principal: after("--allow-principal").unwrap(),
        operation: match operation {
            "Read" => Operation::Read,
            "Write" => Operation::Write,
            other => panic!("{other} in {line}"),
        },
        resource,
        name: name.clone(),
        prefixed: after("--resource-pattern-type").as_deref() == Some("prefixed"),
    };
    operations.map(|(_, operation)| right(operation)).collect()
}

/// What the command needs to know of the settings.
fn toml(settings: &Settings) -> String {
    let replier = &settings.replier;
    let store = if replier.dead_letter.enabled { "durable" } else { "off" };
    format!(
        "[replier.retry]\ndelays = {:?}\n[replier.dead_letter]\nenabled = {}\n\
         [replier.dedupe]\nstore = \"{store}\"\n[replier.transactions]\nenabled = {}\n",
        replier.retry.delays, replier.dead_letter.enabled, replier.transactions.enabled
    )
}
