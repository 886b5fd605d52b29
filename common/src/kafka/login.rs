//! What clients log in with, and how a running client is given a new password or token.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult};

use crate::blocking::on_own_thread;
use crate::config::KafkaSettings;

/// How often a running client looks for a new password or token.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The share of its lifetime after which a token is renewed, in percent.
const RENEW_PERCENT: u32 = 80;
/// The shortest and the longest time between two requests for a token.
const RENEW: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// Where tokens for SASL OAUTHBEARER come from: see
/// [`KafkaSettings::token_provider`](crate::config::KafkaSettings::token_provider).
pub trait TokenProvider: Send + Sync + 'static {
    /// Gets a token. It runs on a thread of its own and may block, for example on a request to an
    /// identity provider; it should end within some seconds.
    ///
    /// # Errors
    /// If there is no token now. It is asked again a second later. The text is logged, so it must
    /// not contain a secret.
    fn token(&self) -> Result<Token, Box<dyn Error + Send + Sync>>;
}

/// A token, and until when it is good. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct Token {
    /// The token as the brokers are shown it: for a JWT, its compact form.
    pub value: String,
    /// The instant at which it expires.
    pub expires: SystemTime,
    /// The principal that it is of.
    pub principal: String,
}

/// A provider, and the last token that it gave. Clones share both. Made by
/// [`KafkaSettings::token_provider`].
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    provider: Box<dyn TokenProvider>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    token: Option<Token>,
    /// Counts the tokens.
    version: u64,
    /// A thread renews the token.
    kept: bool,
}

/// Keeps one client's password or token up to date.
pub struct Login {
    user: String,
    password: Option<(PathBuf, String)>,
    tokens: Option<(Tokens, u64)>,
    looked: Instant,
}

impl Login {
    /// Gets the first token, if there is a provider, so that making clients does not wait for it.
    ///
    /// # Errors
    /// [`KafkaError::ClientCreation`] if there is none.
    pub async fn prepare(kafka: &KafkaSettings) -> KafkaResult<()> {
        let Some(tokens) = kafka.tokens.clone() else { return Ok(()) };
        let first = on_own_thread("antiphon-tokens", move || tokens.first().map(drop)).await;
        first.map_err(|error| error.to_string()).flatten().map_err(no_token)
    }

    /// Gives a client that was just made its token, if there is a provider.
    ///
    /// Blocks until the provider has answered. A password that is in a file was read when the
    /// client's configuration was made.
    ///
    /// # Errors
    /// [`KafkaError::ClientCreation`] if there is no token, or the client does not take it.
    pub fn of<C: ClientContext>(kafka: &KafkaSettings, client: &Client<C>) -> KafkaResult<Self> {
        let user = kafka.properties.get("sasl.username").cloned().unwrap_or_default();
        let password = kafka.password_path().map(|path| {
            let password = read(path).unwrap_or_default();
            (path.to_owned(), password)
        });
        let tokens = match &kafka.tokens {
            None => None,
            Some(tokens) => {
                let (token, version) = tokens.first().map_err(no_token)?;
                set_token(client, &token).map_err(KafkaError::ClientCreation)?;
                Some((tokens.clone(), version))
            }
        };
        Ok(Self { user, password, tokens, looked: Instant::now() })
    }

    /// Whether there is anything to keep up to date.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.password.is_some() || self.tokens.is_some()
    }

    /// Gives the client a password or token that has changed. Looks once a second at most, so it may
    /// be called as often as one likes. Connections that exist stay.
    pub fn follow<C: ClientContext>(&mut self, client: &Client<C>) {
        if !self.is_followed() || self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        if let Some((path, last)) = &mut self.password
            // A file that is just being replaced is read the next time.
            && let Some(password) = read(path)
            && *last != password
        {
            match antiphon_native::set_sasl_credentials(client, &self.user, &password) {
                Ok(()) => tracing::info!("a new password is used from now on"),
                Err(error) => tracing::warn!(error, "a new password was not taken"),
            }
            *last = password;
        }
        if let Some((tokens, seen)) = &mut self.tokens {
            let newer = tokens.newer_than(*seen);
            if let Some((token, version)) = newer {
                *seen = version;
                if let Err(error) = set_token(client, &token) {
                    tracing::warn!(error, "a new token was not taken");
                }
            }
        }
    }
}

