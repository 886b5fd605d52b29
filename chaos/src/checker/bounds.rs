//! G10: what a process holds stays below its caps, memory does not grow on and on, and whoever has
//! no call left holds none.

use std::collections::HashMap;

use super::index::{At, Index};
use super::violations::Violations;
use super::{Guarantee, Limits};
use crate::history::{Gauge, Kind};

/// Fewer readings than this tell nothing of growth.
const ENOUGH: usize = 10;

pub(super) fn check(index: &Index<'_>, limits: &Limits, found: &mut Violations<'_>) {
    let mut readings: HashMap<&str, Vec<(At, &Gauge)>> = HashMap::new();
    let mut last_end: HashMap<&str, At> = HashMap::new();
    for (at, event) in index.events.iter().enumerate() {
        match &event.event {
            Kind::Gauge(gauge) => readings.entry(&event.process).or_default().push((at, gauge)),
            Kind::Ok { .. } | Kind::Err { .. } => {
                last_end.insert(&event.process, at);
            }
            _ => {}
        }
    }
    let mut processes: Vec<_> = readings.into_iter().collect();
    processes.sort_unstable_by_key(|(process, _)| *process);
    for (process, readings) in processes {
        for (prefix, caps) in &limits.caps {
            if process.starts_with(prefix.as_str()) {
                check_caps(process, &readings, caps, found);
            }
        }
        let times = readings.first().zip(readings.last());
        let read_for =
            times.map_or(0, |((first, _), (last, _))| index.time(*last) - index.time(*first));
        if let Some(limit) = limits.memory_growth_per_s
            && read_for >= limits.growth_from_us
        {
            check_growth(index, process, &readings, limit, found);
        }
        let stopped = index.processes.get(process).and_then(|process| process.stopped);
        if let (Some(stopped), Some(&end)) = (stopped, last_end.get(process)) {
            check_left(process, &readings, end..stopped, found);
        }
    }
}

/// The first reading beyond each cap.
fn check_caps(process: &str, readings: &[(At, &Gauge)], caps: &Gauge, found: &mut Violations<'_>) {
    for (name, of) in FIELDS {
        let Some(cap) = of(caps) else { continue };
        let over = readings.iter().find(|(_, gauge)| of(gauge).is_some_and(|value| value > cap));
        if let Some((at, gauge)) = over {
            found.add(Guarantee::Bounded, [*at], || {
                let value = of(gauge).unwrap_or_default();
                format!("{process} has {name} {value}, beyond its cap of {cap}")
            });
        }
    }
}

type Field = (&'static str, fn(&Gauge) -> Option<u64>);

const FIELDS: [Field; 5] = [
    ("in_flight", |gauge| gauge.in_flight),
    ("bytes", |gauge| gauge.bytes),
    ("memory_bytes", |gauge| gauge.memory_bytes),
    ("fds", |gauge| gauge.fds),
    ("tasks", |gauge| gauge.tasks),
];

/// The slope of the least squares through the second half: the first may warm up.
fn check_growth(
    index: &Index<'_>,
    process: &str,
    readings: &[(At, &Gauge)],
    limit: f64,
    found: &mut Violations<'_>,
) {
    let half = &readings[readings.len() / 2..];
    let Some(&(origin, _)) = half.first() else { return };
    let point = |(at, gauge): &(At, &Gauge)| {
        let seconds = real(index.time(*at) - index.time(origin)) / 1e6;
        gauge.memory_bytes.map(|bytes| (seconds, real(bytes)))
    };
    let points: Vec<(f64, f64)> = half.iter().filter_map(point).collect();
    if points.len() < ENOUGH {
        return;
    }
    let Some(slope) = slope(&points).filter(|slope| *slope > limit) else { return };
    let ends = [half[0].0, half[half.len() - 1].0];
    found.add(Guarantee::Bounded, ends, || {
        format!("the memory of {process} grows by {slope:.0} bytes per second, beyond {limit:.0}")
    });
}

/// When its last call has ended, a requester that stops holds none. It reads that just before.
fn check_left(
    process: &str,
    readings: &[(At, &Gauge)],
    between: std::ops::Range<At>,
    found: &mut Violations<'_>,
) {
    let last = readings.iter().rev().find(|(at, _)| between.contains(at));
    if let Some((at, Gauge { in_flight: Some(left @ 1..), .. })) = last {
        found.add(Guarantee::Bounded, [between.start, *at, between.end], || {
            format!("{process} holds {left} calls when its last one has ended")
        });
    }
}

/// `None` if all points are of one time.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = real(points.len() as u64);
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let above = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
    let below = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    (below > 0.0).then(|| above / below)
}

#[expect(clippy::cast_precision_loss, reason = "neither bytes nor microseconds come near 2^52")]
fn real(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_line() {
        let line: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 * f64::from(x) + 7.0)).collect();
        assert!((slope(&line).expect("a line") - 3.0).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}
