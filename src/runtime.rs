//! One runtime type for every backend: what a program uses that picks its backend when it starts.
//!
//! [`Backend`] is the choice, which can be read from a command line or a configuration file; [`Runtime`] is
//! what comes of it. Only the backends that were compiled in are there. Nothing here knows how a backend
//! works: each method hands over to [`Native`] or [`Green`], which have more settings and can be used
//! directly.

use std::fmt;
use std::future::Future;
use std::io;
use std::str::FromStr;
use std::time::Duration;

#[cfg(feature = "green")]
use twoply_green::{FiberPromise, Green};
#[cfg(feature = "native")]
use twoply_native::Native;

use crate::task::Dumping;
use crate::{Failure, Spawner, Task};

/// The ways in which the tasks of a [`Runtime`] run.
///
/// Its text form is the name in lower case, so it can be an argument of a program. The default is `Green`, or
/// `Native` where the feature `green` is off.
///
/// # Examples
/// ```
/// use twoply::Backend;
///
/// # #[cfg(feature = "green")] {
/// assert_eq!("green".parse(), Ok(Backend::Green));
/// assert_eq!(Backend::Green.to_string(), "green");
/// # }
/// assert!("grin".parse::<Backend>().unwrap_err().to_string().contains("grin"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Many tasks on a few workers; a stack that blocks costs a thread while it does.
    #[cfg(feature = "green")]
    Green,
    /// Many tasks on a few workers; a stack that blocks is a fiber. It asks for a promise:
    /// [`Builder::fibers`].
    #[cfg(feature = "green")]
    Fibers,
    /// An OS thread for each task.
    #[cfg(feature = "native")]
    Native,
}

/// The names of all backends, and the feature that each needs.
const NAMES: [(&str, &str); 3] = [("green", "green"), ("fibers", "green"), ("native", "native")];

impl Backend {
    /// The backends that were compiled in.
    pub const ALL: &[Backend] = &[
        #[cfg(feature = "green")]
        Backend::Green,
        #[cfg(feature = "green")]
        Backend::Fibers,
        #[cfg(feature = "native")]
        Backend::Native,
    ];

    /// Returns the name, which is also the text form.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "green")]
            Backend::Green => "green",
            #[cfg(feature = "green")]
            Backend::Fibers => "fibers",
            #[cfg(feature = "native")]
            Backend::Native => "native",
        }
    }
}

impl Default for Backend {
    fn default() -> Backend {
        Backend::ALL[0]
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Backend {
    type Err = ParseBackendError;

    fn from_str(name: &str) -> Result<Backend, ParseBackendError> {
        let found = Backend::ALL.iter().find(|backend| backend.name().eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| ParseBackendError { name: name.to_owned() })
    }
}

/// The error of reading a [`Backend`] from text: there is none of this name, or it was not compiled in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseBackendError {
    /// The name that was asked for.
    name: String,
}

impl fmt::Display for ParseBackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        if let Some((_, feature)) = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return write!(f, "the backend `{name}` needs the feature `{feature}` of twoply, which is off");
        }
        write!(f, "there is no backend `{name}`, only ")?;
        for (index, backend) in Backend::ALL.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}`{backend}`")?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseBackendError {}

/// A runtime of either backend.
///
/// Dropping it means what it means for the backend; [`Runtime::shutdown`] ends it in order on each.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Backend, Runtime, Wait};
///
/// # fn main() -> std::io::Result<()> {
/// let name = std::env::var("BACKEND").unwrap_or_default();
/// let runtime = Runtime::builder().backend(name.parse().unwrap_or_default()).workers(2).build()?;
/// let sum = runtime.spawn(async { (1..=10).sum::<u32>() });
/// assert_eq!(sum.wait().unwrap(), 55);
/// runtime.shutdown(Duration::from_secs(5))
/// # }
/// ```
#[derive(Debug)]
pub struct Runtime {
    /// The backend that was chosen.
    backend: Backend,
    /// The runtime of that backend.
    engine: Engine,
}

/// The backend's own runtime.
#[derive(Debug)]
enum Engine {
    /// A runtime of threads.
    #[cfg(feature = "native")]
    Native(Native),
    /// A runtime of workers.
    #[cfg(feature = "green")]
    Green(Green),
}

/// Runs the same expression on whichever runtime there is.
macro_rules! on_engine {
    ($engine:expr, $runtime:ident => $result:expr) => {
        match $engine {
            #[cfg(feature = "native")]
            Engine::Native($runtime) => $result,
            #[cfg(feature = "green")]
            Engine::Green($runtime) => $result,
        }
    };
}

