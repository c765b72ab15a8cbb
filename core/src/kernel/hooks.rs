//! Hooks: code of the program's that a runtime calls as its threads and tasks come and go.
//!
//! Who begins or ends something calls here: a task's start and the destructor of its future, the [cache of
//! threads](crate::threads), a worker that is about to sleep. A hook is the user's: it is called under no
//! lock, in no turn and between two steps of its caller's, so that it may panic, wait, call anything or take
//! its time. Nothing here decides when something begins.

use std::fmt;
use std::sync::Arc;

use crate::base::panic::discard_panic;
use crate::kernel::strand::with_state;
use crate::kernel::task::{Header, TaskId, TaskKind};

/// The hooks of a runtime, which its builder takes. Clones call the same code.
///
/// A hook that panics has been reported by the program's panic hook; its caller goes on. One that waits, by
/// `.wait()`, blocks the stack that it is called on, and one that takes long delays what it is called before.
/// What a hook does itself, such as starting a task, calls no hooks. A wait in a hook is not cut off by a
/// cancellation. Setting a hook again replaces it.
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
    thread_start: Option<Arc<OnThread>>,
    thread_stop: Option<Arc<OnThread>>,
    thread_park: Option<Arc<OnThread>>,
    thread_unpark: Option<Arc<OnThread>>,
    task_spawn: Option<Arc<OnTask>>,
    task_end: Option<Arc<OnTask>>,
}

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
}

impl Hooks {
    /// Returns hooks that do nothing.
    pub fn new() -> Hooks {
        Hooks::default()
    }

    /// Calls `hook` on each thread of the runtime as it starts, before it runs anything.
    pub fn on_thread_start(mut self, hook: impl Fn() + Send + Sync + 'static) -> Hooks {
        self.thread_start = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` on each thread of the runtime as it stops, after all that it has run.
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
    pub fn on_task_spawn(mut self, hook: impl Fn(&TaskMeta<'_>) + Send + Sync + 'static) -> Hooks {
        self.task_spawn = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` with each task that is over, however it has ended: its future has been dropped, and
    /// nobody has seen its result yet.
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

    pub(crate) fn thread_starts(&self) {
        call_thread(self.thread_start.as_ref());
    }

    pub(crate) fn thread_stops(&self) {
        call_thread(self.thread_stop.as_ref());
    }

    /// Returns whether a task has to call here.
    pub(crate) fn heed_tasks(&self) -> bool {
        self.task_spawn.is_some() || self.task_end.is_some()
    }

    /// Tells of a task that is about to start, unless a hook starts it.
    #[cold]
    pub(crate) fn task_starts(&self, header: &Header) {
        let told = call(|| call_task(self.task_spawn.as_ref(), header));
        if !told {
            header.set_untold();
        }
    }

    /// Tells of a task whose future has been dropped, if its start has been told.
    #[cold]
    pub(crate) fn task_ends(&self, header: &Header) {
        if !header.is_untold() {
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
        hook(&TaskMeta { id: header.id(), name: header.name(), kind: header.kind() });
    }
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
            .field("thread_start", &self.thread_start.is_some())
            .field("thread_stop", &self.thread_stop.is_some())
            .field("thread_park", &self.thread_park.is_some())
            .field("thread_unpark", &self.thread_unpark.is_some())
            .field("task_spawn", &self.task_spawn.is_some())
            .field("task_end", &self.task_end.is_some())
            .finish()
    }
}
