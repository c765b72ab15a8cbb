//! Hooks: code of the program's that a runtime calls as its threads and tasks come and go.
//!
//! They are called by those who begin or end something: a task's start and the destructor of its future, the
//! [cache of threads](crate::threads), the I/O server, a worker about to sleep, a fiber that is left. A hook
//! is the user's: it is called under no lock and between two steps of its caller's, so that it may panic,
//! call anything or take its time; and, but for those of a fiber that is left, in no turn, so that it may
//! wait. Nothing here decides when something begins.

mod polls;
mod times;

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

use crate::base::panic::discard_panic;
use crate::kernel::strand::{InHook, in_turn, with_state};
use crate::kernel::task::{Header, TaskId, TaskKind};

pub use crate::base::histogram::{Buckets, Histogram};
pub use polls::AroundPolls;
pub(crate) use polls::Layers;
pub use times::{KindTimes, TaskTimer, TaskTimes};

/// The hooks of a runtime, which its builder takes. Clones call the same code.
///
/// A hook that panics has been reported by the program's panic hook; its caller goes on. One that waits, by
/// `.wait()`, blocks the stack that it is called on, and one that takes long delays what it is called before.
/// A hook's own doings, such as starting a task, call no hooks. A wait in a hook is not cut off by a
/// cancellation. Setting a hook again replaces it, but for [`around_threads`](Hooks::around_threads),
/// [`around_polls`](Hooks::around_polls) and [`on_fiber_switch`](Hooks::on_fiber_switch), of which a runtime
/// may have several.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use twoply::runtime::Hooks;
/// use twoply::{Runtime, Wait, task};
///
/// static LIVE: AtomicUsize = AtomicUsize::new(0);
///
/// let hooks = Hooks::new()
///     .on_thread_start(|| println!("{:?} starts", std::thread::current().name()))
///     .on_task_spawn(|task| {
///         LIVE.fetch_add(1, Ordering::Relaxed);
///         println!("task {} begins, {:?}", task.id, task.name);
///     })
///     .on_task_end(|_| {
///         LIVE.fetch_sub(1, Ordering::Relaxed);
///     });
/// let runtime = Runtime::builder().hooks(hooks).build()?;
/// let named = task::Builder::new().name("answer");
/// assert_eq!(named.spawn_on(runtime.spawner().backend(), async { 42 }).unwrap().wait().unwrap(), 42);
/// assert_eq!(LIVE.load(Ordering::Relaxed), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "hooks are called once a builder has them"]
pub struct Hooks {
    /// The code around each thread, the outermost first.
    around: Vec<Arc<Around>>,
    thread_start: Option<Arc<OnThread>>,
    thread_stop: Option<Arc<OnThread>>,
    /// The code around each time that a fiber is left.
    switches: Vec<Arc<Around>>,
    /// The makers of what lies around the polls of a task, the outermost first.
    polls: Vec<polls::Begin>,
    thread_park: Option<Arc<OnThread>>,
    thread_unpark: Option<Arc<OnThread>>,
    task_spawn: Option<Arc<OnTask>>,
    task_end: Option<Arc<OnTask>>,
}

type Around = dyn Fn(&mut dyn FnMut()) + Send + Sync;
type OnThread = dyn Fn() + Send + Sync;
type OnTask = dyn Fn(&TaskMeta<'_>) + Send + Sync;

/// The task that a hook is told of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TaskMeta<'a> {
    /// The number of the task.
    pub id: TaskId,
    /// The name of the task, if it has one.
    pub name: Option<&'a str>,
    /// The code that it is made of.
    pub kind: TaskKind,
    /// The place in the program where it was started; for a task with a
    /// [builder](crate::task::Builder::new), where that was made. `None` for work of the library's own.
    pub spawned_at: Option<&'static Location<'static>>,
    /// The number of the process that it is the body of, as the [pid](crate::actor::Pid) shows it.
    pub process: Option<u64>,
}

impl Hooks {
    /// Returns hooks that do nothing.
    pub fn new() -> Hooks {
        Hooks::default()
    }

