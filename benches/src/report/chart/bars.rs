//! A figure as bars: one for each system, the best first, with the spread of its runs.

use anyhow::{Result, anyhow};
use plotters::chart::ChartBuilder;
use plotters::element::{EmptyElement, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, TRANSPARENT};

use super::{Area, Chart, LETTER_WIDTH, draw, line, picture, text};
use crate::report::axis::{Axis, short};
use crate::report::figure::Figure;
use crate::report::palette::{Colour, GRID, INK, LIMIT, OURS, PEER};
use crate::report::row::{Kind, Row};

/// The height of one system's line.
const LINE: u32 = 40;

/// What the axis takes below the bars.
const FOOT: u32 = 44;

/// The widest that names may be.
const WIDEST_NAMES: f64 = 320.0;

/// The room for the numbers to the right of the longest bar.
const NUMBERS: u32 = 96;

/// A bar that is this many times shorter than another is not seen. Then the axis is logarithmic.
const NOT_SEEN: f64 = 30.0;

/// The chart, and whether its axis is logarithmic.
pub(crate) fn chart(figure: &Figure) -> Result<(String, bool)> {
    let rows = figure.ranked();
    let height = LINE * rows.len() as u32 + FOOT;
    let axis = axis(&rows);
    let label = format!("{} [{}]", figure.title(), figure.unit());
    let svg = picture(height, &label, |area| bars(area, figure, &rows, &axis))?;
    Ok((svg, axis.is_logarithmic()))
}

/// Linear, so that lengths compare, unless a bar could not be seen. Nothing is not drawn as a bar on either.
fn axis(rows: &[&Row]) -> Axis {
    let greatest = rows.iter().map(|row| row.max).fold(0.0, f64::max);
    let least = rows.iter().map(|row| row.median).filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
    if greatest > NOT_SEEN * least {
        // Its bars begin at the power of ten below the least of them, or its whisker.
        let floor = 10_f64.powf(
            rows.iter().map(|row| row.min).filter(|min| *min > 0.0).fold(least, f64::min).log10().floor(),
        );
        let mut axis = Axis::logarithmic([floor, greatest]);
        axis.from = floor.log10();
        axis
    } else {
        Axis::linear([greatest])
    }
}

fn bars(area: &Area<'_>, figure: &Figure, rows: &[&Row], axis: &Axis) -> Result<()> {
    let y = Axis::names(rows.iter().map(|row| row.system.clone()).collect());
    let names = (y.widest_label() as f64 * LETTER_WIDTH + 12.0).min(WIDEST_NAMES) as u32;
    let mut chart: Chart<'_, '_> = ChartBuilder::on(area)
        .margin_right(NUMBERS)
        .x_label_area_size(FOOT - 4)
        .y_label_area_size(names)
        .build_cartesian_2d(axis.clone(), y)
        .map_err(|error| anyhow!("laying a chart out: {error}"))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .bold_line_style(line(GRID, 2))
        .light_line_style(TRANSPARENT)
        .axis_style(line(INK, 1))
        .set_all_tick_mark_size(4)
        .label_style(text())
        .draw()
        .map_err(|error| anyhow!("drawing axes: {error}"))?;
    if let Some(limit) = figure.best(Kind::Limit).and_then(|row| axis.place(row.median)) {
        draw(&mut chart, [PathElement::new(vec![(limit, 0.0), (limit, rows.len() as f64)], line(LIMIT, 3))])?;
    }
    for (index, row) in rows.iter().enumerate() {
        bar(&mut chart, row, axis, Axis::line(rows.len(), index))?;
    }
    Ok(())
}

/// What the bars of a kind are filled with.
pub(crate) fn fill(kind: Kind) -> Colour {
    match kind {
        Kind::Ours => OURS,
        Kind::Limit => LIMIT,
        Kind::Peer => PEER,
    }
}

/// One system's bar, the whisker from the least to the greatest of its runs, and its number.
fn bar(chart: &mut Chart<'_, '_>, row: &Row, axis: &Axis, y: f64) -> Result<()> {
    let place = |value: f64| axis.place(value).unwrap_or(axis.from).max(axis.from);
    let (median, min, max) = (place(row.median), place(row.min), place(row.max));
    let filled = fill(row.kind()).rgb().filled();
    draw(chart, [Rectangle::new([(axis.from, y - 0.34), (median, y + 0.34)], filled)])?;
    let stroke = line(INK, 2);
    let cap = |x: f64| PathElement::new(vec![(x, y - 0.16), (x, y + 0.16)], stroke);
    if row.runs > 1 {
        draw(chart, [PathElement::new(vec![(min, y), (max, y)], stroke), cap(min), cap(max)])?;
    }
    // All numbers end in one column: beside the whiskers they would lie on the line of the limit.
    let style = text().pos(Pos::new(HPos::Right, VPos::Center));
    draw(
        chart,
        [EmptyElement::at((axis.to, y)) + Text::new(short(row.median), (NUMBERS as i32 - 8, 0), style)],
    )
}
