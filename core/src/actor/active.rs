//! [`Active`]: any value as an actor, whose messages are closures.
//!
//! These are the actors of the Io language: `value @method` is [`Active::call`], `value @@method` is [`Active::tell`].
//! An `Active` is thin over a [`Process`]: each closure is one message and one allocation, and what processes have
//! (names, capacities, monitors, exit reasons, detection of deadlocks) it has.
//!
//! Where this differs from Io, and why: a closure that panics fails its answer, where Io leaves those who wait for it
//! waiting; and those who wait in a circle are told, which Io's documentation promises and its machine does not do.
//!
//! No closure is ever run while anything is locked. The process holds no handle of its own: it ends when the last of
//! the others is gone and what was asked for has been done.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::catch_panic::{catch_panic, catch_panic_async};
use super::{Builder, Event, ExitReason, Overflow, Pid, Process, ProcessRef, SpawnProcessError};
use crate::base::sync::lock_std;
use crate::channel::TrySendError;
use crate::kernel::backend::Backend;
use crate::kernel::task::{Panic, current_backend};
use crate::promise::{Answer, Failure, Resolver, answer};

/// A value that is an actor: closures are sent to it and run one after the other, with the value in their hands.
///
/// Clones are handles to the same value. It is dropped, in its own task, when the last handle is gone and the closures
/// that were sent before have run. The value becomes an actor with the first closure; until then it is at rest, in no
/// task.
///
/// A closure may wait, by `.wait()`, or by `.await` in an [asynchronous one](Active::call_async): the closures after
/// it stay in line. One that waits for its own actor, or in a circle with others, is given [`Failure::Deadlock`]. That
/// refuses the wait; the closure that was waited for has been sent, and will be run.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::Active;
///
/// let words = Active::builder().build(Vec::new());
/// words.tell(|words| words.push("one"));
/// words.tell(|words| words.push("two"));
/// let count = words.call(|words| words.len());
/// assert_eq!(count.wait()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Active<T: Send + 'static>(Arc<Handle<T>>);

/// What handles share. Dropped with the last of them.
struct Handle<T: Send + 'static> {
    /// The process, or why there is none, once somebody has asked for it.
    process: OnceLock<Result<ProcessRef<Action<T>>, Failure>>,
    /// The value, till there is a process that has it.
    resting: Mutex<Option<Resting<T>>>,
}

/// A value that nobody has asked anything of.
struct Resting<T> {
    /// The value. Boxed, as it moves to the task later.
    value: Box<T>,
    /// How the process will be.
    settings: ActiveBuilder,
}

/// What is sent to the process.
enum Action<T> {
    /// A closure that is done when it returns.
    Run(Box<dyn FnOnce(&mut T) -> Done + Send>),
    /// A closure whose future is to be finished.
    Finish(Box<dyn for<'a> FnOnce(&'a mut T) -> Finishing<'a> + Send>),
}

/// How a closure went: an error is its panic.
type Done = Result<(), Panic>;

/// What an asynchronous closure has begun.
type Finishing<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

impl Active<()> {
    /// How an active value is made that is not like all others.
    pub fn builder() -> ActiveBuilder {
        ActiveBuilder::default()
    }
}

