//! [`Active`]: any value as an actor, whose messages are closures.
//!
//! These are the actors of the Io language: `value @method` is [`Active::ask`], `value @@method` is
//! [`Active::try_send`]. The verbs are those of a [`ProcessRef`]; a closure stands where the message does
//! there. An `Active` is thin over a [`Process`]: each closure is one message and one allocation, and what
//! processes have (names, capacities, monitors, exit reasons, detection of deadlocks) it has.
//!
//! Where this differs from Io, and why: a closure that panics fails its answer, where Io leaves those who
//! wait for it waiting; and those who wait in a circle are told, which Io's documentation promises and its
//! machine does not do.
//!
//! No closure is ever run while anything is locked. The process holds no handle of its own: it ends when the
//! last of the others is gone and what was asked for has been done.

mod builder;
mod child;

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, Weak};

pub use self::builder::ActiveBuilder;
use super::catch_panic::{catch_panic, catch_panic_async};
use super::supervisor::ChildRef;
use super::{Event, ExitReason, Pid, Process, ProcessRef};
use crate::base::sync::lock_std;
use crate::channel::TrySendError;
use crate::kernel::task::Panic;
use crate::promise::{Answer, Failure, Resolver, answer};

/// A value that is an actor: closures are sent to it and run one after the other, with the value in their
/// hands.
///
/// Clones are handles to the same value. It is dropped, in its own task, when the last handle is gone and the
/// closures that were sent before have run. The value becomes an actor with the first closure; until then no
/// task has it.
///
/// A closure may wait, by `.wait()`, or by `.await` in an [asynchronous one](Active::ask_async): the closures
/// after it stay in the queue. One that waits for its own actor, or in a circle with others, is given
/// [`Failure::Deadlock`]. That refuses the wait; the closure that was waited for has been sent, and will be
/// run.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::Active;
///
/// let words = Active::builder().build(Vec::new());
/// words.try_send(|words| words.push("one"))?;
/// words.try_send(|words| words.push("two"))?;
/// let count = words.ask(|words| words.len());
/// assert_eq!(count.wait()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Active<T: Send + 'static>(Arc<Handle<T>>);

/// All handles of one value share this; the last of them drops it, and thereby ends the process.
struct Handle<T: Send + 'static> {
    /// The process, or the reason why there is none. It is set once, by the first who needs it.
    process: OnceLock<Result<ProcessRef<Action<T>>, Failure>>,
    /// The value is here until there is a process that has it.
    unstarted: Mutex<Option<Unstarted<T>>>,
    /// Leads to the process, whichever that is, if a supervisor starts it.
    child: Option<ChildRef<Action<T>>>,
}

/// The process that closures are sent to.
enum Target<'a, T: Send + 'static> {
    /// The process of the handle's own.
    Own(&'a ProcessRef<Action<T>>),
    /// The process of a child.
    Child(ProcessRef<Action<T>>),
}

impl<T: Send + 'static> Deref for Target<'_, T> {
    type Target = ProcessRef<Action<T>>;

    #[inline]
    fn deref(&self) -> &ProcessRef<Action<T>> {
        match self {
            Target::Own(process) => process,
            Target::Child(process) => process,
        }
    }
}

/// A value to which no closure has been sent.
struct Unstarted<T> {
    /// The value is boxed, because it moves to the task later.
    value: Box<T>,
    settings: ActiveBuilder,
}

/// The messages of the process.
enum Action<T> {
    /// A closure that is done when it returns.
    Run(Box<dyn FnOnce(&mut T) -> Done + Send>),
    /// A closure that is done when the future that it returns is.
    RunAsync(Box<dyn for<'a> FnOnce(&'a mut T) -> DoneLater<'a> + Send>),
}

/// The outcome of a closure; an error is its panic.
type Done = Result<(), Panic>;

/// The future of an asynchronous closure.
type DoneLater<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

impl Active<()> {
    /// Returns a builder, for an active value with a name, a limit or a backend of its own.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::Active, promise::Failure};
    ///
    /// let numbers = Active::builder().name("numbers").capacity(100).build(vec![1, 2, 3]);
    /// assert_eq!(numbers.ask(|numbers| numbers.iter().sum::<i32>()).wait()?, 6);
    /// # Ok::<(), Failure>(())
    /// ```
    #[track_caller]
    pub fn builder() -> ActiveBuilder {
        ActiveBuilder::default()
    }
}

impl<T: Send + 'static> Active<T> {
    /// Makes `value` an actor on the backend of the calling task.
    ///
    /// Outside of any task, it will be on the backend of the task that first sends it a closure, or on the
    /// default one.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::Active};
    ///
    /// let counter = Active::new(0);
    /// assert_eq!(counter.ask(|n| { *n += 1; *n }).wait().unwrap(), 1);
    /// ```
    #[track_caller]
    pub fn new(value: T) -> Active<T> {
        ActiveBuilder::default().build(value)
    }

