//! The event loop of Qt as the host of a runtime: `App` is the loop, and `Hosted` a runtime inside of it.
//! `loop.cpp` is the half in C++, sixty lines, which a program that is written in C++ would have in itself.
//!
//! Where Qt is not installed the package is empty, and its test says so.

#[cfg(qt)]
mod host;

#[cfg(qt)]
pub use host::{App, Hosted};

#[cfg(not(qt))]
#[test]
fn qt_is_not_installed() {
    twoply_tests::skip("Qt 5 is not installed");
}
