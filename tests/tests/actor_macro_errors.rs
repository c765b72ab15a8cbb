//! A complaint of the compiler about an attribute of this library names the mistake, and shows the place.
//!
//! The compiler is given the macro and a file of mistakes, and no library: a macro complains before any path
//! is looked up.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// A mistake: the source with a mark around the place that is to be shown, and the words of the complaint.
type Mistake = (&'static str, &'static str);

const MISTAKES: &[Mistake] = &[
    ("fn take(«self») {}", "the actor outlives its messages"),
    ("fn take(«mut self») {}", "the actor outlives its messages"),
    ("fn take(«self: Box<Self>») {}", "takes `&self` or `&mut self`"),
    ("fn lend(&self, text: «&str») {}", "a parameter of a message is sent to another task"),
    ("fn lend(&self, text: Option<«&'a str»>) {}", "a parameter of a message is sent to another task"),
    ("fn lend(&self, text: Cow<«'_», str>) {}", "a parameter of a message is sent to another task"),
    ("fn lend(&self) -> «&str» { \"\" }", "the result of a message is sent to another task"),
    ("fn show(&self, what: «impl Display») {}", "needs a type with a name"),
    ("fn show(&self) -> Box<«impl Display»> { 1 }", "needs a type with a name"),
    ("fn exit(&self) -> «!» { loop {} }", "leaves no answer"),
    ("fn hold<«T»>(&self, what: T) {}", "no generics of its own"),
    ("fn hold(&self) «where u8: Copy» {}", "the bounds of a message are those of the impl"),
    ("«const» fn zero(&self) -> u8 { 0 }", "cannot be `const`"),
    ("«unsafe» fn risk(&self) {}", "an `unsafe` method"),
    ("«extern \"C\"» fn call(&self) {}", "needs no ABI"),
    ("fn two(&self, a: &mut Context<Self>, «b: &mut Context<Self>») {}", "there is one context"),
    ("fn part(&self, «#[cfg(any())]» a: u8) {}", "does not reach the message"),
    ("#[ask] «#[tell]» fn both(&self) -> Result<(), E> { Ok(()) }", "asked or told, not both"),
    ("#[ask«(later)»] fn later(&self) {}", "unexpected token"),
    ("«#[ask]» fn new() -> Wrong { Wrong }", "a function without `self` is no message"),
    ("«#[tell]» async fn stopped(&mut self) {}", "a hook is no message"),
    ("«pub» async fn stopped(&mut self) {}", "as visible as that"),
];

/// As [`MISTAKES`], where it is not a method that is wrong.
const WRONG_ITEMS: &[Mistake] = &[
    ("#[actor] «struct Wrong;»", "stands on an impl with methods"),
    ("#[actor] impl «Default» for Wrong {}", "not of a trait"),
    ("#[actor] impl<«'a»> Wrong<'a> {}", "it cannot borrow"),
    ("#[actor] impl «(u8, u8)» {}", "an actor is a type with a name"),
    ("#[actor(«mailbox» = 3)] impl Wrong {}", "a setting is `error`, `vis`, `traced` or `crate`"),
    ("#[actor(traced, «traced»)] impl Wrong {}", "`traced` is set twice"),
    ("#[actor(error = A, «error» = B)] impl Wrong {}", "`error` is set twice"),
];

/// As [`MISTAKES`], in the attributes of functions that run as tasks.
const WRONG_FUNCTIONS: &[Mistake] = &[
    ("«#[main(backends(native))]» fn wrong() {}", "a program has one backend"),
    ("#[main(backend = «\"blue\"»)] fn wrong() {}", "a backend is `native`, `green` or `fibers`"),
    ("#[test(backends(native, «blue»))] fn wrong() {}", "a backend is `native`, `green` or `fibers`"),
    ("#[test(«backends»())] fn wrong() {}", "name backends, or `all`"),
    ("#[test(backends(«fibers»))] fn wrong() {}", "fibers ask for a promise"),
    (
        "#[main(«threads» = 3)] fn wrong() {}",
        "a setting is `backend`, `backends`, `workers`, `fibers` or `crate`",
    ),
    ("#[test] fn wrong(«number: u32») {}", "nobody could give it a parameter"),
    ("#[main] fn wrong<«T»>() {}", "nobody could say what this stands for"),
    ("#[main] «unsafe» fn wrong() {}", "nobody could promise what it asks for"),
    ("#[main(workers = 1, «workers» = 2)] fn wrong() {}", "`workers` is set twice"),
    ("#[test(backends(all), «backend» = \"native\")] fn wrong() {}", "exclude each other"),
    ("#[test(backends(native, «native»))] fn wrong() {}", "a test runs once on each backend"),
];

/// The macro, as a library that the compiler loads. There may be older ones beside it.
fn library() -> PathBuf {
    let folder =
        env::current_exe().expect("a program has a path").parent().expect("it lies in a folder").to_owned();
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libtwoply_macros-") && name.ends_with(env::consts::DLL_SUFFIX)
    };
    let written =
        |path: &PathBuf| path.metadata().and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let files = fs::read_dir(&folder).expect("it can be listed").flatten().map(|entry| entry.path());
    files.filter(is_it).max_by_key(written).expect("the macro has been built for these tests")
}

/// Compiles `source` and returns what the compiler says, a complaint a line.
fn complaints(source: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("actor_macro_errors.rs");
    fs::write(&file, source).expect("it can be written");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--error-format=short", "--out-dir"])
        .arg(folder)
        .arg("--extern")
        .arg(format!("twoply_macros={}", library().display()))
        .arg(&file)
        .output()
        .expect("the compiler that has built this can be run");
    assert!(!output.status.success(), "all of them are accepted");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn each_mistake_is_named_and_shown() {
    let mut lines = vec!["use twoply_macros::{actor, main, test};".to_owned()];
    let methods =
        MISTAKES.iter().map(|(method, words)| (format!("#[actor] impl Wrong {{ {method} }}"), words));
    let items = WRONG_ITEMS.iter().chain(WRONG_FUNCTIONS).map(|(item, words)| ((*item).to_owned(), words));
    let mut expected = Vec::new();
    for (source, words) in methods.chain(items) {
        let column = source.find('«').expect("it is marked") + 1;
        lines.push(source.replace(['«', '»'], ""));
        expected.push((format!(":{}:{column}: error", lines.len()), *words, source));
    }
    let said = complaints(&lines.join("\n"));
    for (place, words, source) in expected {
        let named = said.lines().any(|line| line.contains(&place) && line.contains(words));
        assert!(named, "of `{source}` nothing at {place} says \"{words}\":\n{said}");
    }
}
