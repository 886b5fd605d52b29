//! A wrong command line, said in one line.

use std::ffi::OsString;

use clap::error::ErrorKind;

/// What is wrong with the command line, as one line.
///
/// Clap's own text takes several, which a log or a script would have to put together again.
pub(crate) fn line(error: &clap::Error, arguments: impl IntoIterator<Item = OsString>) -> String {
    if error.kind() == ErrorKind::InvalidUtf8 {
        return not_text(arguments);
    }
    let text = error.render().to_string();
    let told = text.strip_prefix("error: ").unwrap_or(&text);
    let told = told.split("\nUsage:").next().unwrap_or(told);
    let told = told.split("\nFor more information").next().unwrap_or(told);
    let parts = told.lines().map(str::trim).filter(|part| !part.is_empty());
    let joined = parts.fold(String::new(), |line, part| match line.chars().last() {
        None => part.to_owned(),
        // What follows a colon is what it announces.
        Some(':') => format!("{line} {part}"),
        Some(_) => format!("{line}; {part}"),
    });
    format!("{joined}; --help tells more")
}

/// Names the first argument that is not text by its place: its bytes could upset a terminal.
fn not_text(arguments: impl IntoIterator<Item = OsString>) -> String {
    let mut before = String::new();
    for (place, argument) in arguments.into_iter().enumerate() {
        match argument.into_string() {
            Ok(text) => before = text,
            Err(_) => {
                return format!(
                    "argument {place}, after `{before}`, is not UTF-8; arguments are text, and \
                     only a payload may be any bytes: give `-` and write it to standard input"
                );
            }
        }
    }
    "an argument is not UTF-8".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::Parser;

    fn told(arguments: &[&str]) -> String {
        let arguments = arguments.iter().map(OsString::from);
        let error = Arguments::try_parse_from(arguments.clone()).expect_err("a wrong command line");
        line(&error, arguments)
    }

    #[test]
    fn every_fault_is_one_line() {
        for (arguments, words) in [
            (&["antiphon", "call"][..], "were not provided: <TOPIC>"),
            (&["antiphon", "reply", "t"], "<--echo|--upper|--command <COMMAND>|--http <URL>>"),
            (&["antiphon", "call", "t", "--bogus"], "unexpected argument '--bogus' found; tip:"),
            (&["antiphon", "call", "t", "-X", "a"], "`a` is not name=value"),
            (&["antiphon", "call", "t", "--preset", "x"], "[possible values: latency, throughput]"),
        ] {
            let line = told(arguments);
            assert!(line.contains(words), "{line}");
            assert!(!line.contains('\n') && !line.starts_with("error"), "{line}");
        }
    }
}
