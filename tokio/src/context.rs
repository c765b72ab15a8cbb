//! The tokio runtime of the process, and how a thread gets into its context.

use std::cell::Cell;
use std::io;
use std::mem;
use std::sync::atomic::Ordering;

use tokio::runtime::{EnterGuard, Handle, Runtime};
use twoply_core::fork::{self, PerProcess};

/// The name of the thread of the runtime that is started here.
const THREAD: &str = "twoply-tokio";

/// The runtime that was lent. It has no threads in the child of a fork, which may be lent another one.
static LENT: PerProcess<Handle> = PerProcess::new();

/// The runtime that was started here, once it has been. The child of a fork starts its own.
static OWN: PerProcess<Runtime> = PerProcess::new();

thread_local! {
    /// The process, by the number of forks before it, in which the thread was entered last.
    static ENTERED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Returns the number of forks before this process.
fn process() -> u64 {
    // Relaxed: a fork happens on the thread that asks, or before it was started.
    fork::generation().load(Ordering::Relaxed)
}

/// Has this library use the runtime of `handle`, instead of starting one of its own. That runtime has to
/// have its timers and its I/O enabled, and to live as long as anybody uses it. The child of a fork has none
/// of its threads: it is lent another one, or starts its own.
///
/// # Errors
/// When one has been lent or started before: that stays.
///
/// # Examples
/// ```
/// let own = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
/// assert!(twoply::tokio::lend(own.handle().clone()).is_ok());
/// assert_eq!(twoply::tokio::handle()?.metrics().num_workers(), 2);
/// assert!(twoply::tokio::lend(own.handle().clone()).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lend(handle: Handle) -> Result<(), AlreadyGiven> {
    if OWN.get().is_some() {
        return Err(AlreadyGiven(()));
    }
    let mut is_lent = false;
    LENT.get_or_init(|| {
        is_lent = true;
        handle
    });
    if is_lent { Ok(()) } else { Err(AlreadyGiven(())) }
}

/// The error of [`lend`]: there is a runtime already.
///
/// # Examples
/// ```
/// let first = twoply::tokio::handle()?.clone();
/// let error = twoply::tokio::lend(first).unwrap_err();
/// assert_eq!(error.to_string(), "a tokio runtime has been lent or started before");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a tokio runtime has been lent or started before")]
pub struct AlreadyGiven(());

/// Returns the tokio runtime that was [lent](lend), or else the one of this process, which is started when
/// this is first called: one thread, with timers and I/O.
///
/// # Errors
/// When the operating system refuses the thread or a descriptor. The next call tries again.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let sum = twoply::tokio::handle()?.spawn(async { 1 + 2 });
/// assert_eq!(sum.wait().unwrap(), 3);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn handle() -> io::Result<&'static Handle> {
    if let Some(lent) = LENT.get() {
        return Ok(lent);
    }
    let start = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name(THREAD).enable_all().build()
    };
    OWN.get_or_try_init(start).map(Runtime::handle)
}

/// Calls `body` in the context of the tokio runtime: for `around_threads` of a builder, and, for the runtimes
/// of the process and its threads that belong to none, of the hooks of the process. Where the runtime cannot
/// be started, `body` is called without one.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::Wait;
/// use twoply::runtime::{Hooks, set_process_hooks};
///
/// set_process_hooks(Hooks::new().around_threads(twoply::tokio::enter)).unwrap();
/// let nap = twoply::spawn(async { tokio::time::sleep(Duration::from_millis(1)).await });
/// assert!(nap.wait().is_ok());
/// ```
pub fn enter(body: &mut dyn FnMut()) {
    struct Inside {
        guard: Option<EnterGuard<'static>>,
        /// The values of [`ENTERED`] before, and inside.
        before: Option<u64>,
        entered: Option<u64>,
    }
    impl Drop for Inside {
        fn drop(&mut self) {
            if ENTERED.get() == self.entered {
                ENTERED.set(self.before);
            } else {
                // The child of a fork has entered its own runtime inside of this one, for good.
                mem::forget(self.guard.take());
            }
        }
    }
    let _inside = handle().map(Handle::enter).map(|guard| {
        let entered = Some(process());
        Inside { guard: Some(guard), before: ENTERED.replace(entered), entered }
    });
    body();
}

/// Enters the calling thread for good, unless it is in a tokio runtime of this process.
pub(crate) fn enter_thread() -> io::Result<()> {
    let entered = ENTERED.get();
    if entered == Some(process()) {
        return Ok(());
    }
    match Handle::try_current() {
        // One that was entered before a fork is in a runtime that has no threads here.
        Ok(_) if entered.is_none() => Ok(()),
        // A thread that ends is in none any more.
        Err(error) if error.is_thread_local_destroyed() => Err(io::Error::other(error)),
        _ => {
            // The handle is for ever, and the thread's own copy of it goes with the thread.
            mem::forget(handle()?.enter());
            ENTERED.set(Some(process()));
            Ok(())
        }
    }
}
