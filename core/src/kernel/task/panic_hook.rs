//! The hook that names the task which panics: the message of std's panic hook names the thread, which runs
//! many.

use std::panic::{set_hook, take_hook};
use std::sync::Once;

use crate::kernel::strand::with_state;

/// Has the panics of tasks with a name say so, from now on.
pub(super) fn name_panics() {
    static ONCE: Once = Once::new();
    // A hook cannot be set by a destructor that is run by a panic: then the next task with a name sees to it.
    if ONCE.is_completed() || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            with_state(|state| {
                if let Some(name) = state.header().and_then(|header| header.name()) {
                    eprintln!("task {name:?} panics:");
                }
            });
            usual(info);
        }));
    });
}
