//! Laws about the source text of the workspace itself: sizes, layers, where `unsafe` may stand and how it is
//! explained.
//!
//! It reads every Rust file and manifest that belongs to us; a law that is broken names each place.

#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/reader.rs"]
mod reader;

use reader::{Source, assert_none, lines_of_examples, lines_with, manifests, read, root, sources};

/// The longest that a file may be. Whoever comes near it splits the file by duty.
const MAX_LINES: usize = 600;

/// The folders whose code may say `unsafe`. Everybody else builds on what these make safe. The support of the
/// tests is one of them: it switches fibers on, and forks. What calls C++ has to be one, too.
const MAY_BE_UNSAFE: [&str; 8] = [
    "core/",
    "backend-green/",
    "backend-native/",
    "hyper/",
    "tokio/",
    "tests/src/",
    "integrations/qt/",
    "glue/",
];

/// Where the examples and the benches switch fibers on, which is the one unsafe thing that they do.
const SWITCH_FIBERS_ON: [&str; 3] =
    ["examples/common/runtime.rs", "benches/src/runtimes.rs", "integrations/benches/src/sides.rs"];

#[test]
fn no_file_is_too_long() {
    let long = sources()
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(source, lines)| format!("{} has {lines}", source.path))
        .collect();
    assert_none("no file is longer than 600 lines", long);
}

#[test]
fn a_module_lies_beside_its_folder() {
    let old = sources().into_iter().map(|s| s.path).filter(|path| path.ends_with("/mod.rs")).collect();
    assert_none("a module is `foo.rs` beside `foo/`, never `mod.rs`", old);
}

#[test]
fn every_file_says_what_it_is() {
    let silent = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert_none("a file begins with a `//!` header", silent);
}

#[test]
fn dependencies_point_one_way() {
    // Who may use which of our packages, by the names that sources use.
    let layers: [(&str, &[&str]); 9] = [
        ("core/", &[]),
        ("macros/", &[]),
        ("backend-native/", &["twoply_core"]),
        ("backend-green/", &["twoply_core"]),
        ("futures/", &["twoply_core"]),
        ("glue/", &["twoply_core", "twoply_green"]),
        ("hyper/", &["twoply_core"]),
        ("tokio/", &["twoply_core"]),
        ("tracing/", &["twoply_core"]),
    ];
    let ours = [
        "twoply",
        "twoply_core",
        "twoply_macros",
        "twoply_native",
        "twoply_green",
        "twoply_futures",
        "twoply_glue",
        "twoply_hyper",
        "twoply_tokio",
        "twoply_tracing",
        "twoply_node",
        "twoply_tests",
    ];
    let (sources, manifests) = (sources(), manifests());
    let mut wrong = Vec::new();
    for (folder, allowed) in layers {
        let itself = format!("twoply_{}", folder.trim_start_matches("backend-").trim_end_matches('/'));
        let forbidden = ours
            .iter()
            .copied()
            .filter(|name| *name != itself && !allowed.contains(name))
            .collect::<Vec<_>>();
        for source in sources.iter().filter(|source| source.path.starts_with(folder)) {
            for name in &forbidden {
                // Paths only: the bare word `twoply` may stand in an attribute or a macro's text.
                let path = format!("{name}::");
                let lines = lines_with(&source.code, name).filter(|line| {
                    source
                        .code
                        .lines()
                        .nth(line - 1)
                        .is_some_and(|text| text.contains(&path) || text.contains("use "))
                });
                wrong.extend(lines.map(|line| format!("{}:{line} uses {name}", source.path)));
            }
        }
        let path = format!("{folder}Cargo.toml");
        let (_, manifest) = manifests.iter().find(|(at, _)| *at == path).expect("each layer has a manifest");
        // What the examples in the documentation use is no part of the layer.
        let manifest = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for name in manifest.lines().filter_map(dependency_of_ours) {
            if forbidden.contains(&name.replace('-', "_").as_str()) {
                wrong.push(format!("{path} depends on {name}"));
            }
        }
    }
    assert_none("the core knows no backend, and a backend knows the core only", wrong);
}

