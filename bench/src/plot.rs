//! Bar charts as SVG.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 70.0;
const COLOURS: [&str; 9] = [
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f",
    "#bab0ac",
];

/// Groups of bars: one group per name in `groups`, one bar in each per series.
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    pub(crate) groups: Vec<String>,
    /// A name, and a value per group; `None` where there is none.
    pub(crate) series: Vec<(String, Vec<Option<f64>>)>,
}

impl Bars<'_> {
    pub(crate) fn svg(&self) -> String {
        let values = self.series.iter().flat_map(|(_, values)| values.iter().flatten());
        let top = round_up(values.copied().fold(0.0, f64::max));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
            escaped(self.title)
        );
        self.grid(&mut svg, top);
        self.bars(&mut svg, top);
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, svg: &mut String, top: f64) {
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let y = height_of(value, top);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - 10.0,
                LEFT - 6.0,
                y + 4.0,
                short(value)
            );
        }
    }

    fn bars(&self, svg: &mut String, top: f64) {
        let group = (WIDTH - LEFT - 10.0) / count(self.groups.len());
        let bar = group * 0.84 / count(self.series.len());
        for (at, name) in self.groups.iter().enumerate() {
            let left = LEFT + group * position(at) + group * 0.08;
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                left + group * 0.42,
                HEIGHT - BOTTOM + 18.0,
                escaped(name)
            );
            for (number, (series, values)) in self.series.iter().enumerate() {
                let Some(value) = values.get(at).copied().flatten() else { continue };
                let y = height_of(value, top);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
                     fill=\"{}\"><title>{}: {}</title></rect>",
                    left + bar * position(number),
                    bar * 0.92,
                    HEIGHT - BOTTOM - y,
                    COLOURS[number % COLOURS.len()],
                    escaped(series),
                    short(value)
                );
            }
        }
    }

    fn legend(&self, svg: &mut String) {
        let step = (WIDTH - LEFT) / count(self.series.len()).max(4.0);
        for (number, (series, _)) in self.series.iter().enumerate() {
            let (x, y) = (LEFT + step * position(number), HEIGHT - 22.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                y - 10.0,
                COLOURS[number % COLOURS.len()],
                x + 16.0,
                escaped(series)
            );
        }
    }
}

/// A value as an axis shows it.
fn short(value: f64) -> String {
    if value >= 10_000.0 { format!("{:.0}k", value / 1_000.0) } else { format!("{value:.0}") }
}

/// The next of 1, 2, 4, 5, 8 or 10 with zeros behind it.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    steps.map(|step| step * power).into_iter().find(|step| *step >= value).unwrap_or(value)
}

fn height_of(value: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top
}

#[expect(clippy::cast_precision_loss, reason = "a few bars")]
fn position(number: usize) -> f64 {
    number as f64
}

fn count(number: usize) -> f64 {
    position(number).max(1.0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let ends = [0.3, 7.0, 11.0, 199.0, 83_000.0].map(round_up);
        assert_eq!(ends, [1.0, 8.0, 20.0, 200.0, 100_000.0]);
    }

    #[test]
    fn each_value_has_a_bar_and_names_are_escaped() {
        let bars = Bars {
            title: "a < b",
            groups: vec!["1".into(), "2".into()],
            series: vec![
                ("x".into(), vec![Some(1.0), Some(2.0)]),
                ("y".into(), vec![None, Some(3.0)]),
            ],
        };
        let svg = bars.svg();
        assert_eq!(svg.matches("<title>").count(), 3);
        assert!(svg.contains("a &lt; b"));
    }
}
