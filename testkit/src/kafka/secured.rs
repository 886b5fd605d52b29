//! [`SecuredKafka`]: one node that clients reach by TLS, with a password, a token or a certificate,
//! and that lets them do what they were granted.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_native::rights::{self, Right, Scram};
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;

use super::certificates::{Authority, Validity};
use super::ports::{self, ReservedPort};
use super::ready;
use crate::{TestBroker, TestkitError};

/// How long an administrative call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before the node is asked again what it acts by.
const AGAIN: Duration = Duration::from_millis(20);

/// A secured node of real Kafka, which lives as long as this handle.
///
/// | listener | who comes in |
/// |---|---|
/// | [`sasl`](Self::sasl): TLS, `localhost` | users by PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER (unsigned tokens) |
/// | [`mtls`](Self::mtls): TLS, `localhost` | certificates of the authority; `CN=x` is `User:x` |
/// | [`expired`](Self::expired): TLS, `localhost` | nobody who looks at the node's certificate |
/// | [`broker`](Self::broker): plain, for the test itself | everybody, and may do everything |
///
/// `StandardAuthorizer` decides, and nobody has a right that was not granted.
pub struct SecuredKafka {
    broker: TestBroker,
    ports: Vec<ReservedPort>,
    authority: Authority,
    admin: AdminClient<DefaultClientContext>,
    // Last: the node reads its certificate from it.
    folder: TempDir,
}

impl SecuredKafka {
    /// The one user of PLAIN.
    pub const PLAIN_USER: &'static str = "plain-user";
    /// That user's password.
    pub const PLAIN_PASSWORD: &'static str = "plain-password";

    /// Starts the node.
    ///
    /// # Errors
    /// As [`KafkaBuilder::start`](crate::KafkaBuilder::start).
    pub fn start() -> Result<Self, TestkitError> {
        Self::start_with(&[])
    }

    /// Starts the node with some properties of a broker besides.
    ///
    /// # Errors
    /// As [`KafkaBuilder::start`](crate::KafkaBuilder::start).
    pub fn start_with(properties: &[(&str, &str)]) -> Result<Self, TestkitError> {
        let folder = tempfile::Builder::new()
            .prefix("antiphon-secured-")
            .tempdir()
            .map_err(TestkitError::io("create a temporary folder"))?;
        let authority = Authority::new(folder.path(), "ca")?;
        Authority::new(folder.path(), "other-ca")?;
        let key_store = authority.server("broker", &["localhost"], Validity::Good)?;
        let expired = authority.server("expired-broker", &["localhost"], Validity::Over)?;
        let ports = ports::reserve(3).map_err(TestkitError::io("reserve ports on 127.0.0.1"))?;
        let ca = folder.path().join("ca.crt");
        let mut builder = TestBroker::kafka()
            .listener("SASL_SSL", ports[0].number())
            .listener("MTLS", ports[1].number())
            .listener("EXPIRED", ports[2].number());
        for (key, value) in node_properties(&key_store, &ca) {
            builder = builder.property(key, value);
        }
        for (key, value) in expired_listener(&expired) {
            builder = builder.property(key, value);
        }
        for (key, value) in properties {
            builder = builder.property(*key, *value);
        }
        let broker = builder.start()?;
        let admin = ready::config(broker.bootstrap())
            .create()
            .map_err(TestkitError::client("create an admin client"))?;
        Ok(Self { broker, ports, authority, admin, folder })
    }

    /// The node as the test itself sees it: without any security.
    #[must_use]
    pub fn broker(&self) -> &TestBroker {
        &self.broker
    }

    /// Where users come in.
    #[must_use]
    pub fn sasl(&self) -> String {
        format!("localhost:{}", self.ports[0].number())
    }

    /// Where those with certificates come in.
    #[must_use]
    pub fn mtls(&self) -> String {
        format!("localhost:{}", self.ports[1].number())
    }

    /// Where the node shows a certificate that is over.
    #[must_use]
    pub fn expired(&self) -> String {
        format!("localhost:{}", self.ports[2].number())
    }

    /// The certificate of the authority that signed the node's.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// The certificate of an authority that signed nothing here.
    #[must_use]
    pub fn other_ca(&self) -> PathBuf {
        self.folder.path().join("other-ca.crt")
    }

    /// A folder for files of the test, which goes with the node.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a certificate for a client; returns its file and that of its key.
    ///
    /// # Errors
    /// [`TestkitError::Io`] if it cannot be made.
    pub fn certificate(&self, name: &str) -> Result<(PathBuf, PathBuf), TestkitError> {
        self.authority.client(name, Validity::Good)
    }

    /// Makes a certificate for a client that is over already.
    ///
    /// # Errors
    /// [`TestkitError::Io`] if it cannot be made.
    pub fn expired_certificate(&self, name: &str) -> Result<(PathBuf, PathBuf), TestkitError> {
        self.authority.client(name, Validity::Over)
    }

