//! Secrets that come in by every way are in no log, error, metric or debug form, with everything
//! logged that there is. What is no secret, and comes by the same ways, is found: so the search
//! works.

use std::fs;
use std::io::{self, Write};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use antiphon::config::{
    IntegritySettings, KafkaSettings, Layers, ReplierSettings, RequesterSettings,
};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::TicketKey;
use antiphon::{Replier, Requester};
use antiphon_testkit::Scram;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::entering::Short;
use super::{REPLIES, TOPIC, by_password, let_in, sasl, secured, soon};
use crate::support::replying::echo;

const SECRET: &str = "canary-that-must-not-sing-0123456789";
/// Set in the process that does the test.
const ALONE: &str = "ANTIPHON_TEST_SECRETS_ALONE";
const OPEN: &str = "canary-that-may-sing";

/// Everything that was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, text: impl std::fmt::Display) {
        self.lock().extend_from_slice(format!("{text}\n").as_bytes());
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts both sides, whatever comes of it, and notes all that they say of themselves. Their records
/// are signed.
async fn note_both(written: &Written, kafka: &KafkaSettings, integrity: &IntegritySettings) {
    let metrics = RequesterMetrics::new();
    let registry = Registry::new();
    metrics.register(&registry).unwrap();
    let key = TicketKey::new(SECRET.as_bytes()).unwrap();
    written.note(format!("{kafka:?} {key:?}"));
    // A panic tells what it is given, and is printed besides: the parent looks there.
    let shown = format!("{kafka:?} {integrity:?}");
    let panicked = std::panic::catch_unwind(move || panic!("{shown}")).unwrap_err();
    written.note(panicked.downcast_ref::<String>().unwrap());
    let settings = RequesterSettings { integrity: integrity.clone(), ..soon() };
    written.note(format!("{settings:?}"));
    let requester = Requester::builder(kafka.clone())
        .settings(settings)
        .metrics(metrics)
        .ticket_key(key)
        .reply_topic(REPLIES);
    match requester.build().await {
        Ok(requester) => {
            let request = antiphon::requester::RawRequest::new(TOPIC, "?");
            let asked = requester.ask(request).timeout(std::time::Duration::from_secs(1)).await;
            written.note(format!("{:?}", asked.map(|_| ())));
        }
        Err(error) => written.note(format!("{error} {error:?}")),
    }
    let integrity = integrity.clone();
    let tuning = ReplierSettings { start_timeout_ms: 3_000, integrity, ..Default::default() };
    written.note(format!("{tuning:?}"));
    let replier =
        Replier::builder(kafka.clone()).group(TOPIC).settings(tuning).service(echo(TOPIC));
    written.note(format!("{replier:?}"));
    let ended = replier.run(tokio::time::sleep(std::time::Duration::from_secs(4))).await;
    written.note(format!("{ended:?}"));
    if let Err(error) = ended {
        written.note(error);
    }
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    written.note(String::from_utf8(text).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn secrets_are_shown_nowhere() {
    if std::env::var_os(ALONE).is_none() {
        // The log is one for the whole process, and other tests are not to fill it.
        let alone = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kafka::secured::secrets::secrets_are_shown_nowhere", "--nocapture"])
            .env(ALONE, "1")
            .output();
        let ended = alone.unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success() && said.contains("1 passed"), "{ended:?}");
        let printed = said + &String::from_utf8_lossy(&ended.stderr);
        assert!(printed.contains("panicked at"), "panics are among what is searched");
        let found: Vec<&str> = printed.lines().filter(|line| line.contains(SECRET)).collect();
        assert!(found.is_empty(), "{found:#?}");
        return;
    }
    let written = Written::default();
    let keep = written.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || keep.clone())
        .finish()
        .try_init()
        .unwrap();
    let kafka = secured();
    for user in [OPEN, "oliver"] {
        let_in(&kafka, user);
    }
    kafka.set_password(OPEN, Scram::Sha512, Some(SECRET)).unwrap();

    let file = kafka.folder().join("password");
    fs::write(&file, SECRET).unwrap();
    let base =
        |settings: KafkaSettings| settings.property("debug", "all").property("client.id", OPEN);
    let from_code = by_password(&kafka, "SCRAM-SHA-512", OPEN).property("sasl.password", SECRET);
    let from_file = sasl(&kafka, "SCRAM-SHA-512")
        .property("sasl.username", OPEN)
        .password_file(file.to_string_lossy());
    let key = kafka.folder().join("key");
    fs::write(&key, SECRET).unwrap();
    let integrity =
        |source: String| IntegritySettings { sign_with: "k".into(), keys: vec![source] };
    let signed = integrity(format!("k=file:{}", key.display()));
    // Whoever mistakes the key for its source is told so, and not shown what he wrote.
    for mistaken in [format!("k={SECRET}"), SECRET.to_owned()] {
        let settings = RequesterSettings { integrity: integrity(mistaken), ..soon() };
        let error = settings.validate().unwrap_err().to_string();
        assert!(error.contains("keys"), "it names the setting");
        written.note(error);
    }
    let configured = kafka.folder().join("antiphon.toml");
    let toml = format!("[kafka.properties]\n\"sasl.password\" = \"{SECRET}\"\n");
    fs::write(&configured, toml).unwrap();
    let layers = Layers::new().file(&configured).load().unwrap().kafka.properties;
    let mut from_layers = by_password(&kafka, "SCRAM-SHA-512", OPEN);
    from_layers.properties.extend(layers);
    let wrong = by_password(&kafka, "SCRAM-SHA-512", OPEN)
        .property("sasl.password", format!("{SECRET}-wrong"));
    let not_tls = KafkaSettings::new(kafka.mtls())
        .property("security.protocol", "SSL")
        .property("ssl.key.password", SECRET)
        .property("ssl.key.pem", SECRET);
    let tokens =
        sasl(&kafka, "OAUTHBEARER").token_provider(Short { seconds: 30, given: Arc::default() });
    for settings in [from_code, from_file, from_layers, wrong, not_tls, tokens] {
        note_both(&written, &base(settings), &signed).await;
    }
    let text = written.text();
    assert!(text.contains(OPEN), "the search finds what is there");
    assert!(text.contains("antiphon_"), "metrics are among what is searched");
    assert!(text.contains("DEBUG") && text.contains("SASL"), "the client's own lines are too");
    let found: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(SECRET) || line.contains("eyJhbGciOiJub25lIn0"))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
