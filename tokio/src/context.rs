//! The tokio runtime of the process, and how a thread gets into its context.

use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Handle, Runtime};
use twoply_core::fork::PerProcess;

/// The name of the thread of the runtime that is started here.
const THREAD: &str = "twoply-tokio";

/// The runtime that was lent.
static LENT: OnceLock<Handle> = OnceLock::new();

/// The runtime that was started here, once it has been. The child of a fork starts its own.
static OWN: PerProcess<Runtime> = PerProcess::new();

/// Has this library use the runtime of `handle`, instead of starting one of its own. That runtime has to
/// have its timers and its I/O enabled, and to live as long as anybody uses it.
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
    LENT.set(handle).map_err(|_| AlreadyGiven(()))
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
    let _inside = handle().map(Handle::enter);
    body();
}
