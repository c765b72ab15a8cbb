//! The program runs: each contestant has a short turn in each case, and checks the answers.

use std::process::Command;

#[test]
fn each_case_runs_once() {
    let program = env!("CARGO_BIN_EXE_twoply-integration-bench");
    let output = Command::new(program).args(["--quick", "--sides", "green,fibers"]).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    for case in ["http1, 1,000 connections", "TLS echo", "redis", "  ask "] {
        assert!(text.contains(case) || errors.contains("SKIPPED"), "{case} is missing:\n{text}");
    }
    errors.lines().filter_map(|line| line.strip_prefix("SKIPPED: ")).for_each(twoply_tests::skip);
}
