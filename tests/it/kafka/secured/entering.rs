//! Calls go through with each way of getting in; a token is renewed while they do.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use antiphon::kafka::{Token, TokenProvider};
use antiphon_testkit::{Scram, SecuredKafka};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{PASSWORD, both, by_password, call, let_in, mtls, sasl, secured};
use crate::support::waiting::LIMIT;

/// Gives tokens that are good for so many seconds, and counts them.
#[derive(Clone)]
pub(super) struct Short {
    pub(super) seconds: u64,
    pub(super) given: Arc<AtomicU64>,
}

impl TokenProvider for Short {
    fn token(&self) -> Result<Token, Box<dyn Error + Send + Sync>> {
        self.given.fetch_add(1, Ordering::SeqCst);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let ends = now + self.seconds;
        let claims = format!(r#"{{"sub":"oliver","iat":{now},"exp":{ends}}}"#);
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        Ok(Token {
            value: format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims)),
            expires: UNIX_EPOCH + Duration::from_secs(ends),
            principal: "oliver".to_owned(),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_go_through_with_each_way_of_getting_in() {
    let kafka = secured();
    kafka.set_password("scott", Scram::Sha256, Some(PASSWORD)).unwrap();
    kafka.set_password("samuel", Scram::Sha512, Some(PASSWORD)).unwrap();
    let (certificate, key) = kafka.certificate("carol").unwrap();
    let plain = by_password(&kafka, "PLAIN", SecuredKafka::PLAIN_USER)
        .property("sasl.password", SecuredKafka::PLAIN_PASSWORD);
    for (user, settings) in [
        (SecuredKafka::PLAIN_USER, plain),
        ("scott", by_password(&kafka, "SCRAM-SHA-256", "scott")),
        ("samuel", by_password(&kafka, "SCRAM-SHA-512", "samuel")),
        (
            "carol",
            mtls(&kafka)
                .property("ssl.certificate.location", certificate.to_string_lossy())
                .property("ssl.key.location", key.to_string_lossy()),
        ),
    ] {
        let_in(&kafka, user);
        let (replier, requester) = both(&settings).await;
        call(&requester).await;
        drop(requester);
        replier.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_go_on_while_tokens_come_and_go() {
    let kafka = secured();
    let_in(&kafka, "oliver");
    let tokens = Short { seconds: 10, given: Arc::default() };
    let given = || tokens.given.load(Ordering::SeqCst);
    let settings = sasl(&kafka, "OAUTHBEARER").token_provider(tokens.clone());
    let begun = Instant::now();
    let (replier, requester) = both(&settings).await;
    // A connection that shows no new token is closed when its token is over.
    let until = Instant::now() + Duration::from_secs(15);
    while Instant::now() < until || given() < 3 {
        assert!(Instant::now() < until + LIMIT, "{} tokens were given", given());
        call(&requester).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Both sides share them, and each is for seven seconds at least.
    let (given, took) = (given(), begun.elapsed());
    assert!(given <= 2 + took.as_secs() / 7, "{given} tokens for both sides in {took:?}");
    replier.stop().await.unwrap();
}
