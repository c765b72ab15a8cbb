//! The report on the terminal: a block for each figure.

use std::fmt::{self, Write as _};

use super::Report;
use crate::report::figure::{self, Figure};
use crate::report::row::{Kind, number, times};

/// All of the report.
pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _written = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    for (name, fact) in report.about.iter().flat_map(|about| about.facts()) {
        writeln!(out, "{name:<11} {fact}")?;
    }
    writeln!(out, "\nRatios: how many times better than the best peer; `=` is a tie (the runs overlap).")?;
    writeln!(out, "cpu/op: user and system time of the process (HTTP: of the server) for one operation.")?;
    for figure in &report.figures {
        block(figure, out)?;
    }
    summary(&report.figures, out)
}

/// One figure: its systems, then each of ours against each peer.
fn block(figure: &Figure, out: &mut String) -> fmt::Result {
    writeln!(out, "\n{} [{}]", figure.title(), figure.unit())?;
    writeln!(
        out,
        "  {:<20} {:>10} {:>10} {:>10} {:>4}  {:>10} {:>10} {:>12} {:>12}",
        "system", "median", "min", "max", "runs", "best peer", "limit", "cpu/op ns", "peak RSS KiB"
    )?;
    for row in &figure.rows {
        writeln!(
            out,
            "  {:<20} {:>10} {:>10} {:>10} {:>4}  {:>10} {:>10} {:>12} {:>12}",
            row.system,
            number(row.median),
            number(row.min),
            number(row.max),
            row.runs,
            figure.against(row, Kind::Peer),
            figure.against(row, Kind::Limit),
            number(row.cpu_ns_per_op),
            row.peak_rss_kib
        )?;
    }
    let peers: Vec<_> = figure.rows.iter().filter(|row| row.kind() == Kind::Peer).collect();
    for ours in figure.rows.iter().filter(|row| row.kind() == Kind::Ours && !peers.is_empty()) {
        let ratios = peers.iter().map(|peer| format!("{} {}", peer.system, ours.against(peer).trim_end()));
        writeln!(out, "    {} against {}", ours.system, ratios.collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

/// How often we win, and each place where we do not.
fn summary(figures: &[Figure], out: &mut String) -> fmt::Result {
    let [better, tie, worse] = figure::tally(figures);
    writeln!(
        out,
        "\nThe best of ours beside the best peer: better in {better}, a tie in {tie}, worse in {worse}."
    )?;
    let losses = figure::losses(figures);
    if !losses.is_empty() {
        writeln!(
            out,
            "Where we lose (a peer is better and the runs do not overlap; * each of ours is beaten):"
        )?;
    }
    for loss in losses {
        let mark = if loss.all_of_ours { "*" } else { " " };
        let title = format!("{} {}", loss.ours.workload, loss.ours.params);
        writeln!(
            out,
            " {mark}{title:<48} {:<22} {:>8} behind {}",
            loss.ours.system,
            times(loss.times),
            loss.peer.system
        )?;
    }
    Ok(())
}
