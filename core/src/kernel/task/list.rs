//! The tasks of one backend that are not over yet: all of them counted, those that wait entered one by one.
//!
//! Shutting a backend down cancels what lives, and "run until nothing is left" waits for the count to be
//! zero. A task is counted when it starts and until its future has been dropped. It is entered in the list
//! only when it first has to wait, because most never do, and a task that does not wait needs nobody to reach
//! it; one with a name is entered at once, so that it can be named, and so is one that blocks its thread. The
//! list holds a task until it is over: a task that waits for something that nobody will ever do is ended by
//! its handle, or by the end of its backend.
//!
//! Count and list are split into shards by task, so that workers that spawn at the same time seldom meet.
//!
//! # Counting without a lock
//! A sum over shards that is read one by one is of no one moment: a task could start another one in a shard
//! that has been read and end in one that has not, and the sum would be zero although there has been a task
//! all the time. So each shard counts starts and ends, which only grow, and all ends are read before any
//! start. The ends were no fewer in the moment between, and the starts no more: where the sums are equal,
//! nothing was live just then.

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use slab::Slab;

use super::dump::TaskKind;
use super::handle::TaskRef;
use super::header::{Header, HeaderRef};
use super::id::TaskId;
use super::shared::Shared;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::seq_cst::{AtomicBool, AtomicUsize};
use crate::base::sync::{Mutex, lock};
use crate::base::waitlist::{LinkedSlab, WaitKey};
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::coop;
use crate::kernel::hooks::Hooks;
use crate::kernel::strand::{with_current, with_state};
use crate::kernel::waiting::{self, WaitingFor};

/// The number of shards: a power of two well above the number of workers that meet on a shard by chance.
const SHARDS: usize = if cfg!(loom) { 2 } else { 16 };

/// The list of a backend's live tasks.
///
/// # Examples
/// ```
/// use twoply::task;
///
/// let spawner = twoply::native();
/// let waiting = std::future::pending::<()>();
/// let task = task::Builder::new().name("waiting").spawn_on(spawner.backend(), waiting).unwrap();
/// assert!(spawner.tasks().tasks().iter().any(|other| other.name() == Some("waiting")));
/// task.cancel();
/// ```
pub struct TaskList {
    /// The tasks, by number.
    shards: [Shard; SHARDS],
    /// True when no task may start any more, and those that have not run yet will not.
    closed: AtomicBool,
    /// True if somebody waits for the count to be zero. Written under the lock of `waiters`.
    awaited: AtomicBool,
    /// The hooks that are told of tasks; `None` if none is.
    hooks: Option<Box<Hooks>>,
    /// The task that waits for these, if they are parts of one.
    owner: Option<Arc<Shared>>,
    /// The wakers of those who wait for that.
    waiters: Mutex<LinkedSlab<StoredWaker>>,
}

/// A part of the list, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    /// The number of the shard's tasks that have been counted.
    started: AtomicUsize,
    /// The number of those that are over.
    ended: AtomicUsize,
    /// The tasks that have had to wait; [`Header::key`] is the key.
    waiting: Mutex<Slab<Entry>>,
}

/// A task in the list. Most are only ever counted and woken: so there is no record of them that others could
/// hold on to, before somebody asks for one.
struct Entry {
    /// The task. It is looked at under the lock of the list only.
    header: HeaderRef,
    /// The waker of the task, if it had no shared part when it came to wait. One that is made later takes it
    /// over.
    waker: Option<Waker>,
}

impl Shard {
    /// Returns the tasks that have had to wait.
    fn tasks(&self) -> Vec<TaskRef> {
        let task = |entry: &Entry| {
            TaskRef::new(Arc::clone(entry.header.get().make_shared_with(|| entry.waker.clone())))
        };
        lock(&self.waiting).iter().map(|(_, entry)| task(entry)).collect()
    }
}

impl TaskList {
    /// The key of a task that is not entered.
    pub(crate) const NO_KEY: u32 = u32::MAX;

    /// Makes an empty list.
    ///
    /// # Examples
    /// ```
    /// use twoply::task::TaskList;
    ///
    /// let tasks = TaskList::new();
    /// assert!(tasks.is_empty() && !tasks.is_closed());
    /// ```
    #[allow(clippy::new_ret_no_self, reason = "a list is always shared")]
    pub fn new() -> Arc<TaskList> {
        TaskList::with_hooks(&Hooks::new())
    }