impl Tokens {
    pub(crate) fn new(provider: impl TokenProvider) -> Self {
        Self(Arc::new(Shared { provider: Box::new(provider), last: Mutex::default() }))
    }

    /// A token that is good for a while, and its number.
    fn first(&self) -> Result<(Token, u64), String> {
        let mut last = self.0.lock();
        if !last.kept {
            last.kept = true;
            keep(Arc::downgrade(&self.0)).map_err(|error| error.to_string())?;
        }
        if let Some(token) = &last.token
            && token.expires > SystemTime::now() + RENEW.0
        {
            return Ok((token.clone(), last.version));
        }
        let token = self.0.provider.token().map_err(|error| error.to_string())?;
        last.token = Some(token.clone());
        last.version += 1;
        Ok((token, last.version))
    }

    fn newer_than(&self, seen: u64) -> Option<(Token, u64)> {
        let last = self.0.lock();
        (last.version > seen).then(|| last.token.clone().map(|token| (token, last.version)))?
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets another token. The lock is not held meanwhile.
    fn renew(&self) {
        match self.provider.token() {
            Ok(token) => {
                let mut last = self.lock();
                last.token = Some(token);
                last.version += 1;
            }
            Err(error) => tracing::warn!(%error, "the token provider gave no new token"),
        }
    }
}

/// Renews the token until nobody uses it any more, which is seen a second later.
fn keep(shared: Weak<Shared>) -> std::io::Result<()> {
    let work = move || {
        let mut renew_at = None;
        loop {
            thread::sleep(LOOK_EVERY);
            let Some(shared) = shared.upgrade() else { return };
            let now = SystemTime::now();
            let due = *renew_at.get_or_insert_with(|| {
                let expires = shared.lock().token.as_ref().map(|token| token.expires);
                now + expires.map_or(RENEW.0, |expires| wait(now, expires))
            });
            if due <= now {
                shared.renew();
                renew_at = None;
            }
        }
    };
    thread::Builder::new().name("antiphon-tokens".into()).spawn(work).map(drop)
}

/// How long after `now` a token that was just given is to be renewed.
fn wait(now: SystemTime, expires: SystemTime) -> Duration {
    let life = expires.duration_since(now).unwrap_or_default();
    (life / 100 * RENEW_PERCENT).clamp(RENEW.0, RENEW.1)
}

fn no_token(error: impl fmt::Display) -> KafkaError {
    KafkaError::ClientCreation(format!("the token provider gave no token: {error}"))
}

fn set_token<C: ClientContext>(client: &Client<C>, token: &Token) -> Result<(), String> {
    let expires = token.expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let expires = i64::try_from(expires).unwrap_or(i64::MAX);
    antiphon_native::set_oauth_token(client, &token.value, expires, &token.principal)
}

/// A password in a file, without the line's end.
pub(crate) fn read(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let password = text.trim_end_matches(['\r', '\n']);
    (!password.is_empty()).then(|| password.to_owned())
}

impl PartialEq for Tokens {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tokens {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires", &self.expires)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_expires_and_not_too_often() {
        let now = SystemTime::now();
        let after = |seconds| wait(now, now + Duration::from_secs(seconds));
        assert_eq!(after(100), Duration::from_secs(80));
        assert_eq!(after(0), RENEW.0);
        assert_eq!(after(1_000_000), RENEW.1);
        assert_eq!(wait(now, now - Duration::from_secs(5)), RENEW.0);
    }

    #[test]
    fn debug_shows_no_token() {
        let (value, principal) = ("canary".to_owned(), "me".to_owned());
        let shown = format!("{:?}", Token { value, expires: UNIX_EPOCH, principal });
        assert!(shown.contains("me") && !shown.contains("canary"), "{shown}");
    }
}
