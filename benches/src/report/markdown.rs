//! The report as Markdown: the machine, where we lose, and the tables.

use std::fmt::{self, Write as _};

use super::Report;
use crate::report::axis::short;
use crate::report::figure::{self, Figure, Loss, Weight};
use crate::report::growth::{self, Growth};
use crate::report::row::{Kind, number, times};

/// The document. Any change is to be made here, not in the file.
pub(crate) fn document(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _written = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "# Results of the comparative benches\n")?;
    writeln!(
        out,
        "Written by `cargo run --release -p twoply-bench -- --markdown FILE`. Not edited by hand.\n"
    )?;
    machine(report, out)?;
    how_to_read(out)?;
    losses(&report.figures, out)?;
    writeln!(out, "\n## Figures")?;
    for figure in report.figures.iter().filter(|figure| !figure.scaling()) {
        table(figure, out)?;
    }
    let growths = growth::growths(&report.figures);
    if !growths.is_empty() {
        writeln!(out, "\n## Scaling\n\nMedians by size.")?;
    }
    growths.iter().try_for_each(|growth| sizes(growth, out))
}

fn machine(report: &Report, out: &mut String) -> fmt::Result {
    let Some(about) = &report.about else { return writeln!(out, "The machine is not known.") };
    writeln!(out, "| | |\n|---|---|")?;
    for (name, fact) in about.facts() {
        writeln!(out, "| {name} | {} |", cell(&fact))?;
    }
    for failure in &about.failures {
        writeln!(out, "| failed | {} |", cell(failure))?;
    }
    if !about.left_out.is_empty() {
        writeln!(out, "| no time left | {} |", cell(&about.left_out.join("; ")))?;
    }
    Ok(())
}

fn how_to_read(out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\nEach system runs each workload in a process of its own, by turns with the others. `peer` and `limit` say how\n\
         many times better a system is than the best peer and than what the kernel allows (`limit-...`); below 1 it is\n\
         worse. `=` is a tie: the runs overlap. `?` is a single run. A workload is one small thing done over and over,\n\
         so a ratio says what that thing costs and nothing about a program that does little of it."
    )
}

fn losses(figures: &[Figure], out: &mut String) -> fmt::Result {
    writeln!(out, "\n## Where we lose\n\n{}", figure::tally(figures))?;
    let losses = figure::losses(figures);
    if losses.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "Here a peer's median is better and the runs do not overlap. In bold: each of ours is beaten. With `?`: there\n\
         was one run only, so it may be chance. Sizes that were measured for a curve only are not counted here.\n"
    )?;
    writeln!(out, "| workload | ours | median | peer | median | times better |\n|---|---|--:|---|--:|--:|")?;
    for of_figure in losses {
        let title = cell(&of_figure.figure.title());
        let title = match of_figure.weight {
            Weight::All => format!("**{title}**"),
            Weight::Some => title,
            Weight::OneRun => format!("{title} ?"),
        };
        for (line, Loss { ours, peer, times: ratio }) in of_figure.losses.iter().enumerate() {
            writeln!(
                out,
                "| {} | {} | {} {} | {} | {} | {} |",
                if line == 0 { &title } else { "" },
                ours.system,
                number(ours.median),
                cell(&ours.unit),
                peer.system,
                number(peer.median),
                times(*ratio)
            )?;
        }
    }
    Ok(())
}

fn table(figure: &Figure, out: &mut String) -> fmt::Result {
    writeln!(out, "\n### {} [{}]\n", figure.title(), figure.unit())?;
    writeln!(out, "| system | median | min | max | runs | peer | limit | CPU ns/op | RSS KiB |")?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for row in figure.ranked() {
        let name = if row.kind() == Kind::Ours { format!("**{}**", row.system) } else { row.system.clone() };
        writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            number(row.median),
            number(row.min),
            number(row.max),
            row.runs,
            figure.against(row, Kind::Peer).trim_end(),
            figure.against(row, Kind::Limit).trim_end(),
            number(row.cpu_ns_per_op),
            row.peak_rss_kib
        )?;
    }
    Ok(())
}

/// One line for each system, one column for each size.
fn sizes(growth: &Growth<'_>, out: &mut String) -> fmt::Result {
    let first = growth.first();
    writeln!(out, "\n### {} by {} {} [{}]\n", first.workload, growth.grows, growth.fixed, first.unit)?;
    let columns: Vec<_> = growth.sizes.iter().map(|size| short(*size)).collect();
    writeln!(out, "| system | {} |\n|---|{}", columns.join(" | "), "--:|".repeat(columns.len()))?;
    for curve in &growth.curves {
        let figure = |size: &f64| {
            let point = curve.points.iter().find(|(at, _)| at == size);
            point.map_or_else(String::new, |(_, row)| number(row.median))
        };
        let figures: Vec<_> = growth.sizes.iter().map(figure).collect();
        writeln!(out, "| {} | {} |", curve.system, figures.join(" | "))?;
    }
    Ok(())
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