    /// Makes an empty list, whose tasks `hooks` are told of.
    ///
    /// # Examples
    /// ```
    /// use twoply::{runtime::Hooks, task::TaskList};
    ///
    /// let tasks = TaskList::with_hooks(&Hooks::new().on_task_end(|task| println!("{} is over", task.id)));
    /// assert!(tasks.is_empty());
    /// ```
    pub fn with_hooks(hooks: &Hooks) -> Arc<TaskList> {
        TaskList::make(hooks, None)
    }

    /// Makes an empty list of what runs as a part of the task `owner`, which waits for it.
    pub(crate) fn of_task(owner: Option<Arc<Shared>>) -> Arc<TaskList> {
        TaskList::make(&Hooks::new(), owner)
    }

    fn make(hooks: &Hooks, owner: Option<Arc<Shared>>) -> Arc<TaskList> {
        Arc::new(TaskList {
            shards: Default::default(),
            closed: AtomicBool::new(false),
            hooks: hooks.heed_tasks().then(|| Box::new(hooks.clone())),
            awaited: AtomicBool::new(false),
            owner,
            waiters: Mutex::new(LinkedSlab::new()),
        })
    }

    /// Returns the hooks that are told of tasks.
    #[inline]
    pub(crate) fn hooks(&self) -> Option<&Hooks> {
        self.hooks.as_deref()
    }

    /// Returns the task that these are parts of.
    pub(super) fn owner(&self) -> Option<&Arc<Shared>> {
        self.owner.as_ref()
    }

    fn shard(&self, task: TaskId) -> &Shard {
        &self.shards[task.as_u64() as usize % SHARDS]
    }

    /// Counts a task that starts. Returns false when the list has been closed. The task is counted in either
    /// case.
    #[inline]
    pub(crate) fn count_start(&self, task: TaskId) -> bool {
        // SeqCst with the store in `close` and the loads in `len`: who closes and then finds nobody counted
        // has closed before this, and this sees it.
        self.shard(task).started.fetch_add(1, Ordering::SeqCst);
        !self.is_closed()
    }

    /// Enters a counted task by name, or with the waker that it comes to wait with. That is handed back if
    /// the task has a record, which then is to have it.
    ///
    /// # Safety
    /// The header stays where it is until [`TaskList::remove`] has been called.
    pub(crate) unsafe fn insert(&self, header: &Header, waker: Option<Waker>) -> Option<Waker> {
        let mut list = lock(&self.shard(header.id()).waiting);
        // Under the lock, under which records are made: so either the record has the waker, or this sees it.
        let (listed, unlisted) = if header.has_shared() { (None, waker) } else { (waker, None) };
        match list.get_mut(header.key().load(Ordering::Relaxed) as usize) {
            Some(entry) => entry.waker = listed,
            None => {
                let vacant = list.vacant_entry();
                // An entry without a key would never leave. More than 2^32 tasks do not fit in memory.
                if let Ok(key) = u32::try_from(vacant.key())
                    && key != TaskList::NO_KEY
                {
                    // SAFETY: as the caller promises. Whoever looks at it has the lock, which `remove` takes.
                    vacant.insert(Entry { header: unsafe { HeaderRef::new(header) }, waker: listed });
                    header.key().store(key, Ordering::Relaxed);
                }
            }
        }
        drop(list);
        // The lock of the list orders the two: either `close` finds the task in it, or this sees that it has
        // closed.
        if self.is_closed() {
            header.shared().cancel();
        }
        unlisted
    }