impl<T: Send + 'static> Active<T> {
    /// Makes `value` an actor on the backend of the calling task.
    ///
    /// Outside of any task, it will be on the backend of the task that first sends it a closure.
    pub fn new(value: T) -> Active<T> {
        ActiveBuilder::default().build(value)
    }

    /// Sends a closure, and returns at once: Io's `@@`. It is run after all that were sent before it.
    ///
    /// Returns whether it has been sent. False when the mailbox is full, or the actor has ended or could not be
    /// started; whoever needs to know what became of it uses [`Active::call`]. A panic of the closure is reported by
    /// the panic hook alone.
    pub fn tell<F>(&self, code: F) -> bool
    where
        F: FnOnce(&mut T) + Send + 'static,
    {
        let action = Action::Run(Box::new(move |value| catch_panic(|| code(value))));
        self.process().is_ok_and(|process| process.try_send(action).is_ok())
    }

    /// Sends a closure and returns the answer that is to come, at once: Io's `@`. What the closure captures is
    /// evaluated by the caller, and it is run after all that were sent before it. The answer is a future;
    /// [`Answer::share`] makes a [`Promise`](crate::promise::Promise) of it, for many to wait for.
    ///
    /// The answer fails with
    /// - [`Failure::Panicked`] when the closure panics;
    /// - [`Failure::Overloaded`] when the mailbox is full;
    /// - [`Failure::NoProcess`] when the actor has ended, or ends before the closure's turn;
    /// - [`Failure::NotStarted`] when it cannot be started.
    ///
    /// Dropping the answer does not take the closure back.
    pub fn call<R, F>(&self, code: F) -> Answer<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut T) -> R + Send + 'static,
    {
        self.ask(|reply| Action::Run(Box::new(move |value| settle(catch_panic(|| code(value)), reply))))
    }

    /// As [`Active::call`], for an asynchronous closure: it may await, with the value in its hands. Closures that come
    /// meanwhile are run when it is done.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// use twoply::{Wait, actor::Active, time};
    /// let words = Active::new(Vec::new());
    /// let count = words.call_async(async |words| {
    ///     time::sleep(Duration::from_millis(1)).await;
    ///     words.push("late");
    ///     words.len()
    /// });
    /// assert_eq!(count.wait()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call_async<R, F>(&self, code: F) -> Answer<R>
    where
        R: Send + 'static,
        F: AsyncFnOnce(&mut T) -> R + for<'a> AsyncCall<'a, T, R> + Send + 'static,
    {
        self.ask(|reply| {
            Action::Finish(Box::new(move |value| {
                Box::pin(async move { settle(catch_panic_async(|| code(value)).await, reply) })
            }))
        })
    }

    /// The actor as a process, to link to it or to monitor it. It becomes one, if it has been at rest.
    ///
    /// It traps exits: a signal takes its turn among the closures, and any reason but
    /// [`Normal`](ExitReason::Normal) ends the actor then. Closures behind it are not run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn pid(&self) -> Result<Pid, Failure> {
        self.process().map(ProcessRef::pid)
    }

    /// Sends the action that `action` makes of the means to answer.
    fn ask<R: Send + 'static>(&self, action: impl FnOnce(Resolver<R>) -> Action<T>) -> Answer<R> {
        let asked = self.process().and_then(|process| {
            process.try_ask(action).map_err(|error| match error {
                TrySendError::Full(_) => Failure::Overloaded,
                TrySendError::Closed(_) => {
                    Failure::NoProcess(process.cell().reason().unwrap_or(ExitReason::NoProcess))
                }
            })
        });
        asked.unwrap_or_else(|failure| {
            let (answer, reply) = answer();
            let _ = reply.fail(failure);
            answer
        })
    }

    /// The process; it is started now, if it has not been.
    fn process(&self) -> Result<&ProcessRef<Action<T>>, Failure> {
        let process = self.0.process.get_or_init(|| self.start());
        if process.is_err() {
            // What could not be started is dropped where nobody waits for the process.
            drop(lock_std(&self.0.resting).take());
        }
        process.as_ref().map_err(Failure::clone)
    }

    /// Runs once, while others wait for it: neither the value nor anything else of the user's is dropped here.
    #[cold]
    fn start(&self) -> Result<ProcessRef<Action<T>>, Failure> {
        let Some(Resting { value, settings }) = lock_std(&self.0.resting).take() else {
            unreachable!("a value is put to rest before it is started, and started once")
        };
        let end_on_panic = settings.end_on_panic;
        // A body that is not started is dropped; the value stays here.
        let cradle = Arc::new(Mutex::new(Some(value)));
        let (given, handle) = (Arc::clone(&cradle), Arc::downgrade(&self.0));
        let started = settings.start(move |process| serve(process, given, handle, end_on_panic));
        if started.is_err() {
            let settings = ActiveBuilder::default();
            *lock_std(&self.0.resting) = lock_std(&cradle).take().map(|value| Resting { value, settings });
        }
        started
    }
}

impl<T: Send + 'static> Drop for Handle<T> {
    fn drop(&mut self) {
        if let Some(Ok(process)) = self.process.get() {
            // Signals and messages keep their order, so this is behind all closures; and it needs no room.
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
        let pid = self.0.process.get().and_then(|process| process.as_ref().ok()).map(ProcessRef::pid);
        f.debug_struct("Active").field("pid", &pid).finish()
    }
}

