//! What the report says about rows that were made up: comparisons, curves, axes, and each form of it.

use std::time::Duration;

use super::axis::{Axis, short};
use super::figure::{Verdict, Weight, losses};
use super::growth::growths;
use super::palette::Palette;
use super::row::{Kind, Order, median, sorted};
use super::*;
use crate::harness::{CaseResult, Outcome, Plan, SystemResult, Wishes};
use crate::series;
use crate::workload::Better;

/// A row of three runs, of a workload whose cost is in ns.
fn row(system: &str, min: f64, median: f64, max: f64) -> Row {
    Row {
        workload: "w".to_owned(),
        params: "tasks=10 workers=1".to_owned(),
        system: system.to_owned(),
        unit: "ns".to_owned(),
        better: Better::Lower,
        median,
        min,
        max,
        runs: 3,
        cpu_s: 0.5,
        peak_rss_kib: 4096,
        cpu_ns_per_op: 7.0,
        scaling: false,
        percentiles: Vec::new(),
        about: None,
    }
}

fn sized(system: &str, params: &str, value: f64) -> Row {
    Row { params: params.to_owned(), ..row(system, value, value, value) }
}

fn report(rows: Vec<Row>) -> Report {
    Report { about: None, figures: figure::group(rows) }
}

/// Each form of a report of these rows.
fn forms(rows: Vec<Row>) -> Result<(String, String, String)> {
    let report = report(rows);
    Ok((html::page(&report)?, markdown::document(&report), table::text(&report)))
}

fn about() -> About {
    About {
        cpu: "a <processor>".to_owned(),
        cores: 2,
        memory_kib: 1024 * 1024,
        kernel: "Linux".to_owned(),
        crates: vec!["tokio 1".to_owned()],
        toolchains: vec!["rustc".to_owned()],
        date: "today".to_owned(),
        quick: false,
        window_ms: 300,
        runs: 7,
        took_s: 61,
        failures: vec!["w smol: it | failed".to_owned()],
        our_failures: 0,
        left_out: Vec::new(),
    }
}

#[test]
fn a_peer_that_fails_is_reported_and_is_no_failure_of_ours() {
    let failed = |system| SystemResult { system, samples: Vec::new(), failure: Some("it failed".to_owned()) };
    let failures = |systems: Vec<SystemResult>| {
        let results = vec![CaseResult { case: series::table()[0].case, scaling: false, systems }];
        let outcome = Outcome { results, left_out: Vec::new(), took: Duration::ZERO };
        let about = Some(About::here(&Plan::select(&Wishes::default()), &outcome));
        let report = Report { about, ..report(Vec::new()) };
        (report.about.as_ref().map(|about| about.failures.len()), report.print_failures())
    };
    assert_eq!(failures(vec![failed("may"), failed("smol")]), (Some(2), 0));
    assert_eq!(failures(vec![failed("may"), failed("twoply-green"), failed("limit-epoll")]), (Some(3), 2));
}

#[test]
fn half_the_cost_and_twice_the_rate_are_both_twice_as_good() {
    let cost = row("a", 9.0, 10.0, 11.0).against(&row("b", 19.0, 20.0, 21.0));
    let rate = |row: Row| Row { better: Better::Higher, ..row };
    let rate = rate(row("a", 19.0, 20.0, 21.0)).against(&rate(row("b", 9.0, 10.0, 11.0)));
    assert_eq!((cost.as_str(), rate.as_str()), ("2.00x ", "2.00x "));
}

#[test]
fn nothing_is_as_good_as_nothing_and_infinitely_better_than_something() {
    let (nothing, something) = (row("a", 0.0, 0.0, 0.0), row("b", 1.0, 1.0, 1.0));
    assert_eq!(nothing.against(&nothing), "1.00x=");
    assert_eq!(nothing.against(&something), "∞x ");
    assert_eq!(something.against(&nothing), "0.00x ");
}

