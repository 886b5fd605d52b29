//! Bar charts: groups of bars over decades, so that the least and the most can both be read.

use std::fmt::Write;

use super::{
    BOTTOM, Decades, HEIGHT, LEFT, RIGHT, WIDTH, axis_title, colour, escaped, legend, opened,
    position,
};

/// Groups of bars: one group per name in `groups`, one bar in each per series.
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    /// What the groups are.
    pub(crate) across: &'a str,
    pub(crate) groups: Vec<String>,
    /// A name, and a value per group; `None` where there is none.
    pub(crate) series: Vec<(String, Vec<Option<f64>>)>,
}

impl Bars<'_> {
    pub(crate) fn svg(&self) -> String {
        let values = self.series.iter().flat_map(|(_, values)| values.iter().flatten());
        let scale = Decades::around(values.copied());
        let mut svg = opened(self.title);
        svg += &scale.grid();
        self.bars(&mut svg, scale);
        svg += &axis_title(self.across);
        svg += &legend(
            self.series
                .iter()
                .enumerate()
                .map(|(number, (name, _))| (colour(number), name.as_str())),
        );
        svg.push_str("</svg>\n");
        svg
    }

    fn bars(&self, svg: &mut String, scale: Decades) {
        let group = (WIDTH - LEFT - RIGHT) / position(self.groups.len()).max(1.0);
        let bar = group * 0.84 / position(self.series.len()).max(1.0);
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
                let y = scale.y(value);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
                     fill=\"{}\"><title>{}: {value:.1}</title></rect>",
                    left + bar * position(number),
                    bar * 0.92,
                    HEIGHT - BOTTOM - y,
                    colour(number),
                    escaped(series),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_bar_and_names_are_escaped() {
        let bars = Bars {
            title: "a < b",
            across: "c",
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
