//! The thread that writes: it takes all that has come, and makes it durable at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use antiphon_common::CorrelationId;
use redb::{Database, DatabaseError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::tables::Tables;
use crate::store::{Acknowledged, Entry, StoreError};

/// How many operations share one commit at most.
const GROUP: usize = 1024;

/// Memory for pages of the file. What is pending is small, and mostly written.
const CACHE: usize = 8 << 20;

/// Something to do, and whom to tell that it is durable.
pub(super) enum Operation {
    Put(Entry, Done<()>),
    Acknowledge(CorrelationId, Acknowledged, Done<()>),
    Remove(CorrelationId, Done<()>),
    Load(Done<Vec<Entry>>),
}

type Done<T> = oneshot::Sender<Result<T, StoreError>>;

/// An operation and its place in the queue, which is free again when it is taken.
pub(super) struct Queued {
    pub(super) operation: Operation,
    pub(super) place: OwnedSemaphorePermit,
}

/// Owns the file.
pub(super) struct Writer {
    database: Database,
}

/// What an operation comes to once its group is durable. Whoever has gone does not mind.
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

impl Writer {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = redb::Builder::new().set_cache_size(CACHE).create(path);
        let database = opened.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
            error => StoreError::Open { path: path.to_owned(), source: Arc::new(error) },
        })?;
        Ok(Self { database })
    }

    /// Writes until nobody can ask for anything any more.
    pub(super) fn run(self, operations: &Receiver<Queued>) {
        while let Ok(first) = operations.recv() {
            let others = operations.try_iter().take(GROUP - 1);
            let group: Vec<Operation> =
                std::iter::once(first).chain(others).map(Queued::take).collect();
            self.write(group);
        }
    }

    fn write(&self, group: Vec<Operation>) {
        let mut answers = Vec::with_capacity(group.len());
        let written = self.commit(group, &mut answers);
        let written = written.map_err(|error| StoreError::failed("write to", error));
        for answer in answers {
            answer(written.clone());
        }
    }

    /// Does all operations in one transaction. Each has an answer even if one before it fails:
    /// then none was done.
    fn commit(&self, group: Vec<Operation>, answers: &mut Vec<Answer>) -> Result<(), redb::Error> {
        let mut group = group.into_iter();
        let done = (|| {
            let transaction = self.database.begin_write()?;
            let mut tables = Tables::open(&transaction)?;
            for operation in group.by_ref() {
                operation.run(&mut tables, answers)?;
            }
            drop(tables);
            Ok(transaction.commit()?)
        })();
        answers.extend(group.map(Operation::not_run));
        done
    }
}

impl Queued {
    fn take(self) -> Operation {
        drop(self.place);
        self.operation
    }
}

impl Operation {
    fn run(self, tables: &mut Tables<'_>, answers: &mut Vec<Answer>) -> Result<(), redb::Error> {
        let (result, done) = match self {
            Self::Put(entry, done) => (tables.put(&entry), done),
            Self::Acknowledge(id, at, done) => (tables.acknowledge(id, at), done),
            Self::Remove(id, done) => (tables.remove(id), done),
            Self::Load(done) => {
                let (result, loaded) = match tables.load() {
                    Ok(loaded) => (Ok(()), loaded),
                    Err(error) => (Err(error), Ok(Vec::new())),
                };
                answers.push(Box::new(|written| drop(done.send(written.and(loaded)))));
                return result;
            }
        };
        answers.push(tell(done));
        result
    }

    fn not_run(self) -> Answer {
        match self {
            Self::Put(_, done) | Self::Acknowledge(_, _, done) | Self::Remove(_, done) => {
                tell(done)
            }
            Self::Load(done) => Box::new(|written| drop(done.send(written.map(|()| Vec::new())))),
        }
    }
}

fn tell(done: Done<()>) -> Answer {
    Box::new(|written| drop(done.send(written)))
}