impl Runtime {
    /// Returns the settings of a new runtime, to be changed and built.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a runtime of `backend` with the usual settings.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new(backend: Backend) -> io::Result<Runtime> {
        Runtime::builder().backend(backend).build()
    }

    /// Returns the backend that its tasks run on.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Returns the spawner of its tasks; clones of that start them on the same runtime.
    pub fn spawner(&self) -> &Spawner {
        on_engine!(&self.engine, runtime => runtime.spawner())
    }

    /// Starts `future` as a task. If it cannot be started, the handle says so.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawner().spawn(future)
    }

    /// Starts straight-line code as a task; see [`Runtime::spawn`].
    #[track_caller]
    pub fn spawn_fn<F, T>(&self, code: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawner().spawn_fn(code)
    }

    /// Runs `main` as a task, and returns its result once it and all other tasks of the runtime are over.
    ///
    /// # Errors
    /// When `main` panicked, was cancelled or could not be started.
    pub fn run<F, T>(&self, main: F) -> Result<T, Failure>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawner().run(main)
    }

    /// Returns a future of all tasks of the runtime, and what each is doing; see
    /// [`task::dump`](crate::task::dump).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait, task};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let named = task::Builder::new().name("idle");
    /// let idle = named.spawn_on(runtime.spawner().backend(), std::future::pending::<()>()).unwrap();
    /// assert!(runtime.dump().wait().task(idle.id()).is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn dump(&self) -> Dumping {
        self.spawner().dump()
    }

    /// Returns what every runtime counts.
    pub fn metrics(&self) -> Metrics {
        match &self.engine {
            #[cfg(feature = "native")]
            Engine::Native(native) => {
                Metrics { tasks: native.spawner().tasks().len(), threads: native.threads().0 }
            }
            #[cfg(feature = "green")]
            Engine::Green(green) => {
                let metrics = green.metrics();
                Metrics { tasks: metrics.tasks, threads: metrics.threads }
            }
        }
    }

    /// Returns the green runtime behind it, if it is one: for what only that has, such as the counters of its
    /// workers.
    #[cfg(feature = "green")]
    pub fn as_green(&self) -> Option<&Green> {
        match &self.engine {
            Engine::Green(green) => Some(green),
            #[cfg(feature = "native")]
            Engine::Native(_) => None,
        }
    }

    /// Cancels all tasks, waits for them and for the threads to end, and lets no task start any more.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when some were left after `deadline`, which they name;
    /// [`io::ErrorKind::Deadlock`] when one of them calls it, and would wait for itself: then nothing has
    /// been done.
    pub fn shutdown(&self, deadline: Duration) -> io::Result<()> {
        on_engine!(&self.engine, runtime => runtime.shutdown(deadline))
    }
}

/// The counts that every runtime has, read one after the other while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The number of tasks that are not over.
    pub tasks: usize,
    /// The number of threads of the runtime, the idle ones included.
    pub threads: usize,
}

/// The settings of a [`Runtime`]. A setting that means nothing to the chosen backend is ignored.
#[derive(Clone, Debug, Default)]
#[must_use = "settings start nothing until they are built"]
pub struct Builder {
    /// The setting of [`Builder::backend`].
    backend: Backend,
    /// The setting of [`Builder::name`].
    name: Option<String>,
    /// The setting of [`Builder::workers`].
    workers: Option<usize>,
    /// The setting of [`Builder::max_threads`].
    max_threads: Option<usize>,
    /// The setting of [`Builder::stack_size`].
    stack_size: Option<usize>,
    /// The setting of [`Builder::fibers`].
    #[cfg(feature = "green")]
    promise: Option<FiberPromise>,
}

impl Builder {
    /// Chooses the backend of the tasks; [`Backend::default`] unless set.
    pub fn backend(mut self, backend: Backend) -> Builder {
        self.backend = backend;
        self
    }

    /// Names the threads of the runtime, as debuggers and `std::thread::current` show them; after the backend
    /// unless set.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Sets how many workers green tasks have; as many as the machine has cores unless set.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers);
        self
    }

    /// Sets the most threads at a time; see the setting of this name of the backend's own builder.
    pub fn max_threads(mut self, threads: usize) -> Builder {
        self.max_threads = Some(threads);
        self
    }

    /// Sets the stack of a fiber, or of the thread of a native task, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Hands over the promise without which [`Backend::Fibers`] is not built. Other backends do not use it.
    #[cfg(feature = "green")]
    pub fn fibers(mut self, promise: FiberPromise) -> Builder {
        self.promise = Some(promise);
        self
    }

    /// Starts a runtime with these settings.
    ///
    /// # Errors
    /// When the operating system refuses a thread, a descriptor or memory. [`io::ErrorKind::InvalidInput`]
    /// for [`Backend::Fibers`] without the promise.
    pub fn build(self) -> io::Result<Runtime> {
        let engine = match self.backend {
            #[cfg(feature = "native")]
            Backend::Native => Engine::Native(self.native()),
            #[cfg(feature = "green")]
            Backend::Green => Engine::Green(self.green().build()?),
            #[cfg(feature = "green")]
            Backend::Fibers => match self.promise {
                Some(promise) => Engine::Green(self.green().fibers_with(promise).build()?),
                None => return Err(io::Error::new(io::ErrorKind::InvalidInput, NO_PROMISE)),
            },
        };
        Ok(Runtime { backend: self.backend, engine })
    }

    /// Makes a native runtime.
    #[cfg(feature = "native")]
    fn native(&self) -> Native {
        let mut builder = Native::builder();
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        if let Some(threads) = self.max_threads {
            builder = builder.max_threads(threads);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder.build()
    }

    /// Returns the settings of a green runtime.
    #[cfg(feature = "green")]
    fn green(&self) -> twoply_green::Builder {
        let mut builder = Green::builder();
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        if let Some(workers) = self.workers {
            builder = builder.workers(workers);
        }
        if let Some(threads) = self.max_threads {
            builder = builder.max_threads(threads);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder
    }
}

/// The error of building fibers that nobody promised anything for.
#[cfg(feature = "green")]
const NO_PROMISE: &str =
    "fibers ask for a promise about the program: make a `FiberPromise` and hand it to `fibers`";

#[cfg(test)]
mod tests {
    use super::Backend;

    #[test]
    fn a_backend_that_is_left_out_names_its_feature() {
        for (name, feature) in super::NAMES {
            match name.parse::<Backend>() {
                Ok(backend) => assert_eq!(backend.name(), name),
                Err(error) => assert!(error.to_string().contains(&format!("feature `{feature}`")), "{error}"),
            }
        }
    }
}
