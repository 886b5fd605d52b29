//! The pictures of the page: throughput and latency by distance, one of each for each load.

use std::path::Path;

use super::measured::{At, Measured};
use super::page::cases;
use super::rivals::FIXED;
use crate::Outcome;
use crate::cases::Quantity;
use crate::contenders::Contender;
use crate::plot::Bars;
use crate::ratios::values;
use crate::report;

const PICTURED: [(&str, Quantity, &str); 2] = [
    ("throughput", Quantity::PerSecond, "Requests per second"),
    ("p50", Quantity::P50, "Median of the latency, µs"),
];

/// Draws them, and gives the lines that show them.
pub(super) fn draw(measured: &Measured, folder: &Path) -> Outcome<String> {
    let mut text = String::from("## Pictures\n\n");
    let all = measured.distances.iter().flat_map(cases);
    let mut loads: Vec<usize> = all.map(|case| case.in_flight).collect();
    loads.sort_unstable();
    loads.dedup();
    for in_flight in loads {
        for (name, quantity, title) in PICTURED {
            let title = format!("{title}, {in_flight} in flight");
            let svg = picture(measured, in_flight, quantity, &title);
            let file = format!("distance-{name}-{in_flight}.svg");
            text += &report::show(folder, &file, &title, Some(svg))?;
        }
    }
    Ok(text)
}

fn picture(measured: &Measured, in_flight: usize, quantity: Quantity, title: &str) -> String {
    let value = |at: &At, who: Contender| {
        let case = cases(at).into_iter().find(|case| case.in_flight == in_flight)?;
        values(&at.results.measurements, who, case, quantity).map(|spread| spread.median)
    };
    let who = std::iter::once(Contender::Antiphon).chain(FIXED);
    let series = who.map(|who| {
        let name =
            who.fixed().map_or("adaptive".to_owned(), |requests| format!("fixed {requests}"));
        let values: Vec<_> = measured.distances.iter().map(|at| value(at, who)).collect();
        (name, values)
    });
    let series = series.filter(|(_, values)| values.iter().any(Option::is_some)).collect();
    let groups = measured.distances.iter().map(|at| at.distance.to_string()).collect();
    Bars { title, across: "added to each round trip", groups, series }.svg()
}
