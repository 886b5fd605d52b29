//! The runtime of the contenders that are written for tokio, here and in `bench/peers/rust`.

use std::io;
use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};

/// A runtime of half of the cores: requester and replier share the machine, and a worker thread more
/// than a process can use costs it time.
pub(crate) fn half_of_the_cores() -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread().worker_threads((cores / 2).max(1)).enable_all().build()
}
