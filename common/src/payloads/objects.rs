//! A store of payloads in any object storage that the `object_store` crate knows.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};

use super::{PayloadId, PayloadStore, PayloadStoreError, StoreFuture};

/// Payloads as objects under one prefix, each under its claim check's digits.
///
/// Let the storage delete objects under the prefix by age (a lifecycle rule): nothing else does.
///
/// ```
/// # use std::sync::Arc;
/// use antiphon_common::payloads::{LargePayloads, ObjectPayloads};
/// use object_store::memory::InMemory;
///
/// let store = ObjectPayloads::new(Arc::new(InMemory::new()), "antiphon/payloads");
/// let large = LargePayloads::new(Arc::new(store));
/// # let _ = large;
/// ```
#[derive(Debug)]
pub struct ObjectPayloads {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl ObjectPayloads {
    /// Payloads in this storage, under this prefix.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: impl Into<Path>) -> Self {
        Self { store, prefix: prefix.into() }
    }

    fn path(&self, id: PayloadId) -> Path {
        self.prefix.clone().join(id.to_string())
    }
}

impl PayloadStore for ObjectPayloads {
    fn put(&self, id: PayloadId, payload: Bytes) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let kept = self.store.put(&self.path(id), PutPayload::from_bytes(payload)).await;
            kept.map(drop).map_err(|error| failed(error, id))
        })
    }

    fn get(&self, id: PayloadId, max: usize) -> StoreFuture<'_, Bytes> {
        Box::pin(async move {
            let found = self.store.get(&self.path(id)).await.map_err(|error| failed(error, id))?;
            let size = found.meta.size;
            if size > max as u64 {
                return Err(PayloadStoreError::TooLarge { id, size, max });
            }
            found.bytes().await.map_err(|error| failed(error, id))
        })
    }
}

fn failed(error: Error, id: PayloadId) -> PayloadStoreError {
    match error {
        Error::NotFound { .. } => PayloadStoreError::Missing(id),
        error => PayloadStoreError::Store(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn objects_are_found_by_their_claim_and_never_read_beyond_the_limit() {
        let store = ObjectPayloads::new(Arc::new(InMemory::new()), "large");
        let id = PayloadId::random();
        let none = store.get(id, 10).await;
        assert!(matches!(none, Err(PayloadStoreError::Missing(missing)) if missing == id));
        store.put(id, "12345".into()).await.expect("kept");
        assert_eq!(store.get(id, 5).await.expect("there"), "12345");
        let large = store.get(id, 4).await;
        assert!(matches!(large, Err(PayloadStoreError::TooLarge { size: 5, max: 4, .. })));
    }
}
