//! Random programs of processes do what Erlang's rules say, on every backend and across two, and so does
//! Erlang.
//!
//! The same programs run with some of their processes on an Erlang node and the others here.
//!
//! See [`twoply_tests::differential`] for what the programs are and how they are judged. The seeds are fixed.
//! `TWOPLY_PROGRAMS=5000` runs so many instead, `TWOPLY_SEED=17` begins with another seed.

use std::env;
use std::time::{Duration, Instant};

use twoply_tests::differential::across::Across;
use twoply_tests::differential::{Program, erlang, generate, interpret, judge, minimise};
use twoply_tests::{Systems, laws, watch};

laws! {
    and_mixed { processes_do_what_the_model_says }
    everywhere { processes_of_two_nodes_do_what_the_model_says }
}

/// How long the programs of two nodes may take, on each system: longer than they do where nothing else runs.
const WHILE: Duration = Duration::from_secs(25);

/// A number from the environment.
fn number(name: &str, usual: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")),
        Err(_) => usual,
    }
}

/// Returns that many programs from a seed on, unless others are asked for.
fn programs(seed: u64, usual: u64) -> Vec<Program> {
    let first = number("TWOPLY_SEED", seed);
    (first..first + number("TWOPLY_PROGRAMS", usual)).map(generate).collect()
}

#[test]
fn erlang_does_what_the_model_says() {
    if !erlang::is_installed() {
        twoply_tests::skip("there is no erl and erlc here (Debian: erlang-base)");
        return;
    }
    watch("erlang_does_what_the_model_says", || {
        let programs = programs(0, 500);
        let traces = erlang::run(&programs).unwrap();
        let mut steps = (0, 0);
        for (program, trace) in programs.iter().zip(&traces) {
            let judged = judge(program, trace).unwrap_or_else(|wrong| panic!("{program}\n{trace}{wrong}"));
            steps = (steps.0 + judged.steps, steps.1 + judged.unjudged);
        }
        println!("{} programs, {} steps, {} not judged", programs.len(), steps.0, steps.1);
        assert!(
            steps.0 > 5 * programs.len() && steps.1 < steps.0 / 10,
            "the programs have become useless: {steps:?}"
        );
    });
}

/// What is wrong with a run of `program`, if anything is.
fn wrong(on: &Systems, program: &Program, across: Option<&Across>) -> Option<String> {
    let trace = match interpret::run(on, program, across) {
        Ok(trace) => trace,
        Err(lost) => return Some(lost),
    };
    judge(program, &trace).err().map(|wrong| format!("{trace}{wrong}"))
}

fn processes_do_what_the_model_says(on: &Systems) {
    programs(0, 100).iter().for_each(|program| check(on, program, None));
}

fn check(on: &Systems, program: &Program, across: Option<&Across>) {
    let Some(first) = wrong(on, program, across) else { return };
    // What fails seldom may not fail again; then the whole program is the smallest.
    let least = minimise(program, |fewer| wrong(on, fewer, across).is_some());
    let again = wrong(on, &least, across);
    panic!("{program}\n{first}\n\nthe least that fails:\n{least}\n{}", again.unwrap_or_default());
}

fn processes_of_two_nodes_do_what_the_model_says(on: &Systems) {
    let Some(across) = Across::start() else { return };
    let start = Instant::now();
    let mut run = 0;
    // Other programs on each system.
    for program in programs(1_000 * on.kind() as u64, 400) {
        // As many as fit, unless a number was asked for.
        if start.elapsed() > WHILE && env::var_os("TWOPLY_PROGRAMS").is_none() {
            break;
        }
        check(on, &program, Some(&across));
        run += 1;
    }
    println!("{run} programs on two nodes");
    assert!(run > 0);
}
