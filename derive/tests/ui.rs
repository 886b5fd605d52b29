//! What the derive refuses, with the message the user sees, and what it accepts.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test -p antiphon-derive --test ui`.

#[test]
fn compile_errors_and_accepted_forms() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    cases.pass("tests/ui/pass/*.rs");
}
