//! `antiphon dlq`: what is in a dead-letter topic, handed back and deleted.

use std::time::{Duration, SystemTime};

use antiphon::wire::{DeadLetterOut, Origin, names};
use antiphon::{Code, Status};
use antiphon_testkit::TestBroker;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use crate::brokers::{kafka, mock};
use crate::process::{Ended, LIMIT, Launch};
use crate::topics::Topics;
use crate::wire::{consumer, first_record, header};

/// A request topic with its dead letters, two partitions of them.
struct Letters<'a> {
    broker: &'a TestBroker,
    topics: Topics,
    producer: BaseProducer,
}

impl<'a> Letters<'a> {
    fn create(broker: &'a TestBroker) -> Self {
        let topics = Topics::create(broker);
        broker.create_topic(&format!("{}.dlq", topics.request), 2).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap());
        Self { broker, topics, producer: config.create().unwrap() }
    }

    fn dlq(&self, name: &str, arguments: &[&str]) -> Launch {
        self.topics.dlq(name, arguments)
    }

    /// Writes a dead letter of a request to `origin`, whose deadline is long over.
    fn write(&self, partition: i32, payload: &str, code: Code, endpoint: &str, origin: &str) {
        let replies = format!("{}.replies", self.topics.request);
        let request: [(&str, &[u8]); 6] = [
            (names::CORRELATION_ID, &[7; 16]),
            (names::REPLY_TOPIC, replies.as_bytes()),
            (names::REPLY_PARTITION, &[0, 0, 0, 1]),
            (names::DEADLINE, b"1000"),
            (names::ENDPOINT, endpoint.as_bytes()),
            ("tenant", b"blue"),
        ];
        let status = Status::new(code, "no \x1b[2Jquote");
        let headers = DeadLetterOut {
            origin: Origin { topic: origin.to_owned(), partition: 3, offset: 42 },
            runs: 5,
            status: &status,
            failed_at: SystemTime::now() - Duration::from_secs(3600),
            group: "pricing",
        };
        let headers = headers.write(request.map(|(name, value)| (name.as_bytes(), Some(value))));
        self.record(partition, payload, |record| record.headers(headers));
    }

    fn record(
        &self,
        partition: i32,
        payload: &str,
        with: impl for<'r> FnOnce(BaseRecord<'r, str, str>) -> BaseRecord<'r, str, str>,
    ) {
        let topic = format!("{}.dlq", self.topics.request);
        let record = BaseRecord::to(&topic).key("ACME").payload(payload).partition(partition);
        self.producer.send(with(record)).unwrap();
        self.producer.flush(LIMIT).unwrap();
    }

    /// Three of this topic, one of another topic, and a record that is no dead letter.
    fn filled(self) -> Self {
        let request = self.topics.request.clone();
        self.write(0, "first", Code::Internal, "get", &request);
        self.write(0, "second", Code::Unavailable, "put", &request);
        self.write(1, "third", Code::Internal, "put", &request);
        self.write(1, "of another topic", Code::Internal, "get", "elsewhere");
        self.record(1, "nonsense", |record| record);
        self
    }

    fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        consumer(self.broker, "tests").fetch_watermarks(topic, partition, LIMIT).unwrap()
    }

    /// How many records the request topic has.
    fn requests(&self) -> i64 {
        (0..4).map(|partition| self.watermarks(&self.topics.request, partition).1).sum()
    }
}

