//! The processors that a runtime's threads are bound to, if the program has asked for that.
//!
//! Where tasks are threads, each of these may run on any of the processors. A worker has one of them; it
//! moves from thread to thread, and what is bound is the thread that carries it, until the worker moves on.
//! Nothing here knows a worker but by its number.

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::cell::Cell;
use std::io;

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

#[cfg(any(target_os = "linux", target_os = "android"))]
thread_local! {
    /// The processors that the thread may use when it is freed; `None` if it is not bound.
    static USUAL: Cell<Option<CpuSet>> = const { Cell::new(None) };
}

/// Returns `body` for a thread that is bound to no processor. The system has a thread begin with the
/// processors of the one that starts it, and that may be bound as no thread of another runtime should be.
pub(super) fn unbound(body: impl FnOnce() + Send + 'static) -> impl FnOnce() + Send + 'static {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let usual = USUAL.get();
    move || {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(usual) = usual {
            let _ = sched_setaffinity(None, &usual);
        }
        body();
    }
}

/// The processors of one runtime.
///
/// # Examples
/// ```
/// use twoply::contract::threads::Affinity;
///
/// assert!(Affinity::new(&[usize::MAX]).is_err(), "there is no such processor");
/// if let Ok(first) = Affinity::new(&[0]) {
///     std::thread::spawn(move || first.bind_to_all()).join().unwrap();
/// }
/// ```
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
pub struct Affinity {
    /// The processor of each worker, which are given out in turns.
    bound: Box<[CpuSet]>,
    /// All of these processors.
    all: CpuSet,
    /// The processors that threads of the runtime may use without a worker: those of the thread that made it.
    usual: CpuSet,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Affinity {
    /// Makes sure that threads may be bound to these processors.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when there is none, or no processor of one of these numbers; what the
    /// operating system says when it refuses one.
    pub fn new(cpus: &[usize]) -> io::Result<Affinity> {
        let before = sched_getaffinity(None)?;
        let usual = USUAL.get().unwrap_or(before);
        let only = |&cpu: &usize| {
            if cpu >= CpuSet::MAX_CPU {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no processor {cpu}")));
            }
            let mut set = CpuSet::new();
            set.set(cpu);
            Ok(set)
        };
        let bound: Box<[CpuSet]> = cpus.iter().map(only).collect::<io::Result<_>>()?;
        if bound.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no processor to bind threads to"));
        }
        // Only the system knows what it grants, and only for a thread: for one of the processors after the
        // other, and then for all that the thread had before.
        let tried = bound.iter().zip(cpus).try_for_each(|(set, cpu)| {
            let refused = |error| {
                let error = io::Error::from(error);
                io::Error::new(error.kind(), format!("processor {cpu}: {error}"))
            };
            sched_setaffinity(None, set).map_err(refused)
        });
        sched_setaffinity(None, &before)?;
        let mut all = CpuSet::new();
        cpus.iter().for_each(|&cpu| all.set(cpu));
        tried.map(|()| Affinity { bound, all, usual })
    }

    /// Binds the calling thread, which carries a worker from now on. If the processor has gone since, the
    /// thread runs where it may.
    pub fn bind(&self, worker: usize) {
        USUAL.set(Some(self.usual));
        let _ = sched_setaffinity(None, &self.bound[worker % self.bound.len()]);
    }

    /// Binds the calling thread to all of the processors at a time: it runs on one or another of them.
    pub fn bind_to_all(&self) {
        USUAL.set(Some(self.usual));
        let _ = sched_setaffinity(None, &self.all);
    }

    /// Frees a thread that carries no worker any more; 0 is the calling one.
    pub fn free(&self, thread: i32) {
        if thread == 0 {
            USUAL.set(None);
        }
        let _ = sched_setaffinity(Pid::from_raw(thread), &self.usual);
    }
}

/// The processors of one runtime: this system knows none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug)]
pub enum Affinity {}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Affinity {
    /// Fails on this system, with [`io::ErrorKind::Unsupported`].
    pub fn new(_: &[usize]) -> io::Result<Affinity> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Binds no thread, as there is no such value.
    pub fn bind(&self, _: usize) {}

    /// Binds no thread, as there is no such value.
    pub fn bind_to_all(&self) {}

    /// Frees no thread, as there is no such value.
    pub fn free(&self, _: i32) {}
}
