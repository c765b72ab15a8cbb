//! The report as a page: one file without scripts that asks nothing of the network.
//!
//! It is laid out for a narrow window first; a wide one shows more charts side by side. Colours come from
//! `palette.rs`, so that the dark page is the same page.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Report;
use crate::report::axis::short;
use crate::report::chart;
use crate::report::figure::{self, Figure, Loss, Losses, Weight};
use crate::report::growth::{self, Growth};
use crate::report::palette::{self, LIMIT, Look, OURS, PEER, Palette, Shape};
use crate::report::row::{Kind, Row, number, times};

/// The style of the page, but for the colours of charts in the dark.
const STYLE: &str = include_str!("html/style.css");

/// The whole page.
pub(crate) fn page(report: &Report) -> Result<String> {
    let rows = || report.figures.iter().flat_map(|figure| &figure.rows);
    let palette = Palette::new(rows().map(|row| row.system.as_str()));
    let growths = growth::growths(&report.figures);
    let mut families: Vec<&str> = Vec::new();
    for row in rows() {
        if !families.contains(&row.family()) {
            families.push(row.family());
        }
    }
    let sections = families
        .iter()
        .map(|family| section(family, &report.figures, &growths, &palette))
        .collect::<Result<Vec<_>>>()?;
    let dark = format!("@media (prefers-color-scheme: dark) {{\n{}}}", palette::dark_rules());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "twoply: comparative benches" }
                style { (PreEscaped(STYLE)) (PreEscaped(dark)) }
            }
            body {
                header {
                    h1 { "twoply beside its peers" }
                    (machine(report))
                }
                nav aria-label="Workloads" {
                    @for family in &families { a href={ "#" (anchor(family)) } { (family) } " " }
                }
                main {
                    (where_we_lose(&report.figures))
                    (how_to_read())
                    @for section in &sections { (section) }
                }
            }
        }
    };
    Ok(page.into_string())
}

/// The name of a family's section in an address.
fn anchor(family: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("w-{}", family.chars().map(plain).collect::<String>())
}

fn machine(report: &Report) -> Markup {
    let Some(about) = &report.about else {
        return html! { p { "The file does not say what machine this was measured on." } };
    };
    html! {
        dl class="facts" {
            @for (name, fact) in about.facts() { dt { (name) } dd { (fact) } }
            @if !about.failures.is_empty() {
                dt class="bad" { "failed" }
                dd { ul { @for failure in &about.failures { li { (failure) } } } }
            }
            @if !about.left_out.is_empty() {
                dt class="bad" { "no time left" }
                dd { (about.left_out.join("; ")) }
            }
        }
    }
}

fn where_we_lose(figures: &[Figure]) -> Markup {
    let losses = figure::losses(figures);
    let of = |weight| losses.iter().filter(move |losses| losses.weight == weight).collect::<Vec<_>>();
    let (all, some, one_run) = (of(Weight::All), of(Weight::Some), of(Weight::OneRun));
    html! {
        section id="losses" {
            h2 { "Where we lose" }
            p {
                (figure::tally(figures)) " Listed is every figure in which a peer's median is better and the runs do \
                not overlap. Sizes that were measured for a curve only are not counted here."
            }
            h3 { "Each of ours is beaten" }
            @if all.is_empty() { p { "In no figure." } } @else { (loss_table(&all)) }
            @if !some.is_empty() {
                details {
                    summary { "Some of ours are beaten, others are not (" (some.len()) ")" }
                    (loss_table(&some))
                }
            }
            @if !one_run.is_empty() {
                details {
                    summary { "A peer was better in one run, which may be chance (" (one_run.len()) ")" }
                    (loss_table(&one_run))
                }
            }
        }
    }
}

