//! `OnceLock` for the models: loom has none, and does not know of what std's makes visible.

use std::sync::OnceLock as StdOnceLock;

use loom::sync::Mutex;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Release};

/// As std's.
pub(crate) struct OnceLock<T> {
    /// The value.
    value: StdOnceLock<T>,
    /// Whether it is there. Publishes it: Release when it is set, Acquire when it is read.
    full: AtomicBool,
    /// Held by the one who makes it.
    making: Mutex<()>,
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock { value: StdOnceLock::new(), full: AtomicBool::new(false), making: Mutex::new(()) }
    }
}

impl<T> OnceLock<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        if self.full.load(Acquire) { self.value.get() } else { None }
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let making = super::lock(&self.making);
        let value = self.value.get_or_init(make);
        self.full.store(true, Release);
        drop(making);
        value
    }
}
