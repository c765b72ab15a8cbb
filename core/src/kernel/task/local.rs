//! Task-locals: values that the code of a task finds without having been given them.
//!
//! A value is set for as long as a future, or a call, is under way, and belongs to the task in which that
//! runs. The records of a stack hold the values that are set there, in the order in which they were set; a
//! [scope](LocalScope) enters its values when it is polled, and takes them out when that poll is over. A poll
//! never changes its stack, so they are found wherever that goes: after a hand-over to another thread, in a
//! `.wait()` on a fiber. Tasks without such values pay nothing.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::id::TaskId;
use crate::kernel::backend::StrandState;
use crate::kernel::strand::with_state;

/// Declares task-locals: statics of the type [`LocalKey`](crate::task::LocalKey), whose values belong to the
/// task that runs.
///
/// # Examples
/// ```
/// use twoply::{Wait, task_local};
///
/// task_local! {
///     /// The number of the request that is worked on.
///     pub static REQUEST: u64;
/// }
///
/// fn log(line: &str) -> String {
///     format!("[{}] {line}", REQUEST.get())
/// }
///
/// let task = twoply::spawn(REQUEST.scope(7, async { log("begun") }));
/// assert_eq!(task.wait().unwrap(), "[7] begun");
/// ```
#[macro_export]
macro_rules! task_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $Type:ty);+ $(;)?) => {$(
        $(#[$attribute])*
        $visibility static $name: $crate::task::LocalKey<$Type> = {
            // Its address is what tells this key from others.
            static IDENTITY: u8 = 0;
            $crate::task::LocalKey::new(&IDENTITY, ::core::stringify!($name))
        };
    )+};
}

