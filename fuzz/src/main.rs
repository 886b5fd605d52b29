//! The program that fuzzes the target that the variable FUZZ_TARGET names; `make fuzz` runs it. Its
//! arguments are libFuzzer's.

#![no_main]

use std::sync::LazyLock;

use antiphon_fuzz::{Target, named};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET: there is no target {name:?}"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
