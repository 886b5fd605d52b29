//! Reads what `callgrind_annotate --inclusive=yes` prints.

/// The functions of a module `measured`, by their names, with all instructions within them.
pub(crate) fn paths(text: &str) -> Vec<(String, u64)> {
    text.lines().filter_map(path).collect()
}

/// A line is `12,345 (6.7%)  file.rs:krate::measured::name [object]`, and with some mangling
/// `::h` and a hash behind the name.
fn path(line: &str) -> Option<(String, u64)> {
    let (count, _) = line.trim_start().split_once(' ')?;
    let count = count.replace(',', "").parse().ok()?;
    let (_, name) = line.split_once("::measured::")?;
    let name: String =
        name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    // The one that calls the others is no path.
    (!name.is_empty() && name != "all").then_some((name, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_counts() {
        let text = "\
--------------------------------------------------------------------------------
Ir
109,876,543 (100.0%)  PROGRAM TOTALS
 23,456,789 (21.35%)  /w/x.rs:paths::measured::all [/t/paths]
  3,456,789 ( 3.15%)  /w/x.rs:paths::measured::table_insert::h0f1e [/t/paths]
    456,789 ( 0.42%)  ???:paths::measured::deadline [/t/paths]
      1,000 ( 0.00%)  ???:malloc [/lib/libc.so.6]
";
        let found = [("table_insert".to_owned(), 3_456_789), ("deadline".to_owned(), 456_789)];
        assert_eq!(paths(text), found);
    }
}
