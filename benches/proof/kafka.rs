//! The cluster of a run, and what is in its topics: asked of the brokers, by clients that know
//! nothing of repliers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use antiphon::config::ReplierSettings;
use antiphon::wire::names;
use antiphon_testkit::{TestBroker, TopicSpec};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::block_in_place;

use crate::Outcome;
use crate::worker::Orders;

/// How long one question to the brokers may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long offsets may take to be committed: longer than a group needs to notice a death.
const COMMITTED: Duration = Duration::from_secs(90);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// More than a replier reads of one record.
const TOO_MANY_HEADERS: usize = 65;

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster(pub(crate) TestBroker);

/// A record of a reply topic.
#[derive(Debug)]
pub(crate) struct Replied {
    pub(crate) correlation_id: Vec<u8>,
    /// `None` for a good reply.
    pub(crate) status: Option<String>,
}

impl Cluster {
    pub(crate) fn start(brokers: usize) -> Outcome<Self> {
        Ok(Self(block_in_place(|| TestBroker::kafka().brokers(brokers).benchmark().start())?))
    }

    /// Creates a request topic, and the topics for its replies and for dedupe.
    pub(crate) fn topic(&self, topic: &str, partitions: i32) -> Outcome {
        self.topic_with_replies(topic, partitions, 1)
    }

    /// The same, with several reply partitions.
    pub(crate) fn topic_with_replies(
        &self,
        topic: &str,
        partitions: i32,
        reply_partitions: i32,
    ) -> Outcome {
        let dedupe = TopicSpec::new(format!("{topic}.dedupe")).partitions(partitions);
        let all = [
            TopicSpec::new(topic).partitions(partitions),
            TopicSpec::new(format!("{topic}.replies")).partitions(reply_partitions),
            dedupe.config("cleanup.policy", "compact"),
        ];
        block_in_place(|| all.iter().try_for_each(|topic| self.0.create_topic_with(topic)))?;
        Ok(())
    }

    /// User and system time of all brokers: fields 14 and 15 of `/proc/<pid>/stat` (proc(5)), in
    /// ticks, of which Linux shows 100 a second.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let mut ticks = 0;
        for node in (1..).take(self.0.brokers()) {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.process_id(node)?))?;
            // The second field is a name in parentheses, which may contain spaces.
            let fields = stat.rsplit_once(')').ok_or("a broker has no times")?.1;
            for time in fields.split_ascii_whitespace().skip(11).take(2) {
                ticks += time.parse::<u64>()?;
            }
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Orders for a worker of the group that has the topic's name.
    pub(crate) fn orders(&self, name: &str, topic: &str, settings: &ReplierSettings) -> Orders {
        let settings = ReplierSettings { group: topic.to_owned(), ..settings.clone() };
        Orders {
            name: name.to_owned(),
            bootstrap: self.0.bootstrap().to_owned(),
            properties: BTreeMap::new(),
            settings,
            topic: topic.to_owned(),
            handler_ms: 0,
            crash: None,
            holds: false,
        }
    }

    /// Waits until the group has committed everything in the topic.
    pub(crate) async fn committed(&self, topic: &str) -> Outcome {
        let consumer: BaseConsumer = self.client().set("group.id", topic).create()?;
        let deadline = Instant::now() + COMMITTED;
        loop {
            let left = block_in_place(|| uncommitted(&consumer, topic));
            match left {
                Ok(0) => return Ok(()),
                left if Instant::now() >= deadline => {
                    let what = left.map_or_else(|e| e.to_string(), |left| format!("{left} left"));
                    return Err(format!("not all of {topic} is committed: {what}").into());
                }
                _ => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    /// The committed records of a reply topic.
    pub(crate) fn replies(&self, topic: &str) -> Outcome<Vec<Replied>> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "proof.reader")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .create()?;
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(&format!("{topic}.replies"), 0, Offset::Beginning)?;
        consumer.assign(&start)?;
        let mut replies = Vec::new();
        block_in_place(|| {
            loop {
                match consumer.poll(ANSWER) {
                    None => return Err("the reply topic cannot be read".into()),
                    Some(Err(KafkaError::PartitionEOF(_))) => return Ok(replies),
                    Some(record) => replies.push(Replied::read(&record?)),
                }
            }
        })
    }

    /// The members of a group by the names that the broker gave them, and the group's state.
    pub(crate) fn members(&self, group: &str) -> Outcome<(String, Vec<String>)> {
        let consumer: BaseConsumer = self.client().create()?;
        let list = block_in_place(|| consumer.fetch_group_list(Some(group), ANSWER))?;
        let found = list.groups().first().ok_or("the group is not known")?;
        let members = found.members().iter().map(|member| member.id().to_owned()).collect();
        Ok((found.state().to_owned(), members))
    }

    /// Writes records that are no requests to a partition, and tells how many.
    pub(crate) fn poison(&self, topic: &str, partition: i32) -> Outcome<usize> {
        fn header<'a>(key: &'a str, value: &'a [u8]) -> Header<'a, &'a [u8]> {
            Header { key, value: Some(value) }
        }
        let id = [7_u8; 16];
        let named = || OwnedHeaders::new().insert(header(names::CORRELATION_ID, &id));
        let reply_topic = format!("{topic}.replies");
        let answerable = || named().insert(header(names::REPLY_TOPIC, reply_topic.as_bytes()));
        let poison = [
            // A partition that is none, a reply topic that is forbidden, one that is no text, and
            // too many headers.
            answerable().insert(header(names::REPLY_PARTITION, b"abc")),
            named().insert(header(names::REPLY_TOPIC, b"__consumer_offsets")),
            named().insert(header(names::REPLY_TOPIC, b"\xff\xfe")),
            (0..TOO_MANY_HEADERS).fold(answerable(), |all, _| all.insert(header("x", b""))),
        ];
        let producer: BaseProducer = self.client().create()?;
        let count = poison.len();
        for headers in poison {
            let record = BaseRecord::<(), [u8]>::to(topic).partition(partition);
            let record = record.payload(b"\x00poison\xff").headers(headers);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        block_in_place(|| producer.flush(ANSWER))?;
        Ok(count)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.0.bootstrap());
        config
    }
}

/// How many records of the topic the consumer's group has not committed.
fn uncommitted(consumer: &BaseConsumer, topic: &str) -> Result<i64, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let mut wanted = TopicPartitionList::new();
    for partition in (0..).take(partitions) {
        wanted.add_partition(topic, partition);
    }
    let mut left = 0;
    for committed in consumer.committed_offsets(wanted, ANSWER)?.elements() {
        let end = consumer.fetch_watermarks(topic, committed.partition(), ANSWER)?.1;
        left += end - committed.offset().to_raw().unwrap_or(0).max(0);
    }
    Ok(left)
}

impl Replied {
    fn read(record: &impl Message) -> Self {
        let header = |name: &str| {
            let headers = record.headers()?;
            let found = headers.iter().find(|header| header.key == name)?;
            found.value.map(<[u8]>::to_vec)
        };
        Self {
            correlation_id: header(names::CORRELATION_ID).unwrap_or_default(),
            status: header(names::STATUS).map(|name| String::from_utf8_lossy(&name).into_owned()),
        }
    }
}
