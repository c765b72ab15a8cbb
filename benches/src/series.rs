//! Workloads over a range of sizes: how the cost of one thing grows with the number of them.
//!
//! A series is a table entry like a case. It becomes one case for each size, so whoever runs or reports cases
//! needs to know of series only what [`Entry::scaling`] says. A size that has a case of its own is not run
//! twice: the report takes its point from there.

use std::sync::LazyLock;

use crate::workload::{self, Case, Measure, Run};

/// A workload that is run at several sizes.
pub(crate) struct Series {
    /// The name of the workload: that of its cases, if there are some.
    pub(crate) workload: &'static str,
    /// The parameter that grows. It comes first among the parameters.
    pub(crate) grows: &'static str,
    /// Its values, in ascending order.
    pub(crate) sizes: &'static [usize],
    /// The other parameters, in the order of the cases.
    pub(crate) fixed: &'static [(&'static str, usize)],
    /// As those of a case. The first is what is drawn.
    pub(crate) measures: &'static [Measure],
    /// Who runs it, and up to which size: beyond it, the system cannot or would take minutes.
    pub(crate) systems: &'static [(&'static str, Run, usize)],
}

/// A case of the whole table.
pub(crate) struct Entry {
    /// The case itself.
    pub(crate) case: &'static Case,
    /// Whether it is a point of a series only.
    pub(crate) scaling: bool,
    /// Whether it runs only where `--only` asks for it.
    pub(crate) on_request: bool,
}

/// The cases, those that run on request, then the points of the series that are not cases already.
///
/// What a series becomes lives as long as the program, as the tables of the cases do.
static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let entry = |on_request| move |case| Entry { case, scaling: false, on_request };
    let mut table: Vec<_> = workload::cases().map(entry(false)).collect();
    table.extend(workload::cases_on_request().iter().map(entry(true)));
    for series in workload::series() {
        for case in points(series) {
            if table.iter().all(|known| known.case.name() != case.name()) {
                table.push(Entry { case: Box::leak(Box::new(case)), scaling: true, on_request: false });
            }
        }
    }
    table
});

/// All the cases and the points of all series.
pub(crate) fn table() -> &'static [Entry] {
    &TABLE
}

/// One case for each size.
fn points(series: &Series) -> Vec<Case> {
    let point = |size: usize| {
        let params: Vec<_> = [(series.grows, size)].into_iter().chain(series.fixed.iter().copied()).collect();
        let able = series.systems.iter().filter(|(_, _, up_to)| size <= *up_to);
        let systems: Vec<_> = able.map(|(name, run, _)| (*name, *run)).collect();
        Case {
            workload: series.workload,
            params: params.leak(),
            measures: series.measures,
            quick: true,
            systems: systems.leak(),
        }
    };
    series.sizes.iter().copied().map(point).collect()
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;
    use crate::sample::Sample;
    use crate::workload::{Context, NANOSECONDS};

    fn nothing(_: &Context) -> anyhow::Result<Sample> {
        bail!("this workload is never run")
    }

    const CONNECTIONS: Series = Series {
        workload: "w",
        grows: "connections",
        sizes: &[10, 100, 1_000, 10_000],
        fixed: &[("workers", 2)],
        measures: NANOSECONDS,
        systems: &[("a", nothing, usize::MAX), ("b", nothing, 100)],
    };

    #[test]
    fn a_series_becomes_a_case_for_each_size_and_system_that_can() {
        let names: Vec<_> = points(&CONNECTIONS)
            .iter()
            .map(|case| (case.name(), case.systems.iter().map(|(name, _)| *name).collect::<String>()))
            .collect();
        let expected = [(10, "ab"), (100, "ab"), (1_000, "a"), (10_000, "a")];
        assert_eq!(
            names,
            expected.map(|(n, systems)| (format!("w connections={n} workers=2"), systems.to_owned()))
        );
    }

    #[test]
    fn no_two_entries_of_the_table_have_the_same_name() {
        let mut names: Vec<_> = table().iter().map(|entry| entry.case.name()).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_point_has_the_measures_of_the_cases_of_its_workload() {
        for series in workload::series() {
            for case in workload::cases().filter(|case| case.workload == series.workload) {
                let units =
                    |measures: &[Measure]| measures.iter().map(|m| (m.name, m.unit)).collect::<Vec<_>>();
                assert_eq!(units(series.measures), units(case.measures), "{}", series.workload);
            }
            assert!(series.sizes.is_sorted(), "{}: sizes do not ascend", series.workload);
        }
    }
}
