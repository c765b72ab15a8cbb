//! The program of the benches; the library has all of it.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    twoply_bench::main()
}