/// The floors of the core, the lowest first. A module imports from its own floor and from those before it.
const CORE_FLOORS: &[&[&str]] = &[
    &["base"],
    &["event"],
    &["kernel"],
    &["channel", "sync", "time", "promise", "future", "io", "fs", "net", "process", "signal", "task"],
    &["stream"],
    &["actor"],
    &["port"],
];

/// The floors of the green backend, the lowest first.
const GREEN_FLOORS: &[&[&str]] = &[
    // What knows neither a worker nor a runtime.
    &["sync", "lock", "asymmetric_fence", "sleepers", "queue", "counts", "fiber", "revocable"],
    // A worker on its own, and how it gets from thread to thread.
    &["timing"],
    &["core"],
    &["handoff", "request", "watchdog_state", "reports"],
    // What the workers share.
    &["scheduler"],
    &["metrics", "launch"],
    // What a worker does next.
    &["worker"],
    // The stacks on which tasks run.
    &["strand"],
    &["runner"],
    &["carrier"],
    // A runtime from outside.
    &["backend", "watchdog"],
    &["runtime", "local"],
    &["host"],
];

#[test]
fn the_floors_of_the_core_hold() {
    assert_none("each floor of the core knows those below it only", looks_up("core/src/", CORE_FLOORS));
}

#[test]
fn the_floors_of_the_green_backend_hold() {
    let wrong = looks_up("backend-green/src/", GREEN_FLOORS);
    assert_none("each floor of the green backend knows those below it only", wrong);
}

/// Where the modules in the folder `root` import from a floor above their own.
fn looks_up(root: &str, floors: &[&[&str]]) -> Vec<String> {
    let floor_of = |module: &str| floors.iter().position(|floor| floor.contains(&module));
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(path) = source.path.strip_prefix(root).filter(|path| *path != "lib.rs") else {
            continue;
        };
        let module = path.split(['/', '.']).next().unwrap_or_default();
        let Some(floor) = floor_of(module) else {
            wrong.push(format!("{} is on no floor", source.path));
            continue;
        };
        // Tests look at whatever shows what they are after.
        let is_test =
            path.split(['/', '.']).any(|part| part.starts_with("test") || part.starts_with("model"))
                || path.contains("_tests")
                || path.contains("_model");
        if is_test {
            continue;
        }
        for (index, line) in source.code.lines().enumerate() {
            if line.contains("cfg(test)") || line.contains("cfg(all(test") {
                break;
            }
            // A macro's paths begin at the root, as its users' do.
            for (at, _) in line.match_indices("crate::").filter(|(at, _)| !line[..*at].ends_with('$')) {
                let rest = &line[at + "crate::".len()..];
                let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                // Names of the root are for users: they may mean any floor.
                match floor_of(name) {
                    Some(other) if other <= floor => {}
                    Some(_) => wrong.push(format!("{}:{} looks up to {name}", source.path, index + 1)),
                    None if name == "Wait" || rest.starts_with('{') => {
                        wrong.push(format!("{}:{} names no floor", source.path, index + 1));
                    }
                    None => {}
                }
            }
        }
    }
    wrong
}

/// The one file of the core that may say `HashMap`: it sorts before it shows its entries to anybody.
const MAY_HASH: &str = "core/src/base/small_map.rs";

/// Where the core asks std's hasher for a number, and for no order: the seed of what is chosen at random.
const MAY_SEED: &str = "core/src/future/random.rs";

#[test]
fn nothing_in_the_core_takes_an_order_from_a_hash() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("core/src/")) {
        for word in ["HashMap", "HashSet", "hash_map", "hash_set", "RandomState", "DefaultHasher"] {
            let may = source.path == MAY_HASH || (source.path == MAY_SEED && word == "RandomState");
            if !may {
                wrong.extend(
                    lines_with(&source.code, word).map(|line| format!("{}:{line} {word}", source.path)),
                );
            }
        }
    }
    assert_none("the core keeps its entries in order: in a `BTreeMap` or a `SmallMap`", wrong);
}