    /// Sends a closure, and returns at once: Io's `@@`. It is run after all that were sent before it.
    ///
    /// A panic of the closure is reported by the panic hook alone; whoever needs to know what became of a
    /// closure uses [`Active::ask`].
    ///
    /// # Errors
    /// The closure has been dropped, and will not run:
    /// - [`Failure::Overloaded`] when the mailbox is full;
    /// - [`Failure::NoProcess`] when the actor has ended;
    /// - [`Failure::NotStarted`] when it cannot be started.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::Active};
    ///
    /// let log = Active::new(String::new());
    /// log.try_send(|log| log.push_str("one "))?;
    /// log.try_send(|log| log.push_str("two"))?;
    /// assert_eq!(log.ask(|log| log.clone()).wait()?, "one two");
    /// # Ok::<(), twoply::promise::Failure>(())
    /// ```
    pub fn try_send<F>(&self, code: F) -> Result<(), Failure>
    where
        F: FnOnce(&mut T) + Send + 'static,
    {
        let process = self.process()?;
        let action = Action::Run(Box::new(move |value| catch_panic(|| code(value))));
        process.try_send(action).map_err(|error| failure_of(&process, &error))
    }

    /// Sends a closure and returns the answer that is to come, at once: Io's `@`. What the closure captures
    /// is evaluated by the caller, and it is run after all that were sent before it. The answer is a future;
    /// [`Answer::share`] makes a [`Promise`](crate::promise::Promise) of it, for many to wait for.
    ///
    /// The answer fails with
    /// - [`Failure::Panicked`] when the closure panics;
    /// - [`Failure::Overloaded`] when the mailbox is full;
    /// - [`Failure::NoProcess`] when the actor has ended, or ends before the closure's turn;
    /// - [`Failure::NotStarted`] when it cannot be started.
    ///
    /// Dropping the answer does not take the closure back.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::Active};
    ///
    /// let list = Active::new(vec![3, 1, 2]);
    /// let sorted = list.ask(|list| { list.sort(); list.clone() });
    /// assert_eq!(sorted.wait().unwrap(), [1, 2, 3]);
    /// let panics = list.ask(|list| list[7]).wait();
    /// assert!(panics.unwrap_err().is_panic());
    /// ```
    pub fn ask<R, F>(&self, code: F) -> Answer<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut T) -> R + Send + 'static,
    {
        self.send_question(|reply| {
            Action::Run(Box::new(move |value| resolve_with(catch_panic(|| code(value)), reply)))
        })
    }

    /// As [`Active::ask`], for an asynchronous closure: it may await, with the value in its hands. Closures
    /// that come meanwhile are run when it is done.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// use twoply::{Wait, actor::Active, time};
    /// let words = Active::new(Vec::new());
    /// let count = words.ask_async(async |words| {
    ///     time::sleep(Duration::from_millis(1)).await;
    ///     words.push("late");
    ///     words.len()
    /// });
    /// assert_eq!(count.wait()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ask_async<R, F>(&self, code: F) -> Answer<R>
    where
        R: Send + 'static,
        F: AsyncFnOnce(&mut T) -> R + for<'a> AsyncClosure<'a, T, R> + Send + 'static,
    {
        self.send_question(|reply| {
            Action::RunAsync(Box::new(move |value| {
                Box::pin(async move { resolve_with(catch_panic_async(|| code(value)).await, reply) })
            }))
        })
    }

    /// Returns the actor's process, to link to it or to monitor it. A value that is no actor yet becomes one.
    ///
    /// The process traps exits: a signal takes its turn among the closures, and any reason but
    /// [`Normal`](ExitReason::Normal) ends the actor then. Closures behind it are not run.
    ///
    /// # Errors
    /// When the process cannot be started.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Active, ExitReason}};
    ///
    /// let counter = Active::new(0);
    /// let pid = counter.pid()?;
    /// drop(counter);
    /// assert_eq!(pid.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), twoply::promise::Failure>(())
    /// ```
    pub fn pid(&self) -> Result<Pid, Failure> {
        self.process().map(|process| process.pid())
    }

    /// Sends the action that `action` makes of a resolver. An action that cannot be sent fails the answer.
    fn send_question<R: Send + 'static>(&self, action: impl FnOnce(Resolver<R>) -> Action<T>) -> Answer<R> {
        let asked = self
            .process()
            .and_then(|process| process.try_ask_inside(action).map_err(|error| failure_of(&process, &error)));
        asked.unwrap_or_else(|failure| {
            let (answer, reply) = answer();
            let _ = reply.fail(failure);
            answer
        })
    }

    /// Returns the process, and starts it if nobody has.
    fn process(&self) -> Result<Target<'_, T>, Failure> {
        if let Some(child) = &self.0.child {
            return child.process().map(Target::Child).ok_or(Failure::NoProcess(ExitReason::NoProcess));
        }
        let process = self.0.process.get_or_init(|| self.start());
        if process.is_err() {
            // A value that could not be started is dropped here, where nobody waits for the process.
            drop(lock_std(&self.0.unstarted).take());
        }
        process.as_ref().map(Target::Own).map_err(Failure::clone)
    }

    /// Starts the process. This runs once, while others wait for it: neither the value nor anything else of
    /// the user's is dropped here.
    #[cold]
    fn start(&self) -> Result<ProcessRef<Action<T>>, Failure> {
        let Some(Unstarted { value, settings }) = lock_std(&self.0.unstarted).take() else {
            unreachable!("a value is stored before it is started, and started once")
        };
        let end_on_panic = settings.end_on_panic;
        // A body that is not started is dropped; the value stays in the slot.
        let value_slot = Arc::new(Mutex::new(Some(value)));
        let (slot, handle) = (Arc::clone(&value_slot), Arc::downgrade(&self.0));
        let started = settings.start(move |process| serve(process, slot, Some(handle), end_on_panic));
        if started.is_err() {
            let settings = ActiveBuilder::default();
            *lock_std(&self.0.unstarted) =
                lock_std(&value_slot).take().map(|value| Unstarted { value, settings });
        }
        started
    }
}