#[test]
fn overlapping_runs_are_a_tie_and_a_single_run_is_in_doubt() {
    let ours = row("twoply-green", 9.0, 10.0, 20.0);
    assert_eq!(ours.order(&row("b", 20.0, 25.0, 30.0)), Order::Tie);
    assert!(matches!(ours.order(&row("b", 20.1, 25.0, 30.0)), Order::Sure(_)));
    let alone = Row { runs: 1, ..row("b", 25.0, 25.0, 25.0) };
    assert!(matches!(ours.order(&alone), Order::OneRun(_)));
    assert_eq!(ours.against(&alone), "2.50x?");
}

#[test]
fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
    assert_eq!(median(&sorted(vec![9.0, 1.0, 4.0])), 4.0);
    assert_eq!(median(&sorted(vec![9.0, 1.0, 4.0, 5.0])), 4.5);
}

#[test]
fn the_prefix_of_a_name_says_what_a_system_is() {
    let kinds = ["twoply-green", "limit-epoll", "tokio-multi"].map(Kind::of);
    assert_eq!(kinds, [Kind::Ours, Kind::Limit, Kind::Peer]);
}

#[test]
fn we_lose_where_a_peer_is_better_and_the_runs_do_not_overlap() {
    let rows = vec![
        row("limit-futex", 1.0, 1.0, 1.0),
        row("fast", 9.0, 10.0, 11.0),
        row("near", 18.0, 19.0, 21.0),
        row("twoply-green", 19.0, 20.0, 22.0),
        row("twoply-native", 39.0, 40.0, 41.0),
    ];
    let report = report(rows);
    let found = losses(&report.figures);
    assert_eq!(found.len(), 1, "the limit is no peer, and one figure is one entry");
    assert_eq!(found[0].weight, Weight::All);
    let lost: Vec<_> =
        found[0].losses.iter().map(|loss| (&*loss.ours.system, &*loss.peer.system, loss.times)).collect();
    assert_eq!(lost, [("twoply-green", "fast", 2.0), ("twoply-native", "fast", 4.0)]);
    assert_eq!(report.figures[0].verdict(), Some(Verdict::Worse));
}

#[test]
fn a_tie_is_no_loss_and_choosing_another_of_ours_is_told_apart() {
    let rows = vec![
        row("peer", 9.0, 10.0, 12.0),
        row("twoply-green", 11.0, 13.0, 14.0),
        row("twoply-native", 20.0, 30.0, 40.0),
    ];
    let report = report(rows);
    let found = losses(&report.figures);
    assert_eq!((found[0].weight, found[0].losses.len()), (Weight::Some, 1));
    assert_eq!(found[0].losses[0].ours.system, "twoply-native");
    assert_eq!(report.figures[0].verdict(), Some(Verdict::Tie));
}

#[test]
fn the_worst_losses_come_first_and_those_of_one_run_last() {
    let pair = |params: &str, ours: f64, runs: usize| {
        let ours = Row { runs, ..sized("twoply-green", params, ours) };
        [sized("peer", params, 1.0), ours]
    };
    let rows = [pair("n=1", 2.0, 3), pair("n=2", 99.0, 1), pair("n=3", 5.0, 3)].concat();
    let report = report(rows);
    let order: Vec<_> =
        losses(&report.figures).iter().map(|losses| losses.figure.first().params.clone()).collect();
    assert_eq!(order, ["n=3", "n=1", "n=2"]);
    assert!(
        figure::tally(&report.figures)
            .contains("better than the best peer in 0 figures, ties in 0, and is worse in 2.")
    );
}

#[test]
fn points_of_a_series_are_neither_won_nor_lost() {
    let point = |system: &str, value: f64| Row { scaling: true, ..sized(system, "n=1", value) };
    let report = report(vec![point("peer", 1.0), point("twoply-green", 2.0)]);
    assert!(losses(&report.figures).is_empty());
    assert!(figure::tally(&report.figures).contains("worse in 0."));
}

#[test]
fn without_a_peer_there_is_neither_verdict_nor_loss() {
    let report = report(vec![row("limit-epoll", 1.0, 1.0, 1.0), row("twoply-green", 2.0, 2.0, 2.0)]);
    assert_eq!(report.figures[0].verdict(), None);
    assert!(losses(&report.figures).is_empty());
    assert_eq!(report.figures[0].against(&report.figures[0].rows[1], Kind::Peer), "-");
    assert_eq!(report.figures[0].against(&report.figures[0].rows[1], Kind::Limit), "0.50x ");
}

