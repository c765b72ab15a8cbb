//! Ranges and ticks of axes, and the numbers beside them.
//!
//! The charts do their own logarithms: a logarithmic axis is a linear one over decades. So all charts have
//! the same type of coordinates, and a value that has no logarithm is a question for whoever collects the
//! points, not for the library that draws them. The library's own axes choose their ticks themselves; ours
//! say where they are.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// An axis: from where to where, and what is written at which places.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// The least place.
    pub(crate) from: f64,
    /// The greatest place. More than the least.
    pub(crate) to: f64,
    /// Where ticks are.
    pub(crate) ticks: Vec<f64>,
    /// What places mean.
    scale: Scale,
}

/// What the places on an axis mean.
#[derive(Clone, Debug, PartialEq)]
enum Scale {
    /// The values themselves.
    Linear,
    /// Their decades.
    Logarithmic,
    /// How many nines a part of a whole begins with.
    Nines,
    /// Lines with names, the first at the top, in the middle of their unit of height.
    Names(Vec<String>),
}

/// More decades than this have ticks at powers of ten only.
const DECADES_WITH_STEPS: f64 = 3.0;

/// More decades than this do not have a tick at each.
const DECADES_WITH_ALL_TICKS: f64 = 8.0;

impl Axis {
    /// An axis from nothing to the greatest of the values. All axes of nothing but nothing are alike.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let greatest = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let to = if greatest > 0.0 { greatest } else { 1.0 };
        let step = round_step(to / 5.0);
        let ticks = (0..).map(|n| f64::from(n) * step).take_while(|tick| *tick <= to).collect();
        Self { from: 0.0, to, ticks, scale: Scale::Linear }
    }

    /// An axis of decades around the values that are more than nothing.
    pub(crate) fn logarithmic(values: impl IntoIterator<Item = f64>) -> Self {
        let places = values.into_iter().filter_map(decades);
        let (from, to) = places
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), place| (from.min(place), to.max(place)));
        let (from, to) = if from <= to { (from, to) } else { (0.0, 1.0) };
        // Half a decade at least, and a little room around the outermost points.
        let room = ((0.5 - (to - from)) / 2.0).max(0.04 * (to - from).max(1.0));
        let (from, to) = (from - room, to + room);
        Self { from, to, ticks: decade_ticks(from, to), scale: Scale::Logarithmic }
    }

    /// An axis of nines for parts of a whole: 0 is at 0, 0.9 at 1, 0.99 at 2. As long as the last of the
    /// places.
    pub(crate) fn nines(last: f64) -> Self {
        let to = last.max(1.0);
        let ticks = (0..).map(f64::from).take_while(|tick| *tick <= to).collect();
        Self { from: 0.0, to, ticks, scale: Scale::Nines }
    }

    /// An axis of lines with these names, the first at the top.
    pub(crate) fn names(names: Vec<String>) -> Self {
        let count = names.len();
        let ticks = (0..count).map(|line| Self::line(count, line)).collect();
        Self { from: 0.0, to: count as f64, ticks, scale: Scale::Names(names) }
    }

    /// The place of the middle of a line.
    pub(crate) fn line(count: usize, line: usize) -> f64 {
        count as f64 - 0.5 - line as f64
    }

    /// Where a value lies, if it does.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        if self.is_logarithmic() { decades(value) } else { value.is_finite().then_some(value) }
    }

    /// Whether places are decades.
    pub(crate) fn is_logarithmic(&self) -> bool {
        self.scale == Scale::Logarithmic
    }

    /// What is written at a tick.
    pub(crate) fn label(&self, place: f64) -> String {
        match &self.scale {
            Scale::Linear => short(place),
            Scale::Logarithmic => short(10_f64.powf(place)),
            Scale::Nines => nines(place),
            Scale::Names(names) => {
                let line = (names.len() as f64 - 0.5 - place).round().max(0.0) as usize;
                names.get(line).cloned().unwrap_or_default()
            }
        }
    }

    /// How many characters the longest label has.
    pub(crate) fn widest_label(&self) -> usize {
        self.ticks.iter().map(|tick| self.label(*tick).chars().count()).max().unwrap_or(0)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (first, last): (i32, i32)) -> i32 {
        let part = (place - self.from) / (self.to - self.from);
        first + (part * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The library asks for lines with labels, and then for more lines between them.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, place: &f64) -> String {
        self.label(*place)
    }
}

/// A place on an axis of nines, as a percentage.
fn nines(place: f64) -> String {
    match place.round() as usize {
        0 => "0 %".to_owned(),
        1 => "90".to_owned(),
        2 => "99".to_owned(),
        more => format!("99.{}", "9".repeat(more - 2)),
    }
}

/// The place of a value on an axis of decades.
fn decades(value: f64) -> Option<f64> {
    (value > 0.0 && value.is_finite()).then(|| value.log10())
}

/// The ticks between two places: powers of ten, with 2 and 5 times them if there is room.
fn decade_ticks(from: f64, to: f64) -> Vec<f64> {
    let factors: &[f64] = if to - from <= DECADES_WITH_STEPS { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = ((to - from) / DECADES_WITH_ALL_TICKS).ceil().max(1.0) as usize;
    let powers = (from.floor() as i32..=to.ceil() as i32).step_by(every);
    let ticks = powers.flat_map(|power| factors.iter().map(move |factor| f64::from(power) + factor.log10()));
    ticks.filter(|tick| (from..=to).contains(tick)).collect()
}

/// The nearest of 1, 2, 5, 10, ... that is not less.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

/// A number in as few characters as a tick or a bar has room for: three digits at most, and a prefix of the
/// SI.
pub(crate) fn short(value: f64) -> String {
    let prefixes = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    // What would be rounded up to the next prefix has it.
    let (unit, prefix) =
        prefixes.into_iter().find(|(unit, _)| value.abs() >= 0.9995 * unit).unwrap_or((1.0, ""));
    let scaled = value / unit;
    let digits = match scaled.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.0995 => 2,
        _ => 3,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{prefix}")
}
