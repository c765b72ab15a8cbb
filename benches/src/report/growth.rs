//! How a figure grows with one parameter: the curves of the scaling plots.
//!
//! They are found in the rows, not in the table of cases: wherever a measure has at least three values of one
//! parameter while the others stay the same, that is a growth. So points of a series and cases that happen to
//! lie on the same line are one curve, in a report that is read back too.

use crate::report::figure::Figure;
use crate::report::row::Row;

/// Fewer sizes than this make no curve.
const FEWEST_SIZES: usize = 3;

/// One measure of one workload over the values of a parameter.
pub(crate) struct Growth<'a> {
    /// The parameter that grows.
    pub(crate) grows: &'a str,
    /// The others, as a heading.
    pub(crate) fixed: String,
    /// The values of the parameter that any system has, in ascending order.
    pub(crate) sizes: Vec<f64>,
    /// One for each system that has a point, in order of appearance.
    pub(crate) curves: Vec<Curve<'a>>,
}

/// One system's figures over the values of a parameter.
pub(crate) struct Curve<'a> {
    /// The name of the system.
    pub(crate) system: &'a str,
    /// In ascending order of size.
    pub(crate) points: Vec<(f64, &'a Row)>,
}

impl Growth<'_> {
    /// A row from which whatever all have in common is taken.
    pub(crate) fn first(&self) -> &Row {
        self.curves[0].points[0].1
    }
}

/// All growths in the figures, in order of appearance.
pub(crate) fn growths(figures: &[Figure]) -> Vec<Growth<'_>> {
    let mut keys: Vec<(&str, &str, String)> = Vec::new();
    for figure in figures {
        let first = figure.first();
        for (name, value) in params(&first.params) {
            let key = (first.workload.as_str(), name, without(&first.params, name));
            if value.parse::<f64>().is_ok() && !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    let growth = |(workload, grows, fixed)| growth(figures, workload, grows, fixed);
    keys.into_iter().map(growth).filter(|growth| growth.sizes.len() >= FEWEST_SIZES).collect()
}

/// All the points of one measure on the line of one parameter.
fn growth<'a>(figures: &'a [Figure], workload: &str, grows: &'a str, fixed: String) -> Growth<'a> {
    let mut growth = Growth { grows, fixed, sizes: Vec::new(), curves: Vec::new() };
    for figure in figures.iter().filter(|figure| figure.first().workload == workload) {
        let params = &figure.first().params;
        let Some(size) = size_of(params, grows) else { continue };
        if without(params, grows) != growth.fixed {
            continue;
        }
        growth.sizes.push(size);
        for row in &figure.rows {
            match growth.curves.iter_mut().find(|curve| curve.system == row.system) {
                Some(curve) => curve.points.push((size, row)),
                None => growth.curves.push(Curve { system: &row.system, points: vec![(size, row)] }),
            }
        }
    }
    growth.sizes.sort_by(f64::total_cmp);
    growth.sizes.dedup();
    for curve in &mut growth.curves {
        curve.points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    }
    growth
}

/// The parameters with their values.
fn params(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_whitespace().filter_map(|pair| pair.split_once('='))
}

/// The value of a parameter, if it has one that is a number.
fn size_of(text: &str, name: &str) -> Option<f64> {
    params(text).find(|(known, _)| *known == name)?.1.parse().ok()
}

/// All the parameters but one.
fn without(text: &str, name: &str) -> String {
    let others = params(text).filter(|(known, _)| *known != name);
    others.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}