#[test]
fn a_line_of_json_has_the_promised_keys_in_their_order() -> Result<()> {
    let line = report(vec![row("smol", 1.0, 2.0, 3.0)]).lines()?.remove(0);
    let promised = "{\"workload\":\"w\",\"params\":\"tasks=10 workers=1\",\"system\":\"smol\",\"unit\":\"ns\",\
                    \"better\":\"lower\",\"median\":2.0,\"min\":1.0,\"max\":3.0,\"runs\":3,\"cpu_s\":0.5,\
                    \"peak_rss_kib\":4096,";
    assert!(line.starts_with(promised), "{line}");
    Ok(())
}

#[test]
fn a_report_that_is_read_back_is_the_same_report() -> Result<()> {
    let tail = Row { percentiles: vec![(0.0, 1.5), (100.0, 9.0)], ..row("smol", 1.0, 2.0, 3.0) };
    let rows = vec![tail, Row { scaling: true, ..sized("twoply-green", "n=2", 4.0) }];
    let written = Report { about: Some(about()), figures: figure::group(rows.clone()) };
    let read = Report::parse(&written.lines()?.join("\n\n"))?;
    assert_eq!(read.about, Some(about()));
    assert_eq!(read.figures.into_iter().flat_map(|figure| figure.rows).collect::<Vec<_>>(), rows);
    Ok(())
}

#[test]
fn a_file_of_the_promised_keys_alone_is_enough() -> Result<()> {
    let line = r#"{"workload":"w","params":"","system":"s","unit":"ns","better":"higher","median":1,"min":1,"max":1,
        "runs":1,"cpu_s":0,"peak_rss_kib":0,"of_somebody_else":true}"#;
    let report = Report::parse(&line.replace('\n', ""))?;
    assert_eq!(report.figures[0].title(), "w");
    assert!(html::page(&report)?.contains("does not say what machine"));
    Ok(())
}

#[test]
fn a_broken_file_is_refused_with_the_line_that_is_wrong() {
    let cut = |text: &str| Report::parse(text).err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(cut("").contains("no figures"));
    let good = report(vec![row("smol", 1.0, 2.0, 3.0)]).lines().expect("rows can be written").remove(0);
    assert!(cut(&format!("{good}\n{}", &good[..40])).starts_with("line 2: "));
    assert!(cut(&good.replace("2.0", "null")).starts_with("line 1: "));
}

#[test]
fn three_sizes_of_one_parameter_are_a_growth_and_two_are_none() {
    let at = |system: &str, tasks: usize, workers: usize| {
        sized(system, &format!("tasks={tasks} workers={workers}"), tasks as f64)
    };
    let mut rows = vec![at("a", 100, 1), at("a", 10, 1), at("b", 10, 1), at("a", 1000, 1)];
    rows.extend([at("a", 10, 2), at("a", 100, 2)]);
    let report = report(rows);
    let found = growths(&report.figures);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].grows, &*found[0].fixed), ("tasks", "workers=1"));
    assert_eq!(found[0].sizes, [10.0, 100.0, 1000.0]);
    let lengths: Vec<_> = found[0].curves.iter().map(|curve| (curve.system, curve.points.len())).collect();
    assert_eq!(lengths, [("a", 3), ("b", 1)], "a system may lack a size");
    assert!(found[0].curves[0].points.is_sorted_by_key(|(size, _)| *size));
}

#[test]
fn axes_have_room_and_ticks_for_nothing_for_one_value_and_for_many() {
    for values in [vec![], vec![0.0], vec![5.0], vec![0.0, 1e-9, 1e12], vec![f64::NAN, f64::INFINITY]] {
        for axis in [Axis::linear(values.clone()), Axis::logarithmic(values.clone())] {
            assert!(
                axis.from < axis.to && axis.from.is_finite() && axis.to.is_finite(),
                "{values:?}: {axis:?}"
            );
            assert!((1..=12).contains(&axis.ticks.len()), "{values:?}: {axis:?}");
            assert!(
                axis.ticks.iter().all(|tick| (axis.from..=axis.to).contains(tick)),
                "{values:?}: {axis:?}"
            );
        }
    }
    assert_eq!(Axis::logarithmic([1.0]).place(0.0), None);
    assert_eq!(Axis::logarithmic([1.0]).place(1000.0), Some(3.0));
    let nines = Axis::nines(3.3);
    let labels: Vec<_> = nines.ticks.iter().map(|tick| nines.label(*tick)).collect();
    assert_eq!(labels, ["0 %", "90", "99", "99.9"]);
}

