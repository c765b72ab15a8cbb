//! The rows that are compared with each other, and what the comparison says.
//!
//! A figure is one measure of one case: the same work, done by several systems. All the forms of the report go
//! over figures; what is drawn as one picture over several of them is in `growth.rs`.

use std::cmp::Ordering;

use crate::report::row::{Kind, Row};
use crate::workload::Better;

/// The rows of one measure of one case, in the order of the table. There is at least one.
pub(crate) struct Figure {
    /// They all have the same workload, parameters, unit and direction.
    pub(crate) rows: Vec<Row>,
}

/// How the best of ours does beside the best peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Ours is better, beyond the spread of the runs.
    Better,
    /// The runs overlap.
    Tie,
    /// The peer is better, beyond the spread of the runs.
    Worse,
}

/// One of ours that a peer beats beyond the spread of the runs.
pub(crate) struct Loss<'a> {
    /// Ours.
    pub(crate) ours: &'a Row,
    /// The best of the peers that beat it.
    pub(crate) peer: &'a Row,
    /// How many times better the peer is.
    pub(crate) times: f64,
    /// Whether each of ours in this figure is beaten, so that choosing another of ours would not help.
    pub(crate) all_of_ours: bool,
}

/// Puts rows of the same measure and case together, in the order of their first appearance.
pub(crate) fn group(rows: Vec<Row>) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    for row in rows {
        let same = |figure: &&mut Figure| {
            let first = figure.first();
            first.workload == row.workload && first.params == row.params
        };
        // From the end: a file has the rows of a figure in a row.
        match figures.iter_mut().rev().find(same) {
            Some(figure) => figure.rows.push(row),
            None => figures.push(Figure { rows: vec![row] }),
        }
    }
    figures
}

impl Figure {
    /// The row from which whatever all rows have in common is taken.
    pub(crate) fn first(&self) -> &Row {
        &self.rows[0]
    }

    /// What it is about, as a heading: the workload and the parameters.
    pub(crate) fn title(&self) -> String {
        let first = self.first();
        format!("{} {}", first.workload, first.params).trim_end().to_owned()
    }

    /// The unit and the direction, as a heading.
    pub(crate) fn unit(&self) -> String {
        let first = self.first();
        let better = match first.better {
            Better::Lower => "lower",
            Better::Higher => "higher",
        };
        format!("{}, {better} is better", first.unit)
    }

    /// Whether it is a point of a series only.
    pub(crate) fn scaling(&self) -> bool {
        self.rows.iter().all(|row| row.scaling)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.kind() == kind)
    }

    /// The system of that kind with the best median.
    pub(crate) fn best(&self, kind: Kind) -> Option<&Row> {
        self.of(kind).min_by(|a, b| best_first(a, b))
    }

    /// All rows, the best first.
    pub(crate) fn ranked(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|a, b| best_first(a, b));
        rows
    }

    /// The ratio of one row to the best system of a kind; a dash if there is none, or if this is it.
    pub(crate) fn against(&self, row: &Row, kind: Kind) -> String {
        match self.best(kind) {
            None => "-".to_owned(),
            Some(best) if best.system == row.system => "best ".to_owned(),
            Some(best) => row.against(best),
        }
    }

    /// How the best of ours does beside the best peer, if there are both.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let (ours, peer) = (self.best(Kind::Ours)?, self.best(Kind::Peer)?);
        Some(if ours.ties_with(peer) {
            Verdict::Tie
        } else if best_first(ours, peer) == Ordering::Less {
            Verdict::Better
        } else {
            Verdict::Worse
        })
    }

    /// Those of ours that a peer beats beyond the spread of the runs.
    fn losses(&self) -> Vec<Loss<'_>> {
        let lost = |ours: &'_ Row| {
            let beats = |peer: &&Row| best_first(peer, ours) == Ordering::Less && !peer.ties_with(ours);
            self.of(Kind::Peer).filter(beats).min_by(|a, b| best_first(a, b))
        };
        let beaten: Vec<_> = self.of(Kind::Ours).filter_map(|ours| Some((ours, lost(ours)?))).collect();
        let all_of_ours = beaten.len() == self.of(Kind::Ours).count();
        beaten
            .into_iter()
            .map(|(ours, peer)| Loss { ours, peer, times: peer.ratio(ours), all_of_ours })
            .collect()
    }
}

/// Where we lose: first where each of ours does, and the worst first.
pub(crate) fn losses(figures: &[Figure]) -> Vec<Loss<'_>> {
    let mut losses: Vec<_> = figures.iter().flat_map(Figure::losses).collect();
    losses.sort_by(|a, b| b.all_of_ours.cmp(&a.all_of_ours).then(b.times.total_cmp(&a.times)));
    losses
}

/// How many figures there are of each verdict: better, tie, worse.
pub(crate) fn tally(figures: &[Figure]) -> [usize; 3] {
    let count = |wanted| figures.iter().filter(|figure| figure.verdict() == Some(wanted)).count();
    [Verdict::Better, Verdict::Tie, Verdict::Worse].map(count)
}

/// The order of two rows of one figure in which the one with the better median is less.
fn best_first(a: &Row, b: &Row) -> Ordering {
    let ascending = a.median.total_cmp(&b.median);
    match a.better {
        Better::Lower => ascending,
        Better::Higher => ascending.reverse(),
    }
}