/// The name of a value of type `T` that each task may have one of; [`task_local!`](crate::task_local) makes
/// it.
///
/// A value is visible to the code that its scope runs, wherever that goes: to other threads with its worker,
/// into [`offload`](crate::offload()), to a native thread or a fiber. It is not visible to other tasks, also
/// those that are started there, unless they [ask for it](inherit): then they share it. So values are `Send`
/// and `Sync`; one that is to change lies in an atomic or a lock.
///
/// # Examples
/// ```
/// use twoply::{Wait, task, task_local};
///
/// task_local! { static USER: String }
///
/// USER.sync_scope("io".into(), || {
///     assert_eq!(USER.with(String::len), 2);
///     let stranger = twoply::spawn(async { USER.try_with(String::clone).is_err() });
///     assert!(stranger.wait().unwrap());
///     let child = twoply::spawn(task::inherit(async { USER.get() }));
///     assert_eq!(child.wait().unwrap(), "io");
/// });
/// ```
pub struct LocalKey<T: 'static> {
    /// A byte of the key's own, whose address stands for the key. It is not zero-sized, or others might lie
    /// there too.
    identity: &'static u8,
    /// The name of the static, for messages.
    name: &'static str,
    /// The key refers to values of this type, and holds none.
    value: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> LocalKey<T> {
    /// Makes a key; called by [`task_local!`](crate::task_local).
    #[doc(hidden)]
    pub const fn new(identity: &'static u8, name: &'static str) -> LocalKey<T> {
        LocalKey { identity, name, value: PhantomData }
    }

    /// Sets the value to `value` for as long as `future` runs. A scope inside of another one of the same key
    /// hides that one's value.
    ///
    /// The value is set while `future` is polled or dropped, and is dropped after it.
    ///
    /// ```
    /// use twoply::{Wait, task_local};
    ///
    /// task_local! { static DEPTH: u32 }
    ///
    /// let inner = async { (DEPTH.get(), DEPTH.scope(2, async { DEPTH.get() }).await, DEPTH.get()) };
    /// assert_eq!(DEPTH.scope(1, inner).wait(), (1, 2, 1));
    /// ```
    pub fn scope<F: IntoFuture>(&'static self, value: T, future: F) -> LocalScope<F::IntoFuture> {
        LocalScope { future: Some(future.into_future()), values: vec![self.set_to(value)] }
    }

    /// Sets the value to `value` while `code` runs, which may wait, and returns what that returns.
    ///
    /// # Panics
    /// When `code` does.
    ///
    /// ```
    /// use twoply::task_local;
    ///
    /// task_local! { static DEPTH: u32 }
    ///
    /// assert_eq!(DEPTH.sync_scope(1, || DEPTH.get()), 1);
    /// ```
    pub fn sync_scope<R>(&'static self, value: T, code: impl FnOnce() -> R) -> R {
        set_while(&[self.set_to(value)], code)
    }

    /// Returns what `look` makes of the value. It may wait, and set the value anew.
    ///
    /// # Panics
    /// When the running task has no value. [`LocalKey::try_with`] returns an error instead.
    ///
    /// ```
    /// use twoply::task_local;
    ///
    /// task_local! { static USER: String }
    ///
    /// assert_eq!(USER.sync_scope("io".into(), || USER.with(|user| user.len())), 2);
    /// ```
    #[track_caller]
    pub fn with<R>(&'static self, look: impl FnOnce(&T) -> R) -> R {
        match self.try_with(look) {
            Ok(result) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`LocalKey::with`].
    ///
    /// # Errors
    /// When the running task has no value.
    ///
    /// ```
    /// use twoply::task_local;
    ///
    /// task_local! { static USER: String }
    ///
    /// let error = USER.try_with(String::len).unwrap_err();
    /// assert_eq!(error.to_string(), "the task-local `USER` is not set here");
    /// ```
    pub fn try_with<R>(&'static self, look: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let value = with_state(|state| state.locals().find(self.identity, current(state)));
        // Nothing is borrowed while code of the user's runs.
        match value.as_deref().and_then(|value| value.downcast_ref()) {
            Some(value) => Ok(look(value)),
            None => Err(AccessError { name: self.name }),
        }
    }

    /// Returns a clone of the value.
    ///
    /// # Panics
    /// As [`LocalKey::with`].
    ///
    /// ```
    /// use twoply::task_local;
    ///
    /// task_local! { static USER: &'static str }
    ///
    /// assert_eq!(USER.sync_scope("io", || USER.get()), "io");
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    fn set_to(&'static self, value: T) -> Value {
        Value { key: self.identity, value: Arc::new(value) }
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The running task has no value of a task-local.
///
/// # Examples
/// ```
/// use twoply::task_local;
///
/// task_local!(static USER: u32);
///
/// let error = USER.try_with(|user| *user).unwrap_err();
/// assert_eq!(error.to_string(), "the task-local `USER` is not set here");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task-local `{name}` is not set here")]
#[non_exhaustive]
pub struct AccessError {
    /// The name of the static.
    name: &'static str,
}

/// Makes the task that runs `future` have the values of all task-locals that the calling task has now. They
/// are shared, not cloned.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use twoply::{Wait, task, task_local};
///
/// task_local! { static STEPS: AtomicU32 }
///
/// STEPS.sync_scope(AtomicU32::new(0), || {
///     let step = async { STEPS.with(|steps| steps.fetch_add(1, Ordering::Relaxed)) };
///     twoply::spawn(task::inherit(step)).wait().unwrap();
///     assert_eq!(STEPS.with(|steps| steps.load(Ordering::Relaxed)), 1);
/// });
/// ```
pub fn inherit<F: IntoFuture>(future: F) -> LocalScope<F::IntoFuture> {
    with_values(current_values(), future.into_future())
}

/// Has `future` run with these values.
pub(crate) fn with_values<F: Future>(values: Vec<Value>, future: F) -> LocalScope<F> {
    LocalScope { future: Some(future), values }
}

/// As [`inherit()`], for straight-line code.
///
/// ```
/// use twoply::{Wait, task, task_local};
///
/// task_local! { static USER: &'static str }
///
/// let name = USER.sync_scope("io", || twoply::spawn_fn(task::inherit_fn(|| USER.get())));
/// assert_eq!(name.wait().unwrap(), "io");
/// ```
pub fn inherit_fn<R>(code: impl FnOnce() -> R + Send) -> impl FnOnce() -> R + Send {
    let values = current_values();
    move || set_while(&values, code)
}

/// Returns the values that the running task has.
pub(crate) fn current_values() -> Vec<Value> {
    with_state(|state| state.locals().of(current(state)))
}

/// Returns the task that runs on the stack of `state`.
fn current(state: &StrandState) -> Option<TaskId> {
    state.header().map(|header| header.id())
}

/// Runs `code` with these values set.
pub(crate) fn set_while<R>(values: &[Value], code: impl FnOnce() -> R) -> R {
    with_state(|state| {
        let _set = if values.is_empty() { None } else { Some(state.locals().set(values, current(state))) };
        code()
    })
}

pin_project! {
    /// The future of [`LocalKey::scope`] and [`inherit()`]: finish it with `.await` or `.wait()`.
    #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
    pub struct LocalScope<F> {
        // None once it is dropped.
        #[pin]
        future: Option<F>,
        values: Vec<Value>,
    }

    impl<F> PinnedDrop for LocalScope<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            set_while(this.values, || this.future.set(None));
        }
    }
}

impl<F: Future> Future for LocalScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match this.future.as_pin_mut() {
            Some(future) => set_while(this.values, || future.poll(cx)),
            None => unreachable!("the future is there until this is dropped"),
        }
    }
}

