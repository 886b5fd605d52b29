//! Where Antiphon is worse than others, what failed, and what took no part.

use std::fmt::Write;

use super::Page;
use crate::cases::{Case, Quantity};
use crate::contenders::Contender;
use crate::ratios::ratio;

const SPRING: &[Contender] =
    &[Contender::SpringLinger0, Contender::SpringLinger1, Contender::Spring];

impl Page<'_> {
    pub(super) fn losses(&self) -> String {
        let mut text = String::from(
            "## Where Antiphon loses\n\nAt its defaults, by the median of the ratios; of Spring's \
             settings the best of each round counts.\n\n",
        );
        let before = text.len();
        for (name, others) in [
            ("floor", &[Contender::Floor][..]),
            ("stock", &[Contender::Stock]),
            ("Spring", SPRING),
            ("JetStream", &[Contender::Jetstream]),
            ("core NATS", &[Contender::Nats]),
            ("gRPC", &[Contender::Grpc]),
        ] {
            for case in &self.cases {
                let worse = self.worse(others, *case);
                if !worse.is_empty() {
                    let _ = writeln!(text, "- against {name}, {case}: {}", worse.join(", "));
                }
            }
        }
        if text.len() == before {
            text.push_str("Nowhere in these runs.\n");
        }
        for left_out in &self.results.left_out {
            let _ = writeln!(text, "- Left out: {left_out}");
        }
        for failed in &self.results.failed {
            let case = failed.case.map_or_else(String::new, |case| format!(", {case}"));
            let (name, round) = (failed.contender.name(), failed.round + 1);
            let _ = writeln!(text, "- Failed: {name}{case}, round {round}: {}", failed.reason);
        }
        text.push('\n');
        text
    }

    fn worse(&self, others: &[Contender], case: Case) -> Vec<String> {
        let quantities = Quantity::ALL.into_iter().filter(|quantity| quantity.judges());
        let worse = quantities.filter_map(|quantity| {
            let measurements = &self.results.measurements;
            let median = ratio(measurements, Contender::Antiphon, others, case, quantity)?.median;
            let loses = if quantity.is_gain() { median < 1.0 } else { median > 1.0 };
            loses.then(|| format!("{} {median:.2} ×", quantity.title().trim_end_matches(" µs")))
        });
        worse.collect()
    }
}