fn loss_table(losses: &[&Losses<'_>]) -> Markup {
    html! {
        div class="scroll" {
            table {
                thead { tr { th { "workload" } th { "ours" } th { "peer" } th class="n" { "better by" } } }
                @for Losses { figure, losses, .. } in losses {
                    tbody {
                        @for (line, Loss { ours, peer, times: ratio }) in losses.iter().enumerate() {
                            tr {
                                @if line == 0 {
                                    td rowspan=(losses.len()) {
                                        a href={ "#" (anchor(ours.family())) } { (ours.workload) } br;
                                        small { (ours.params) br; (figure.first().unit) }
                                    }
                                }
                                td { (ours.system) " " small { (number(ours.median)) } }
                                td { (peer.system) " " small { (number(peer.median)) } }
                                td class="n" { b { (times(*ratio)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn how_to_read() -> Markup {
    let swatch = |colour: palette::Colour| {
        html! { svg class="swatch" viewBox="0 0 24 12" { rect width="24" height="12" fill=(colour.hex()) {} } }
    };
    html! {
        section id="reading" {
            h2 { "How to read this" }
            ul {
                li {
                    "Each system runs each workload in a process of its own, by turns with the others. A bar is the \
                    median of the runs, its whisker goes from the least to the greatest. The best is at the top: "
                    (swatch(OURS)) " ours, " (swatch(PEER)) " peers, " (swatch(LIMIT)) " the limit: what the kernel \
                    allows with nothing in between. Its line goes through all bars."
                }
                li {
                    "A ratio says how many times better a system is than the best peer, or than the limit: 2.00x is \
                    half the cost or twice the rate, 0.50x the reverse. " b { "=" } " is a tie: the runs of the two \
                    overlap, so the order of their medians may be chance. " b { "?" } " is a single run, which has no \
                    spread and says little."
                }
                li {
                    "CPU time is the user's and the system's, of all threads; for HTTP, of the server. Who is fast by \
                    spinning pays there."
                }
                li {
                    "A workload is one small thing done over and over: a ratio says what that thing costs, and nothing \
                    about a program that does little of it. Nothing is pinned to a core."
                }
            }
        }
    }
}

/// Everything about the workloads of one name.
fn section(family: &str, figures: &[Figure], growths: &[Growth<'_>], palette: &Palette) -> Result<Markup> {
    let figures: Vec<_> = figures.iter().filter(|figure| figure.first().family() == family).collect();
    let alone: Vec<_> = figures.iter().copied().filter(|figure| !figure.scaling()).collect();
    let bars = alone.iter().map(|figure| bars(figure)).collect::<Result<Vec<_>>>()?;
    let of_family = growths.iter().filter(|growth| growth.first().family() == family);
    let scaling = of_family.map(|growth| scaling(growth, palette)).collect::<Result<Vec<_>>>()?;
    let mut latencies = Vec::new();
    for figure in &figures {
        latencies.extend(latency(figure, palette)?);
    }
    Ok(html! {
        section id=(anchor(family)) {
            h2 { (family) }
            @if !bars.is_empty() { div class="grid" { @for bars in &bars { (bars) } } }
            @if !scaling.is_empty() {
                h3 { "How it grows" }
                div class="grid" { @for scaling in &scaling { (scaling) } }
            }
            @if !latencies.is_empty() {
                h3 { "Latency" }
                div class="grid" { @for latency in &latencies { (latency) } }
            }
            details {
                summary { "Tables" }
                @for figure in &figures { (table(figure)) }
            }
        }
    })
}

/// One figure as bars.
fn bars(figure: &Figure) -> Result<Markup> {
    let (svg, logarithmic) = chart::bars::chart(figure)?;
    Ok(html! {
        figure {
            figcaption {
                b { (figure.first().workload) } " " (figure.first().params) br;
                small { (figure.unit()) @if logarithmic { ", logarithmic" } }
            }
            (PreEscaped(svg))
        }
    })
}

/// One growth as curves.
fn scaling(growth: &Growth<'_>, palette: &Palette) -> Result<Markup> {
    let first = growth.first();
    let svg = chart::scaling::chart(growth, palette)?;
    Ok(html! {
        figure {
            figcaption {
                b { (first.workload) } " by " (growth.grows) " " (growth.fixed) br;
                small { (first.unit) ", logarithmic" }
            }
            (PreEscaped(svg))
            (legend(growth.curves.iter().map(|curve| curve.system), palette))
        }
    })
}

/// The latencies of a figure's systems as curves, if it has some.
fn latency(figure: &Figure, palette: &Palette) -> Result<Option<Markup>> {
    let rows: Vec<&Row> = figure.rows.iter().collect();
    let Some(svg) = chart::latency::chart(&rows, palette)? else { return Ok(None) };
    let with = rows.iter().filter(|row| !row.percentiles.is_empty());
    let first = figure.first();
    Ok(Some(html! {
        figure {
            figcaption {
                b { (first.family()) } " " (first.params) br;
                small { "us by percentile, logarithmic, lower is better" }
            }
            (PreEscaped(svg))
            (legend(with.map(|row| row.system.as_str()), palette))
        }
    }))
}

/// Which line is whose.
fn legend<'a>(systems: impl Iterator<Item = &'a str>, palette: &Palette) -> Markup {
    html! {
        ul class="legend" {
            @for system in systems { li { (sample(palette.look(system))) (system) } }
        }
    }
}

/// A piece of a system's line with one of its points.
fn sample(look: Look) -> Markup {
    let colour = look.colour.hex();
    let width = if look.is_ours() { "3" } else { "2" };
    html! {
        svg class="swatch" viewBox="0 0 24 12" {
            line x1="0" y1="6" x2="24" y2="6" stroke=(colour) stroke-width=(width) {}
            @match look.shape {
                Shape::Disc => circle cx="12" cy="6" r="4" fill=(colour) {},
                Shape::Ring => circle cx="12" cy="6" r="4" fill="none" stroke=(colour) stroke-width="2" {},
                Shape::Square => rect x="8.5" y="2.5" width="7" height="7" fill=(colour) {},
                Shape::Triangle => path d="M12 1.5 L16.5 9.5 L7.5 9.5 Z" fill=(colour) {},
            }
        }
    }
}

/// One figure as a table.
fn table(figure: &Figure) -> Markup {
    html! {
        div class="scroll" {
            table {
                caption { b { (figure.title()) } " [" (figure.unit()) "]" }
                thead { tr {
                    th { "system" } th class="n" { "median" } th class="n" { "best peer" } th class="n" { "limit" }
                    th class="n" { "min" } th class="n" { "max" } th class="n" { "runs" }
                    th class="n" { "CPU ns/op" } th class="n" { "peak RSS KiB" }
                } }
                tbody {
                    @for row in figure.ranked() {
                        tr class=[(row.kind() == Kind::Ours).then_some("ours")] {
                            th scope="row" { (row.system) }
                            td class="n" { (number(row.median)) }
                            td class="n" { (figure.against(row, Kind::Peer).trim_end()) }
                            td class="n" { (figure.against(row, Kind::Limit).trim_end()) }
                            td class="n" { (number(row.min)) }
                            td class="n" { (number(row.max)) }
                            td class="n" { (row.runs) }
                            td class="n" { (short(row.cpu_ns_per_op)) }
                            td class="n" { (row.peak_rss_kib) }
                        }
                    }
                }
            }
        }
    }
}