/// The body of the process. The value is in `cradle`.
async fn serve<T: Send + 'static>(
    mut me: Process<Action<T>>,
    cradle: Arc<Mutex<Option<Box<T>>>>,
    handle: Weak<Handle<T>>,
    end_on_panic: bool,
) -> ExitReason {
    let Some(mut value) = lock_std(&cradle).take() else {
        unreachable!("a process is started with its value")
    };
    drop(cradle);
    loop {
        let run = match me.receive().await {
            Event::Message(Action::Run(code)) => code(&mut value),
            Event::Message(Action::Finish(code)) => code(&mut value).await,
            Event::Exit(exit) if !exit.reason.is_normal() => return exit.reason,
            // Perhaps the word of the last handle, perhaps of a process that is linked to this one.
            Event::Exit(_) if handle.strong_count() == 0 => return ExitReason::Normal,
            _ => continue,
        };
        if let Err(panic) = run
            && end_on_panic
        {
            return panic.into();
        }
    }
}

/// Answers a call with what its closure returned. Hands the panic on if it did not return.
fn settle<R>(result: Result<R, Panic>, reply: Resolver<R>) -> Done {
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

/// An asynchronous closure whose future may go from thread to thread; see [`Active::call_async`].
///
/// Every `async |value: &mut T| ..` is one if all that it holds across an `.await` is `Send`. Nobody implements this by
/// hand.
pub trait AsyncCall<'a, T: 'a, R>: FnOnce(&'a mut T) -> Self::Future {
    /// What it begins.
    type Future: Future<Output = R> + Send + 'a;
}

impl<'a, T: 'a, R, C, F> AsyncCall<'a, T, R> for C
where
    C: FnOnce(&'a mut T) -> F,
    F: Future<Output = R> + Send + 'a,
{
    type Future = F;
}

/// How an active value is made; see [`Active::builder`].
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct ActiveBuilder {
    /// What messages call it.
    name: Option<Box<str>>,
    /// Where it will run; else where the first closure is sent from.
    backend: Option<Arc<dyn Backend>>,
    /// How many closures may wait their turn; `None`: any number.
    capacity: Option<usize>,
    /// The size of the stack of its straight-line code, in bytes.
    stack_size: Option<usize>,
    /// Whether it ends when a closure panics.
    end_on_panic: bool,
}

impl ActiveBuilder {
    /// Names it, for messages such as those of a deadlock.
    pub fn name(mut self, name: impl Into<Box<str>>) -> ActiveBuilder {
        self.name = Some(name.into());
        self
    }

    /// Has it run on `backend`.
    pub fn on(mut self, backend: &Arc<dyn Backend>) -> ActiveBuilder {
        self.backend = Some(Arc::clone(backend));
        self
    }

    /// Lets at most so many closures wait their turn, at least one; beyond that, a call is
    /// [`Overloaded`](Failure::Overloaded). Without this, any number may.
    pub fn capacity(mut self, closures: usize) -> ActiveBuilder {
        self.capacity = Some(closures);
        self
    }

    /// Asks for a stack of at least `bytes` bytes; see [`task::Builder::stack_size`](crate::task::Builder::stack_size).
    pub fn stack_size(mut self, bytes: usize) -> ActiveBuilder {
        self.stack_size = Some(bytes);
        self
    }

    /// Has it end when a closure panics, with that as its exit reason, and refuse what comes after. Without this it
    /// goes on with the value as the panic has left it.
    pub fn end_on_panic(mut self) -> ActiveBuilder {
        self.end_on_panic = true;
        self
    }

    /// Makes `value` an actor of this kind. Nothing is started before the first closure is sent.
    pub fn build<T: Send + 'static>(mut self, value: T) -> Active<T> {
        self.backend = self.backend.or_else(|| current_backend().ok());
        let resting = Resting { value: Box::new(value), settings: self };
        Active(Arc::new(Handle { process: OnceLock::new(), resting: Mutex::new(Some(resting)) }))
    }

    /// Starts the process.
    fn start<T, F>(self, body: impl FnOnce(Process<Action<T>>) -> F) -> Result<ProcessRef<Action<T>>, Failure>
    where
        T: Send + 'static,
        F: Future<Output = ExitReason> + Send + 'static,
    {
        let mut builder = Builder::new().trap_exit(true);
        builder = match self.capacity {
            Some(closures) => builder.capacity(closures).overflow(Overflow::Fail),
            None => builder.unbounded(),
        };
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        if let Some(backend) = &self.backend {
            builder = builder.on(backend);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder.spawn(body).map_err(|error| match error {
            SpawnProcessError::Spawn(error) => error.into(),
            // It asks for no name in a registry.
            SpawnProcessError::Name(_) => Failure::Broken,
        })
    }
}

impl fmt::Debug for ActiveBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveBuilder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("end_on_panic", &self.end_on_panic)
            .finish_non_exhaustive()
    }
}
