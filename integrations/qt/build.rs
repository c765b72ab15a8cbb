//! Builds the part in C++, where Qt is installed; `cfg(qt)` says so.

use pkg_config::Config;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(qt)");
    println!("cargo::rerun-if-changed=src/loop.cpp");
    match Config::new().cargo_metadata(false).probe("Qt5Core") {
        Ok(qt) => {
            cc::Build::new()
                .cpp(true)
                .file("src/loop.cpp")
                .includes(qt.include_paths)
                .compile("twoply-qt-loop");
            // After what needs it.
            println!("cargo::rustc-link-lib=Qt5Core");
            println!("cargo::rustc-cfg=qt");
        }
        Err(_) => {
            println!("cargo::warning=Qt 5 is not installed, so nothing is built of its event loop");
            // Cargo looks again each time for a file that is not there.
            println!("cargo::rerun-if-changed=qt-is-not-installed");
        }
    }
}
