//! `antiphon completions`: a completion script for a shell.

use clap::CommandFactory;

use crate::arguments::Arguments;

pub(crate) fn run(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Arguments::command(), "antiphon", &mut std::io::stdout());
}
