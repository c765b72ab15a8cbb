//! Reading the workspace: its sources, its manifests, its prose, and code apart from comments.

use std::fs;
use std::path::{Path, PathBuf};

/// One of our Rust files.
pub(crate) struct Source {
    /// Its path from the root of the workspace, with `/` between the parts.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
    /// The same, line by line, with blanks for comments and for the insides of literals.
    pub(crate) code: String,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// All files below `folder` that `wanted` says yes to. Build output and hidden folders are not ours.
pub(crate) fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            let built = name == "target" || path.join("CACHEDIR.TAG").exists();
            if !built && !name.starts_with('.') {
                files(&path, wanted, found);
            }
        } else if wanted(&path) {
            found.push(path);
        }
    }
}

pub(crate) fn sources() -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    files(&root, &|path| path.extension().is_some_and(|extension| extension == "rs"), &mut paths);
    assert!(paths.len() > 20, "the sources have moved: only {} found", paths.len());
    paths
        .iter()
        .map(|path| {
            let text = read(path);
            let relative = path.strip_prefix(&root).expect("found below the root");
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            Source { path: parts.join("/"), code: code_of(&text), text }
        })
        .collect()
}

/// The manifests of the workspace, with their paths from its root.
pub(crate) fn manifests() -> Vec<(String, String)> {
    let root = root();
    let mut paths = Vec::new();
    files(&root, &|path| path.ends_with("Cargo.toml"), &mut paths);
    paths
        .iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).expect("found below the root");
            (relative.to_string_lossy().into_owned(), read(path))
        })
        .collect()
}

/// `text` with every comment and the inside of every literal replaced by blanks; lines stay lines.
pub(crate) fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' | 'b' | 'c' if !after_word => prefixed_literal(rest),
            '\'' => char_literal(rest),
            _ => 0,
        };
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = &rest[skipped..];
        }
    }
    code
}

/// The comments of a source that begin with `//`, line by line, with the numbers of the lines and without
/// what marks them.
pub(crate) fn comments(source: &Source) -> Vec<(usize, String)> {
    let mut comments = Vec::new();
    for (index, (line, code)) in source.text.lines().zip(source.code.lines()).enumerate() {
        // A comment is blank in the code, so it begins where the code of the line ends.
        let comment: String = line.chars().skip(code.trim_end().chars().count()).collect();
        if let Some(text) = comment.trim_start().strip_prefix("//") {
            comments.push((index + 1, text.trim_start_matches(['/', '!']).to_owned()));
        }
    }
    comments
}

/// A comment of one or more lines, each of which begins with the same marker.
pub(crate) struct CommentBlock {
    /// The number of its first line.
    pub(crate) line: usize,
    /// What its lines begin with: `//`, `///` or `//!`.
    pub(crate) marker: &'static str,
    /// Its text, in one line.
    pub(crate) text: String,
}

/// The comments of a source that have lines of their own.
pub(crate) fn comment_blocks(source: &Source) -> Vec<CommentBlock> {
    let mut blocks: Vec<CommentBlock> = Vec::new();
    let mut last = None;
    for (index, (line, code)) in source.text.lines().zip(source.code.lines()).enumerate() {
        let line = line.trim_start();
        let marker = ["///", "//!", "//"].into_iter().find(|marker| line.starts_with(marker));
        let Some(marker) = marker.filter(|_| code.trim().is_empty()) else { continue };
        let text = line[marker.len()..].trim();
        match blocks.last_mut() {
            Some(block) if last == Some((index, marker)) => block.text = format!("{} {text}", block.text),
            _ => blocks.push(CommentBlock { line: index + 1, marker, text: text.to_owned() }),
        }
        last = Some((index + 1, marker));
    }
    blocks
}

/// The length of the block comment that `text` begins with. They nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        let Some(next) = rest.chars().next() else { return at };
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += next.len_utf8();
        }
    }
}

/// The length of the string literal that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the literal with a prefix, such as `br#"..."#`, that `text` begins with; 0 if it is a word.
fn prefixed_literal(text: &str) -> usize {
    let Some(raw) = ["r", "br", "cr"].iter().find(|&&prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
    }) else {
        return ["b", "c"]
            .iter()
            .find(|&&prefix| text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('"')))
            .map_or(0, |prefix| prefix.len() + quoted(&text[prefix.len()..]));
    };
    let rest = &text[raw.len()..];
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = raw.len() + hashes + 1;
    text[inside..].find(&end).map_or(text.len(), |at| inside + at + end.len())
}

/// The length of the character literal that `text` begins with; 0 if it is a lifetime.
fn char_literal(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(0, |at| 3 + at + 1),
        Some((at, c)) if text[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 0,
    }
}

/// The lines of `code`, from 1, in which `word` stands as a whole word.
pub(crate) fn lines_with<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.lines().enumerate().filter_map(move |(index, line)| {
        let whole = |at: usize| {
            !line[..at].ends_with(part_of_word) && !line[at + word.len()..].starts_with(part_of_word)
        };
        line.match_indices(word).any(|(at, _)| whole(at)).then_some(index + 1)
    })
}

#[track_caller]
pub(crate) fn assert_none(law: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{law}, but:\n  {}", broken.join("\n  "));
}

/// The lines of the examples in a source's documentation, with their numbers, without what marks them as
/// such.
pub(crate) fn lines_of_examples(text: &str) -> Vec<(usize, &str)> {
    let (mut lines, mut inside) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
            Some(line) if line.trim_start().starts_with("```") => inside = !inside,
            Some(line) if inside => lines.push((index + 1, line.trim_start())),
            Some(_) => {}
            None => inside = false,
        }
    }
    lines
}

#[test]
fn the_reader_tells_code_from_text() {
    let text =
        "a /* b /* c */ d */ e // f\n'g' \"h\\\"i\" r#\"j\"k\"# 'l: m '\\'' b\"n\" br\"o\" bar '\\u{1F}' p";
    let words: Vec<String> = code_of(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "e", "'l:", "m", "bar", "p"]);
    assert_eq!(code_of("x\n/*\n*/\ny").lines().count(), 4);
    assert_eq!(lines_with("unsafe_op\nunsafe {", "unsafe").collect::<Vec<_>>(), [2]);
}

#[test]
fn comments_are_found_as_blocks() {
    let text = "//! a\n//! b\n\n/// c\n// d\nx(); // e\n    /// f\n    /// g\n";
    let source = Source { path: String::new(), text: text.to_owned(), code: code_of(text) };
    let blocks: Vec<_> = comment_blocks(&source).into_iter().map(|block| (block.line, block.text)).collect();
    assert_eq!(blocks, [(1, "a b".into()), (4, "c".into()), (5, "d".into()), (7, "f g".into())]);
    assert_eq!(comments(&source).len(), 7);
}

#[test]
fn examples_are_found_in_documentation() {
    let text = "//! ```\n//! one\n//! ```\n//! no\n/// ```text\n/// # two\n/// ```\nfn no() {}\n";
    assert_eq!(lines_of_examples(text), [(2, "one"), (6, "# two")]);
}
