//! The key that seals tickets, so that nobody else can make or change one.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::refusal::TicketError;
use super::token::{SEAL_LEN, Ticket};

/// A secret that tickets are sealed with: HMAC with SHA-256 over the ticket's text.
///
/// Processes that redeem each other's tickets share the key. A requester that has a key refuses
/// tickets that were not sealed with it, so whoever hands a ticket back cannot have it look
/// anywhere else, or for anybody else's reply.
///
/// ```
/// # extern crate antiphon_requester as antiphon;
/// use antiphon::TicketKey;
///
/// let key = TicketKey::new(&[7; 32])?; // Use 32 random bytes.
/// assert!(TicketKey::new(b"short").is_err());
/// assert_eq!(format!("{key:?}"), "TicketKey");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TicketKey(Hmac<Sha256>);

impl TicketKey {
    /// The fewest bytes that a key may have.
    pub const LEAST: usize = 32;

    /// Takes a key of 32 or more random bytes.
    ///
    /// # Errors
    /// [`TicketError::ShortKey`].
    pub fn new(secret: &[u8]) -> Result<Self, TicketError> {
        let short = TicketError::ShortKey { bytes: secret.len(), least: Self::LEAST };
        if secret.len() < Self::LEAST {
            return Err(short);
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| short)
    }

    /// Seals a ticket; one that is sealed already is sealed anew.
    #[must_use]
    pub fn seal(&self, ticket: Ticket) -> Ticket {
        let seal = self.over(&ticket.body()).finalize().into_bytes().into();
        ticket.with_seal(seal)
    }

    /// Checks that a ticket was sealed with this key, in a time that does not depend on the seal.
    ///
    /// # Errors
    /// [`TicketError::Unsealed`] or [`TicketError::WrongSeal`].
    pub fn check(&self, ticket: &Ticket) -> Result<(), TicketError> {
        let seal: &[u8; SEAL_LEN] = ticket.seal().ok_or(TicketError::Unsealed)?;
        self.over(&ticket.body()).verify_slice(seal).map_err(|_| TicketError::WrongSeal)
    }

    fn over(&self, body: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(body.as_bytes());
        mac
    }
}

impl fmt::Debug for TicketKey {
    /// Shows nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey")
    }
}