/// The name of the package of ours that this line of a manifest depends on, if it is such a line.
fn dependency_of_ours(line: &str) -> Option<&str> {
    let name = line.split(['=', '.', ' ', ']']).next()?;
    let table = line.trim_start_matches('[').trim_end_matches(']').rsplit('.').next()?;
    [name, table].into_iter().find(|name| *name == "twoply" || name.starts_with("twoply-"))
}

#[test]
fn unsafe_code_lives_in_the_core_and_the_backends() {
    let wrong = sources()
        .iter()
        .filter(|source| !MAY_BE_UNSAFE.iter().any(|folder| source.path.starts_with(folder)))
        .filter(|source| !SWITCH_FIBERS_ON.contains(&source.path.as_str()))
        .flat_map(|source| lines_with(&source.code, "unsafe").map(|line| format!("{}:{line}", source.path)))
        .collect();
    assert_none("`unsafe` stands only in the core and the backends", wrong);
}

#[test]
fn every_unsafe_block_is_proved() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for line in lines_with(&source.code, "unsafe") {
            // The token may end its line; the brace or `impl` then begins the next one.
            let from_here = source.code.lines().skip(line - 1).take(2).collect::<Vec<_>>().join(" ");
            let needs_proof = from_here.split("unsafe").skip(1).any(|after| {
                let after = after.trim_start();
                after.starts_with('{') || after.starts_with("impl ") || after.starts_with("impl<")
            });
            if needs_proof && !is_proved(&lines[..line - 1]) {
                wrong.push(format!("{}:{line}", source.path));
            }
        }
    }
    assert_none("every `unsafe {` and `unsafe impl` has a `SAFETY:` comment above it", wrong);
}

/// Whether the comment above the statement that follows `above` is a proof. The statement may have begun some
/// lines before; it has not begun before a blank line, a brace or a semicolon.
fn is_proved(above: &[&str]) -> bool {
    for line in above.iter().rev() {
        let line = line.trim();
        if line.starts_with("// SAFETY:") {
            return true;
        }
        let comment = line.starts_with("//");
        let attribute = line.starts_with("#[");
        if line.is_empty() || (!comment && !attribute && line.ends_with(['{', '}', ';'])) {
            return false;
        }
    }
    false
}

#[test]
fn whoever_needs_no_unsafe_code_forbids_it() {
    let roots: Vec<Source> = sources()
        .into_iter()
        .filter(|source| {
            let example = source.path.strip_prefix("examples/");
            let program = example.is_some_and(|path| !path.contains('/') || path.ends_with("/main.rs"));
            program || source.path == "src/lib.rs"
        })
        .collect();
    assert!(roots.iter().any(|source| source.path == "src/lib.rs"), "the facade has moved");
    let open = roots
        .into_iter()
        .filter(|source| {
            // Nothing can be allowed below a `forbid`; what is allowed below a `deny` is in the one file.
            let switches = source.path != "src/lib.rs" && source.code.contains("mod runtime;");
            let level = if switches { "deny" } else { "forbid" };
            !source.code.contains(&format!("#![{level}(unsafe_code)]"))
        })
        .map(|source| source.path)
        .collect();
    assert_none(
        "the facade and the examples say `#![forbid(unsafe_code)]`, or `deny` to switch fibers on",
        open,
    );
}

