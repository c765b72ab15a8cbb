//! What the compiler says of a `select!` that is written wrongly names the mistake.
//!
//! A macro complains before any path is looked up, so the compiler is given the text of the macro and the
//! wrong call alone.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Compiles a call of `select!` and returns what the compiler says.
fn complaint(name: &str, call: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let source = fs::read_to_string(root.join("core/src/future/select.rs")).expect("the macro is there");
    let (_, definition) = source.split_once("#[macro_export]").expect("the file defines the macro");
    // A macro of a crate calls itself by the path of that.
    let definition = definition.replace("$crate::select!", "select!");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("select_{name}.rs"));
    fs::write(&file, format!("{definition}\npub async fn wrong() {{ {call} }}\n"))
        .expect("it can be written");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "--out-dir",
            env!("CARGO_TARGET_TMPDIR"),
        ])
        .arg(&file)
        .output()
        .expect("the compiler that has built this can be run");
    assert!(!output.status.success(), "{name} is accepted");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn each_mistake_is_named() {
    let arms = |count: usize| "() = f() => {},".repeat(count);
    let mistakes = [
        ("finisher", "select! { n = f() => n }".to_owned(), "begins with its finisher, `await;` or `wait;`"),
        ("order", "select! { biased; await; n = f() => n }".to_owned(), "`biased;` comes after that"),
        ("other", "select! { block; n = f() => n }".to_owned(), "begins with its finisher"),
        ("empty", "select! { await; }".to_owned(), "has no arm to wait for"),
        ("lonely", "select! { wait; biased; else => 1 }".to_owned(), "has no arm to wait for"),
        ("many", format!("select! {{ await; {} }}", arms(33)), "has 32 arms at most"),
        (
            "dead",
            "select! { await; n = f(), if c => n, n = f() => n, else => 1 }".to_owned(),
            "`else` can never run",
        ),
        (
            "early",
            "select! { await; n = f(), if c => n, else => 1, m = f(), if c => m }".to_owned(),
            "is the last of the arms",
        ),
        (
            "malformed",
            "select! { await; f() => 1 }".to_owned(),
            "an arm of `select!` is `pattern = future => expression`",
        ),
    ];
    for (name, call, expected) in mistakes {
        let complaint = complaint(name, &call);
        // A long message is broken where the source breaks it.
        let complaint = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(complaint.contains(expected), "{name}: {complaint}");
    }
}
