//! Real Kafka clusters as their users see them. Needs Java 17 and either Maven or the jars.
#![allow(clippy::unwrap_used)]

mod records;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use antiphon_testkit::{TestBroker, TestkitError, TopicSpec};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use records::{LIMIT, client, consume, produce};

// Inside an asynchronous test, because the testkit must work there too.
#[tokio::test]
async fn one_node_serves_and_leaves_nothing_behind() {
    let broker =
        TestBroker::kafka().topic("quotes", 4).property("num.partitions", "7").start().unwrap();
    assert_eq!(broker.brokers(), 1);
    assert!(broker.client_properties().is_empty());
    produce(&broker, "quotes", &["a", "b"]);
    assert_eq!(consume(&broker, "quotes", 2), ["a", "b"]);

    let twice = broker.create_topic("quotes", 4);
    assert!(matches!(
        twice,
        Err(TestkitError::Topic { code: RDKafkaErrorCode::TopicAlreadyExists, .. })
    ));
    broker.delete_topic("quotes").unwrap();
    broker.create_topic("quotes", 1).unwrap();
    produce(&broker, "quotes", &["anew"]);
    assert_eq!(consume(&broker, "quotes", 1), ["anew"]);

    assert!(matches!(broker.kill(2), Err(TestkitError::UnknownNode { node: 2, nodes: 1 })));
    let folder = broker.data_dir().unwrap().to_owned();
    let process = format!("/proc/{}", broker.process_id(1).unwrap());
    let properties = std::fs::read_to_string(folder.join("node-1/server.properties")).unwrap();
    assert!(properties.contains("num.partitions=7\n"));
    assert!(Path::new(&process).exists());
    drop(broker);
    assert!(!folder.exists());
    assert!(!Path::new(&process).exists());
}

#[test]
fn three_nodes_outlive_the_loss_of_each_kind() {
    let topic = TopicSpec::new("quotes").partitions(4).replication(3);
    let cluster = TestBroker::kafka()
        .brokers(3)
        .topic_with(topic.config("min.insync.replicas", "2"))
        .fast_failover()
        .start()
        .unwrap();
    produce(&cluster, "quotes", &["1 before"]);

    cluster.kill(1).unwrap();
    assert!(!cluster.is_running(1).unwrap());
    assert!(matches!(cluster.kill(1), Err(TestkitError::NodeNotRunning { node: 1, .. })));
    produce(&cluster, "quotes", &["2 without node 1"]);
    cluster.restart(1).unwrap();
    wait_for_all_replicas(&cluster, "quotes", 4);

    cluster.pause(2).unwrap();
    assert!(cluster.is_running(2).unwrap());
    produce(&cluster, "quotes", &["3 with node 2 frozen"]);
    cluster.resume(2).unwrap();
    wait_for_all_replicas(&cluster, "quotes", 4);

    cluster.stop(3).unwrap();
    assert!(!cluster.is_running(3).unwrap());
    produce(&cluster, "quotes", &["4 after node 3 left"]);
    cluster.restart(3).unwrap();
    wait_for_all_replicas(&cluster, "quotes", 4);

    let expected = ["1 before", "2 without node 1", "3 with node 2 frozen", "4 after node 3 left"];
    assert_eq!(consume(&cluster, "quotes", 4), expected);
}

#[test]
fn a_missing_java_is_named_with_the_fix() {
    let error = TestBroker::kafka().java("/nonexistent").start().unwrap_err();
    assert!(matches!(&error, TestkitError::ProgramMissing { program, .. }
        if program == "/nonexistent"));
    assert!(error.to_string().contains("apt-get install -y openjdk-17-jre-headless"), "{error}");
}

#[test]
fn a_node_that_refuses_its_configuration_shows_its_log() {
    let error = TestBroker::kafka().property("log.retention.ms", "soon").start().unwrap_err();
    assert!(
        matches!(&error, TestkitError::Format { node: 1, log, .. }
        if log.contains("log.retention.ms")),
        "{error}"
    );
    let error = TestBroker::kafka().property("log retention", "1").start().unwrap_err();
    assert!(matches!(error, TestkitError::InvalidSetting { field: "property", .. }));
}

/// Waits until every partition has three replicas in sync.
fn wait_for_all_replicas(cluster: &TestBroker, topic: &str, partitions: usize) {
    let observer: BaseProducer = client(cluster).create().unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        let whole = observer.client().fetch_metadata(Some(topic), LIMIT).is_ok_and(|metadata| {
            let found = metadata.topics()[0].partitions();
            found.len() == partitions && found.iter().all(|p| p.isr().len() == 3 && p.leader() > 0)
        });
        if whole {
            return;
        }
        assert!(Instant::now() < deadline, "replicas of {topic} are still out of sync");
        thread::sleep(Duration::from_millis(100));
    }
}
