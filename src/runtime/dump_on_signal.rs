//! Dumps on a signal, as a Go program writes on `SIGQUIT`.
//!
//! The handler of the signal only counts; a thread of its own waits for that, and makes the dump. So it works
//! while every worker of a runtime is stuck, and the program's handler of dumps may take its time.

use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use twoply_core::threads;

use crate::channel::{Sender, bounded};
use crate::future::race;
use crate::signal::{SignalKind, Signals};
use crate::task::{Dump, Dumping};
use crate::{Spawner, Wait};

/// The name of the thread that makes dumps.
const THREAD: &str = "twoply-dump";

/// Makes a dump each time that a signal comes, until it is dropped: of any runtimes, with any handler.
/// [`Builder::dump_on_signal`](super::Builder::dump_on_signal) does it for one runtime,
/// [`dump_on_signal`](crate::dump_on_signal) for those of the process.
///
/// A dump takes a tenth of a second if there are tasks that do not tell what they do; signals that come
/// meanwhile make one more. Like any signal that is [listened to](crate::signal), this one does no longer
/// what it does by default: the program goes on. Backtraces are no part of a [`dump`](crate::task::dump()).
///
/// # Examples
/// ```
/// use std::sync::mpsc;
/// use twoply::runtime::DumpOnSignal;
/// use twoply::signal::SignalKind;
///
/// # fn main() -> std::io::Result<()> {
/// let (dumps, made) = mpsc::channel();
/// let on_signal = DumpOnSignal::new(SignalKind::USER1, [twoply::spawner()], move |dump| {
///     let _ = dumps.send(dump.to_string());
/// })?;
/// std::process::Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status()?;
/// assert!(made.recv().unwrap().contains("tasks"));
/// drop(on_signal);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping this ends it"]
pub struct DumpOnSignal {
    /// Its end ends the thread.
    _running: Sender<()>,
}

impl DumpOnSignal {
    /// Calls `handler` with a dump of all tasks of `spawners`, on a thread of its own, after each signal of
    /// `kind` that comes from now on. If it panics, which the program's panic hook reports, it is called
    /// again after the next one.
    ///
    /// # Errors
    /// As [`Signals::new`], and when the operating system refuses a thread.
    pub fn new(
        kind: SignalKind,
        spawners: impl IntoIterator<Item = Spawner>,
        handler: impl Fn(&Dump) + Send + 'static,
    ) -> io::Result<DumpOnSignal> {
        let spawners: Vec<Spawner> = spawners.into_iter().collect();
        DumpOnSignal::start(kind, move || crate::task::dump(spawners.iter().cloned()), handler)
    }

    /// As [`DumpOnSignal::new`], with dumps that `dump` makes.
    pub(crate) fn start(
        kind: SignalKind,
        dump: impl Fn() -> Dumping + Send + 'static,
        handler: impl Fn(&Dump) + Send + 'static,
    ) -> io::Result<DumpOnSignal> {
        let signals = Signals::new([kind])?;
        let (running, ended) = bounded::<()>(1);
        let serve = move || {
            let next = || {
                race((
                    async {
                        signals.next().await;
                        true
                    },
                    async { ended.recv().await.is_ok() },
                ))
            };
            while next().wait() {
                let dump = dump().wait();
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(&dump))) {
                    // The payload may panic in its own destructor.
                    std::mem::forget(payload);
                }
            }
        };
        threads::shared().execute(Some(THREAD), None, serve)?;
        Ok(DumpOnSignal { _running: running })
    }
}

impl fmt::Debug for DumpOnSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DumpOnSignal").finish_non_exhaustive()
    }
}

/// Writes a dump to standard error, at once. If that is closed, there is nobody to tell.
pub(crate) fn to_stderr(dump: &Dump) {
    let _ = io::stderr().write_all(format!("{dump}\n").as_bytes());
}

/// The handler of a builder, whose clones call the same code.
#[derive(Clone)]
pub(super) struct Handler(pub(super) Arc<dyn Fn(&Dump) + Send + Sync>);

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}
