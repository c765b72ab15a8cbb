//! Charts as SVG: what all kinds of them share.
//!
//! plotters draws them; `report/axis.rs` says from where to where and with which ticks. A chart is drawn
//! twice as large as a narrow page shows it, because the library counts in whole pixels. It has no size of
//! its own: the page gives it one.

pub(crate) mod bars;
pub(crate) mod latency;
pub(crate) mod scaling;

use anyhow::{Context as _, Result, anyhow};
use maud::{PreEscaped, html};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::element::{Circle, EmptyElement, PathElement, Polygon, Rectangle};
use plotters::prelude::{Cartesian2d, DrawingArea, IntoDrawingArea as _, SVGBackend};
use plotters::style::{Color as _, IntoFont as _, ShapeStyle, TRANSPARENT, TextStyle};

use crate::report::axis::Axis;
use crate::report::palette::{Colour, GRID, INK, Look, Shape};

/// The width of every chart in its own units.
pub(crate) const WIDTH: u32 = 720;

/// The height of the letters in a chart. Half of it on a page of 360 pixels.
pub(crate) const LETTERS: u32 = 24;

/// How wide a letter is on average, in those units.
pub(crate) const LETTER_WIDTH: f64 = 12.8;

/// Where a chart is drawn.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart in the making.
pub(crate) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// Draws a picture of that height. `label` is what it says to those who do not see it.
pub(crate) fn picture(
    height: u32,
    label: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area)?;
        area.present().map_err(|error| anyhow!("drawing a chart: {error}"))?;
    }
    // The library's own head gives the picture a size in pixels.
    let body = svg
        .split_once("<svg ")
        .and_then(|(_, rest)| rest.split_once('>'))
        .context("a chart without a head")?
        .1;
    let head = html! {
        svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label=(label) viewBox=(format!("0 0 {WIDTH} {height}")) {
            (PreEscaped(body.trim_end().trim_end_matches("</svg>")))
        }
    };
    Ok(head.into_string())
}

/// A chart of curves with its axes: what the horizontal one shows, and both of them.
pub(crate) fn curves<'a, 'b>(area: &'a Area<'b>, shows: &str, x: Axis, y: Axis) -> Result<Chart<'a, 'b>> {
    let labels = (y.widest_label() as f64 * LETTER_WIDTH + 14.0) as u32;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .x_label_area_size(66)
        .y_label_area_size(labels)
        .build_cartesian_2d(x, y)
        .map_err(|error| anyhow!("laying a chart out: {error}"))?;
    chart
        .configure_mesh()
        .bold_line_style(line(GRID, 2))
        .light_line_style(TRANSPARENT)
        .axis_style(line(INK, 1))
        .set_all_tick_mark_size(4)
        .label_style(text())
        .x_desc(shows)
        .axis_desc_style(text())
        .draw()
        .map_err(|error| anyhow!("drawing axes: {error}"))?;
    Ok(chart)
}

/// The style of text in a chart.
pub(crate) fn text() -> TextStyle<'static> {
    ("sans-serif", LETTERS).into_font().color(&INK.rgb())
}

/// A line of that width.
pub(crate) fn line(colour: Colour, width: u32) -> ShapeStyle {
    colour.rgb().stroke_width(width)
}

/// One system's line: through its points, with the spread of each if it is known.
pub(crate) fn curve(chart: &mut Chart<'_, '_>, look: Look, points: &[Point]) -> Result<()> {
    let width = if look.is_ours() { 5 } else { 3 };
    let spreads = points.iter().filter_map(|point| {
        let (from, to) = point.spread?;
        Some(PathElement::new(vec![(point.x, from), (point.x, to)], line(look.colour, 2)))
    });
    draw(chart, spreads)?;
    let path = points.iter().map(|point| (point.x, point.y)).collect::<Vec<_>>();
    draw(chart, [PathElement::new(path, line(look.colour, width))])?;
    let marked = points.iter().filter(|point| point.marked).map(|point| (point.x, point.y));
    marks(chart, look, marked)
}

/// The points of a line in the shape of its system.
fn marks(chart: &mut Chart<'_, '_>, look: Look, path: impl Iterator<Item = (f64, f64)>) -> Result<()> {
    let filled = look.colour.rgb().filled();
    match look.shape {
        Shape::Disc => draw(chart, path.map(|at| EmptyElement::at(at) + Circle::new((0, 0), 7, filled))),
        Shape::Ring => {
            let ring = line(look.colour, 3);
            draw(chart, path.map(|at| EmptyElement::at(at) + Circle::new((0, 0), 8, ring)))
        }
        Shape::Square => {
            let square = || Rectangle::new([(-6, -6), (6, 6)], filled);
            draw(chart, path.map(|at| EmptyElement::at(at) + square()))
        }
        Shape::Triangle => {
            let triangle = || Polygon::new(vec![(0, -8), (8, 6), (-8, 6)], filled);
            draw(chart, path.map(|at| EmptyElement::at(at) + triangle()))
        }
    }
}

/// A point of a curve, in places on its axes.
pub(crate) struct Point {
    /// On the horizontal axis.
    pub(crate) x: f64,
    /// On the vertical axis.
    pub(crate) y: f64,
    /// The least and the greatest place on the vertical axis, if there were several runs.
    pub(crate) spread: Option<(f64, f64)>,
    /// Whether it has a mark in the shape of its system.
    pub(crate) marked: bool,
}

/// Draws elements into a chart.
fn draw<'b, E, R>(chart: &mut Chart<'_, 'b>, elements: R) -> Result<()>
where
    E: plotters::element::Drawable<SVGBackend<'b>>,
    for<'a> &'a E: plotters::element::PointCollection<'a, (f64, f64)>,
    R: IntoIterator<Item = E>,
{
    chart.draw_series(elements).map_err(|error| anyhow!("drawing a chart: {error}"))?;
    Ok(())
}