    /// Makes the record of a task that has none, unless somebody is faster.
    pub(crate) fn make_shared<'a>(&self, header: &'a Header) -> &'a Arc<Shared> {
        let list = lock(&self.shard(header.id()).waiting);
        header.make_shared_with(|| list.get(header.key().load(Ordering::Relaxed) as usize)?.waker.clone())
    }

    /// Takes the task with this header out of the list, if it is there: from here on nobody looks at the
    /// header.
    ///
    /// # Aborts
    /// The process, if it was entered in another list than this: a backend has changed its tasks, and the
    /// other one would go on to look at a header that is gone.
    #[inline]
    pub(crate) fn remove(&self, header: &Header) {
        let key = header.key().load(Ordering::Relaxed);
        if key == TaskList::NO_KEY {
            return;
        }
        let mut list = lock(&self.shard(header.id()).waiting);
        if !list.get(key as usize).is_some_and(|entry| entry.header.is(header)) {
            eprintln!("a backend has changed its tasks; aborting");
            std::process::abort();
        }
        let entry = list.try_remove(key as usize);
        drop(list);
        drop(entry);
    }

    /// Counts the end of a task.
    #[inline]
    pub(crate) fn count_end(&self, task: TaskId) {
        let shard = self.shard(task);
        // SeqCst with `WaitEmpty::enter`: either this sees that somebody waits, or that poll sees the task
        // gone. Of two tasks that end at once, the later one sees both gone.
        let ended = shard.ended.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        // Relaxed: each task that has been counted as ended has been counted as started before, and is seen
        // to be by the operation on `ended`. So this is no less than `ended`; and where it is more, another
        // end comes after this one.
        let last = ended == shard.started.load(Ordering::Relaxed);
        if last && self.awaited.load(Ordering::SeqCst) && self.is_empty() {
            self.wake_waiters();
        }
    }

    #[cold]
    fn wake_waiters(&self) {
        let mut woken = Vec::new();
        let mut waiters = lock(&self.waiters);
        woken.extend(std::iter::from_fn(|| waiters.pop_front()));
        // Relaxed: whoever misses it finds nobody. It hides no `true` that is stored later under the lock.
        self.awaited.store(false, Ordering::Relaxed);
        drop(waiters);
        wake_all(woken);
    }

    /// Returns the number of tasks that are not over yet. Those that start meanwhile may be counted.
    pub fn len(&self) -> usize {
        let sum = |counter: fn(&Shard) -> &AtomicUsize| {
            let counts = self.shards.iter().map(|shard| counter(shard).load(Ordering::SeqCst));
            counts.fold(0, usize::wrapping_add)
        };
        // The order matters; see the module's header.
        let ended = sum(|shard| &shard.ended);
        let started = sum(|shard| &shard.started);
        started.wrapping_sub(ended)
    }

    /// Returns whether all tasks were over at one moment during this call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the tasks that wait or have waited, and those with a name, at about this moment.
    pub fn tasks(&self) -> Vec<TaskRef> {
        self.shards.iter().flat_map(Shard::tasks).collect()
    }

    /// Returns the number of tasks of each kind at about this moment.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, task};
    ///
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let idle = task::Builder::new().name("idle");
    /// let idle = idle.spawn_on(runtime.spawner().backend(), std::future::pending::<()>()).unwrap();
    /// assert_eq!(runtime.spawner().tasks().kinds().futures, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kinds(&self) -> TaskKinds {
        let mut kinds = TaskKinds::default();
        for shard in &self.shards {
            for (_, entry) in lock(&shard.waiting).iter() {
                match entry.header.get().kind() {
                    TaskKind::Future => kinds.futures += 1,
                    TaskKind::Closure => kinds.closures += 1,
                    TaskKind::Process => kinds.processes += 1,
                }
            }
        }
        let listed = kinds.futures + kinds.closures + kinds.processes;
        kinds.unlisted = self.len().saturating_sub(listed);
        kinds
    }

    /// Returns whether [`TaskList::close`] has been called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Cancels every task and lets no more in: starting one fails with
    /// [`SpawnError::ShutDown`](super::SpawnError::ShutDown).
    ///
    /// # Examples
    /// ```
    /// use twoply::task::TaskList;
    ///
    /// let tasks = TaskList::new();
    /// tasks.close();
    /// assert!(tasks.is_closed());
    /// ```
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.shards.iter().for_each(|shard| shard.tasks().iter().for_each(TaskRef::cancel));
    }

    /// Returns how a shutdown has ended whose deadline has passed, or that has nothing more to wait for:
    /// well, if no task is left, and no thread of `threads` that there are.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`], with the names of some tasks that are left, or else the number of the
    /// threads.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::task::TaskList;
    ///
    /// let tasks = TaskList::new();
    /// assert!(tasks.ended(0).is_ok());
    /// assert_eq!(tasks.ended(1).unwrap_err().kind(), ErrorKind::TimedOut);
    /// ```
    pub fn ended(&self, threads: usize) -> io::Result<()> {
        let left = self.len();
        let mut message = match (left, threads) {
            (0, 0) => return Ok(()),
            (0, 1) => "all tasks have ended, but one thread has not yet".to_owned(),
            (0, threads) => format!("all tasks have ended, but {threads} threads have not yet"),
            (1, _) => "one task has not ended".to_owned(),
            (left, _) => format!("{left} tasks have not ended"),
        };
        let told = |task: &TaskRef| match task.spawned_at() {
            Some(at) => format!("{task} from {at}"),
            None => task.to_string(),
        };
        let named: Vec<String> = self.tasks().iter().take(8).map(told).collect();
        if left > 0 && !named.is_empty() {
            message =
                format!("{message}: {}{}", named.join(", "), if left > named.len() { ", ..." } else { "" });
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    }

    /// Returns true if the calling task is one of these, or runs code for one ([`offload`](crate::offload)):
    /// a wait for all of them to be over would be a wait for itself.
    pub fn holds_caller(&self) -> bool {
        with_current(|strand| {
            let own = strand.state().header().map(|header| Arc::as_ptr(header.backend().tasks()));
            let lent = || strand.backend().is_some_and(|home| std::ptr::eq(Arc::as_ptr(home.tasks()), self));
            own.is_some_and(|own| std::ptr::eq(own, self) || lent())
        })
    }

    /// Fails if the caller is one of these tasks, because it must not wait for their end.
    ///
    /// # Errors
    /// [`io::ErrorKind::Deadlock`] if [`TaskList::holds_caller`].
    pub fn refuse_caller(&self) -> io::Result<()> {
        match self.holds_caller() {
            true => Err(io::Error::new(io::ErrorKind::Deadlock, "a task would wait for its own end")),
            false => Ok(()),
        }
    }

    /// Returns a future that is ready once no task is left.
    ///
    /// # Panics
    /// The future does when a task of these waits for it and for nothing else, which would never end. In a
    /// combinator of another library it needs [`promise::unwatched`](crate::promise::unwatched).
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let spawner = twoply::native();
    /// spawner.spawn(async {}).detach();
    /// spawner.tasks().wait_empty().wait();
    /// assert_eq!(spawner.tasks().len(), 0);
    /// ```
    pub fn wait_empty(self: &Arc<Self>) -> WaitEmpty {
        WaitEmpty { tasks: Arc::clone(self), wait_key: WaitKey::new() }
    }
}

