//! What is in the log files of a topic: batches and records, by the headers of the batches.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::ops::Sub;
use std::path::Path;

use crate::Outcome;

/// Bytes of a batch's header up to the offset of its last record (Kafka's record batch, version 2).
const HEADER: usize = 27;
/// Bytes that the length of a batch does not count.
const UNCOUNTED: u64 = 12;

/// What logs hold, replicas included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    pub(crate) records: u64,
}

impl Sub for Held {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(before.bytes),
            batches: self.batches.saturating_sub(before.batches),
            records: self.records.saturating_sub(before.records),
        }
    }
}

impl Held {
    /// All partitions of a topic anywhere below a folder.
    pub(crate) fn of(folder: &Path, topic: &str) -> Outcome<Self> {
        let mut held = Self::default();
        held.add_folder(folder, topic)?;
        Ok(held)
    }

    /// Batches for each record.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 records")]
    pub(crate) fn batches_per_record(self) -> f64 {
        self.batches as f64 / self.records.max(1) as f64
    }

    fn add_folder(&mut self, folder: &Path, topic: &str) -> Outcome {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let is_partition = name
            .rsplit_once('-')
            .is_some_and(|(of, number)| of == topic && number.parse::<u32>().is_ok());
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.add_folder(&path, topic)?;
            } else if is_partition && path.extension().is_some_and(|extension| extension == "log") {
                self.add_log(BufReader::new(File::open(&path)?))?;
            }
        }
        Ok(())
    }

    /// Whole batches up to the end, where one may be half written.
    fn add_log(&mut self, mut log: impl Read) -> Outcome {
        loop {
            let mut header = [0; HEADER];
            match log.read_exact(&mut header) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            let number = |at: usize| -> Outcome<u64> {
                let bytes: [u8; 4] = header[at..at + 4].try_into()?;
                Ok(u64::from(u32::from_be_bytes(bytes)))
            };
            let bytes = number(8)? + UNCOUNTED;
            let rest = bytes.checked_sub(u64::try_from(HEADER)?).ok_or("a batch is too short")?;
            if std::io::copy(&mut log.by_ref().take(rest), &mut std::io::sink())? < rest {
                return Ok(());
            }
            self.bytes += bytes;
            self.batches += 1;
            self.records += number(23)? + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of so many records, which take so many bytes.
    fn batch(records: u32, bytes: usize) -> Vec<u8> {
        let mut batch = vec![0; 61 + bytes];
        let length = u32::try_from(batch.len() - 12).expect("short");
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[23..27].copy_from_slice(&(records - 1).to_be_bytes());
        batch
    }

    #[test]
    fn batches_are_counted_and_a_half_one_is_not() {
        let whole = [batch(1, 100), batch(5, 400)].concat();
        let expected = Held { bytes: 622, batches: 2, records: 6 };
        let half = batch(3, 50);
        for rest in [0, 1, 27, 61, 110] {
            let log = [&whole[..], &half[..rest]].concat();
            let mut held = Held::default();
            held.add_log(&log[..]).expect("a log");
            assert_eq!(held, expected, "{rest}");
        }
    }

    #[test]
    fn a_batch_that_cannot_be_is_an_error() {
        assert!(Held::default().add_log(&[0; 64][..]).is_err());
    }

    #[test]
    fn only_the_topic_itself_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["quotes-0", "quotes-1", "quotes.replies-0", "quotes-x-0"] {
            let partition = folder.path().join("node").join(name);
            std::fs::create_dir_all(&partition).expect("a folder");
            std::fs::write(partition.join("0.log"), batch(2, 10)).expect("a log");
            std::fs::write(partition.join("0.index"), [0; 9]).expect("an index");
        }
        let held = Held::of(folder.path(), "quotes").expect("logs");
        assert_eq!(held, Held { bytes: 142, batches: 2, records: 4 });
        assert!((held.batches_per_record() - 0.5).abs() < 1e-9);
    }
}
