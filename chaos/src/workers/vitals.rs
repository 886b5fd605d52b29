//! What each process tells of itself: what it holds, when it was starved, and panics.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_chaos::history::{Gauge, Kind, Writer, us};
use tokio::runtime::Handle;

use crate::Outcome;

const NAP: Duration = Duration::from_millis(20);
/// Naps between two readings of what the process holds.
const READING: u32 = 25;
/// A nap that ends so much too late is told.
const LATE: Duration = Duration::from_millis(30);
/// What a handler says when it panics on request.
pub(crate) const ASKED_TO: &str = "it was asked to";

/// What counters stand at.
pub(crate) type Counts = Vec<(&'static str, u64)>;

/// A thread that tells.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    is_over: Arc<Mutex<bool>>,
}

/// Begins to tell. Ends with the process, or when it is told to. To be called in the runtime whose tasks are counted.
pub(crate) fn watch(
    writer: &Arc<Writer>,
    in_flight: impl Fn() -> Option<u64> + Send + 'static,
    counts: impl Fn() -> Counts + Send + 'static,
) -> Vitals {
    let panics = Arc::clone(writer);
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(ASKED_TO) {
            // There is nothing better to do when this fails too.
            let _ = panics.note(Kind::Panic { text: panic.to_string() });
            print(panic);
        }
    }));
    let writer = Arc::clone(writer);
    let runtime = Handle::current();
    let vitals = Vitals::default();
    let is_over = Arc::clone(&vitals.is_over);
    thread::spawn(move || {
        for number in 0_u32.. {
            let slept = Instant::now();
            thread::sleep(NAP);
            let late = slept.elapsed().saturating_sub(NAP);
            let is_over = is_over.lock().unwrap_or_else(PoisonError::into_inner);
            if *is_over {
                return;
            }
            if late > LATE && writer.note(Kind::Starved { for_us: us(late) }).is_err() {
                std::process::exit(1);
            }
            if number.is_multiple_of(READING)
                && (writer.note(Kind::Gauge(reading(&runtime, in_flight()))).is_err()
                    || count(&writer, counts()).is_err())
            {
                std::process::exit(1);
            }
        }
    });
    vitals
}

impl Vitals {
    /// Tells the last counts and the end of the process, after which nothing is told.
    pub(crate) fn end(self, writer: &Writer, counts: Counts) -> Outcome {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        count(writer, counts)?;
        Ok(writer.note(Kind::Stopped)?)
    }
}

/// Writes down what is not zero.
fn count(writer: &Writer, counts: Counts) -> std::io::Result<()> {
    let counted = counts.into_iter().filter(|(_, count)| *count > 0);
    writer.note_all(counted.map(|(what, count)| Kind::Counted { what: what.to_owned(), count }))
}

/// What this process holds now.
pub(crate) fn reading(runtime: &Handle, in_flight: Option<u64>) -> Gauge {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let fds = fs::read_dir("/proc/self/fd").ok().and_then(|all| u64::try_from(all.count()).ok());
    Gauge {
        in_flight,
        memory_bytes: kilobytes.map(|kilobytes| kilobytes * 1024),
        fds,
        tasks: u64::try_from(runtime.metrics().num_alive_tasks()).ok(),
        ..Gauge::default()
    }
}