/// The number of tasks of each kind that are not over; see [`TaskList::kinds`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskKinds {
    /// The number of tasks that are futures.
    pub futures: usize,
    /// The number of tasks that are straight-line code.
    pub closures: usize,
    /// The number of tasks that are processes, those of actors included.
    pub processes: usize,
    /// The number of tasks of which nothing is known but that they are there: they have no name, and have not
    /// waited yet.
    pub unlisted: usize,
}

impl fmt::Display for TaskKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TaskKinds { futures, closures, processes, unlisted } = self;
        write!(f, "{futures} futures, {closures} closures, {processes} processes, {unlisted} not listed")
    }
}

/// Waits until a [`TaskList`] is empty. Cancel-safe.
#[must_use = "a future does nothing until it is awaited or waited for"]
pub struct WaitEmpty {
    /// The list that is to be empty.
    tasks: Arc<TaskList>,
    /// The key among those who wait.
    wait_key: WaitKey,
}

impl WaitEmpty {
    /// Enters `waker` among those who wait, instead of the one that was there.
    fn enter(&mut self, waker: &Waker) {
        let waker = StoredWaker::of(waker);
        let mut waiters = lock(&self.tasks.waiters);
        let before = waiters.leave(&mut self.wait_key);
        self.wait_key.set(waiters.push_back(waker));
        // SeqCst with the load in `TaskList::count_end`; the caller looks at the count after this.
        self.tasks.awaited.store(true, Ordering::SeqCst);
        drop(waiters);
        drop(before);
    }

    /// Takes the waker out again.
    fn leave(&mut self) {
        if !self.wait_key.is_set() {
            return;
        }
        let mut waiters = lock(&self.tasks.waiters);
        let before = waiters.leave(&mut self.wait_key);
        if waiters.is_empty() {
            // Relaxed, as in `TaskList::wake_waiters`.
            self.tasks.awaited.store(false, Ordering::Relaxed);
        }
        drop(waiters);
        drop(before);
    }
}

impl Future for WaitEmpty {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let unit = ready!(coop::proceed(cx));
        self.enter(cx.waker());
        if !self.tasks.is_empty() {
            if self.tasks.holds_caller() && with_state(|state| state.blocked_task(cx.waker()).is_some()) {
                panic!("a task waits for all tasks of its own backend to be over, and so for itself");
            }
            return waiting::note(Poll::Pending, || WaitingFor::Tasks);
        }
        unit.spend();
        self.leave();
        Poll::Ready(())
    }
}

impl Drop for WaitEmpty {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for WaitEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaitEmpty").field(&self.tasks).finish()
    }
}

impl fmt::Debug for TaskList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = self.is_closed();
        f.debug_struct("TaskList").field("len", &self.len()).field("closed", &closed).finish_non_exhaustive()
    }
}
