//! The memory of this process: what Rust code has allocated, and what the kernel has handed out.

use std::alloc::System;
use std::error::Error;
use std::fs;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The memory at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Bytes that Rust code has asked for and not given back. librdkafka's are not among them.
    pub(crate) heap: usize,
    /// Bytes of memory that the process holds: the heap with what the allocator adds to each piece
    /// and keeps for later, librdkafka's buffers and queues as large as they once were, and stacks.
    pub(crate) resident: usize,
}

impl Memory {
    pub(crate) fn now() -> Result<Self, Box<dyn Error>> {
        let stats = HEAP.stats();
        let heap = stats.bytes_allocated - stats.bytes_deallocated;
        let status = fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: usize = kilobytes.ok_or("the kernel tells no VmRSS")?.parse()?;
        Ok(Self { heap, resident: kilobytes * 1024 })
    }
}
