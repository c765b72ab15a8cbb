//! The report on the terminal: a block for each figure.

use std::fmt::{self, Write as _};

use super::Report;
use crate::report::figure::{self, Figure, Loss, Weight};
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
    writeln!(
        out,
        "\nRatios: how many times better than the best peer; `=` is a tie (the runs overlap),\n`?` a single run."
    )?;
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
    writeln!(out, "\n{}", figure::tally(figures))?;
    let losses = figure::losses(figures);
    let kinds = [
        (Weight::All, "Where each of ours is beaten (the runs do not overlap)"),
        (Weight::Some, "Where some of ours are beaten, and others are not"),
        (Weight::OneRun, "Where a peer was better in one run, which may be chance"),
    ];
    for (weight, heading) in kinds {
        let mut of_kind = losses.iter().filter(|losses| losses.weight == weight).peekable();
        if of_kind.peek().is_some() {
            writeln!(out, "\n{heading}:")?;
        }
        for losses in of_kind {
            writeln!(out, "  {}", losses.figure.title())?;
            for Loss { ours, peer, times: ratio } in &losses.losses {
                writeln!(out, "    {:<24} {:>8} behind {}", ours.system, times(*ratio), peer.system)?;
            }
        }
    }
    Ok(())
}
