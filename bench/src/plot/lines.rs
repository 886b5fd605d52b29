//! Line charts over a numeric axis, upwards in decades.

use std::fmt::Write;

use super::{
    BOTTOM, Decades, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axis_title, colour, escaped, legend, opened,
};

/// Lines through points, one for each series.
pub(crate) struct Lines<'a> {
    pub(crate) title: &'a str,
    /// What the horizontal axis shows, from zero to its end.
    pub(crate) across: &'a str,
    pub(crate) end: f64,
    /// The distance of its marks.
    pub(crate) step: f64,
    /// One without points is not shown, but keeps its colour for other pictures.
    pub(crate) series: Vec<(String, Vec<(f64, f64)>)>,
}

impl Lines<'_> {
    pub(crate) fn svg(&self) -> String {
        let points = self.series.iter().flat_map(|(_, points)| points);
        let scale = Decades::around(points.map(|(_, y)| *y));
        let mut svg = opened(self.title);
        svg += &scale.grid();
        self.marks(&mut svg);
        let series = self.series.iter().enumerate().filter(|(_, (_, points))| !points.is_empty());
        for (number, (name, points)) in series.clone() {
            self.line(&mut svg, scale, name, points, colour(number));
        }
        svg += &axis_title(self.across);
        svg += &legend(series.map(|(number, (name, _))| (colour(number), name.as_str())));
        svg.push_str("</svg>\n");
        svg
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * value / self.end
    }

    fn marks(&self, svg: &mut String) {
        let mut mark = 0.0;
        while mark <= self.end {
            let x = self.x(mark);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#eee\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{mark}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 18.0,
            );
            mark += self.step;
        }
    }

    fn line(
        &self,
        svg: &mut String,
        scale: Decades,
        name: &str,
        points: &[(f64, f64)],
        colour: &str,
    ) {
        let at = |(x, y): &(f64, f64)| format!("{:.1},{:.1}", self.x(*x), scale.y(*y));
        let path: Vec<String> = points.iter().map(at).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\">\
                 <title>{}: {y:.1}</title></circle>",
                self.x(*x),
                scale.y(*y),
                escaped(name)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_is_shown_and_each_series_has_a_line() {
        let series = vec![
            ("a".to_owned(), vec![(10.0, 100.0), (90.0, 5_000.0)]),
            ("none".to_owned(), vec![]),
            ("b".to_owned(), vec![(50.0, 70.0)]),
        ];
        let svg = Lines { title: "t", across: "%", end: 100.0, step: 10.0, series }.svg();
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polyline").count()), (3, 2));
        assert!(
            svg.contains(colour(2)) && !svg.contains(colour(1)) && !svg.contains("none</text>")
        );
    }
}