impl<F> fmt::Debug for LocalScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalScope").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

/// The value of one task-local.
#[derive(Clone)]
pub(crate) struct Value {
    /// The identity of its key.
    key: &'static u8,
    value: Arc<dyn Any + Send + Sync>,
}

/// The task-locals that are set on one stack, those that were set last at the end.
#[derive(Default)]
pub(crate) struct Locals(RefCell<Vec<(Option<TaskId>, Value)>>);

impl Locals {
    /// Sets values of `task` until the guard is dropped.
    fn set(&self, values: &[Value], task: Option<TaskId>) -> Restore<'_> {
        let mut all = self.0.borrow_mut();
        let before = all.len();
        all.extend(values.iter().map(|value| (task, value.clone())));
        Restore(self, before)
    }

    /// Returns the value of `task` with this key. Other tasks may be in the middle of a poll on this stack.
    fn find(&self, key: &'static u8, task: Option<TaskId>) -> Option<Arc<dyn Any + Send + Sync>> {
        let all = self.0.borrow();
        let found = all.iter().rev().find(|(of, value)| *of == task && std::ptr::eq(value.key, key));
        found.map(|(_, value)| Arc::clone(&value.value))
    }

    /// Returns all values of `task`.
    fn of(&self, task: Option<TaskId>) -> Vec<Value> {
        self.0.borrow().iter().filter(|(of, _)| *of == task).map(|(_, value)| value.clone()).collect()
    }
}

/// Takes out what has been set since it was made, when it is dropped.
struct Restore<'a>(&'a Locals, usize);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        // Whoever has set a value borrows it still, and with it another reference: no destructor runs here.
        self.0.0.borrow_mut().truncate(self.1);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Waker;

    use super::*;
    use crate::kernel::Wait;

    crate::task_local! {
        static OUTER: String;
        static INNER: u32;
    }

    #[test]
    fn values_are_those_of_the_scopes_that_are_polled() {
        let read = || (OUTER.try_with(String::clone).ok(), INNER.try_with(|number| *number).ok());
        let inner = INNER.scope(2, async {
            let seen = read();
            crate::future::yield_now().await;
            (seen, INNER.sync_scope(3, read), read(), inherit_fn(read))
        });
        let mut scope = std::pin::pin!(OUTER.scope("a".to_owned(), inner));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(scope.as_mut().poll(&mut cx).is_pending());
        assert_eq!(read(), (None, None), "not between polls");
        let here = (Some("a".to_owned()), Some(2));
        let (seen, deeper, after, inherited) = scope.wait();
        assert_eq!((seen, &after), (here.clone(), &here));
        assert_eq!(deeper, (Some("a".to_owned()), Some(3)));
        assert_eq!((inherited(), read()), (here, (None, None)));
    }

    #[test]
    fn a_panic_takes_the_values_of_its_scopes_along() {
        let thrown = catch_unwind(AssertUnwindSafe(|| {
            OUTER.sync_scope("a".to_owned(), || INNER.sync_scope(1, || panic!("on purpose")))
        }));
        assert!(thrown.is_err());
        assert!(OUTER.try_with(|_| ()).is_err() && INNER.try_with(|_| ()).is_err());
    }
}