    /// Calls `around` on each thread of the runtime, with all that the thread does from its start to its end
    /// as `body`. So whatever is entered before that call, and left after it, is there for everything that
    /// runs on the thread: the context of another runtime, an arena, a guard of a profiler.
    ///
    /// Each further one lies inside of those before it, and [`on_thread_start`](Hooks::on_thread_start) and
    /// [`on_thread_stop`](Hooks::on_thread_stop) lie inside of all.
    ///
    /// A thread that has begun runs, whatever `around` does. Where it returns or panics without having called
    /// `body`, that is called all the same, after it; a second call does nothing. `body` does not panic. What
    /// `around` does before the call delays the first task of the thread.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// use twoply::runtime::Hooks;
    /// use twoply::{Runtime, Wait};
    ///
    /// thread_local!(static CURRENCY: Cell<&'static str> = const { Cell::new("none") });
    ///
    /// let hooks = Hooks::new().around_threads(|body| {
    ///     let before = CURRENCY.replace("EUR");
    ///     body();
    ///     CURRENCY.set(before);
    /// });
    /// let runtime = Runtime::builder().hooks(hooks).build()?;
    /// assert_eq!(runtime.spawn(async { CURRENCY.get() }).wait().unwrap(), "EUR");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn around_threads(mut self, around: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) -> Hooks {
        self.around.push(Arc::new(around));
        self
    }

    /// Has each fiber keep what lies in thread-locals for itself: calls `leave` on a fiber that is about to
    /// wait, before anything else runs on its thread, and `enter`, with what `leave` has returned, when the
    /// fiber goes on.
    ///
    /// On threads a stack that waits keeps its thread, and its thread-locals with it. On fibers other tasks
    /// run on the same thread meanwhile: they would see the context that
    /// the code which waits has entered, and leave theirs in its place. So `leave` takes the context out of
    /// the thread, and puts back what the thread had before; `enter` puts it in again. Where blocked stacks
    /// are threads, and for tasks that wait by `.await`, nothing is called.
    ///
    /// Both are called in the middle of a wait, so they must not wait themselves: that panics. Where `leave`
    /// panics, `enter` is not called for it. Several of them are independent of each other: their calls of
    /// `leave` come in the order in which they were set, their calls of `enter` in the reverse order. A
    /// runtime with such a hook pays some ten nanoseconds more for each switch; one without pays nothing.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// use std::time::Duration;
    /// use twoply::runtime::Hooks;
    /// use twoply::{Backend, Runtime, Wait, green_backend::FiberPromise, time};
    ///
    /// thread_local!(static USER: Cell<u32> = const { Cell::new(0) });
    ///
    /// // SAFETY: no task of this program waits while a crate that it calls relies on the discipline of its stack.
    /// let promise = unsafe { FiberPromise::new() };
    /// let hooks = Hooks::new().on_fiber_switch(|| USER.take(), |user| USER.set(user));
    /// let runtime = Runtime::builder().backend(Backend::Fibers).fibers(promise).workers(1).hooks(hooks).build()?;
    /// let tasks = [1, 2, 3].map(|user| {
    ///     runtime.spawn_fn(move || {
    ///         USER.set(user);
    ///         time::sleep(Duration::from_millis(2)).wait();
    ///         USER.take() == user
    ///     })
    /// });
    /// assert!(tasks.into_iter().all(|task| task.wait().unwrap()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_fiber_switch<S: 'static>(
        mut self,
        leave: impl Fn() -> S + Send + Sync + 'static,
        enter: impl Fn(S) + Send + Sync + 'static,
    ) -> Hooks {
        // The state lies on the stack of the fiber, as long as that is suspended.
        self.switches.push(Arc::new(move |suspend: &mut dyn FnMut()| {
            let mut state = None;
            call_in_turn(|| state = Some(leave()));
            suspend();
            if let Some(state) = state {
                call_in_turn(|| enter(state));
            }
        }));
        self
    }

    /// Calls `hook` on each thread of the runtime as it starts, before it runs anything.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// use twoply::runtime::Hooks;
    /// use twoply::{Runtime, Wait};
    ///
    /// thread_local!(static IS_OURS: Cell<bool> = const { Cell::new(false) });
    ///
    /// let hooks = Hooks::new().on_thread_start(|| IS_OURS.set(true));
    /// let runtime = Runtime::builder().workers(1).hooks(hooks).build()?;
    /// assert!(runtime.spawn(async { IS_OURS.get() }).wait().unwrap());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_thread_start(mut self, hook: impl Fn() + Send + Sync + 'static) -> Hooks {
        self.thread_start = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` on each thread of the runtime as it stops, after all that it has run.
    ///
    /// # Examples
    /// ```
    /// use std::sync::atomic::{AtomicIsize, Ordering};
    /// use twoply::{Runtime, Wait, runtime::Hooks};
    ///
    /// static THREADS: AtomicIsize = AtomicIsize::new(0);
    ///
    /// let count = |by| move || drop(THREADS.fetch_add(by, Ordering::SeqCst));
    /// let hooks = Hooks::new().on_thread_start(count(1)).on_thread_stop(count(-1));
    /// let runtime = Runtime::builder().workers(1).hooks(hooks).build()?;
    /// runtime.spawn(async {}).wait().unwrap();
    /// assert!(THREADS.load(Ordering::SeqCst) > 0);
    /// runtime.shutdown(std::time::Duration::from_secs(5))?;
    /// assert_eq!(THREADS.load(Ordering::SeqCst), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_thread_stop(mut self, hook: impl Fn() + Send + Sync + 'static) -> Hooks {
        self.thread_stop = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` on a thread that has nothing to run and is about to sleep for that: a worker, or a thread
    /// that is kept for the next task. One that waits within a task does not count.
    pub fn on_thread_park(mut self, hook: impl Fn() + Send + Sync + 'static) -> Hooks {
        self.thread_park = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` on that thread when it is awake again, before it runs anything.
    pub fn on_thread_unpark(mut self, hook: impl Fn() + Send + Sync + 'static) -> Hooks {
        self.thread_unpark = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` with each task that is started, where it is started, before it can run. If it cannot run
    /// after all, its end follows.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait, channel, runtime::Hooks, task};
    ///
    /// let (tell, names) = channel::unbounded();
    /// let hooks = Hooks::new().on_task_spawn(move |task| drop(tell.try_send(task.name.map(str::to_owned))));
    /// let runtime = Runtime::builder().workers(1).hooks(hooks).build()?;
    /// task::Builder::new().name("answer").spawn_on(runtime.spawner().backend(), async { 42 }).unwrap();
    /// assert_eq!(names.recv().wait().unwrap().as_deref(), Some("answer"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_task_spawn(mut self, hook: impl Fn(&TaskMeta<'_>) + Send + Sync + 'static) -> Hooks {
        self.task_spawn = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` with each task that is over, however it has ended: its future has been dropped, and
    /// nobody has seen its result yet.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait, channel, runtime::Hooks};
    ///
    /// let (tell, ends) = channel::unbounded();
    /// let hooks = Hooks::new().on_task_end(move |task| drop(tell.try_send(task.id)));
    /// let runtime = Runtime::builder().workers(1).hooks(hooks).build()?;
    /// let task = runtime.spawn(async { panic!("expected: it ends all the same") });
    /// let id = task.id();
    /// assert!(task.wait().is_err());
    /// assert_eq!(ends.recv().wait().unwrap(), id);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_task_end(mut self, hook: impl Fn(&TaskMeta<'_>) + Send + Sync + 'static) -> Hooks {
        self.task_end = Some(Arc::new(hook));
        self
    }

    /// Returns whether a thread has to [call](Hooks::while_parked) here when it has nothing to run.
    pub fn heed_parks(&self) -> bool {
        self.thread_park.is_some() || self.thread_unpark.is_some()
    }

    /// Calls `sleep`, and the hooks before and after it. For a thread that has nothing to run, in no turn.
    ///
    /// # Examples
    /// ```
    /// use twoply::runtime::Hooks;
    ///
    /// let hooks = Hooks::new().on_thread_park(|| println!("nothing to do"));
    /// assert!(hooks.heed_parks());
    /// assert_eq!(hooks.while_parked(|| 7), 7);
    /// ```
    pub fn while_parked<R>(&self, sleep: impl FnOnce() -> R) -> R {
        call_thread(self.thread_park.as_ref());
        let slept = sleep();
        call_thread(self.thread_unpark.as_ref());
        slept
    }

    /// Calls `body`, which is all that the calling thread does and never unwinds, with what lies around it.
    pub(crate) fn around_thread(&self, body: &mut dyn FnMut()) {
        nest_around_thread(&self.around, &mut || {
            call_thread(self.thread_start.as_ref());
            body();
            call_thread(self.thread_stop.as_ref());
        });
    }

    /// Returns whether a stack that is suspended has to [call](Hooks::while_suspended) here.
    pub fn heed_switches(&self) -> bool {
        !self.switches.is_empty()
    }

    /// Calls `suspend`, which leaves the calling stack and comes back when that goes on, and the hooks before
    /// and after it.
    ///
    /// # Examples
    /// ```
    /// use twoply::runtime::Hooks;
    ///
    /// let hooks = Hooks::new().on_fiber_switch(|| "out", |state| assert_eq!(state, "out"));
    /// assert!(hooks.heed_switches());
    /// let mut left = false;
    /// hooks.while_suspended(&mut || left = true);
    /// assert!(left);
    /// ```
    pub fn while_suspended(&self, suspend: &mut dyn FnMut()) {
        nest(&self.switches, suspend);
    }

    /// Returns whether a task has to call here.
    pub(crate) fn heed_tasks(&self) -> bool {
        self.heed_ends() || !self.polls.is_empty()
    }

    /// Returns whether hooks are told of starts and ends of tasks.
    pub(crate) fn heed_ends(&self) -> bool {
        self.task_spawn.is_some() || self.task_end.is_some()
    }

    /// Tells of a task that is about to start, unless a hook starts it.
    #[cold]
    pub(crate) fn task_starts(&self, header: &Header) {
        if !self.heed_ends() {
            return;
        }
        let told = call(|| call_task(self.task_spawn.as_ref(), header));
        if !told {
            header.set_untold();
        }
    }

    /// Tells of a task whose future has been dropped, if its start has been told.
    #[cold]
    pub(crate) fn task_ends(&self, header: &Header) {
        if self.heed_ends() && !header.is_untold() {
            call(|| call_task(self.task_end.as_ref(), header));
        }
    }
}

