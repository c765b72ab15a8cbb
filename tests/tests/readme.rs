//! The README shows the program that `examples/hello.rs` is.

use std::fs;
use std::path::Path;

#[test]
fn the_readme_shows_the_first_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let read = |name| fs::read_to_string(root.join(name)).expect("the file is there");
    let (readme, example) = (read("README.md"), read("examples/hello.rs"));
    let program =
        example.find("use ").map(|start| &example[start..]).expect("the program begins with its imports");
    assert!(readme.contains(&format!("```rust\n{program}```")), "README.md shows another program");
}
