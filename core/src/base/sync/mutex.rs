//! The lock of critical sections that take nanoseconds: a queue is pushed to, a waker changes hands.
//!
//! Every message and every wait takes two or three of these locks, and nearly always nobody else holds them.
//! The cost of such a lock is its read-modify-writes: the mutexes of std and of other libraries need one to
//! lock and one to unlock, since the unlocking thread must learn whether it has somebody to wake. Here nobody
//! is woken, so a plain store unlocks, and the lock costs half.
//!
//! A thread that finds the mutex locked backs off: it yields its core a few times, and then sleeps, first
//! briefly and then longer. The holder is done after some nanoseconds unless the kernel has taken its core
//! away, and then the sleep is what lets it run, whatever the priorities of the two threads. To back off at
//! once is good for both: with two cores at one channel, the thread that has the cache line handles several
//! messages with it instead of one.
//!
//! This mutex is not for long sections, nor for anything that can block or runs code of the user's, because a
//! waiting thread sleeps without being woken. For these, and for condition variables, there is
//! [`lock_std`](super::lock_std).

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::raw_lock::RawLock;

/// A mutex for short sections; see the [module](self). What it protects begins beside the lock, so that they
/// share a line of the cache.
#[repr(C)]
pub(crate) struct Mutex<T> {
    raw: RawLock,
    /// Accessed only by the holder of the guard.
    value: UnsafeCell<T>,
}

// SAFETY: a shared mutex gives access to the value through its guard alone, and one thread at a time has the
// guard. So sharing the mutex sends the value from thread to thread and never shares it.
unsafe impl<T: Send> Sync for Mutex<T> {}

// Each critical section leaves its value consistent at every step, so a panic that passes through one breaks
// nothing.
impl<T> UnwindSafe for Mutex<T> {}
impl<T> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex { raw: RawLock::new(), value: UnsafeCell::new(value) }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

#[cfg(debug_assertions)]
thread_local! {
    /// The number of these mutexes that the thread holds. A stack never switches while it holds one.
    static HELD: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Checks, in debug builds, that the thread holds no mutex. Called before code of the user's runs.
#[inline]
#[track_caller]
pub(crate) fn assert_unlocked() {
    #[cfg(debug_assertions)]
    if !std::thread::panicking() {
        assert_eq!(HELD.with(std::cell::Cell::get), 0, "code of the user's runs under a lock");
    }
}

/// Locks `mutex`; waits while somebody else has it.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.raw.lock();
    #[cfg(debug_assertions)]
    HELD.with(|held| held.set(held.get() + 1));
    MutexGuard { mutex, value: PhantomData }
}

/// Access to the value of a locked mutex, which is unlocked when the guard is dropped.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// Makes the guard `Send` and `Sync` exactly where a `&mut T` is.
    value: PhantomData<&'a mut T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: there is one guard at a time, from `lock` to `unlock`, and this one is borrowed shared: no
        // `&mut` to the value exists.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: there is one guard at a time, from `lock` to `unlock`, and this one is borrowed
        // exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        HELD.with(|held| held.set(held.get() - 1));
        self.mutex.raw.unlock();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};
    use std::thread;

    use super::*;

    #[test]
    fn many_threads_at_once_lose_nothing() {
        const EACH: u64 = if cfg!(miri) { 50 } else { 2_000 };
        let sum = Mutex::new(0u64);
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..EACH {
                        let mut inside = lock(&sum);
                        let before = *inside;
                        // Others have the time to come in here, if they can.
                        thread::yield_now();
                        *inside = before + 1;
                    }
                });
            }
        });
        assert_eq!(*lock(&sum), 4 * EACH);
    }

    /// Runs a thread that waits for a long section: it goes to sleep, and comes back.
    #[test]
    fn a_long_section_keeps_everybody_out_until_it_ends() {
        let value = Mutex::new(0);
        let (tx, rx) = mpsc::channel();
        thread::scope(|scope| {
            let mut inside = lock(&value);
            scope.spawn(|| {
                tx.send(()).unwrap();
                *lock(&value) *= 2;
            });
            rx.recv().unwrap();
            // Long enough for the other thread to have stepped back all the way; the test holds whenever it
            // did.
            thread::sleep(std::time::Duration::from_millis(2));
            *inside = 21;
        });
        assert_eq!(*lock(&value), 42);
    }

    #[test]
    fn a_panic_inside_lets_the_next_one_in() {
        let value = Mutex::new(1);
        let panicked = std::panic::catch_unwind(|| {
            let _inside = lock(&value);
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(panicked.is_err());
        assert_eq!(*lock(&value), 1);
    }
}
