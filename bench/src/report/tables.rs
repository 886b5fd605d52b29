//! Tables: a quantity in each column, a contender in each row.

use std::fmt::Write;

use super::Page;
use crate::cases::{Case, Quantity};
use crate::ratios::{Spread, ratio, values};

impl Page<'_> {
    /// A table for each load, grouped by what the load meets.
    pub(super) fn tables(&self) -> String {
        let mut settings: Vec<String> = Vec::new();
        for case in &self.cases {
            if !settings.contains(&case.setting()) {
                settings.push(case.setting());
            }
        }
        let mut text = String::new();
        for setting in settings {
            let _ = writeln!(text, "## {setting}\n");
            for case in self.cases.iter().filter(|case| case.setting() == setting) {
                text += &self.table(*case);
            }
        }
        text
    }

    pub(super) fn table(&self, case: Case) -> String {
        let titles = Quantity::ALL.map(Quantity::title);
        let mut text = format!("### {}\n\n| | {} | rounds |\n", case.load(), titles.join(" | "));
        let _ = writeln!(text, "|---{}|", "|---:".repeat(titles.len() + 1));
        let measurements = &self.results.measurements;
        let rounds =
            |who| measurements.iter().filter(|m| m.contender == who && m.case == case).count();
        for &contender in self.contenders.iter().filter(|who| rounds(**who) > 0) {
            let cell = |quantity: Quantity| {
                let value = values(measurements, contender, case, quantity);
                let ratio = ratio(measurements, contender, &[self.against], case, quantity);
                shown(value, ratio.filter(|_| contender != self.against && quantity.judges()))
            };
            let cells = Quantity::ALL.map(cell).join(" | ");
            let _ = writeln!(text, "| {} | {cells} | {} |", contender.name(), rounds(contender));
        }
        text.push('\n');
        text
    }
}

fn shown(value: Option<Spread>, ratio: Option<Spread>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let places = usize::from(value.median < 100.0);
    let shown = format!("{:.places$}", value.median);
    match ratio {
        None => shown,
        Some(Spread { median, min, max }) => {
            format!("{shown}<br>{median:.2} × ({min:.2}–{max:.2})")
        }
    }
}
