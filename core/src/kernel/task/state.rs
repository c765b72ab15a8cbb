//! What is known about a task besides its future: who it is, and how it is cancelled.

#[cfg(all(test, loom))]
pub(super) mod model;

use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;

use super::id::TaskId;
use super::list::TaskList;
use super::wait_graph::Stop;
use crate::base::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::base::sync::{Mutex, OnceLock, lock, seq_cst};
use crate::event::parker::Parker;
use crate::kernel::backend::Backend;

/// Told when a task is over and nothing of it is left.
pub(crate) trait Observer: Send + Sync {
    /// The task's future has been dropped. Must not run code of the user's.
    fn finished(&self, task: TaskId);
}

/// What was said of a task when it was started; most are started without.
pub(crate) struct Extra {
    /// What messages call it.
    pub(crate) name: Option<Box<str>>,
    /// The stack that was asked for, in bytes.
    pub(crate) stack_size: Option<usize>,
    /// Where in the program that was said.
    pub(crate) spawned_at: &'static Location<'static>,
    /// Who is told of the end.
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

/// The header of a task: it lies beside the future, in the same allocation.
pub(crate) struct Header {
    /// Who it is.
    id: TaskId,
    /// Where it runs.
    home: Arc<dyn Backend>,
    /// What others hold on to.
    record: SharedSlot,
}

impl Header {
    #[inline]
    pub(crate) fn new(home: Arc<dyn Backend>, extra: Extra) -> Header {
        let has_extra = extra.name.is_some() || extra.stack_size.is_some() || extra.observer.is_some();
        let header = Header { id: TaskId::next(), home, record: SharedSlot::default() };
        if has_extra {
            header.record.get_or_make(|| Shared::new(header.id, Some(Box::new(extra)), None));
        }
        header
    }

    #[inline]
    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    #[inline]
    pub(crate) fn home(&self) -> &Arc<dyn Backend> {
        &self.home
    }

    /// What was said of it: that lies in the record.
    #[inline]
    fn extra(&self) -> Option<&Extra> {
        self.record.get()?.extra.as_deref()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.extra()?.name.as_deref()
    }

    pub(crate) fn stack_size(&self) -> Option<usize> {
        self.extra()?.stack_size
    }

    #[inline]
    pub(super) fn key(&self) -> &AtomicU32 {
        &self.record.key
    }

    /// The part that outlives the task.
    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        match self.record.get() {
            Some(shared) => shared,
            None => self.make_shared(),
        }
    }

    /// The task may wait already; then only the list knows by which waker.
    #[cold]
    fn make_shared(&self) -> &Arc<Shared> {
        self.home.tasks().record(self)
    }

    /// As [`Header::shared`], for one who has the lock of the list: `waker` is that with which the task is entered there. So
    /// the record has it from the beginning.
    pub(super) fn record(&self, waker: impl FnOnce() -> Option<Waker>) -> &Arc<Shared> {
        self.record.get_or_make(|| Shared::new(self.id, None, waker()))
    }

    /// Whether there is a record.
    pub(super) fn is_recorded(&self) -> bool {
        self.record.get().is_some()
    }

    /// As [`Header::shared`], for the running task, which is about to be stopped by a wait.
    #[inline]
    pub(crate) fn stopping(&self) -> &Arc<Shared> {
        let shared = self.shared();
        if !self.record.stops.load(Ordering::Relaxed) {
            // SeqCst with the load in `stopped`; see the header of `promise::graph`.
            self.record.stops.store(true, Ordering::SeqCst);
        }
        if self.record.awaited.load(Ordering::SeqCst) {
            shared.set_awaited();
        }
        shared
    }

    /// Others wait for the task, or may: for its handle, or for what it owes as a process. From here on it looks for
    /// circles whenever it is stopped by a wait.
    pub(crate) fn set_awaited(&self) {
        // SeqCst with the load in `stopping`: that one comes later, or its store before that is seen here by `stopped`.
        if !self.record.awaited.load(Ordering::SeqCst) {
            self.record.awaited.store(true, Ordering::SeqCst);
        }
        // Also where somebody else has said so, who may not have come as far as this.
        if let Some(shared) = self.stopped() {
            shared.set_awaited();
        }
    }