    /// Grants a right, and returns when the node acts by it.
    ///
    /// # Errors
    /// [`TestkitError::Rights`] if the node refuses.
    pub fn grant(&self, right: &Right) -> Result<(), TestkitError> {
        rights::grant(self.admin.inner(), right, PATIENCE)
            .and_then(|()| self.until(right, |grants| grants > 0))
            .map_err(refused("grant a right"))
    }

    /// Takes a right back, which must have been granted, and returns when the node acts by that.
    ///
    /// # Errors
    /// [`TestkitError::Rights`] if the node refuses, or there was no such right.
    pub fn revoke(&self, right: &Right) -> Result<(), TestkitError> {
        rights::revoke(self.admin.inner(), right, PATIENCE)
            .and_then(|taken| match taken {
                0 => Err("there is none".to_owned()),
                _ => self.until(right, |grants| grants == 0),
            })
            .map_err(refused("revoke a right"))
    }

    /// Waits until the node has as many grants of a right as it should. The controller, which changes
    /// them, answers before the broker has heard of it, even where they are one process.
    fn until(&self, right: &Right, is_done: impl Fn(usize) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !is_done(rights::grants(self.admin.inner(), right, PATIENCE)?) {
            if Instant::now() >= deadline {
                return Err("the node does not act by it".to_owned());
            }
            thread::sleep(AGAIN);
        }
        Ok(())
    }

    /// Sets a user's password for SCRAM, or drops the user. New connections are concerned only.
    ///
    /// # Errors
    /// [`TestkitError::Rights`] if the node refuses.
    pub fn set_password(
        &self,
        user: &str,
        mechanism: Scram,
        password: Option<&str>,
    ) -> Result<(), TestkitError> {
        let done =
            rights::set_scram_password(self.admin.inner(), user, mechanism, password, PATIENCE);
        done.map_err(refused("set a password"))
    }
}

impl std::fmt::Debug for SecuredKafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecuredKafka").field("broker", &self.broker).finish_non_exhaustive()
    }
}

fn refused(operation: &'static str) -> impl FnOnce(String) -> TestkitError {
    move |problem| TestkitError::Rights { operation, problem }
}

fn expired_listener(key_store: &Path) -> [(String, String); 2] {
    let of = |key: &str| format!("listener.name.expired.ssl.{key}");
    [
        (of("keystore.location"), key_store.display().to_string()),
        (of("client.auth"), "none".to_owned()),
    ]
}

fn node_properties(key_store: &Path, ca: &Path) -> Vec<(String, String)> {
    const SASL: &str = "listener.name.sasl_ssl";
    const SECURITY: &str = "org.apache.kafka.common.security";
    let (plain, password) = (SecuredKafka::PLAIN_USER, SecuredKafka::PLAIN_PASSWORD);
    let scram = format!("{SECURITY}.scram.ScramLoginModule required;");
    [
        (
            "listener.security.protocol.map".to_owned(),
            "SASL_SSL:SASL_SSL,MTLS:SSL,EXPIRED:SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
                .to_owned(),
        ),
        ("ssl.keystore.type".to_owned(), "PEM".to_owned()),
        ("ssl.keystore.location".to_owned(), key_store.display().to_string()),
        ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
        ("ssl.truststore.location".to_owned(), ca.display().to_string()),
        (format!("{SASL}.ssl.client.auth"), "none".to_owned()),
        ("listener.name.mtls.ssl.client.auth".to_owned(), "required".to_owned()),
        (
            "sasl.enabled.mechanisms".to_owned(),
            "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER".to_owned(),
        ),
        (format!("{SASL}.scram-sha-512.sasl.jaas.config"), scram.clone()),
        (format!("{SASL}.scram-sha-256.sasl.jaas.config"), scram),
        (
            format!("{SASL}.plain.sasl.jaas.config"),
            format!("{SECURITY}.plain.PlainLoginModule required user_{plain}=\"{password}\";"),
        ),
        (
            format!("{SASL}.oauthbearer.sasl.jaas.config"),
            format!(
                "{SECURITY}.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"broker\";"
            ),
        ),
        (
            format!("{SASL}.oauthbearer.sasl.server.callback.handler.class"),
            format!(
                "{SECURITY}.oauthbearer.internals.unsecured.\
                 OAuthBearerUnsecuredValidatorCallbackHandler"
            ),
        ),
        // A connection ends with its token, unless the client shows a new one.
        (format!("{SASL}.oauthbearer.connections.max.reauth.ms"), "3600000".to_owned()),
        ("ssl.principal.mapping.rules".to_owned(), "RULE:^CN=([^,]+).*$/$1/,DEFAULT".to_owned()),
        (
            "authorizer.class.name".to_owned(),
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        ),
        ("allow.everyone.if.no.acl.found".to_owned(), "false".to_owned()),
        // Those of the plain listeners, which are the test itself and the node itself.
        ("super.users".to_owned(), "User:ANONYMOUS".to_owned()),
    ]
    .into()
}
