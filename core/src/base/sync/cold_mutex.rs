//! A mutex for what is seldom there, such as a queue of those who wait for a lock.

use std::sync::OnceLock;

use super::{Mutex, MutexGuard, lock};

/// A [`Mutex`] that is made, with the default value, when it is first locked. Until then it takes two words
/// of what it is a part of: so what is used all the time lies close together, most often in one cache line.
pub(crate) struct ColdMutex<T> {
    mutex: OnceLock<Box<Mutex<T>>>,
}

impl<T> ColdMutex<T> {
    pub(crate) const fn new() -> ColdMutex<T> {
        ColdMutex { mutex: OnceLock::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T>
    where
        T: Default,
    {
        lock(self.mutex.get_or_init(|| Box::new(Mutex::new(T::default()))))
    }
}