#[test]
fn every_future_says_that_it_must_be_used() {
    let (mut found, mut silent) = (0, Vec::new());
    for source in
        sources().iter().filter(|source| MAY_BE_UNSAFE[..5].iter().any(|at| source.path.starts_with(at)))
    {
        for line in source.code.lines().filter(|line| line.trim_start().starts_with("impl")) {
            let Some((_, name)) = line.split_once(" Future for ") else { continue };
            let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let lines: Vec<&str> = source.code.lines().collect();
            // Those of macros take their names from elsewhere, and private ones are returned as
            // `impl Future`, which says so by itself.
            let declared = format!("pub struct {name}");
            let is_it = |line: &&str| {
                line.trim_start()
                    .strip_prefix(&declared)
                    .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            };
            let Some(at) = lines.iter().position(is_it).filter(|_| !name.is_empty()) else { continue };
            found += 1;
            let attributes =
                lines[..at].iter().rev().take_while(|line| !line.trim_end().ends_with(['}', ';', '{']));
            if !attributes.into_iter().any(|line| line.contains("must_use =")) {
                silent.push(format!("{}:{} {name}", source.path, at + 1));
            }
        }
    }
    assert!(found > 15, "futures are written in another way: only {found} found");
    assert_none("a public future is `#[must_use]`, with a sentence", silent);
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt in halves, or this file would be its own first find.
    let words = ["todo", "unimplemented"].map(|name| format!("{name}!"));
    let mut wrong = Vec::new();
    for source in sources() {
        for (index, line) in source.code.lines().enumerate() {
            let ignored = line.trim_start().starts_with("#[") && lines_with(line, "ignore").next().is_some();
            if ignored || words.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}", source.path, index + 1));
            }
        }
    }
    assert_none("no code is unfinished and no test is switched off", wrong);
}

#[test]
fn packages_agree_on_version_and_lints() {
    let manifests = manifests();
    let (_, workspace) =
        manifests.iter().find(|(path, _)| path == "Cargo.toml").expect("the workspace has one");
    let version = workspace
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .expect("the workspace has a version")
        .trim_matches('"');
    let mut wrong = Vec::new();
    for line in workspace.lines().filter(|line| line.starts_with("twoply") && line.contains("path = ")) {
        if !line.contains(&format!("version = \"{version}\"")) {
            wrong.push(format!("Cargo.toml: {line}"));
        }
    }
    for (path, manifest) in &manifests {
        for key in ["version", "edition", "rust-version", "license"] {
            if !manifest.lines().any(|line| line == format!("{key}.workspace = true")) {
                wrong.push(format!("{path} has a {key} of its own"));
            }
        }
        if !manifest.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{path} does not take over the lints"));
        }
    }
    assert_none("what the workspace says holds for each package", wrong);
    let changelog = read(&root().join("CHANGELOG.md"));
    assert!(changelog.contains(&format!("\n## {version}")), "CHANGELOG.md does not speak of {version}");
}

#[test]
fn the_licences_are_there() {
    for (name, words) in
        [("LICENSE-MIT", "Permission is hereby granted"), ("LICENSE-APACHE", "Version 2.0, January 2004")]
    {
        let text = read(&root().join(name));
        assert!(text.contains(words), "{name} is not that licence");
    }
}

#[test]
fn examples_in_the_documentation_are_what_users_can_write() {
    // What the facade does not take over is for those who write a backend, and use the core.
    let for_backends = ["coop", "fork", "ioserver", "timers"].map(|module| format!("twoply_core::{module}"));
    let ours = ["twoply_core", "twoply_native", "twoply_green"];
    let published = ["src/", "core/src/", "backend-native/src/", "backend-green/src/"];
    let mut wrong = Vec::new();
    for source in
        sources().iter().filter(|source| published.iter().any(|folder| source.path.starts_with(folder)))
    {
        for (number, line) in lines_of_examples(&source.text) {
            let shown = !line.starts_with("# ");
            if shown
                && ours.iter().any(|name| line.contains(name))
                && !for_backends.iter().any(|path| line.contains(path))
            {
                wrong
                    .push(format!("{}:{number} names a package that users do not have: {line}", source.path));
            }
            if line.starts_with("# fn ") && line.contains("(") && !line.contains("()") {
                wrong.push(format!("{}:{number} hides where its names come from: {line}", source.path));
            }
        }
    }
    assert_none("an example works as it is shown", wrong);
}

#[test]
fn the_front_page_links_to_nothing_beside_it() {
    // It is shown on other pages, too: there is nothing beside it there.
    let readme = read(&root().join("README.md"));
    let targets = readme.match_indices("](").map(|(at, _)| &readme[at + 2..]);
    let wrong = targets.filter(|target| !target.starts_with("http") && !target.starts_with('#'));
    let wrong = wrong.map(|target| target.chars().take(40).collect()).collect();
    assert_none("README.md links to places that are there wherever it is shown", wrong);
}