fn call_thread(hook: Option<&Arc<OnThread>>) {
    if let Some(hook) = hook {
        call(|| hook());
    }
}

fn call_task(hook: Option<&Arc<OnTask>>, header: &Header) {
    if let Some(hook) = hook {
        hook(&header.meta());
    }
}

/// Calls `body` inside of all `layers`, the first of which is the outermost.
fn nest(layers: &[Arc<Around>], body: &mut dyn FnMut()) {
    match layers.split_first() {
        Some((outer, rest)) => outer(&mut || nest(rest, body)),
        None => body(),
    }
}

/// As [`nest`], for layers of the user's: `body` is called once, whatever they do, and is no part of a hook.
/// No task runs on the calling stack yet, so nothing could cut a hook off.
fn nest_around_thread(layers: &[Arc<Around>], body: &mut dyn FnMut()) {
    let Some((outer, rest)) = layers.split_first() else { return body() };
    let mut called = false;
    with_state(|state| {
        let inside = state.enter_hook();
        discard_panic(|| {
            outer(&mut || {
                if !std::mem::replace(&mut called, true) {
                    let _outside = inside.as_ref().map(InHook::pause);
                    nest_around_thread(rest, body);
                }
            });
        });
    });
    if !called {
        nest_around_thread(rest, body);
    }
}

