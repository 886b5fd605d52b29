//! A run over time, as SVG: throughput, errors and latency by the second, the faults shaded.

use std::fmt::Write;

use antiphon_chaos::checker::{Flow, Second, Window};

use super::escaped;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 12.0;
/// The height of one panel, and what lies between two.
const PANEL: f64 = 110.0;
const GAP: f64 = 34.0;
const TOP: f64 = 26.0;
const MICROS: f64 = 1_000_000.0;

/// One curve of a panel: its name, its colour, and its value in a second, if there is one.
type Curve = (&'static str, &'static str, fn(&Second) -> Option<f64>);

const PANELS: [(&str, &[Curve]); 3] = [
    (
        "calls per second",
        &[
            ("asked", "#9c9c9c", |second| Some(number(second.asked))),
            ("answered", "#2f6db3", |second| Some(number(second.answered))),
        ],
    ),
    (
        "errors per second, calls in flight",
        &[
            ("errors", "#c62828", |second| Some(number(second.errors.values().sum()))),
            ("in flight", "#8e63ad", |second| Some(number(second.in_flight))),
        ],
    ),
    (
        "latency in milliseconds",
        &[
            ("p50", "#3b8f4d", |second| second.p50_us.map(|us| number(us) / 1_000.0)),
            ("p99", "#d98000", |second| second.p99_us.map(|us| number(us) / 1_000.0)),
        ],
    ),
];

pub(super) fn svg(flow: &Flow, faults: &[Window]) -> String {
    let panels = number(PANELS.len() as u64);
    let height = TOP + panels * (PANEL + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let length = number(flow.seconds.len().max(2) as u64);
    let x_of = |second: f64| LEFT + second.clamp(0.0, length) / length * (WIDTH - LEFT - RIGHT);
    for fault in faults {
        let second = |us: u64| number(us.saturating_sub(flow.from_us)) / MICROS;
        let from = x_of(second(fault.from_us));
        let to = x_of(fault.healed_us.map_or(length, second));
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#fbe3d6\">\
             <title>{}</title></rect>",
            (to - from).max(1.0),
            height - TOP - GAP,
            escaped(&fault.name)
        );
    }
    for (at, (title, curves)) in PANELS.iter().enumerate() {
        let top = TOP + number(at as u64) * (PANEL + GAP);
        panel(&mut svg, top, title, curves, flow, &x_of);
    }
    let step = (length / 12.0).ceil().max(1.0);
    let mut second = 0.0;
    while second <= length {
        let (x, y) = (x_of(second), height - GAP + 16.0);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{second} s</text>"
        );
        second += step;
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(
    svg: &mut String,
    top: f64,
    title: &str,
    curves: &[Curve],
    flow: &Flow,
    x_of: &impl Fn(f64) -> f64,
) {
    let values = curves.iter().flat_map(|(.., of)| flow.seconds.iter().filter_map(of));
    let highest = values.fold(1.0, f64::max);
    let bottom = top + PANEL;
    for part in [0.0, 0.5, 1.0] {
        let (y, value) = (bottom - part * PANEL, highest * part);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ccc\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0
        );
    }
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.1}\">{title}</text>", top - 6.0);
    let mut legend = WIDTH - RIGHT;
    for (name, colour, of) in curves.iter().rev() {
        let _ = writeln!(
            svg,
            "<text x=\"{legend:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            top - 6.0
        );
        legend -= 70.0;
        // A second without a value is a gap, not a zero.
        let mut points = String::new();
        let mut draw = |points: &mut String| {
            if !points.is_empty() {
                let _ = writeln!(
                    svg,
                    "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" \
                     stroke-linejoin=\"round\" stroke-linecap=\"round\" points=\"{points}\"/>"
                );
                points.clear();
            }
        };
        for (at, second) in flow.seconds.iter().enumerate() {
            match of(second) {
                None => draw(&mut points),
                Some(value) => {
                    let (x, y) = (x_of(number(at as u64) + 0.5), bottom - value / highest * PANEL);
                    let _ = write!(points, "{x:.1},{y:.1} ");
                }
            }
        }
        draw(&mut points);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a picture is coarser than 2^52")]
const fn number(count: u64) -> f64 {
    count as f64
}
