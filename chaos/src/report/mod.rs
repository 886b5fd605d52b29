//! The page of a run: a table of its rows, and a timeline of each.

mod timeline;

use std::fmt::Write;

use antiphon_chaos::checker::Verdict;

/// How many violations of a row are shown with their records.
const SHOWN: usize = 5;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:960px;margin:2em auto;padding:0 1em}\
    table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ddd;\
    text-align:right}td:first-child,th:first-child,td:last-child{text-align:left}\
    .bad{color:#b00020}pre{overflow-x:auto;background:#f6f6f6;padding:.6em;font-size:12px}";

/// A row, or another run, and how it was judged.
pub(crate) struct Part {
    pub(crate) name: String,
    /// `None` if it did not come to its end.
    pub(crate) verdict: Option<Verdict>,
    /// Why it failed; nothing if it did not.
    pub(crate) wrong: Vec<String>,
}

/// One page of HTML that needs nothing else. `untested` are rows, and why they were not run.
pub(crate) fn page(parts: &[Part], untested: &[(&str, &str)]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Faults</title><style>{STYLE}</style></head><body>\n<h1>Faults</h1>\n"
    );
    table(&mut page, parts);
    if !untested.is_empty() {
        page.push_str("<h2>Not tested</h2>\n<ul>\n");
        for (rows, why) in untested {
            let _ = writeln!(page, "<li>{}: {}</li>", escaped(rows), escaped(why));
        }
        page.push_str("</ul>\n");
    }
    for part in parts {
        section(&mut page, part);
    }
    page.push_str("</body></html>\n");
    page
}

fn table(page: &mut String, parts: &[Part]) {
    page.push_str(
        "<table><tr><th>fault</th><th>requests</th><th>acknowledged</th><th>lost</th>\
         <th>cross-talk</th><th>duplicates</th><th>errors</th><th>longest stall</th>\
         <th>recovery</th><th>verdict</th></tr>\n",
    );
    for Part { name, verdict, wrong } in parts {
        let _ = write!(page, "<tr><td>{}</td>", escaped(name));
        match verdict {
            None => page.push_str("<td colspan=\"8\"></td>"),
            Some(Verdict { counts, faults, .. }) => {
                let back = faults.iter().map(|fault| fault.recovery_us).max().flatten();
                let back = back.map_or_else(|| "never".to_owned(), ms);
                for count in [
                    counts.requests,
                    counts.acknowledged,
                    counts.lost,
                    counts.cross_talk,
                    counts.duplicates,
                    counts.errors.values().sum(),
                ] {
                    let _ = write!(page, "<td>{count}</td>");
                }
                let _ = write!(page, "<td>{}</td><td>{back}</td>", ms(counts.longest_stall_us));
            }
        }
        let said = if wrong.is_empty() { "ok".to_owned() } else { wrong.join("; ") };
        let class = if wrong.is_empty() { "good" } else { "bad" };
        let _ = writeln!(page, "<td class=\"{class}\">{}</td></tr>", escaped(&said));
    }
    page.push_str("</table>\n");
}

fn section(page: &mut String, Part { name, verdict, wrong }: &Part) {
    let _ = writeln!(page, "<h2>{}</h2>", escaped(name));
    for what in wrong {
        let _ = writeln!(page, "<p class=\"bad\">{}</p>", escaped(what));
    }
    let Some(verdict) = verdict else { return };
    page.push_str(&timeline::svg(&verdict.flow, &verdict.faults));
    for violation in verdict.violations.iter().take(SHOWN) {
        let mut text = format!("{}: {}\n", violation.guarantee, violation.what);
        for record in &violation.records {
            let _ = writeln!(text, "  {}:{} {}", record.process, record.line, record.event);
        }
        let _ = writeln!(page, "<pre>{}</pre>", escaped(&text));
    }
    if !verdict.not_judged.is_empty() {
        let all = verdict.not_judged.join("; ");
        let _ = writeln!(page, "<p>Not judged: {}</p>", escaped(&all));
    }
}

fn ms(us: u64) -> String {
    format!("{} ms", us / 1_000)
}

/// Errors of brokers and of clients are in here, and those are not to be trusted.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use antiphon_chaos::checker::{Limits, check};
    use antiphon_chaos::history::{Event, History, Id, Kind};

    use super::*;

    #[test]
    fn a_page_has_the_faults_the_violations_and_nothing_raw() {
        let event = |at_us, event| Event { at_us, process: "requester-1".into(), event };
        let invoke = Kind::Invoke { id: Id(1), deadline_us: 2_000_000, payload_hash: 7 };
        let begun = Kind::FaultStart { row: "1".into(), name: "<leader>".into() };
        let history = History::of([
            event(0, Kind::Started),
            event(1, invoke),
            event(2_000_000, begun),
            event(3_000_000, Kind::FaultStop { row: "1".into() }),
            event(9_000_000, Kind::Stopped),
        ]);
        let verdict = Some(check(&history, &Limits::default()));
        let name = "1 <leader> killed".to_owned();
        let part = Part { name, verdict, wrong: vec!["1 violations".to_owned()] };
        let page = page(&[part], &[("9", "no such row")]);
        for wanted in ["G1 completion", "&lt;leader&gt;", "<svg", "no such row", "polyline"] {
            assert!(page.contains(wanted), "{wanted} is not in {page}");
        }
        assert!(!page.contains("<leader>"));
    }
}
