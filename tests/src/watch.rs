//! Bounding tests in time.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process;
use std::sync::Once;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test may take. Generous: it tells a hang from a slow machine, nothing else.
const LIMIT: Duration = Duration::from_secs(120);

/// How long [`eventually`] waits.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs `test`. If it takes so long that it must be hanging, ends the process with a message that names it.
pub fn watch<R>(name: &str, test: impl FnOnce() -> R) -> R {
    let (done, ended) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel::<()>();
    let called = name.to_owned();
    let watchdog = thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        drop(begun);
        if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            // Straight to the descriptor: the harness would swallow what is printed.
            let message = format!("\n{called} hangs: ended after {LIMIT:?}\n");
            let _ = std::io::stderr().write_all(message.as_bytes());
            process::abort();
        }
    });
    // Until it runs it goes by the name of this thread, and tests count threads by name. Nothing is ever
    // sent: this ends when it has begun, or could not be started.
    let _ = begins.recv();
    let result = catch_unwind(AssertUnwindSafe(test));
    drop(done);
    if let Ok(watchdog) = watchdog {
        let _ = watchdog.join();
    }
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

/// Waits until `holds` says so, looking every millisecond, on the calling OS thread.
///
/// # Panics
/// With `what` when it does not hold after a long time.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not even after {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Keeps the messages of panics that a law provokes out of the output: those that begin with `expected`.
/// Worker threads are not the harness's, so it does not capture what they print.
pub(crate) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload_as_str().is_some_and(|message| message.starts_with("expected")) {
                usual(info);
            }
        }));
    });
}
