//! What `antiphon reply` can be told: servers as handlers, pretended work and failures, and the
//! topics that its settings need.

use antiphon_testkit::TestBroker;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;

use crate::brokers::{NOBODY, kafka, mock};
use crate::http_server;
use crate::process::{LIMIT, antiphon};
use crate::topics::{Topics, connection, ready};
use crate::wire::consumer;

#[test]
fn a_server_answers_by_http() {
    let topics = Topics::create(mock());
    let server = http_server::start();
    let _replier = topics.reply(&["--http", &format!("http://{server}/quotes?x=1")]);
    let arguments = ["größe", "--endpoint", "get", "--idempotency-key", "order-7"];
    let arguments = [&arguments[..], &["-H", "traceparent=00-ab-cd-01", "-H", "own=x"]].concat();
    let called = topics.call(&arguments).run().succeeded();
    let said = String::from_utf8(called.stdout).unwrap();
    assert!(said.starts_with("post /quotes?x=1 http/1.1\r\n"), "{said}");
    for line in [
        &format!("antiphon-topic: {}\r\n", topics.request),
        "antiphon-endpoint: get\r\n",
        "antiphon-attempt: 1\r\n",
        "idempotency-key: order-7\r\n",
        "traceparent: 00-ab-cd-01\r\n",
        "antiphon-correlation-id: ",
        "antiphon-deadline: ",
        "\r\n\r\ngröße",
    ] {
        assert!(said.contains(line), "no `{line}` in {said}");
    }
    assert!(!said.contains("own:"), "an application's header is not the server's: {said}");
}

#[test]
fn errors_of_http_are_errors_of_the_same_meaning() {
    let server = http_server::start();
    for (status, code) in [(404, "NOT_FOUND"), (400, "INVALID_ARGUMENT"), (503, "UNAVAILABLE")] {
        let topics = Topics::create(mock());
        let _replier = topics.reply(&["--http", &format!("http://{server}/{status}")]);
        let called = topics.call(&["hi"]).run();
        called.failed(4, &[code, &format!("HTTP {status}"), &format!("post /{status}")]);
    }
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--http", &format!("http://{NOBODY}/")]);
    topics.call(&["hi"]).run().failed(4, &["UNAVAILABLE", "the server:", "Connection refused"]);
}

#[test]
fn a_server_that_says_too_much_is_cut_short() {
    let topics = Topics::create(mock());
    let server = http_server::start();
    let replier = topics.command("reply", &["--http", &format!("http://{server}/")]);
    let _replier = ready(replier.variable("ANTIPHON__REPLIER__MAX_REPLY_BYTES", "1000"));
    let called = topics.call(&["-"]).input(&[b'x'; 1000]).run();
    called.failed(4, &["INTERNAL", "over 1000 bytes"]);
}

#[test]
fn failures_and_work_are_pretended() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo", "--fail", "UNAVAILABLE:0.25", "--work", "40ms"]);
    let called = topics.call(&["hi", "--count", "40", "--in-flight", "40", "--summary"]).run();
    assert_eq!((called.code, &*called.stderr), (Some(4), ""), "{called:?}");
    let summary = called.json();
    assert_eq!((&summary["ok"], &summary["error_reply"]), (&30.into(), &10.into()), "{summary}");
    assert!(summary["first_error"].as_str().unwrap().contains("UNAVAILABLE"), "{summary}");
    assert!(summary["p50_us"].as_u64() >= Some(40_000), "{summary}");
}

#[test]
fn a_stream_fails_as_a_whole() {
    let topics = Topics::create(mock());
    let _replier = topics.reply(&["--echo", "--stream", "3", "--fail", "INTERNAL:0.5"]);
    // Of two requests it is the second one.
    let called = topics.call(&["hi", "--replies", "all"]).run().succeeded();
    assert_eq!(called.stdout, b"hi\nhi\nhi\n");
    topics.call(&["hi", "--replies", "all"]).run().failed(4, &["INTERNAL", "--fail"]);
}

#[test]
fn the_topics_that_settings_need_are_created() {
    let broker = kafka();
    broker.create_topic("wide", 3).unwrap();
    let tuning = ["--retry-delays", "1s,2s", "--dead-letters", "--dedupe", "durable"];
    let replier = antiphon(["reply", "wide", "--echo", "--create-topics", "--partitions", "7"])
        .arguments(connection(&broker))
        .arguments(tuning);
    let _replier = ready(replier);
    let metadata = consumer(&broker, "tests").fetch_metadata(None, LIMIT).unwrap();
    for topic in ["wide", "wide.replies", "wide.retry.1", "wide.retry.2", "wide.dlq", "wide.dedupe"]
    {
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.unwrap_or_else(|| panic!("{topic} is missing"));
        assert_eq!(found.partitions().len(), 3, "{topic} has as many as the request topic");
    }
    assert!(!metadata.topics().iter().any(|found| found.name() == "wide.retry.3"));
    assert_eq!(setting(&broker, "wide.dedupe", "cleanup.policy"), "compact,delete");
    assert_eq!(setting(&broker, "wide.dlq", "cleanup.policy"), "delete");
}

fn setting(broker: &TestBroker, topic: &str, name: &str) -> String {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let asked = [ResourceSpecifier::Topic(topic)];
    let described = admin.describe_configs(&asked, &AdminOptions::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let described = runtime.block_on(described).unwrap().remove(0).unwrap();
    described.get(name).unwrap().value.clone().unwrap()
}
