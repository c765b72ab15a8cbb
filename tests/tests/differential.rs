//! Random programs of processes do what Erlang's rules say, on every backend and across two, and so does
//! Erlang.
//!
//! See [`twoply_tests::differential`] for what the programs are and how they are judged. The seeds are fixed.
//! `TWOPLY_PROGRAMS=5000` runs so many instead, `TWOPLY_SEED=17` begins with another seed.

use std::env;

use twoply_tests::differential::{Program, erlang, generate, interpret, judge, minimise};
use twoply_tests::{Systems, laws, watch};

laws! {
    and_mixed { processes_do_what_the_model_says }
}

/// A number from the environment.
fn number(name: &str, usual: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")),
        Err(_) => usual,
    }
}

fn programs(usual: u64) -> Vec<Program> {
    let first = number("TWOPLY_SEED", 0);
    (first..first + number("TWOPLY_PROGRAMS", usual)).map(generate).collect()
}

#[test]
fn erlang_does_what_the_model_says() {
    if !erlang::is_installed() {
        eprintln!("skipped: there is no erl and erlc here (Debian: erlang-base)");
        return;
    }
    watch("erlang_does_what_the_model_says", || {
        let programs = programs(500);
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
fn wrong(on: &Systems, program: &Program) -> Option<String> {
    let trace = match interpret::run(on, program) {
        Ok(trace) => trace,
        Err(lost) => return Some(lost),
    };
    judge(program, &trace).err().map(|wrong| format!("{trace}{wrong}"))
}

fn processes_do_what_the_model_says(on: &Systems) {
    for program in programs(100) {
        let Some(first) = wrong(on, &program) else { continue };
        // What fails seldom may not fail again; then the whole program is the smallest.
        let least = minimise(&program, |fewer| wrong(on, fewer).is_some());
        let again = wrong(on, &least);
        panic!("{program}\n{first}\n\nthe least that fails:\n{least}\n{}", again.unwrap_or_default());
    }
}
