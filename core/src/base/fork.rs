//! Notices a fork without exec: the child has none of the parent's threads, so a task handed to one of them there
//! would wait for ever.
//!
//! Thread caches, reactors and backends remember the count that they were made at, and refuse to start anything at another.
//! What there is once for the whole process is kept in a [`PerProcess`], which the child makes anew.

use std::convert::Infallible;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// How many forks lie between the process that was started and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The counter of forks, which counts from the first call on.
pub fn generation() -> &'static AtomicU64 {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        extern "C" fn in_child() {
            GENERATION.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the handler only adds to an atomic, which is allowed in the child of a threaded process. A
        // failure (out of memory) leaves forks unnoticed, which is no worse than not asking.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    &GENERATION
}

/// How many forks there have been, for those who remember the number.
#[inline]
pub(crate) fn count() -> u64 {
    // Relaxed: a fork happens on the thread that asks, or before it was started.
    generation().load(Ordering::Relaxed)
}

/// Something that there is once in each process: made by whoever needs it first, there for good, and made anew in the
/// child of a fork, where the threads behind the parent's are not.
///
/// ```
/// use twoply_core::fork::PerProcess;
///
/// static TABLE: PerProcess<Vec<u32>> = PerProcess::new();
/// let made = TABLE.get_or_try_init(|| Ok::<_, ()>(vec![1, 2, 3])).unwrap();
/// let found = TABLE.get_or_try_init(|| Err("there is one")).unwrap();
/// assert!(std::ptr::eq(made, found));
/// ```
pub struct PerProcess<T: 'static> {
    /// What was made last, here or in a process that this one was forked from. Never freed.
    latest: AtomicPtr<Made<T>>,
    /// Who makes one: the count of forks plus one, or zero for nobody.
    making: AtomicU64,
}

/// See [`PerProcess`].
struct Made<T> {
    /// The count of forks in the process that made it.
    born: u64,
    /// What it has made.
    value: T,
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    /// One that nobody has needed yet.
    pub const fn new() -> PerProcess<T> {
        PerProcess { latest: AtomicPtr::new(std::ptr::null_mut()), making: AtomicU64::new(0) }
    }

    /// What this process has, if it has one.
    #[inline]
    pub fn get(&self) -> Option<&'static T> {
        // Acquire pairs with the Release store in `get_or_try_init`.
        let latest = self.latest.load(Ordering::Acquire);
        // SAFETY: the pointer is null, or of a leaked box, which nobody ever writes to.
        let made: &'static Made<T> = unsafe { latest.as_ref() }?;
        (made.born == count()).then_some(&made.value)
    }

    /// What this process has; `make` makes it if need be. Others who need it meanwhile wait for that.
    ///
    /// # Errors
    /// What `make` says; the next call tries again.
    pub fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&'static T, E> {
        /// Also when making it unwinds.
        struct Done<'a>(&'a AtomicU64);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                // Release pairs with the Acquire exchange below.
                self.0.store(0, Ordering::Release);
            }
        }
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let born = count();
        loop {
            let maker = self.making.load(Ordering::Relaxed);
            // A maker of another number was a thread of the parent's in the middle of it, which is not here.
            let free = maker != born + 1;
            if free
                && self.making.compare_exchange(maker, born + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                break;
            }
            std::thread::yield_now();
        }
        let _done = Done(&self.making);
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let made = Box::leak(Box::new(Made { born, value: make()? }));
        // Release pairs with the Acquire load in `get`.
        self.latest.store(made, Ordering::Release);
        Ok(&made.value)
    }
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    /// As [`get_or_try_init`](PerProcess::get_or_try_init), for what can always be made.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &'static T {
        match self.get_or_try_init(|| Ok::<T, Infallible>(make())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}

impl<T: Send + Sync + 'static> Default for PerProcess<T> {
    fn default() -> PerProcess<T> {
        PerProcess::new()
    }
}