    /// As [`Header::set_awaited`], of the running task, which is a process and will be asked.
    pub(crate) fn owes_answers(&self) {
        // Relaxed: only the task itself looks at it, in `stopping`.
        self.record.awaited.store(true, Ordering::Relaxed);
    }

    /// As [`Header::shared`], if the task has ever been stopped by a wait. Locks nothing.
    #[inline]
    pub(crate) fn stopped(&self) -> Option<&Arc<Shared>> {
        // SeqCst with the store in `stopping`, which the record was made before.
        if self.record.stops.load(Ordering::SeqCst) { self.record.get() } else { None }
    }

    /// Whether the backend has been closed, so that a task that has not begun does not begin any more.
    #[inline]
    pub(super) fn is_late(&self) -> bool {
        self.home.tasks().is_closed()
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.record.get().is_some_and(|shared| shared.is_cancelled())
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.record.is_finished()
    }

    /// The task has to wait: from now on it is entered in the tasks, and `waker` is how it is reached.
    ///
    /// # Safety
    /// The header stays where it is until [`Header::finish`] has been called: it lies beside the task's future.
    #[cold]
    pub(crate) unsafe fn enter(&self, waker: Option<&Waker>) {
        // SAFETY: as the caller promises; `finish` takes it out.
        let unlisted = unsafe { self.home.tasks().enter(self, waker.cloned()) };
        if let (Some(shared), Some(waker)) = (self.record.get(), unlisted) {
            shared.reach_by(waker);
        }
    }

    /// The task's poll is about to block the stack of `parker`.
    ///
    /// # Safety
    /// As [`Header::enter`].
    pub(crate) unsafe fn block_on(&self, parker: &Arc<Parker>) {
        let shared = self.shared();
        if self.record.key.load(Ordering::Relaxed) == TaskList::NOWHERE {
            // SAFETY: as the caller promises.
            unsafe { self.enter(None) };
        }
        let mut reach = lock(&shared.reach);
        reach.blocked = Some(Arc::clone(parker));
        if shared.is_cancelled() {
            parker.cancel();
        }
    }

    /// The poll is over, or nearly so: the stack is no longer the task's.
    pub(crate) fn unblock(&self) {
        let blocked = lock(&self.shared().reach).blocked.take();
        drop(blocked);
    }

    /// The task is over and its future dropped.
    #[inline]
    pub(crate) fn finish(&self) {
        self.record.finish();
        let tasks = self.home.tasks();
        tasks.unlist(self);
        tasks.leave(self.id);
        if let Some(observer) = self.extra().and_then(|extra| extra.observer.as_ref()) {
            observer.finished(self.id);
        }
    }
}

/// A task's header, for those who know how long it lasts: the task's own future, and whoever looks at a wait for its
/// handle.
#[derive(Clone)]
pub(crate) struct HeaderRef(NonNull<Header>);

// SAFETY: a `Header` is Sync, and this is a shared reference to one.
unsafe impl Send for HeaderRef {}
// SAFETY: as above.
unsafe impl Sync for HeaderRef {}

impl HeaderRef {
    /// # Safety
    /// The header lasts as long as anybody may call [`HeaderRef::get`] of this or of a clone.
    #[inline]
    pub(crate) unsafe fn new(header: &Header) -> HeaderRef {
        HeaderRef(NonNull::from(header))
    }

    /// Whether it is this header that is meant. It need not be there any more.
    pub(crate) fn is(&self, header: &Header) -> bool {
        std::ptr::eq(self.0.as_ptr(), header)
    }

    #[inline]
    pub(crate) fn get(&self) -> &Header {
        // SAFETY: whoever made this has promised that the header is still there.
        unsafe { self.0.as_ref() }
    }
}

