//! A growth as curves: how the figure of each system changes with the size, on logarithmic axes.

use anyhow::Result;

use super::{Area, Point, curve, picture};
use crate::report::axis::Axis;
use crate::report::growth::{Curve, Growth};
use crate::report::palette::Palette;
use crate::report::row::Row;

/// The height of the chart.
const HEIGHT: u32 = 460;

/// The chart. Values of nothing have no place on it and are left out.
pub(crate) fn chart(growth: &Growth<'_>, palette: &Palette) -> Result<String> {
    let first = growth.first();
    let label = format!("{} by {}, {} [{}]", first.workload, growth.grows, growth.fixed, first.unit);
    picture(HEIGHT, &label, |area| curves(area, growth, palette))
}

fn curves(area: &Area<'_>, growth: &Growth<'_>, palette: &Palette) -> Result<()> {
    let x = Axis::logarithmic(growth.sizes.iter().copied());
    let rows = growth.curves.iter().flat_map(|curve| &curve.points);
    let y = Axis::logarithmic(rows.flat_map(|(_, row)| [row.min, row.median, row.max]));
    let mut chart = super::curves(area, growth.grows, x.clone(), y.clone())?;
    // Ours come last, on top.
    let mut order: Vec<_> = growth.curves.iter().map(|of| (palette.look(of.system), of)).collect();
    order.sort_by_key(|(look, _)| look.is_ours());
    order.into_iter().try_for_each(|(look, of)| curve(&mut chart, look, &points(of, &x, &y)))
}

/// Where the figures of one system lie.
fn points(curve: &Curve<'_>, x: &Axis, y: &Axis) -> Vec<Point> {
    let point = |(size, row): &(f64, &Row)| {
        let spread = y.place(row.min).zip(y.place(row.max)).filter(|_| row.runs > 1);
        Some(Point { x: x.place(*size)?, y: y.place(row.median)?, spread, marked: true })
    };
    curve.points.iter().filter_map(point).collect()
}