fn lines(ended: &Ended) -> Vec<Value> {
    let text = std::str::from_utf8(&ended.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_list_tells_what_failed_where_and_why() {
    let letters = Letters::create(mock()).filled();
    let mut listed = lines(&letters.dlq("ls", &["--json"]).run().succeeded());
    listed.sort_by_key(|line| (line["partition"].as_i64(), line["offset"].as_i64()));
    assert_eq!(listed.len(), 5, "{listed:?}");
    let first = &listed[0];
    assert_eq!((&first["code"], &first["runs"]), (&"INTERNAL".into(), &5.into()), "{first}");
    assert_eq!((&first["key"], &first["size"]), (&"ACME".into(), &5.into()), "{first}");
    assert_eq!((&first["endpoint"], &first["group"]), (&"get".into(), &"pricing".into()));
    assert_eq!(first["origin"]["topic"], letters.topics.request);
    assert_eq!(
        (&first["origin"]["partition"], &first["origin"]["offset"]),
        (&3.into(), &42.into())
    );
    assert!(listed[4]["fault"].as_str().unwrap().contains("antiphon-origin-topic"), "{listed:?}");

    let table = letters.dlq("ls", &[]).run().succeeded();
    let table = String::from_utf8(table.stdout).unwrap();
    for words in ["0:0", "1:1", "60m", "UNAVAILABLE", "elsewhere:3:42", "no dead letter:"] {
        assert!(table.contains(words), "no `{words}` in\n{table}");
    }
    assert!(!table.contains('\x1b'), "what is in a record reaches no terminal:\n{table}");
}

#[test]
fn filters_hold_together() {
    let letters = Letters::create(mock()).filled();
    for (filters, count) in [
        (&["--code", "internal"][..], 3),
        (&["--code", "INTERNAL", "--code", "UNAVAILABLE"], 4),
        (&["--code", "INTERNAL", "--endpoint", "put"], 1),
        (&["--since", "2h"], 4),
        (&["--since", "30m"], 0),
        (&["--limit", "2"], 2),
    ] {
        let arguments = [filters, &["--json"]].concat();
        let listed = lines(&letters.dlq("ls", &arguments).run().succeeded());
        assert_eq!(listed.len(), count, "{filters:?}: {listed:?}");
    }
    let none = letters.dlq("ls", &["--since", "30m"]).run();
    assert_eq!((none.code, &*none.stdout), (Some(0), &b""[..]), "{none:?}");
    assert!(none.stderr.contains("none such in"), "{none:?}");
}

#[test]
fn one_is_shown_whole() {
    let letters = Letters::create(mock()).filled();
    let raw = letters.dlq("show", &["0:1", "--raw"]).run().succeeded();
    assert_eq!(raw.stdout, b"second");
    let json = letters.dlq("show", &["0:1", "--json"]).run().succeeded().json();
    assert_eq!((&json["payload"], &json["code"]), (&"second".into(), &"UNAVAILABLE".into()));
    assert!(json["headers"].as_array().unwrap().contains(&serde_json::json!(["tenant", "blue"])));
    let text = String::from_utf8(letters.dlq("show", &["0:1"]).run().succeeded().stdout).unwrap();
    for line in [
        "position: 0:1\n",
        "key: ACME\n",
        "tenant: blue\n",
        "kafka_replyPartition: 0x00000001\n",
        "antiphon-error: no \\u{1b}[2Jquote\n",
        "\n\nsecond\n",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    for (position, words) in [("0:9", "from 0 to before 2"), ("7:0", "which has 2 partitions")] {
        let ended = letters.dlq("show", &[position]).run();
        ended.failed(1, &["no record at", position, words, "antiphon dlq ls"]);
    }
}

#[test]
fn a_request_is_handed_back_as_it_was() {
    let letters = Letters::create(mock()).filled();
    let replayed = letters.dlq("replay", &["0:1", "--json"]).run();
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let told = replayed.json();
    assert_eq!((&told["partition"], &told["offset"]), (&0.into(), &1.into()), "{told}");
    assert_eq!((&told["to"]["partition"], &told["to"]["offset"]), (&3.into(), &0.into()), "{told}");

    let record = first_record(mock(), &letters.topics.request);
    assert_eq!((record.partition(), record.payload()), (3, Some(&b"second"[..])));
    assert_eq!((record.key(), header(&record, "tenant")), (Some(&b"ACME"[..]), Some("blue")));
    assert_eq!(header(&record, names::ENDPOINT), Some("put"));
    assert!(header(&record, names::REPLY_TOPIC).is_some());
    let gone = [names::ORIGIN_TOPIC, names::RUNS, names::STATUS, names::ERROR, names::DEADLINE];
    for name in gone.into_iter().chain([names::FAILED_AT, names::FAILED_GROUP]) {
        assert_eq!(header(&record, name), None, "{name}");
    }
    assert_eq!(letters.requests(), 1);
}

#[test]
fn deadlines_are_kept_and_replies_left_out_if_that_is_asked_for() {
    let letters = Letters::create(mock()).filled();
    let replayed = letters.dlq("replay", &["0:0", "--keep-deadline", "--no-reply"]).run();
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let record = first_record(mock(), &letters.topics.request);
    assert_eq!(header(&record, names::DEADLINE), Some("1000"));
    assert_eq!(header(&record, names::REPLY_TOPIC), None);
    assert!(replayed.stderr.contains("1 handed back to"), "{replayed:?}");
}

#[test]
fn what_is_not_of_this_topic_is_not_handed_back() {
    let letters = Letters::create(mock()).filled();
    let tried = letters.dlq("replay", &["--dry-run"]).run();
    assert_eq!((tried.code, letters.requests()), (Some(4), 0), "{tried:?}");
    assert!(tried.stderr.contains("3 would be handed back to"), "{tried:?}");

    let replayed = letters.dlq("replay", &["--rate", "1000"]).run();
    assert_eq!((replayed.code, letters.requests()), (Some(4), 3), "{replayed:?}");
    for words in ["1:1 is not handed back: it is from the topic `elsewhere`", "1:2 is not handed"] {
        assert!(replayed.stderr.contains(words), "no `{words}` in {replayed:?}");
    }
    let to = ["1:1", "--to", &letters.topics.request];
    let replayed = letters.dlq("replay", &to).run();
    assert_eq!((replayed.code, letters.requests()), (Some(0), 4), "{replayed:?}");
    letters.dlq("replay", &["0:7"]).run().failed_at_last(1, "no dead letter at 0:7");
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let topics = Topics::create(mock());
    let ended = topics.dlq("ls", &[]).run();
    ended.failed(2, &[&format!("the topic `{}.dlq` does not exist", topics.request)]);
    let ended = topics.dlq("purge", &[]).run();
    ended.failed(1, &["--before <PARTITION:OFFSET>"]);
}

#[test]
fn only_what_was_handed_back_without_a_gap_is_deleted() {
    let broker = kafka();
    let letters = Letters::create(&broker).filled();
    let dlq = format!("{}.dlq", letters.topics.request);
    // The second one is kept, so nothing but the first may go.
    let replayed = letters.dlq("replay", &["--code", "INTERNAL", "--purge"]).run();
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    assert_eq!(letters.watermarks(&dlq, 0).0, 1, "{replayed:?}");
    assert_eq!(letters.watermarks(&dlq, 1).0, 1, "{replayed:?}");
    assert_eq!(letters.requests(), 2);
}

#[test]
fn dead_letters_are_deleted_for_good() {
    let broker = kafka();
    let letters = Letters::create(&broker).filled();
    let dlq = format!("{}.dlq", letters.topics.request);
    letters.dlq("purge", &["--all"]).run().failed(1, &["5 offsets", &dlq, "--yes"]);
    letters.dlq("purge", &["--before", "0:9"]).run().failed(1, &["ends before 2"]);
    assert_eq!(letters.watermarks(&dlq, 0), (0, 2));

    let purged = letters.dlq("purge", &["--before", "0:1"]).run().succeeded();
    assert_eq!(purged.line(), "partition 0 begins at 1 now");
    assert_eq!((letters.watermarks(&dlq, 0), letters.watermarks(&dlq, 1)), ((1, 2), (0, 3)));
    letters.dlq("purge", &["--all", "--yes"]).run().succeeded();
    assert_eq!((letters.watermarks(&dlq, 0), letters.watermarks(&dlq, 1)), ((2, 2), (3, 3)));
    let none = letters.dlq("ls", &[]).run();
    assert!(none.stderr.contains("no dead letters in"), "{none:?}");
}
