//! Tests that cannot be run here say so, where it is seen.

use std::fs::OpenOptions;
use std::io::Write;
use std::{env, io};

/// Says why something has not been tested: on the terminal, where the harness would keep it back, since the
/// test passes; and, as a line of its own, in the file that `TWOPLY_SKIPPED` names, if it names one.
pub fn skip(why: &str) {
    // A line that cannot be written is no failure of what is tested.
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
    if let Some(path) = env::var_os("TWOPLY_SKIPPED")
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = file.write_all(format!("{why}\n").as_bytes());
    }
}
