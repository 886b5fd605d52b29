//! Which payloads are kept in a store, and how much is taken back.

use std::sync::Arc;

use bytes::Bytes;

use super::{PayloadId, PayloadStore, PayloadStoreError};
use crate::deadline::Deadline;
use crate::envelope::{Envelope, Stored};

/// A store for large payloads, and which ones are large.
///
/// ```
/// # use std::sync::Arc;
/// use antiphon_common::payloads::{LargePayloads, PayloadStore};
///
/// fn large(store: Arc<dyn PayloadStore>) -> LargePayloads {
///     LargePayloads::new(store).above(512 * 1024).max(64 * 1024 * 1024)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct LargePayloads {
    store: Arc<dyn PayloadStore>,
    above: usize,
    max: usize,
    envelope: Option<Arc<Envelope>>,
}

impl LargePayloads {
    /// Payloads of more than half a mebibyte are kept in this store, and at most 64 MiB are taken
    /// from it.
    #[must_use]
    pub fn new(store: Arc<dyn PayloadStore>) -> Self {
        Self { store, above: 512 << 10, max: 64 << 20, envelope: None }
    }

    /// Payloads of more bytes than this are kept in the store. It should be less than what the
    /// topics take (`max.message.bytes`).
    #[must_use]
    pub fn above(mut self, bytes: usize) -> Self {
        self.above = bytes;
        self
    }

    /// The most bytes of one payload that are kept or taken back.
    #[must_use]
    pub fn max(mut self, bytes: usize) -> Self {
        self.max = bytes;
        self
    }

    /// Seals what is kept, each payload for its claim check, and opens what is taken back.
    #[must_use]
    pub fn sealed(mut self, envelope: Option<Arc<Envelope>>) -> Self {
        self.envelope = envelope;
        self
    }

    /// Whether a payload of this size is kept in the store.
    #[must_use]
    pub fn is_large(&self, size: usize) -> bool {
        size > self.above
    }

    /// Keeps a payload and returns its claim check.
    ///
    /// # Errors
    /// [`PayloadStoreError`] if it is too large, or the store fails or is not done by `deadline`.
    pub async fn check_in(
        &self,
        payload: Bytes,
        deadline: Deadline,
    ) -> Result<PayloadId, PayloadStoreError> {
        let (id, size) = (PayloadId::random(), payload.len());
        if size > self.max {
            return Err(PayloadStoreError::TooLarge { id, size: size as u64, max: self.max });
        }
        let kept = match &self.envelope {
            Some(envelope) => {
                envelope.seal_stored(Stored::Payload(id.to_string().as_bytes()), &payload)
            }
            None => payload,
        };
        by(deadline, self.store.put(id, kept)).await?;
        Ok(id)
    }

    /// Takes back the payload of a claim check as it came from the wire.
    ///
    /// # Errors
    /// [`PayloadStoreError`] if there is none, it is too large, or the store fails or is not done by
    /// `deadline`.
    pub async fn redeem(
        &self,
        claim: &[u8],
        deadline: Deadline,
    ) -> Result<Bytes, PayloadStoreError> {
        let id = PayloadId::parse(claim).ok_or(PayloadStoreError::Malformed)?;
        let added = if self.envelope.is_some() { Envelope::MOST_ADDED } else { 0 };
        let mut payload = by(deadline, self.store.get(id, self.max.saturating_add(added))).await?;
        if let Some(envelope) = &self.envelope {
            let stored = Stored::Payload(claim);
            payload = envelope.open_stored(stored, payload).map_err(PayloadStoreError::Sealed)?;
        }
        // Stores are applications' own; this one may not have kept to its limit.
        if payload.len() > self.max {
            let size = payload.len() as u64;
            return Err(PayloadStoreError::TooLarge { id, size, max: self.max });
        }
        Ok(payload)
    }
}

async fn by<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, PayloadStoreError>>,
) -> Result<T, PayloadStoreError> {
    tokio::time::timeout_at(deadline.instant().into(), work)
        .await
        .unwrap_or(Err(PayloadStoreError::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payloads::StoreFuture;
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::time::Duration;

    #[derive(Debug, Default)]
    struct Shelf(Mutex<HashMap<PayloadId, Bytes>>);

    impl PayloadStore for Shelf {
        fn put(&self, id: PayloadId, payload: Bytes) -> StoreFuture<'_, ()> {
            self.0.lock().expect("not poisoned").insert(id, payload);
            Box::pin(async { Ok(()) })
        }

        fn get(&self, id: PayloadId, _: usize) -> StoreFuture<'_, Bytes> {
            let found = self.0.lock().expect("not poisoned").get(&id).cloned();
            Box::pin(async move { found.ok_or(PayloadStoreError::Missing(id)) })
        }
    }

    #[derive(Debug)]
    struct Stuck;

    impl PayloadStore for Stuck {
        fn put(&self, _: PayloadId, _: Bytes) -> StoreFuture<'_, ()> {
            Box::pin(std::future::pending())
        }

        fn get(&self, _: PayloadId, _: usize) -> StoreFuture<'_, Bytes> {
            Box::pin(std::future::pending())
        }
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    #[tokio::test]
    async fn what_is_checked_in_is_redeemed_within_the_limits() {
        let shelf = Arc::new(Shelf::default());
        let large = LargePayloads::new(Arc::clone(&shelf) as Arc<dyn PayloadStore>).above(3).max(5);
        assert!(large.is_large(4) && !large.is_large(3));
        let id = large.check_in("12345".into(), soon()).await.expect("kept");
        let claim = id.to_string();
        assert_eq!(large.redeem(claim.as_bytes(), soon()).await.expect("there"), "12345");
        let more = large.check_in("123456".into(), soon()).await;
        assert!(matches!(more, Err(PayloadStoreError::TooLarge { size: 6, max: 5, .. })));
        let less = large.max(4).redeem(claim.as_bytes(), soon()).await;
        assert!(matches!(less, Err(PayloadStoreError::TooLarge { size: 5, max: 4, .. })));
    }

    #[tokio::test]
    async fn forged_claims_find_nothing() {
        let large = LargePayloads::new(Arc::new(Shelf::default()));
        let none = large.redeem(b"../secret", soon()).await;
        assert!(matches!(none, Err(PayloadStoreError::Malformed)));
        let none = large.redeem("0".repeat(32).as_bytes(), soon()).await;
        assert!(matches!(none, Err(PayloadStoreError::Missing(_))));
    }

    #[tokio::test]
    async fn a_store_that_hangs_is_left_at_the_deadline() {
        let large = LargePayloads::new(Arc::new(Stuck));
        let now = Deadline::after(Duration::ZERO);
        assert!(matches!(large.check_in("x".into(), now).await, Err(PayloadStoreError::TimedOut)));
        let claim = "0".repeat(32);
        let late = large.redeem(claim.as_bytes(), now).await;
        assert!(matches!(late, Err(PayloadStoreError::TimedOut)));
    }
}