#[test]
fn short_numbers_have_three_digits() {
    let numbers = [0.0, 0.05, 1.0, 12.34, 999.4, 999.9, 1_234.0, 99_990.0, 1e6, 5.5e9].map(short);
    assert_eq!(numbers, ["0", "0.05", "1", "12.3", "999", "1k", "1.23k", "100k", "1M", "5.5G"]);
}

#[test]
fn every_form_survives_zeros_missing_systems_and_markup() -> Result<()> {
    let mut rows = vec![sized("<b>&", "", 0.0), sized("twoply-green", "", 0.0)];
    rows.extend([1, 2, 3].map(|n| sized("only-one", &format!("n={n}"), 0.0)));
    rows.push(Row { percentiles: vec![(0.0, 0.0), (100.0, 0.0)], ..sized("smol", "n=4", 1e300) });
    let (page, document, text) = forms(rows)?;
    assert!(page.contains("&lt;b&gt;&amp;") && !page.contains("<b>&amp;<"), "names are text");
    for form in [page, document, text] {
        assert!(form.contains("only-one") && !form.contains("NaN"), "{form}");
    }
    Ok(())
}

#[test]
fn the_page_asks_nothing_of_the_network_and_runs_no_script() -> Result<()> {
    let tail =
        Row { percentiles: vec![(0.0, 1.0), (90.0, 2.0), (100.0, 30.0)], ..row("smol", 1.0, 2.0, 3.0) };
    let mut rows = vec![tail, row("twoply-green", 1.0, 2.0, 300.0)];
    rows.extend([20, 30].map(|n| sized("smol", &format!("tasks={n} workers=1"), n as f64)));
    let written = Report { about: Some(about()), figures: figure::group(rows) };
    let page = html::page(&written)?.replace("http://www.w3.org/2000/svg", "");
    for word in ["<script", "http:", "https:", "url(", "@import", "<img", "<link", "src="] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("a &lt;processor&gt;") && page.contains("it | failed"));
    // Bars of three figures, one growth, one curve of latencies.
    assert_eq!(page.matches("role=\"img\"").count(), 5);
    assert!(markdown::document(&written).contains("it \\| failed"), "a bar would end the cell");
    Ok(())
}

#[test]
fn whatever_is_drawn_has_a_colour_for_the_dark() -> Result<()> {
    let systems = ["limit-epoll", "tokio-multi", "smol", "go", "twoply-green", "twoply-native"];
    let row =
        |system: &str| Row { percentiles: vec![(0.0, 1.0), (100.0, 9.0)], ..row(system, 1.0, 2.0, 3.0) };
    let (page, _, _) = forms(systems.map(row).to_vec())?;
    let rules = palette::dark_rules();
    for attribute in ["fill=\"#", "stroke=\"#"] {
        for (at, _) in page.match_indices(attribute).filter(|(at, _)| !page[..*at].ends_with('[')) {
            let drawn = &page[at..at + attribute.len() + 7];
            assert!(rules.contains(&format!("[{drawn}]")), "{drawn} stays as it is in the dark");
        }
    }
    Ok(())
}

#[test]
fn systems_of_one_page_look_different_and_the_same_in_every_report() {
    let names: Vec<_> =
        (0..12).map(|n| format!("peer-{n}")).chain((0..6).map(|n| format!("twoply-{n}"))).collect();
    let palette = Palette::new(names.iter().map(String::as_str));
    for (index, name) in names.iter().enumerate() {
        assert!(names[..index].iter().all(|other| palette.look(other) != palette.look(name)), "{name}");
    }
    let other = Palette::new(["smol", "tokio-multi", "twoply-native", "twoply-fibers"]);
    for name in ["tokio-multi", "twoply-native"] {
        assert_eq!(other.look(name), palette.look(name));
    }
}
