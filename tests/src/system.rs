//! The systems that laws are checked on.

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use twoply_core::backend::Backend;
use twoply_core::task::{Spawner, Task};
use twoply_green::{FiberPromise, Green, Metrics};
use twoply_native::Native;

use crate::watch::{quiet, watch};

/// The promise that fibers ask for.
pub fn fiber_promise() -> FiberPromise {
    // SAFETY: the laws hold no scoped thread-local, no recursive lock and no foreign frame across a wait.
    unsafe { FiberPromise::new() }
}

/// How long the runtimes of a law may take to end.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// What a law is checked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Native tasks.
    Native,
    /// Green tasks whose blocked stacks are threads, on one worker.
    Green1,
    /// The same on two workers.
    Green2,
    /// Green tasks whose blocked stacks are fibers, on one worker.
    Fibers1,
    /// The same on two workers.
    Fibers2,
    /// Native tasks here, green ones on two workers there.
    NativeAndGreen,
    /// Green tasks on one worker here, fibers on one worker there.
    GreenAndFibers,
    /// Fibers on one worker here, native tasks there.
    FibersAndNative,
    /// Native tasks, whose ports run on an I/O server of one thread.
    NativeIo1,
    /// The same with two threads.
    NativeIo2,
    /// Green tasks on threads, on one worker, whose ports run on an I/O server of one thread.
    GreenIo1,
    /// The same with two of each.
    GreenIo2,
    /// Green tasks on fibers, on one worker, whose ports run on an I/O server of one thread.
    FibersIo1,
    /// The same with two of each.
    FibersIo2,
}

impl Kind {
    /// Returns the kinds of a set of [`side_by_side!`](crate::side_by_side).
    ///
    /// # Panics
    /// When there is no set of that name.
    pub fn set(name: &str) -> &'static [Kind] {
        match name {
            "everywhere" => &[Kind::Native, Kind::Green1, Kind::Green2, Kind::Fibers1, Kind::Fibers2],
            "two_workers" => &[Kind::Green2, Kind::Fibers2],
            _ => panic!("{name} is no set of systems"),
        }
    }

    /// The kinds of its two runtimes; the same one twice when there is only one.
    fn parts(self) -> (Kind, Kind) {
        match self {
            Kind::NativeAndGreen => (Kind::Native, Kind::Green2),
            Kind::GreenAndFibers => (Kind::Green1, Kind::Fibers1),
            Kind::FibersAndNative => (Kind::Fibers1, Kind::Native),
            one => (one, one),
        }
    }

    /// The number of workers; 0 for native.
    pub fn workers(self) -> usize {
        match self.parts().0 {
            Kind::Green1 | Kind::Fibers1 | Kind::GreenIo1 | Kind::FibersIo1 => 1,
            Kind::Green2 | Kind::Fibers2 | Kind::GreenIo2 | Kind::FibersIo2 => 2,
            _ => 0,
        }
    }

    /// The number of threads that its ports have for themselves; 0 where they have none.
    fn io_threads(self) -> usize {
        match self {
            Kind::NativeIo1 | Kind::GreenIo1 | Kind::FibersIo1 => 1,
            Kind::NativeIo2 | Kind::GreenIo2 | Kind::FibersIo2 => 2,
            _ => 0,
        }
    }

    /// Whether tasks are green.
    pub fn is_green(self) -> bool {
        self.workers() > 0
    }

    /// Whether blocked stacks are fibers.
    pub fn is_fibers(self) -> bool {
        matches!(self.parts().0, Kind::Fibers1 | Kind::Fibers2 | Kind::FibersIo1 | Kind::FibersIo2)
    }

    /// The settings of a green runtime of this kind.
    pub fn green(self) -> twoply_green::Builder {
        let mut builder = Green::builder().workers(self.workers());
        if self.io_threads() > 0 {
            builder = builder.io_server(self.io_threads());
        }
        match self.is_fibers() {
            true => builder.fibers_with(fiber_promise()),
            false => builder,
        }
    }

    /// Returns the name of the backend of its first part, and the number of workers, for
    /// [`facade!`](crate::facade).
    pub fn first(self) -> (&'static str, usize) {
        let name = match (self.is_green(), self.is_fibers()) {
            (true, true) => "fibers",
            (true, false) => "green",
            _ => "native",
        };
        (name, self.workers())
    }

    /// A runtime of this kind (of its first part) with the usual settings.
    ///
    /// # Panics
    /// When the system refuses what it needs.
    pub fn build(self) -> System {
        self.try_build().expect("the system has threads and descriptors")
    }

    /// As [`Kind::build`], where the system may refuse what it needs.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_build(self) -> io::Result<System> {
        let runtime = match self.is_green() {
            true => Runtime::Green(self.green().build()?),
            false => Runtime::Native(match self.io_threads() {
                0 => Native::new(),
                threads => Native::builder().io_server(threads).build(),
            }),
        };
        Ok(System { kind: self.parts().0, runtime })
    }
}