/// Calls a hook in the middle of a wait, where it cannot wait itself.
fn call_in_turn(hook: impl FnOnce()) {
    with_state(|state| {
        let _inside = state.enter_hook();
        in_turn(|| discard_panic(hook));
    });
}

/// The hooks of the process, once they have been set.
static OF_PROCESS: OnceLock<Hooks> = OnceLock::new();

/// Sets the hooks of the process: of the runtimes of which each process has one, and of the threads that
/// belong to no runtime. These are the I/O server's, where wakers of other runtimes run, those of ports
/// without a runtime, and those of the shared cache, which run what must not hold up a worker, such as the
/// handlers of dumps and destructors of tasks that a runtime leaves behind.
///
/// Threads and runtimes that are there already keep the hooks that they have: so this belongs to the
/// beginning of `main`. The thread of the I/O server lives as long as the process; what
/// [lies around it](Hooks::around_threads) is never left.
///
/// # Errors
/// When they have been set before; those stay.
///
/// # Examples
/// ```
/// use twoply::runtime::{Hooks, set_process_hooks};
/// use twoply::Wait;
///
/// let hooks = Hooks::new().on_thread_start(|| println!("{:?}", std::thread::current().name()));
/// assert!(set_process_hooks(hooks).is_ok());
/// assert_eq!(twoply::spawn(async { 7 }).wait().unwrap(), 7);
/// assert!(set_process_hooks(Hooks::new()).is_err());
/// ```
pub fn set_process_hooks(hooks: Hooks) -> Result<(), HooksAlreadySet> {
    OF_PROCESS.set(hooks).map_err(|_| HooksAlreadySet(()))
}

/// The error of [`set_process_hooks`]: the process has hooks already.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the hooks of the process have been set before")]
pub struct HooksAlreadySet(());

/// Returns the hooks of the process, which do nothing unless they have been set.
///
/// # Examples
/// ```
/// assert!(!twoply::runtime::process_hooks().heed_parks());
/// ```
pub fn process_hooks() -> Hooks {
    OF_PROCESS.get().cloned().unwrap_or_default()
}

/// Calls a hook, unless the caller is one. Returns whether it did.
fn call(hook: impl FnOnce()) -> bool {
    with_state(|state| {
        let inside = state.enter_hook();
        if inside.is_some() {
            let _shield = state.shield();
            discard_panic(hook);
        }
        inside.is_some()
    })
}

/// Starts a task, by calling `start`, that no hook is told of: work of this library's own, which may begin in
/// a turn.
pub(crate) fn untold<R>(start: impl FnOnce() -> R) -> R {
    with_state(|state| {
        let _inside = state.enter_hook();
        start()
    })
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("around", &self.around.len())
            .field("switches", &self.switches.len())
            .field("polls", &self.polls.len())
            .field("thread_start", &self.thread_start.is_some())
            .field("thread_stop", &self.thread_stop.is_some())
            .field("thread_park", &self.thread_park.is_some())
            .field("thread_unpark", &self.thread_unpark.is_some())
            .field("task_spawn", &self.task_spawn.is_some())
            .field("task_end", &self.task_end.is_some())
            .finish()
    }
}
