//! Charts as SVG, without a library: [`Bars`] for what has groups, [`Lines`] for what has an axis.

mod bars;
mod lines;

pub(crate) use bars::Bars;
pub(crate) use lines::Lines;

/// See [`colour`].
const COLOURS: [&str; 13] = [
    "#4e79a7", "#e15759", "#9d1f2d", "#9ecae9", "#ff9d9a", "#bab0ac", "#f1ce63", "#edab2d",
    "#b6992d", "#59a14f", "#86bcb6", "#b07aa1", "#9c755f",
];

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 40.0;
/// Below the plot: the axis, its title, and the legend.
const BOTTOM: f64 = 104.0;
/// Names in a row of the legend.
const IN_A_ROW: usize = 5;

/// The beginning of a picture: its paper and its title.
fn opened(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
        escaped(title)
    )
}

/// The colour of a series, by its place among all; those beyond repeat them.
fn colour(place: usize) -> &'static str {
    COLOURS[place % COLOURS.len()]
}

/// The names of series with their colours, in rows below the plot.
fn legend<'a>(series: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let step = (WIDTH - LEFT) / position(IN_A_ROW);
    let entry = |(number, (colour, name)): (usize, (&str, &str))| {
        let x = LEFT + step * position(number % IN_A_ROW);
        let y = HEIGHT - 46.0 + 18.0 * position(number / IN_A_ROW);
        format!(
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>\n",
            y - 10.0,
            x + 16.0,
            escaped(name)
        )
    };
    series.enumerate().map(entry).collect()
}

/// The words below the axis.
fn axis_title(text: &str) -> String {
    format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>\n",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        HEIGHT - BOTTOM + 38.0,
        escaped(text)
    )
}

/// A vertical axis on which each decade is as high as the next.
#[derive(Debug, Clone, Copy)]
struct Decades {
    lowest: i32,
    highest: i32,
}

impl Decades {
    /// Around all values above zero.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let logs = values.filter(|value| *value > 0.0).map(f64::log10);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for log in logs {
            low = low.min(log);
            high = high.max(log);
        }
        if low > high {
            return Self { lowest: 0, highest: 1 };
        }
        #[expect(clippy::cast_possible_truncation, reason = "a double has some hundred decades")]
        let (lowest, highest) = (low.floor() as i32, high.ceil() as i32);
        Self { lowest, highest: highest.max(lowest + 1) }
    }

    fn y(self, value: f64) -> f64 {
        let part = (value.log10() - f64::from(self.lowest)) / f64::from(self.highest - self.lowest);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part.clamp(0.0, 1.0)
    }

    /// Lines with their values, at 1, 2 and 5 of each decade, those at 1 stronger.
    fn grid(self) -> String {
        let mut svg = String::new();
        for decade in self.lowest..=self.highest {
            for step in [1.0, 2.0, 5.0] {
                let value = step * 10_f64.powi(decade);
                if decade == self.highest && step > 1.0 {
                    continue;
                }
                let colour = if step > 1.0 { "#eee" } else { "#ccc" };
                svg += &grid_line(self.y(value), colour, &short(value));
            }
        }
        svg
    }
}

fn grid_line(y: f64, colour: &str, label: &str) -> String {
    format!(
        "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\"/>\
         <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\">{label}</text>\n",
        WIDTH - RIGHT,
        LEFT - 6.0,
        y + 4.0,
    )
}

/// A value as an axis shows it.
fn short(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{}M", value / 1e6),
        _ if value >= 1e4 => format!("{}k", value / 1e3),
        _ => format!("{value}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few bars")]
fn position(number: usize) -> f64 {
    number as f64
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_hold_all_values() {
        let Decades { lowest, highest } = Decades::around([0.0, 3.0, 200.0].into_iter());
        assert_eq!((lowest, highest), (0, 3));
        let Decades { lowest, highest } = Decades::around([100.0].into_iter());
        assert_eq!((lowest, highest), (2, 3));
        assert_eq!(Decades::around(std::iter::empty()).highest, 1);
    }

    #[test]
    fn values_are_short() {
        assert_eq!([5.0, 0.5, 20_000.0, 2e6].map(short), ["5", "0.5", "20k", "2M"]);
    }
}
