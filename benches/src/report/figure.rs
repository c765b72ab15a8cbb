//! The rows that are compared with each other, and what the comparison says.
//!
//! A figure is one measure of one case: the same work, done by several systems. All the forms of the report
//! go over figures; what is drawn as one picture over several of them is in `growth.rs`.

use std::cmp::Ordering;

use crate::report::row::{Kind, Order, Row};
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
    /// There was one run only, which says nothing.
    OneRun,
}

/// One of ours that a peer beats.
pub(crate) struct Loss<'a> {
    /// Ours.
    pub(crate) ours: &'a Row,
    /// The best of the peers that beat it.
    pub(crate) peer: &'a Row,
    /// How many times better the peer is.
    pub(crate) times: f64,
}

/// Those of ours that are beaten in one figure, the best of them first.
pub(crate) struct Losses<'a> {
    /// The figure.
    pub(crate) figure: &'a Figure,
    /// At least one.
    pub(crate) losses: Vec<Loss<'a>>,
    /// What they mean.
    pub(crate) weight: Weight,
}

/// What it means that some of ours are beaten, the worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Weight {
    /// Each of ours is beaten, so choosing another of ours would not help.
    All,
    /// Another of ours is not beaten.
    Some,
    /// There was one run only, so it may be chance.
    OneRun,
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
        self.of(kind).min_by(|a, b| a.best_first(b))
    }

    /// All rows, the best first.
    pub(crate) fn ranked(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|a, b| a.best_first(b));
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
        Some(match ours.order(peer) {
            Order::Sure(Ordering::Less) => Verdict::Better,
            Order::Sure(Ordering::Greater) => Verdict::Worse,
            Order::Sure(Ordering::Equal) | Order::Tie => Verdict::Tie,
            Order::OneRun(_) => Verdict::OneRun,
        })
    }

    /// Those of ours that a peer beats, if there are some.
    fn losses(&self) -> Option<Losses<'_>> {
        let mut ours: Vec<_> = self.of(Kind::Ours).collect();
        ours.sort_by(|a, b| a.best_first(b));
        let loss = |ours| {
            let peers = self.of(Kind::Peer).filter(|peer| peer.order(ours).is_better());
            let peer = peers.min_by(|a, b| a.best_first(b))?;
            Some(Loss { ours, peer, times: peer.ratio(ours) })
        };
        let losses: Vec<_> = ours.iter().copied().filter_map(loss).collect();
        let weight = if losses.first()?.peer.runs < 2 || losses.iter().any(|loss| loss.ours.runs < 2) {
            Weight::OneRun
        } else if losses.len() == ours.len() {
            Weight::All
        } else {
            Weight::Some
        };
        Some(Losses { figure: self, losses, weight })
    }
}

/// Where we lose: first where each of ours does, and the worst first. Points of a series are not among them:
/// several sizes of one thing would say the same several times, and its curve says it once.
pub(crate) fn losses(figures: &[Figure]) -> Vec<Losses<'_>> {
    let alone = figures.iter().filter(|figure| !figure.scaling());
    let mut losses: Vec<_> = alone.filter_map(Figure::losses).collect();
    losses.sort_by(|a, b| a.weight.cmp(&b.weight).then(b.losses[0].times.total_cmp(&a.losses[0].times)));
    losses
}

/// In how many figures which verdict falls, in words. Points of a series are not counted.
pub(crate) fn tally(figures: &[Figure]) -> String {
    let verdicts: Vec<_> =
        figures.iter().filter(|figure| !figure.scaling()).filter_map(Figure::verdict).collect();
    let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    let [better, tie, worse, one_run] =
        [Verdict::Better, Verdict::Tie, Verdict::Worse, Verdict::OneRun].map(count);
    let rest = if one_run > 0 {
        format!(" ({one_run} more have one run only, which says nothing.)")
    } else {
        String::new()
    };
    format!(
        "The best of ours is better than the best peer in {better} figures, ties in {tie}, and is worse in \
         {worse}.{rest}"
    )
}
