//! `antiphon top`: who answers for which partition.

use serde_json::Value;

use crate::brokers::mock;
use crate::topics::Topics;

#[test]
fn a_replica_is_seen_with_what_it_does() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo", "--group", "pricing"]);
    topics.call(&["hi", "--count", "20"]).run().succeeded();
    let seen = topics.command("top", &["--once", "--json", "--timeout", "30s"]).run().succeeded();
    let seen: Value = seen.json();
    assert_eq!(seen["info"]["group"], "pricing", "{seen}");
    assert_eq!(seen["stats"]["assigned_partitions"], 4, "{seen}");
    let done: u64 = seen["stats"]["endpoints"]
        .as_object()
        .unwrap()
        .values()
        .map(|endpoint| endpoint["ok"].as_u64().unwrap())
        .sum();
    assert!(done >= 20, "{seen}");
    let held = seen["lag_by_partition"][&topics.request].as_object().unwrap();
    assert_eq!(held.keys().collect::<Vec<_>>(), ["0", "1", "2", "3"], "{seen}");

    let table = topics.command("top", &["--once", "--timeout", "30s"]).run().succeeded();
    let table = String::from_utf8(table.stdout).unwrap();
    let places = format!("{}:0,1,2,3", topics.request);
    for words in ["pricing", &places] {
        assert!(table.contains(words), "no `{words}` in\n{table}");
    }
}

#[test]
fn partitions_that_nobody_answers_for_are_named() {
    let topics = Topics::create(mock());
    let seen = topics.command("top", &["--once", "--timeout", "300ms"]).run();
    assert_eq!((seen.code, &*seen.stderr), (Some(3), ""), "{seen:?}");
    let text = String::from_utf8(seen.stdout).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.starts_with(&format!("no answer for {} 0: ", topics.request)), "{text}");
}
