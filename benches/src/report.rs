//! What the runs have shown: on the terminal, as lines of JSON, as Markdown, and as a page with charts.
//!
//! A ratio says how many times better a system is than the best peer of its case: 2.00x is half the cost or
//! twice the rate, 0.50x the reverse. `=` marks a tie: the runs of the two overlap, so the order of their
//! medians may be chance. Limits (`limit-...`) are not peers.
//!
//! A report is rows and nothing else, so one that is read back from its file is the same report.
//!
//! | file         | what it does                                                            |
//! |--------------|-------------------------------------------------------------------------|
//! | `row.rs`     | one figure of one system over its runs, and how two of them compare     |
//! | `figure.rs`  | the rows that are compared: the best, the verdict, where we lose        |
//! | `growth.rs`  | the figures that lie on the line of one parameter                       |
//! | `table.rs`   | the terminal                                                            |
//! | `markdown.rs`| Markdown                                                                |
//! | `html.rs`, `html/style.css` | the page                                                 |
//! | `chart.rs`, `chart/*.rs` | its pictures                                                |
//! | `axis.rs`, `palette.rs` | ranges, ticks and numbers; colours in light and in dark      |

mod axis;
mod chart;
mod figure;
mod growth;
mod html;
mod markdown;
mod palette;
pub(crate) mod row;
mod table;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::figure::Figure;
use self::row::Row;
use crate::harness::{CaseResult, Outcome};
use crate::machine::About;

/// Everything that was measured.
pub(crate) struct Report {
    /// What it was measured on. A file may lack it.
    about: Option<About>,
    /// In the order in which they were run.
    figures: Vec<Figure>,
}

impl Report {
    /// The report of what has just run.
    pub(crate) fn new(outcome: &Outcome, about: About) -> Result<Self> {
        let mut rows = Vec::new();
        for result in &outcome.results {
            for index in 0..result.case.measures.len() {
                rows.extend(figure_rows(result, index)?);
            }
        }
        Ok(Self { about: Some(about), figures: figure::group(rows) })
    }

    /// The report that an earlier run has written as JSON.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Lines of JSON, one for each figure of each system. Empty lines are passed over.
    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let row = |(index, line)| -> Result<Row> {
            serde_json::from_str(line).with_context(|| format!("line {}", index + 1))
        };
        let mut rows = lines.map(row).collect::<Result<Vec<_>>>()?;
        ensure!(!rows.is_empty(), "no figures");
        let about = rows.iter_mut().find_map(|row| row.about.take());
        Ok(Self { about, figures: figure::group(rows) })
    }

    /// The rows as lines of JSON. The first says what they were measured on.
    fn lines(&self) -> Result<Vec<String>> {
        let mut about = self.about.clone();
        let rows = self.figures.iter().flat_map(|figure| &figure.rows);
        rows.map(|row| Ok(serde_json::to_string(&Row { about: about.take(), ..row.clone() })?)).collect()
    }

    /// Writes one JSON object a line: one for each figure of each system.
    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for line in self.lines()? {
            writeln!(file, "{line}")?;
        }
        Ok(file.flush()?)
    }

    /// Writes the page.
    pub(crate) fn write_html(&self, path: &Path) -> Result<()> {
        Ok(fs::write(path, html::page(self)?)?)
    }

    /// Writes the tables as Markdown.
    pub(crate) fn write_markdown(&self, path: &Path) -> Result<()> {
        Ok(fs::write(path, markdown::document(self))?)
    }

    /// Prints the machine and the tables.
    pub(crate) fn print(&self) {
        print!("{}", table::text(self));
    }

    /// Says on standard error which runs failed and why, and what no time was left for. Answers how many of
    /// those that failed are no peer's.
    pub(crate) fn print_failures(&self) -> usize {
        let Some(about) = &self.about else { return 0 };
        for failure in &about.failures {
            eprintln!("FAILED {failure}");
        }
        if !about.left_out.is_empty() {
            eprintln!("NO TIME LEFT for {} (see --minutes and --only)", about.left_out.join("; "));
        }
        about.our_failures
    }
}

/// The rows of one measure of a case.
fn figure_rows(result: &CaseResult, index: usize) -> Result<Vec<Row>> {
    let rows = result.systems.iter().map(|system| Row::new(result, system, index));
    Ok(rows.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests;