/// The part of a task that others hold on to, made when the first one does: a task that nobody refers to, and that does
/// not wait for what somebody owes, is spared it. It is made under the lock of the list of tasks, so that whoever has it
/// reaches the task by it; or with the task, if that has a name or the like.
///
/// It may be made while the task ends. The maker fills `shared` and then looks at `finished`, the task writes
/// `finished` and then looks at `shared`. Both do it by a read-modify-write of `finished`, and of those one comes first:
/// the second reads what the first wrote, and sees what it did before that. So one of the two marks the shared.
struct SharedSlot {
    /// The part, once it has been made.
    shared: OnceLock<Arc<Shared>>,
    /// The future has been dropped.
    finished: AtomicBool,
    /// A wait has stopped the task, or is about to. Only ever set.
    stops: seq_cst::AtomicBool,
    /// See [`Header::set_awaited`]. Only ever set.
    awaited: seq_cst::AtomicBool,
    /// Where in its backend's tasks the task is entered; [`TaskList::NOWHERE`] until it has to wait. Written by its
    /// own stack, under the lock of the list. It lies here because here is room: the header is part of every task.
    key: AtomicU32,
}

impl Default for SharedSlot {
    #[inline]
    fn default() -> SharedSlot {
        SharedSlot {
            shared: OnceLock::default(),
            finished: AtomicBool::new(false),
            stops: seq_cst::AtomicBool::new(false),
            awaited: seq_cst::AtomicBool::new(false),
            key: AtomicU32::new(TaskList::NOWHERE),
        }
    }
}

impl SharedSlot {
    #[inline]
    fn get(&self) -> Option<&Arc<Shared>> {
        self.shared.get()
    }

    #[inline]
    fn get_or_make(&self, make: impl FnOnce() -> Arc<Shared>) -> &Arc<Shared> {
        self.get().unwrap_or_else(|| self.make(make))
    }

    #[cold]
    fn make(&self, make: impl FnOnce() -> Arc<Shared>) -> &Arc<Shared> {
        let shared = self.shared.get_or_init(make);
        // Changes nothing, but as a write it has its place before or after the one in `finish`, which is AcqRel, too.
        if self.finished.fetch_or(false, Ordering::AcqRel) {
            shared.finish();
        }
        shared
    }

    /// The task is over and its future dropped.
    #[inline]
    fn finish(&self) {
        // AcqRel pairs with the fetch_or in `make`.
        self.finished.swap(true, Ordering::AcqRel);
        if let Some(shared) = self.get() {
            shared.finish();
        }
    }

    fn is_finished(&self) -> bool {
        // Acquire pairs with the swap in `finish`.
        self.finished.load(Ordering::Acquire)
    }
}

/// The part of a task that others may hold on to: it outlives the task.
///
/// `flags` holds [`CANCELLED`] and [`FINISHED`]; both are only ever set.
pub(crate) struct Shared {
    /// Who it is.
    id: TaskId,
    /// What most tasks do without. One that has it has its record from the beginning.
    extra: Option<Box<Extra>>,
    /// See above.
    flags: AtomicU8,
    /// Whether `reach.stop` has an edge. Written under the lock, and read without it by those who wait for the task.
    stopped: seq_cst::AtomicBool,
    /// How many edges go to this task, as far as they are counted, and [`AWAITED`]; see the header of `promise::graph`.
    awaited: seq_cst::AtomicU32,
    /// How the waiting task is reached.
    reach: Mutex<Reach>,
}

/// Cancellation has been asked for. Set under the lock of `reach`.
const CANCELLED: u8 = 1;
/// The task is over and its future dropped.
const FINISHED: u8 = 2;

/// Edges that are not counted may go to the task.
const AWAITED: u32 = 1 << 31;

/// How to get a waiting task's attention.
struct Reach {
    /// Has it polled again. `None` before it first waits, and once it is over.
    waker: Option<Waker>,
    /// Ends the wait of the stack that its poll is blocked on.
    blocked: Option<Arc<Parker>>,
    /// The wait without which it cannot go on. Made with the first one: most tasks wait for other things.
    stop: Option<Box<Stop>>,
}

impl Shared {
    fn new(id: TaskId, extra: Option<Box<Extra>>, waker: Option<Waker>) -> Arc<Shared> {
        Arc::new(Shared {
            id,
            extra,
            flags: AtomicU8::new(0),
            stopped: seq_cst::AtomicBool::new(false),
            awaited: seq_cst::AtomicU32::new(0),
            reach: Mutex::new(Reach { waker, blocked: None, stop: None }),
        })
    }

