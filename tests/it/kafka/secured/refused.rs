//! Who does not get in is told soon, and told what to put right.

use std::error::Error;
use std::time::{Duration, Instant};

use antiphon::config::KafkaSettings;
use antiphon::kafka::{Token, TokenProvider};
use antiphon::{Replier, Requester};
use antiphon_testkit::Scram;

use super::{PASSWORD, REPLIES, SOON, TOPIC, by_password, let_in, mtls, sasl, secured, soon};
use crate::support::replying::echo;
use crate::support::waiting::bounded;

/// How late the end of a start may be on a machine that is starved.
const MARGIN: Duration = Duration::from_secs(10);

/// What both sides say when they are to start within this time.
async fn refused(settings: &KafkaSettings, time: Duration) -> [String; 2] {
    let start_timeout_ms = u64::try_from(time.as_millis()).unwrap();
    let begun = Instant::now();
    let tuning = antiphon::config::RequesterSettings { start_timeout_ms, ..soon() };
    let requester = Requester::builder(settings.clone()).settings(tuning).reply_topic(REPLIES);
    let asked = bounded("a requester fails", requester.build()).await;
    let asked = asked.expect_err("the requester does not get in").to_string();
    assert!(begun.elapsed() < time + MARGIN, "{asked}");
    let begun = Instant::now();
    let tuning = antiphon::config::ReplierSettings { start_timeout_ms, ..Default::default() };
    let replier = Replier::builder(settings.clone()).group(TOPIC).settings(tuning);
    let run = replier.service(echo(TOPIC)).run(std::future::pending());
    let answered = bounded("a replier fails", run).await;
    let answered = answered.expect_err("the replier does not get in").to_string();
    assert!(begun.elapsed() < time + MARGIN, "{answered}");
    [asked, answered]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_does_not_get_in_is_told_what_to_put_right() {
    struct None;
    impl TokenProvider for None {
        fn token(&self) -> Result<Token, Box<dyn Error + Send + Sync>> {
            Err("the identity provider is away".into())
        }
    }

    let kafka = secured();
    kafka.set_password("samuel", Scram::Sha512, Some(PASSWORD)).unwrap();
    for user in ["samuel", "oliver", "carol"] {
        let_in(&kafka, user);
    }
    let known = || by_password(&kafka, "SCRAM-SHA-512", "samuel");
    let at_address = kafka.sasl().replace("localhost", "127.0.0.1");
    let (certificate, key) = kafka.expired_certificate("carol").unwrap();
    let over = mtls(&kafka)
        .property("ssl.certificate.location", certificate.to_string_lossy())
        .property("ssl.key.location", key.to_string_lossy());
    let node_over = KafkaSettings { bootstrap: kafka.expired(), ..mtls(&kafka) };
    let cases = [
        ("wrong password", known().property("sasl.password", "another"), "sasl.password"),
        ("no such user", known().property("sasl.username", "nobody"), "sasl.username"),
        ("not by that mechanism", by_password(&kafka, "SCRAM-SHA-256", "samuel"), "sasl.mechanism"),
        (
            "wrong CA",
            known().property("ssl.ca.location", kafka.other_ca().to_string_lossy()),
            "ssl.ca.location",
        ),
        ("wrong host name", KafkaSettings { bootstrap: at_address, ..known() }, "host name"),
        ("no certificate", mtls(&kafka), "ssl.certificate.location"),
        ("a client's certificate that is over", over, "expired"),
        ("a node's certificate that is over", node_over, "expired"),
        ("no token", sasl(&kafka, "OAUTHBEARER").token_provider(None), "token provider"),
        ("no TLS", known().property("security.protocol", "SASL_PLAINTEXT"), "security.protocol"),
    ];
    for (case, settings, field) in cases {
        let mut texts = refused(&settings, SOON).await;
        if !texts.iter().all(|text| text.contains(field)) {
            // A machine that is starved may not have come as far as the refusal so soon.
            texts = refused(&settings, 10 * SOON).await;
        }
        for text in texts {
            println!("{case}: {text}");
            assert!(text.contains(field), "{case}: `{field}` is not named in: {text}");
            assert!(!text.contains("another") && !text.contains(PASSWORD), "{case}: {text}");
        }
    }
}