/// Says why `process` has not taken a closure.
fn failure_of<M>(process: &ProcessRef<M>, error: &TrySendError<M>) -> Failure {
    match error {
        TrySendError::Full(_) => Failure::Overloaded,
        TrySendError::Closed(_) => {
            Failure::NoProcess(process.cell().refusal().unwrap_or(ExitReason::NoProcess))
        }
    }
}

impl<T: Send + 'static> Drop for Handle<T> {
    fn drop(&mut self) {
        if let Some(Ok(process)) = self.process.get() {
            // Signals and messages keep their order, so the signal stands behind all closures; and it needs
            // no room.
            process.exit(ExitReason::Normal);
        }
    }
}

impl<T: Send + 'static> Clone for Active<T> {
    fn clone(&self) -> Active<T> {
        Active(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static> fmt::Debug for Active<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.0.process.get().and_then(|process| process.as_ref().ok()).map(ProcessRef::pid);
        let pid = own.or_else(|| self.0.child.as_ref()?.pid());
        f.debug_struct("Active").field("pid", &pid).finish()
    }
}

/// Runs the process. It takes the value out of `value_slot` in its first step. If `handle` says where the
/// handles are, it ends with the last of them.
async fn serve<T: Send + 'static>(
    mut me: Process<Action<T>>,
    value_slot: Arc<Mutex<Option<Box<T>>>>,
    handle: Option<Weak<Handle<T>>>,
    end_on_panic: bool,
) -> ExitReason {
    let Some(mut value) = lock_std(&value_slot).take() else {
        unreachable!("a process is started with its value")
    };
    drop(value_slot);
    loop {
        let run = match me.receive().await {
            Event::Message(Action::Run(code)) => code(&mut value),
            Event::Message(Action::RunAsync(code)) => code(&mut value).await,
            Event::Exit(exit) if !exit.reason.is_normal() => return exit.reason,
            // The signal comes from the last handle, or else from a process that is linked to this one.
            Event::Exit(_) if handle.as_ref().is_some_and(|handle| handle.strong_count() == 0) => {
                return ExitReason::Normal;
            }
            Event::Stop(reason) => return *reason,
            _ => continue,
        };
        if let Err(panic) = run
            && end_on_panic
        {
            return panic.into();
        }
    }
}

/// Resolves `reply` with what the closure returned, or fails it with the closure's panic, which is also
/// returned.
fn resolve_with<R>(result: Result<R, Panic>, reply: Resolver<R>) -> Done {
    // Nobody else has the resolver, so nothing can come too late.
    match result {
        Ok(value) => {
            let _ = reply.resolve(value);
            Ok(())
        }
        Err(panic) => {
            let _ = reply.fail(Failure::Panicked(panic.clone()));
            Err(panic)
        }
    }
}

/// An asynchronous closure whose future may go from thread to thread; see [`Active::ask_async`].
///
/// Every `async |value: &mut T| ..` is one if all that it holds across an `.await` is `Send`. Nobody
/// implements this by hand.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{Active, AsyncClosure}, promise::Answer};
///
/// /// Has `code` run on the number of whoever counts.
/// fn on<F>(count: &Active<u32>, code: F) -> Answer<u32>
/// where
///     F: AsyncFnOnce(&mut u32) -> u32 + for<'a> AsyncClosure<'a, u32, u32> + Send + 'static,
/// {
///     count.ask_async(code)
/// }
///
/// let count = Active::new(1);
/// assert_eq!(on(&count, async |n: &mut u32| { *n += 1; *n }).wait().unwrap(), 2);
/// ```
pub trait AsyncClosure<'a, T: 'a, R>: FnOnce(&'a mut T) -> Self::Future {
    /// The future that the closure returns.
    type Future: Future<Output = R> + Send + 'a;
}

impl<'a, T: 'a, R, C, F> AsyncClosure<'a, T, R> for C
where
    C: FnOnce(&'a mut T) -> F,
    F: Future<Output = R> + Send + 'a,
{
    type Future = F;
}