    /// A task that could not be started.
    pub(crate) fn never() -> Arc<Shared> {
        let shared = Shared::new(TaskId::next(), None, None);
        shared.flags.store(FINISHED, Ordering::Relaxed);
        shared
    }

    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.extra.as_ref()?.name.as_deref()
    }

    pub(crate) fn spawned_at(&self) -> Option<&'static Location<'static>> {
        Some(self.extra.as_ref()?.spawned_at)
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        // Acquire pairs with the fetch_or in `cancel`: what happened before the cancellation is seen after it.
        self.flags.load(Ordering::Acquire) & CANCELLED != 0
    }

    pub(crate) fn is_finished(&self) -> bool {
        // Acquire pairs with the fetch_or in `SharedSlot::finish` or `SharedSlot::make`.
        self.flags.load(Ordering::Acquire) & FINISHED != 0
    }

    /// Has the task stopped by what `publish` enters; see [`promise`](crate::promise). That drops nothing.
    #[inline]
    pub(crate) fn set_stop<R>(&self, publish: impl FnOnce(&mut Stop) -> R) -> R {
        let mut reach = lock(&self.reach);
        let published = publish(reach.stop.get_or_insert_default());
        // SeqCst with the load in `is_stopped`; see the header of `promise::graph`.
        self.stopped.store(true, Ordering::SeqCst);
        published
    }

    /// Looks at what the task is stopped by, if it ever was, or takes it back. `f` drops nothing.
    #[inline]
    pub(crate) fn stop<R>(&self, f: impl FnOnce(&mut Stop) -> Option<R>) -> Option<R> {
        let mut reach = lock(&self.reach);
        let stop = reach.stop.as_mut()?;
        let result = f(stop);
        if !stop.is_there() {
            // Relaxed: whoever comes too late to see it looks in vain.
            self.stopped.store(false, Ordering::Relaxed);
        }
        result
    }

    /// Whether the task waits for something that somebody is known to owe.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        // SeqCst with the store in `set_stop`.
        self.stopped.load(Ordering::SeqCst)
    }

    /// Edges may go to this task that are not counted.
    pub(crate) fn set_awaited(&self) {
        // SeqCst, both, with the load in `is_awaited`.
        if self.awaited.load(Ordering::SeqCst) & AWAITED == 0 {
            self.awaited.fetch_or(AWAITED, Ordering::SeqCst);
        }
    }

    /// An edge to this task is about to be published.
    #[inline]
    pub(crate) fn count_edge(&self) {
        // SeqCst with the load in `is_awaited`.
        self.awaited.fetch_add(1, Ordering::SeqCst);
    }

    /// One of the edges that have been counted is no more.
    #[inline]
    pub(crate) fn discount_edge(&self) {
        // Relaxed: whoever comes too late to see it looks in vain.
        self.awaited.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether edges may go to this task, so that one from it may close a circle.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        // SeqCst with the writes in `count_edge` and `set_awaited`.
        self.awaited.load(Ordering::SeqCst) != 0
    }

    /// The task is over and its future dropped. Perhaps both who say so do.
    fn finish(&self) {
        let waker = lock(&self.reach).waker.take();
        drop(waker);
        self.flags.fetch_or(FINISHED, Ordering::Release);
    }

    /// What messages call the task: its name, or else its number.
    pub(crate) fn called(&self) -> Box<str> {
        self.name().map_or_else(|| format!("task {}", self.id).into(), Box::from)
    }

    /// The task has to wait, and `waker` is how it is reached; for the task's own poll, which then looks whether it has
    /// been cancelled.
    fn reach_by(&self, waker: Waker) {
        let mut reach = lock(&self.reach);
        let stale = if self.is_cancelled() { Some(waker) } else { reach.waker.replace(waker) };
        drop(reach);
        drop(stale);
    }

    /// Asks the task to end: at its await point if it is suspended, by unwinding if it blocks a stack.
    pub(crate) fn cancel(&self) {
        let waker = {
            let mut reach = lock(&self.reach);
            if self.flags.fetch_or(CANCELLED, Ordering::AcqRel) != 0 {
                return;
            }
            // Under the lock, so that it cannot come after `unblock`, when the stack is another task's.
            if let Some(parker) = &reach.blocked {
                parker.cancel();
            }
            reach.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.id),
            None => write!(f, "task {}", self.id),
        }
    }
}
