//! The Spring Kafka peer: a `ReplyingKafkaTemplate` that asks, and an `@SendTo` listener that
//! answers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::maven;
use crate::peer::Peer;

/// How long a test waits for the next line of a listener, its first included.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a Spring requester does besides the usual.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AskOptions<'a> {
    /// Sent as `antiphon-endpoint`; without it the request has Spring's own headers alone.
    pub(crate) endpoint: Option<&'a str>,
    /// Replies are read from this partition alone, which makes Spring send `kafka_replyPartition`.
    pub(crate) reply_partition: Option<u32>,
    /// The correlation id is hyphenated text instead of 16 raw bytes.
    pub(crate) text_correlation: bool,
}

/// One record as Spring saw it: a reply in [`ask`], a request in [`listen`].
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    /// The payload of the request; nothing when the record had none.
    pub(crate) request: Option<String>,
    /// The payload of the reply; nothing when the record had none, and in [`listen`].
    pub(crate) reply: Option<String>,
    /// The key of the record.
    pub(crate) key: Option<String>,
    /// The partition the record was read from.
    pub(crate) partition: u32,
    headers: BTreeMap<String, String>,
}

impl Line {
    /// The bytes of one header, or nothing when the record does not carry it.
    ///
    /// # Panics
    /// When the header came more than once.
    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        let hex = self.headers.get(name)?;
        assert!(!hex.contains(','), "the header {name} came more than once: {hex}");
        let bytes = hex.as_bytes().chunks(2).map(|pair| {
            let digits = std::str::from_utf8(pair).expect("the peer prints ASCII");
            u8::from_str_radix(digits, 16).expect("the peer prints two digits for each byte")
        });
        Some(bytes.collect())
    }

    /// The names of all headers, sorted.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        self.headers.keys().map(String::as_str).collect()
    }
}

/// Sends the requests `spring-0`, `spring-1`, … with the keys `key-0`, `key-1`, … all at once, and
/// returns their replies in this order. Blocks the thread.
///
/// # Panics
/// When a request has no reply after a minute, with what Spring logged.
pub(crate) fn ask(
    bootstrap: &str,
    request_topic: &str,
    reply_topic: &str,
    count: usize,
    options: AskOptions<'_>,
) -> Vec<Line> {
    let mut args: Vec<String> =
        ["ask", bootstrap, request_topic, reply_topic].map(str::to_owned).to_vec();
    args.push(count.to_string());
    args.extend(options.endpoint.map(str::to_owned));
    if let Some(partition) = options.reply_partition {
        args.extend(["--reply-partition".to_owned(), partition.to_string()]);
    }
    if options.text_correlation {
        args.push("--text-correlation".to_owned());
    }

    let (mut peer, mut stdout) = Peer::start(class_path(), MAIN_CLASS, &args);
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).expect("the peer prints UTF-8");
    let status = peer.wait();
    assert!(status.success(), "the Spring requester failed ({status}):\n{}", peer.log());
    let lines: Vec<Line> = printed.lines().map(parse).collect();
    assert_eq!(lines.len(), count, "replies printed by the Spring requester");
    lines
}

/// Starts a listener that replies `heard:` and the payload. Blocks the thread until it has
/// partitions, so that no request made afterwards waits for a rebalance.
pub(crate) fn listen(bootstrap: &str, topic: &str, group: &str) -> Listener {
    let args = ["listen", bootstrap, topic, group].map(str::to_owned);
    let (peer, stdout) = Peer::start(class_path(), MAIN_CLASS, &args);
    let (sender, incoming) = mpsc::channel();
    // Ends with the listener, when its standard output closes.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let listener = Listener { incoming, lines: Vec::new(), peer };
    let first = listener.next_line(Instant::now() + PATIENCE, "was assigned no partition");
    assert_eq!(first, "READY", "the first line of the Spring listener");
    listener
}

/// A running Spring replier; it ends when dropped.
pub(crate) struct Listener {
    incoming: Receiver<String>,
    lines: Vec<Line>,
    peer: Peer,
}

impl Listener {
    /// Every request seen so far, oldest first, waiting until they are `at_least` so many: a reply
    /// can be back before the line about its request is read. Blocks the thread.
    ///
    /// # Panics
    /// When they are still fewer after a minute, with what Spring logged.
    pub(crate) fn lines(&mut self, at_least: usize) -> &[Line] {
        let deadline = Instant::now() + PATIENCE;
        while self.lines.len() < at_least {
            let line = self.next_line(deadline, "saw too few requests");
            self.lines.push(parse(&line));
        }
        self.lines.extend(self.incoming.try_iter().map(|line| parse(&line)));
        &self.lines
    }

    fn next_line(&self, deadline: Instant, complaint: &str) -> String {
        let left = deadline.saturating_duration_since(Instant::now());
        self.incoming.recv_timeout(left).unwrap_or_else(|e| {
            let state = match e {
                RecvTimeoutError::Timeout => "in time",
                RecvTimeoutError::Disconnected => "before it ended",
            };
            panic!("the Spring listener {complaint} {state}:\n{}", self.peer.log())
        })
    }
}

const MAIN_CLASS: &str = "antiphon.interop.Main";

fn class_path() -> &'static OsString {
    static BUILT: OnceLock<OsString> = OnceLock::new();
    BUILT.get_or_init(|| maven::class_path("spring"))
}

fn parse(line: &str) -> Line {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("not a line of the peer ({e}): {line}"))
}
