//! Latencies as curves: the time within which a part of the operations was done, over that part in nines.

use anyhow::Result;

use super::{Area, Point, curve, picture};
use crate::report::axis::Axis;
use crate::report::palette::Palette;
use crate::report::row::Row;

/// The height of the chart.
const HEIGHT: u32 = 460;

/// The chart of the rows that have latencies; none if no row has.
pub(crate) fn chart(rows: &[&Row], palette: &Palette) -> Result<Option<String>> {
    let with: Vec<_> = rows.iter().copied().filter(|row| !row.percentiles.is_empty()).collect();
    let Some(first) = with.first() else { return Ok(None) };
    let label = format!("latencies of {} {} [us]", first.family(), first.params);
    picture(HEIGHT, &label, |area| curves(area, &with, palette)).map(Some)
}

fn curves(area: &Area<'_>, rows: &[&Row], palette: &Palette) -> Result<()> {
    let y = Axis::logarithmic(rows.iter().flat_map(|row| row.percentiles.iter().map(|(_, micros)| *micros)));
    let lines: Vec<_> = rows.iter().map(|row| (palette.look(&row.system), points(row, &y))).collect();
    let last = lines.iter().filter_map(|(_, points)| points.last()).map(|point| point.x).fold(0.0, f64::max);
    let x = Axis::nines(last);
    let mut chart = super::curves(area, "percentile", x, y)?;
    let mut order: Vec<_> = lines.iter().collect();
    order.sort_by_key(|(look, _)| look.is_ours());
    order.into_iter().try_for_each(|(look, points)| curve(&mut chart, *look, points))
}

/// How far the longest latency of all lies to the right of the percentile before it: as far as half of the
/// rest.
const HALVING: f64 = std::f64::consts::LOG10_2;

/// Where the percentiles of one system lie: each nine as far from the last. The whole has no place on such an
/// axis; the longest latency stands where the percentiles before it would have gone on.
pub(crate) fn points(row: &Row, y: &Axis) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for (percent, micros) in &row.percentiles {
        let rest = 1.0 - percent / 100.0;
        let before = points.last().map_or(0.0, |point| point.x);
        let x = if rest > 0.0 { -rest.log10() } else { before + HALVING };
        // One mark for each nine.
        let marked = points.is_empty() || x.floor() > before.floor();
        points.extend(y.place(*micros).map(|y| Point { x, y, spread: None, marked }));
    }
    points
}
