//! A value that may still be on its way, and waits when it is touched.

use std::fmt;
use std::ops::Deref;

use super::Promise;
use crate::kernel::task::Failure;
use crate::kernel::wait::Wait;

/// A value that may still be on its way: the first touch waits for it, and after that it *is* the value, as
/// in Io.
///
/// A touch is a dereference. It waits as [`Wait::wait`] does, so it blocks the stack that it is on, in the
/// way which that stack can, also in the middle of an expression.
///
/// # Examples
/// ```
/// use twoply::promise::{self, Transparent};
///
/// let (promise, resolver) = promise::pair();
/// let name = Transparent::from(promise);
/// std::thread::spawn(move || resolver.resolve("twoply".to_owned()));
/// assert_eq!(name.len(), 6);
/// assert!(name.starts_with("two"));
/// ```
pub struct Transparent<T>(Promise<T>);

impl<T> Transparent<T> {
    /// Waits for the value, and returns a reference to it. It is no method, lest it hide one of `T`.
    ///
    /// # Errors
    /// When the promise has failed.
    ///
    /// ```
    /// use twoply::promise::{Failure, Promise, Transparent};
    ///
    /// let there = Transparent::from(Promise::ready(7));
    /// assert_eq!(Transparent::touch(&there).unwrap(), &7);
    /// let gone = Transparent::from(Promise::<u8>::failed(Failure::Cancelled));
    /// assert!(Transparent::touch(&gone).is_err());
    /// ```
    pub fn touch(this: &Transparent<T>) -> Result<&T, Failure> {
        // Once it has come out, that is a look at one word.
        match this.0.try_get() {
            Some(outcome) => outcome.map_err(Failure::clone),
            None => (&this.0).wait(),
        }
    }

    /// Returns the promise that this was made of.
    ///
    /// ```
    /// use twoply::{Wait, promise::{Promise, Transparent}};
    ///
    /// let value = Transparent::from(Promise::ready(7));
    /// assert_eq!(*value, 7);
    /// assert_eq!(Transparent::into_promise(value).wait().unwrap(), 7);
    /// ```
    pub fn into_promise(this: Transparent<T>) -> Promise<T> {
        this.0
    }
}

impl<T> From<Promise<T>> for Transparent<T> {
    fn from(promise: Promise<T>) -> Transparent<T> {
        Transparent(promise)
    }
}

impl<T> Clone for Transparent<T> {
    fn clone(&self) -> Transparent<T> {
        Transparent(self.0.clone())
    }
}

impl<T> Deref for Transparent<T> {
    type Target = T;

    /// Waits for the value.
    ///
    /// # Panics
    /// When there is none, with the text of the [`Failure`]; [`Transparent::touch`] returns that.
    #[track_caller]
    fn deref(&self) -> &T {
        match Transparent::touch(self) {
            Ok(value) => value,
            Err(failure) => panic!("{failure}"),
        }
    }
}

impl<T> fmt::Debug for Transparent<T> {
    /// Does not touch the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transparent").field(&self.0).finish()
    }
}
