//! Task-locals: values that the code of a task finds without having been given them.
//!
//! A value is set for as long as a future, or a call, is under way, and belongs to the task in which that
//! runs. A [scope](LocalScope) puts a frame that refers to its values on the stack while it is polled; the
//! records of the stack lead to the last frame, and that to the one before. A poll never changes its stack,
//! so the values are found wherever that goes: after a hand-over to another thread, in a `.wait()` on a
//! fiber. Tasks without such values pay nothing.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::id::TaskId;
use crate::kernel::backend::StrandState;
use crate::kernel::strand::{out_of_order, with_state};

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
        LocalScope { future: Some(future.into_future()), values: Values::One(self.set_to(value)) }
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
        with_state(|state| {
            state.locals().look(self.identity, current(state), |value| {
                match value.and_then(|value| value.downcast_ref()) {
                    Some(value) => Ok(look(value)),
                    None => Err(AccessError { name: self.name }),
                }
            })
        })
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
    LocalScope { future: Some(future.into_future()), values: Values::Many(current_values()) }
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
pub(crate) fn current_values() -> Box<[Value]> {
    with_state(|state| state.locals().of(current(state)))
}

/// Returns the task that runs on the stack of `state`.
#[inline]
fn current(state: &StrandState) -> Option<TaskId> {
    state.header().map(|header| header.id())
}

/// Runs `code` with these values set.
#[inline]
pub(crate) fn set_while<R>(values: &[Value], code: impl FnOnce() -> R) -> R {
    if values.is_empty() {
        return code();
    }
    with_state(|state| state.locals().set_while(values, current(state), code))
}

pin_project! {
    /// The future of [`LocalKey::scope`] and [`inherit()`]: finish it with `.await` or `.wait()`.
    #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
    pub struct LocalScope<F> {
        // None once it is dropped.
        #[pin]
        future: Option<F>,
        values: Values,
    }

    impl<F> PinnedDrop for LocalScope<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            set_while(this.values.as_slice(), || this.future.set(None));
        }
    }
}

impl<F: Future> Future for LocalScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match this.future.as_pin_mut() {
            Some(future) => set_while(this.values.as_slice(), || future.poll(cx)),
            None => unreachable!("the future is there until this is dropped"),
        }
    }
}

impl<F> fmt::Debug for LocalScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalScope").field("values", &self.values.as_slice().len()).finish_non_exhaustive()
    }
}

/// The value of one task-local.
#[derive(Clone)]
pub(crate) struct Value {
    /// The identity of its key.
    key: &'static u8,
    value: Arc<dyn Any + Send + Sync>,
}

impl Value {
    #[inline]
    fn is_of(&self, key: &'static u8) -> bool {
        std::ptr::eq(self.key, key)
    }
}

/// The values of a scope. Nearly all have one, which takes no allocation but its own.
enum Values {
    One(Value),
    Many(Box<[Value]>),
}

impl Values {
    #[inline]
    fn as_slice(&self) -> &[Value] {
        match self {
            Values::One(value) => std::slice::from_ref(value),
            Values::Many(values) => values,
        }
    }
}

/// The task-locals that are set on one stack.
#[derive(Default)]
pub(crate) struct Locals {
    /// The frame that was put there last.
    ///
    /// Each frame that can be reached from here is one of [`Locals::set_while`], which has not ended: it
    /// lies below whatever runs on this stack, and takes itself out before it ends. One that is not the last
    /// to end ends the process instead.
    last: Cell<Option<NonNull<Frame>>>,
}

/// The values that are set by one call on a stack.
struct Frame {
    /// The values, those that were set last at the end. The call borrows them for as long as it lasts.
    values: NonNull<[Value]>,
    /// The task that they belong to. Other tasks may be in the middle of a poll on this stack.
    task: Option<TaskId>,
    /// The frame that was the last one when this came.
    before: Option<NonNull<Frame>>,
}

impl Locals {
    /// Runs `code` with values of `task` set.
    #[inline]
    fn set_while<R>(&self, values: &[Value], task: Option<TaskId>, code: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a Locals, &'a Frame);
        impl Drop for Restore<'_> {
            #[inline]
            fn drop(&mut self) {
                let Restore(locals, frame) = self;
                if locals.last.replace(frame.before) != Some(NonNull::from(*frame)) {
                    out_of_order();
                }
            }
        }
        let frame = Frame { values: NonNull::from(values), task, before: self.last.get() };
        let _restore = Restore(self, &frame);
        self.last.set(Some(NonNull::from(&frame)));
        code()
    }

    /// Calls `look` with the value of `task` that has this key.
    #[inline]
    fn look<R>(
        &self,
        key: &'static u8,
        task: Option<TaskId>,
        look: impl FnOnce(Option<&(dyn Any + Send + Sync)>) -> R,
    ) -> R {
        let found = self.frames(task).find_map(|values| values.iter().rev().find(|value| value.is_of(key)));
        look(found.map(|value| &*value.value))
    }

    /// Returns all values of `task`, those that were set last at the end.
    fn of(&self, task: Option<TaskId>) -> Box<[Value]> {
        let mut values: Vec<Value> =
            self.frames(task).flat_map(|values| values.iter().rev().cloned()).collect();
        values.reverse();
        values.into()
    }

    /// Returns the values of each frame of `task`, from the last one on. Whoever calls this lets go of them
    /// before it returns.
    fn frames<'a>(&'a self, task: Option<TaskId>) -> impl Iterator<Item = &'a [Value]> {
        // SAFETY: as `last` says, the frame and those before it have not ended. They do not end before the
        // caller returns either, which runs above them on their stack.
        let frame = |frame: NonNull<Frame>| unsafe { frame.as_ref() };
        let frames = std::iter::successors(self.last.get().map(frame), move |last| last.before.map(frame));
        // SAFETY: the call that the frame is of borrows the values until it has ended.
        frames.filter(move |frame| frame.task == task).map(|frame| unsafe { frame.values.as_ref() })
    }
}
