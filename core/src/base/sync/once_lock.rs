//! A `OnceLock` for the models: loom has none, and does not see the ordering that std's provides.

use std::sync::OnceLock as StdOnceLock;

use loom::sync::Mutex;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Release};

/// A cell that is written once; see std's type of the same name.
pub(crate) struct OnceLock<T> {
    value: StdOnceLock<T>,
    /// True once `value` is set. A Release store publishes the value to the Acquire load.
    full: AtomicBool,
    /// Held while the value is made.
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
