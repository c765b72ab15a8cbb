//! Laws about what comments and pages say, as far as a program can read them.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{
    CommentBlock, Source, assert_none, comment_blocks, comments, files, manifests, read, root, sources,
};

/// The folders whose code is published, and read as a model by others.
const PUBLISHED: [&str; 11] = [
    "src/",
    "core/src/",
    "macros/src/",
    "backend-native/src/",
    "backend-green/src/",
    "futures/src/",
    "glue/src/",
    "hyper/src/",
    "node/src/",
    "tokio/src/",
    "tracing/src/",
];

/// The page that names things as they were called.
const TELLS_OF_THE_PAST: &str = "CHANGELOG.md";

/// What is named because it is not there.
const IS_NOT_THERE: &str = "rust-toolchain.toml";

/// The pages of the workspace, with their paths from its root.
fn pages() -> Vec<(String, String)> {
    let root = root();
    let mut paths = Vec::new();
    files(&root, &|path| path.extension().is_some_and(|extension| extension == "md"), &mut paths);
    let relative =
        |path: &std::path::Path| path.strip_prefix(&root).expect("found below the root").to_owned();
    paths.iter().map(|path| (relative(path).to_string_lossy().into_owned(), read(path))).collect()
}

/// What stands in backticks in `prose`, with the numbers of the lines.
fn quoted_code<'a>(prose: impl Iterator<Item = (usize, &'a str)>) -> Vec<(usize, &'a str)> {
    // Backticks come in pairs; a fence is three.
    let inside = |text: &'a str| text.split('`').skip(1).step_by(2);
    prose.flat_map(|(line, text)| inside(text).map(move |code| (line, code))).collect()
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// What the workspace has that a path may lead to.
struct Targets {
    /// The paths of all files and folders.
    files: BTreeSet<String>,
    /// The words of the code of each source, and of its own path.
    words: Vec<BTreeSet<String>>,
    /// The names of modules and types that are defined here.
    owners: BTreeSet<String>,
}

impl Targets {
    fn new(sources: &[Source]) -> Targets {
        let root = root();
        let mut paths = Vec::new();
        files(&root, &|_| true, &mut paths);
        let mut all = BTreeSet::new();
        for path in &paths {
            let relative = path.strip_prefix(&root).expect("found below the root");
            all.extend(relative.ancestors().map(|path| path.to_string_lossy().into_owned()));
        }
        let words_of = |text: &str| {
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.filter(|word| is_word(word)).map(str::to_owned).collect::<Vec<_>>()
        };
        let (mut words, mut owners) = (Vec::new(), BTreeSet::new());
        for source in sources {
            let modules = words_of(source.path.trim_end_matches(".rs"));
            let code = words_of(&source.code);
            let defines = |word: &str| ["struct", "enum", "trait", "union", "type", "mod"].contains(&word);
            owners.extend(code.windows(2).filter(|pair| defines(&pair[0])).map(|pair| pair[1].clone()));
            owners.extend(modules.iter().cloned());
            words.push(modules.into_iter().chain(code).collect());
        }
        Targets { files: all, words, owners }
    }

    /// Returns true if `code` is no path of this workspace, or leads to something.
    fn holds(&self, code: &str) -> bool {
        if code == IS_NOT_THERE {
            return true;
        }
        let is_of_path = |c: char| c.is_alphanumeric() || "_-./".contains(c);
        let file = code.rsplit_once('.').is_some_and(|(_, end)| ["rs", "md", "toml", "sh"].contains(&end));
        if !code.is_empty() && code.chars().all(is_of_path) && (file || code.contains('/')) {
            // `name/2` is a function of Erlang's, and a module may be named without the end of its file.
            let arity = code.rsplit('/').next().is_some_and(|end| end.chars().all(|c| c.is_ascii_digit()));
            let path = code.trim_end_matches('/');
            let ends = [format!("/{path}"), format!("/{path}.rs")];
            let leads =
                |file: &String| ends.iter().any(|end| *file == end[1..] || file.ends_with(end.as_str()));
            // What begins with `/` is of no workspace, and what is hidden is not among the files.
            let is_elsewhere = code.starts_with('/') || arity && !code.ends_with('/');
            return is_elsewhere || self.files.iter().any(leads) || root().join(code).exists();
        }
        let segments: Vec<&str> = code.trim_end_matches("()").split("::").collect();
        let [.., owner, last] = segments[..] else { return true };
        let is_ours = segments.iter().all(|segment| is_word(segment)) && self.owners.contains(segments[0]);
        if !is_ours || !self.owners.contains(owner) {
            return true;
        }
        self.words.iter().any(|words| words.contains(owner) && words.contains(last))
    }
}

#[test]
fn paths_in_prose_lead_somewhere() {
    let sources = sources();
    let targets = Targets::new(&sources);
    let (mut wrong, mut found) = (Vec::new(), 0);
    for source in &sources {
        let comments = comments(source);
        let codes = quoted_code(comments.iter().map(|(line, text)| (*line, text.as_str())));
        found += codes.len();
        let dead = codes.into_iter().filter(|(_, code)| !targets.holds(code));
        wrong.extend(dead.map(|(line, code)| format!("{}:{line} `{code}`", source.path)));
    }
    for (path, text) in pages().iter().filter(|(path, _)| path != TELLS_OF_THE_PAST) {
        let codes = quoted_code(text.lines().enumerate().map(|(index, line)| (index + 1, line)));
        let dead = codes.into_iter().filter(|(_, code)| !targets.holds(code));
        wrong.extend(dead.map(|(line, code)| format!("{path}:{line} `{code}`")));
    }
    assert!(found > 1000, "comments are written in another way: only {found} codes found");
    assert_none("a path in backticks leads to a file or an item of this workspace", wrong);
}

#[test]
fn a_path_that_leads_nowhere_is_found() {
    let targets = Targets::new(&sources());
    for path in
        ["core/src/lib.rs", "reactor/source", "fiber/", "spawn/3", "Task::id", "x::y", "a/b c", "<0/1>"]
    {
        assert!(targets.holds(path), "{path}");
    }
    for path in ["core/src/gone.rs", "reactor/gone", "Task::no_such_thing", "task::NoSuchType", "gone.md"] {
        assert!(!targets.holds(path), "{path}");
    }
}

#[test]
fn documentation_says_more_than_the_name() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| PUBLISHED.iter().any(|at| source.path.starts_with(at))) {
        let blocks = comment_blocks(source);
        let short =
            blocks.iter().filter(|block| block.marker == "///" && block.text.split_whitespace().count() < 4);
        wrong.extend(short.map(|block| format!("{}:{} {}", source.path, block.line, block.text)));
    }
    assert_none("the documentation of an item has four words at least, or there is none", wrong);
}

/// The words with which a comment asks a question that it does not answer. "Returns whether ..." and "The
/// reason for which ..." name their subjects.
const OPENS_A_RIDDLE: [&str; 7] = ["Who", "Whom", "Whose", "What", "Whether", "Why", "How"];

/// The paragraphs of a comment: an empty line, which leaves two spaces in its text, is between two of them.
fn paragraphs(block: &CommentBlock) -> impl Iterator<Item = &str> {
    block.text.split("  ").map(str::trim_start)
}

#[test]
fn comments_name_their_subjects() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| PUBLISHED.iter().any(|at| source.path.starts_with(at))) {
        for block in comment_blocks(source) {
            let riddles = paragraphs(&block).filter(|text| {
                let first = text.split(|c: char| !c.is_alphabetic()).next();
                first.is_some_and(|word| OPENS_A_RIDDLE.contains(&word))
            });
            wrong.extend(riddles.map(|text| format!("{}:{} {text}", source.path, block.line)));
        }
    }
    assert_none("a comment is a sentence with a subject, or a noun: it opens with no question", wrong);
}

/// The column at which prose is wrapped, as rustfmt wraps code.
const COLUMNS: usize = 110;

/// The numbers of the lines that are too long, of `lines` with their numbers and the prose in each. Tables
/// and what is fenced, diagrams and examples, may be wider, and so may a word that cannot be broken.
fn too_long<'a>(lines: impl Iterator<Item = (usize, &'a str, &'a str)>) -> Vec<usize> {
    let (mut long, mut is_fenced, mut last) = (Vec::new(), false, 0);
    for (number, line, prose) in lines {
        // A fence ends with its comment.
        is_fenced &= number == last + 1;
        last = number;
        let prose = prose.trim();
        if prose.starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced
            && !prose.starts_with('|')
            && prose.contains(' ')
            && line.chars().count() > COLUMNS
        {
            long.push(number);
        }
    }
    long
}

#[test]
fn prose_is_wrapped_as_code_is() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        let comments = comments(&source);
        let long =
            too_long(comments.iter().map(|(number, text)| (*number, lines[number - 1], text.as_str())));
        wrong.extend(long.into_iter().map(|number| format!("{}:{number}", source.path)));
    }
    for (path, text) in pages() {
        let long = too_long(text.lines().enumerate().map(|(index, line)| (index + 1, line, line)));
        wrong.extend(long.into_iter().map(|number| format!("{path}:{number}")));
    }
    assert_none("comments and pages end at column 110, but for tables, diagrams and examples", wrong);
}

#[test]
fn prose_that_is_too_long_is_found() {
    let long = "so long ".repeat(20);
    let lines = ["short", &long, "```", &long, "```", "| table |", &long];
    let numbered = || lines.iter().enumerate().map(|(index, line)| (index + 1, *line, *line));
    assert_eq!(too_long(numbered()), [2, 7]);
    let apart = || numbered().map(|(number, line, prose)| (2 * number, line, prose));
    assert_eq!(too_long(apart()), [4, 8, 14], "a fence that is not closed ends with its comment");
}

/// The packages of which types may stand in public signatures, besides ours. std needs no mention in a
/// manifest.
const MAY_BE_PUBLIC: [&str; 1] = ["futures_io"];

/// The packages that the manifest `text` depends on and that are not ours, as sources name them.
fn foreign_dependencies(text: &str) -> Vec<String> {
    let table = text.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let table = table.split("\n[").next().unwrap_or_default();
    let names = table.lines().filter_map(|line| line.split(['=', '.', ' ']).next());
    let names = names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    let names = names.map(|name| name.replace('-', "_"));
    names.filter(|name| !name.starts_with("twoply") && !MAY_BE_PUBLIC.contains(&name.as_str())).collect()
}

/// The names that `code` imports from `package`.
fn imported<'a>(code: &'a str, package: &str) -> BTreeSet<&'a str> {
    let from = format!("use {package}::");
    let imports = code.match_indices(&from).filter_map(|(at, _)| code[at + from.len()..].split(';').next());
    let names = imports.flat_map(|import| import.split(|c: char| !c.is_alphanumeric() && c != '_'));
    names.filter(|name| name.starts_with(char::is_uppercase)).collect()
}

/// The public part of each public item of `code`, with the number of its first line: what stands before its
/// body.
fn public_signatures(code: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut signatures = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if !line.trim_start().starts_with("pub ") {
            continue;
        }
        let text = lines[index..].join("\n");
        let ends: &[char] = if line.trim_start().starts_with("pub use") { &[';'] } else { &['{', ';'] };
        let end = text.find(ends).unwrap_or(text.len());
        // A field ends with its line.
        let is_item = ["fn", "struct", "enum", "trait", "type", "const", "static", "use", "unsafe", "async"];
        let is_item = line.split_whitespace().nth(1).is_some_and(|word| is_item.contains(&word));
        let signature = if is_item { &text[..end] } else { line };
        // What a tuple struct holds is private unless it says otherwise.
        let hides = line.contains("pub struct") && !signature.trim_start()["pub".len()..].contains("pub ");
        let signature = if hides { signature.split('(').next().unwrap_or_default() } else { signature };
        signatures.push((index + 1, signature.to_owned()));
    }
    signatures
}

#[test]
fn public_signatures_name_no_foreign_type() {
    let published = [("core/", "core/Cargo.toml"), ("backend-native/", "backend-native/Cargo.toml")];
    let published =
        published.into_iter().chain([("backend-green/", "backend-green/Cargo.toml"), ("", "Cargo.toml")]);
    let manifests: BTreeMap<String, String> = manifests().into_iter().collect();
    let (sources, mut wrong, mut packages) = (sources(), Vec::new(), 0);
    for (folder, manifest) in published {
        let foreign = foreign_dependencies(&manifests[manifest]);
        packages += foreign.len();
        let root = format!("{folder}src/");
        for source in sources.iter().filter(|source| source.path.starts_with(&root)) {
            let names: BTreeSet<&str> =
                foreign.iter().flat_map(|package| imported(&source.code, package)).collect();
            for (line, signature) in public_signatures(&source.code) {
                let mut words = signature.split(|c: char| !c.is_alphanumeric() && c != '_');
                let named =
                    words.find(|word| names.contains(word) || foreign.iter().any(|package| package == word));
                wrong.extend(named.map(|name| format!("{}:{line} {name}", source.path)));
            }
        }
    }
    assert!(packages > 8, "the manifests are written in another way: only {packages} packages found");
    assert_none("public signatures name types of std, futures-io and this library only", wrong);
}

#[test]
fn a_foreign_type_is_found() {
    let code = "use flume::{Sender, Receiver};\npub fn give(\n    it: Sender<u8>,\n) {\n    Receiver\n}\n\
                pub struct Hides(Sender<u8>);\npub struct Shows(pub Sender<u8>);\npub field: Sender<u8>,\n";
    let names = imported(code, "flume");
    let signatures = public_signatures(code);
    let shown = signatures.iter().filter(|(_, text)| names.iter().any(|name| text.contains(name)));
    assert_eq!(shown.map(|(line, _)| *line).collect::<Vec<_>>(), [2, 8, 9]);
    assert_eq!(
        foreign_dependencies("[x]\n[dependencies]\n# a\nasync-task = 1\ntwoply-core.x = 1\n\n[y]\nz = 1\n"),
        ["async_task"]
    );
}
