//! Notices a `fork` without `exec`. The child has none of the parent's threads, so a task that is handed to
//! one of them there would wait for ever.
//!
//! Thread caches, reactors and backends remember the number of forks at which they were made, and refuse to
//! start anything at another. What a process has once is kept in a [`PerProcess`], which the child makes
//! anew.

use std::convert::Infallible;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The number of forks between the process that was started and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Returns the counter of forks: it goes up by one in the child of each fork after the first call.
///
/// A structure that relies on threads compares it with what it was when the structure was made.
///
/// ```
/// use std::sync::atomic::Ordering;
///
/// let made_at = twoply_core::fork::generation().load(Ordering::Relaxed);
/// let is_forked = || twoply_core::fork::generation().load(Ordering::Relaxed) != made_at;
/// assert!(!is_forked());
/// ```
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

/// Returns the number of forks, to be remembered and compared.
#[inline]
pub(crate) fn count() -> u64 {
    // Relaxed: a fork happens on the thread that asks, or before it was started.
    generation().load(Ordering::Relaxed)
}

/// A value that each process has once: the first who needs it makes it, it is never dropped, and the child of
/// a fork makes its own, because the threads behind the parent's are not there.
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
    /// The value that was made last, here or in a process that this one was forked from. It is never freed.
    latest: AtomicPtr<Made<T>>,
    /// The number of forks plus one in the process in which some thread makes the value, or zero.
    making: AtomicU64,
}

/// A value with the process that it belongs to.
struct Made<T> {
    /// The number of forks in the process that made it.
    born: u64,
    value: T,
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    /// Creates it without a value. For a `static`.
    pub const fn new() -> PerProcess<T> {
        PerProcess { latest: AtomicPtr::new(std::ptr::null_mut()), making: AtomicU64::new(0) }
    }

    /// Returns the value of this process, if it has been made.
    ///
    /// # Examples
    /// ```
    /// use twoply_core::fork::PerProcess;
    ///
    /// static NAME: PerProcess<String> = PerProcess::new();
    /// assert_eq!(NAME.get(), None);
    /// NAME.get_or_init(|| "first".to_owned());
    /// assert_eq!(NAME.get().map(String::as_str), Some("first"));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&'static T> {
        // Acquire pairs with the Release store in `get_or_try_init`.
        let latest = self.latest.load(Ordering::Acquire);
        // SAFETY: the pointer is null, or of a leaked box, which nobody ever writes to.
        let made: &'static Made<T> = unsafe { latest.as_ref() }?;
        (made.born == count()).then_some(&made.value)
    }

    /// Returns the value of this process; the first call makes it with `make`, and other threads wait for
    /// that.
    ///
    /// # Errors
    /// Returns the error of `make`. The next call tries again.
    pub fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&'static T, E> {
        /// Ends the making, also when `make` panics.
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
            // Another number was left by a thread of the parent's that was making it; that thread is not
            // here.
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
    /// Returns the value of this process; the first call makes it with `make`, which cannot fail. Other
    /// threads wait for that.
    ///
    /// # Examples
    /// ```
    /// use twoply_core::fork::PerProcess;
    ///
    /// static NUMBER: PerProcess<u32> = PerProcess::new();
    /// assert_eq!(*NUMBER.get_or_init(|| 1), 1);
    /// assert_eq!(*NUMBER.get_or_init(|| 2), 1);
    /// ```
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

impl<T> std::fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerProcess").finish_non_exhaustive()
    }
}