/// A runtime.
#[derive(Debug)]
pub struct System {
    /// What it is.
    kind: Kind,
    /// The runtime itself.
    runtime: Runtime,
}

/// A runtime of either backend.
#[derive(Debug)]
enum Runtime {
    /// Native.
    Native(Native),
    /// Green.
    Green(Green),
}

impl From<Green> for System {
    /// A green runtime with settings of a law's own; only [`System::kind`] says less about it than it could.
    fn from(green: Green) -> System {
        let kind = if green.metrics().workers.len() == 1 { Kind::Green1 } else { Kind::Green2 };
        System { kind, runtime: Runtime::Green(green) }
    }
}

impl From<Native> for System {
    fn from(native: Native) -> System {
        System { kind: Kind::Native, runtime: Runtime::Native(native) }
    }
}

impl System {
    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What starts tasks on it.
    pub fn spawner(&self) -> &Spawner {
        match &self.runtime {
            Runtime::Native(native) => native.spawner(),
            Runtime::Green(green) => green.spawner(),
        }
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        self.spawner().backend()
    }

    /// Starts a future as a task.
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawner().spawn(future)
    }

    /// Starts straight-line code as a task.
    pub fn spawn_fn<T: Send + 'static>(&self, code: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        self.spawner().spawn_fn(code)
    }

    /// How many tasks are not over.
    pub fn tasks(&self) -> usize {
        self.spawner().tasks().len()
    }

    /// The counters of a green runtime.
    ///
    /// # Panics
    /// When it is native.
    pub fn metrics(&self) -> Metrics {
        match &self.runtime {
            Runtime::Green(green) => green.metrics(),
            Runtime::Native(_) => panic!("a native runtime has no workers to ask"),
        }
    }

    /// Shuts the runtime down.
    ///
    /// # Errors
    /// When tasks were left after `deadline`.
    pub fn shutdown(&self, deadline: Duration) -> io::Result<()> {
        match &self.runtime {
            Runtime::Native(native) => native.shutdown(deadline),
            Runtime::Green(green) => green.shutdown(deadline),
        }
    }
}

/// A law that holds on each of its systems.
pub type Law = fn(&Systems);

/// What one test of a law runs on. Its runtimes are made when they are first asked for.
#[derive(Debug)]
pub struct Systems {
    /// The name of the test, as the test harness knows it.
    name: &'static str,
    /// What was asked for.
    kind: Kind,
    /// The runtime, or the first one of a pair.
    here: OnceLock<System>,
    /// The second one of a pair.
    there: OnceLock<System>,
}

impl Systems {
    /// Checks `law` on `kind`, and that its runtimes end afterwards.
    pub fn check(name: &'static str, kind: Kind, law: Law) {
        let systems = Systems { name, kind, here: OnceLock::new(), there: OnceLock::new() };
        quiet();
        watch(name, || {
            law(&systems);
            if let (Some(here), true) = (systems.here.get(), kind.io_threads() > 0) {
                let io = here.backend().io_threads().map(|io| io.metrics().threads);
                assert!(io > Some(0), "{name}: no port has run on the I/O server");
            }
            for system in [systems.here.get(), systems.there.get()].into_iter().flatten() {
                system.shutdown(SHUTDOWN).unwrap_or_else(|error| panic!("{name}: shutdown: {error}"));
                assert_eq!(system.tasks(), 0, "{name}: tasks are left");
            }
        });
    }

    /// Checks each law on each of these kinds, all at the same time.
    pub fn check_side_by_side(laws: &[(&'static str, Law)], kinds: &[Kind]) {
        thread::scope(|scope| {
            for &(name, law) in laws {
                for &kind in kinds {
                    // A law that fails is named by its thread; the scope panics then, too.
                    let thread = thread::Builder::new().name(format!("{name}::{kind:?}"));
                    let checks = move || Systems::check(name, kind, law);
                    thread.spawn_scoped(scope, checks).expect("the system has threads");
                }
            }
        });
    }

    /// The name of the test.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the law is checked on.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The runtime; the first one of a pair.
    pub fn here(&self) -> &System {
        self.here.get_or_init(|| self.kind.build())
    }

    /// The second runtime of a pair; else the same as [`Systems::here`].
    pub fn there(&self) -> &System {
        match self.kind.parts() {
            (first, second) if first == second => self.here(),
            (_, second) => self.there.get_or_init(|| second.build()),
        }
    }
}
