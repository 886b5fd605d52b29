//! The program that fuzzes the target that the variable FUZZ_TARGET names; `make fuzz` runs it. Its
//! arguments are libFuzzer's.

// libFuzzer brings a `main` of its own, and it would take the place of that of the tests, of which
// there are none here: `cargo test --bins` builds them all the same.
#![cfg_attr(not(test), no_main)]

#[cfg(not(test))]
mod fuzzer {
    use std::sync::LazyLock;

    use antiphon_fuzz::{Target, named};

    static TARGET: LazyLock<Target> = LazyLock::new(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET: there is no target {name:?}"))
    });

    libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
}
