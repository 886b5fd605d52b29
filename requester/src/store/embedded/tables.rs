//! What is in the file: a table of entries, and one of acknowledgements.

use antiphon_common::CorrelationId;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::store::{Acknowledged, Entry, StoreError};

type Id = [u8; CorrelationId::LEN];

/// By id: the entry as JSON, and the application's note. The names carry the version of the form.
const ENTRIES: TableDefinition<'_, Id, (&str, &[u8])> = TableDefinition::new("antiphon-pending-1");
/// By id: the partition and the offset of a request. Apart, so that noting where a request is does
/// not write the entry again.
const PLACES: TableDefinition<'_, Id, (i32, i64)> = TableDefinition::new("antiphon-places-1");

/// The tables within one transaction.
pub(super) struct Tables<'t> {
    entries: Table<'t, Id, (&'static str, &'static [u8])>,
    places: Table<'t, Id, (i32, i64)>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        let entries = transaction.open_table(ENTRIES)?;
        Ok(Self { entries, places: transaction.open_table(PLACES)? })
    }

    pub(super) fn put(&mut self, entry: &Entry) -> Result<(), redb::Error> {
        let id = entry.correlation_id.to_bytes();
        self.entries.insert(id, (entry.to_json().as_str(), &entry.note[..]))?;
        match entry.acknowledged {
            Some(at) => drop(self.places.insert(id, (at.partition, at.offset))?),
            None => drop(self.places.remove(id)?),
        }
        Ok(())
    }

    pub(super) fn acknowledge(
        &mut self,
        id: CorrelationId,
        at: Acknowledged,
    ) -> Result<(), redb::Error> {
        if self.entries.get(id.to_bytes())?.is_some() {
            self.places.insert(id.to_bytes(), (at.partition, at.offset))?;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: CorrelationId) -> Result<(), redb::Error> {
        self.entries.remove(id.to_bytes())?;
        self.places.remove(id.to_bytes())?;
        Ok(())
    }

    /// All entries; an inner error is one that cannot be read.
    pub(super) fn load(&self) -> Result<Result<Vec<Entry>, StoreError>, redb::Error> {
        let mut entries = Vec::new();
        for row in self.entries.iter()? {
            let (id, contents) = row?;
            let place = self.places.get(id.value())?.map(|place| place.value());
            let at = place.map(|(partition, offset)| Acknowledged { partition, offset });
            let (json, note) = contents.value();
            match Entry::from_parts(id.value(), json, note, at) {
                Ok(entry) => entries.push(entry),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(entries))
    }
}
