//! The program whose instructions are counted: each path in a function of its own, many times over.
//!
//! What is private in its crate is included here as it stands, by its file: nothing had to be made
//! public for this, and the optimiser sees it as it does there.
#![forbid(unsafe_code)]

mod intake;
mod lane;
mod measured;
mod table;

fn main() {
    measured::all();
}
