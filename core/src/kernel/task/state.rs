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
use super::wait_graph::OutEdge;
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
pub(crate) struct Attributes {
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
    backend: Arc<dyn Backend>,
    /// What others hold on to.
    slot: SharedSlot,
}

impl Header {
    #[inline]
    pub(crate) fn new(backend: Arc<dyn Backend>, attributes: Attributes) -> Header {
        let has_attributes =
            attributes.name.is_some() || attributes.stack_size.is_some() || attributes.observer.is_some();
        let header = Header { id: TaskId::next(), backend, slot: SharedSlot::default() };
        if has_attributes {
            header.slot.get_or_make(|| Shared::new(header.id, Some(Box::new(attributes)), None));
        }
        header
    }

    #[inline]
    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    #[inline]
    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// What was said of it: that lies in the record.
    #[inline]
    fn attributes(&self) -> Option<&Attributes> {
        self.slot.get()?.attributes.as_deref()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.attributes()?.name.as_deref()
    }

    pub(crate) fn stack_size(&self) -> Option<usize> {
        self.attributes()?.stack_size
    }

    #[inline]
    pub(super) fn key(&self) -> &AtomicU32 {
        &self.slot.key
    }

    /// The part that outlives the task.
    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        match self.slot.get() {
            Some(shared) => shared,
            None => self.make_shared(),
        }
    }

    /// The task may wait already; then only the list knows by which waker.
    #[cold]
    fn make_shared(&self) -> &Arc<Shared> {
        self.backend.tasks().make_shared(self)
    }

    /// As [`Header::shared`], for one who has the lock of the list: `waker` is that with which the task is entered there. So
    /// the record has it from the beginning.
    pub(super) fn make_shared_with(&self, waker: impl FnOnce() -> Option<Waker>) -> &Arc<Shared> {
        self.slot.get_or_make(|| Shared::new(self.id, None, waker()))
    }

    /// Whether there is a record.
    pub(super) fn has_shared(&self) -> bool {
        self.slot.get().is_some()
    }

    /// As [`Header::shared`], for the running task, which is about to be stopped by a wait.
    #[inline]
    pub(crate) fn about_to_block(&self) -> &Arc<Shared> {
        let shared = self.shared();
        if !self.slot.ever_blocked.load(Ordering::Relaxed) {
            // SeqCst with the load in `shared_if_blocked`; see the header of `promise::graph`.
            self.slot.ever_blocked.store(true, Ordering::SeqCst);
        }
        if self.slot.awaited.load(Ordering::SeqCst) {
            shared.set_awaited();
        }
        shared
    }

    /// Others wait for the task, or may: for its handle, or for what it owes as a process. From here on it looks for
    /// circles whenever it is stopped by a wait.
    pub(crate) fn set_awaited(&self) {
        // SeqCst with the load in `about_to_block`: that one comes later, or its store before that is seen here by `shared_if_blocked`.
        if !self.slot.awaited.load(Ordering::SeqCst) {
            self.slot.awaited.store(true, Ordering::SeqCst);
        }
        // Also where somebody else has said so, who may not have come as far as this.
        if let Some(shared) = self.shared_if_blocked() {
            shared.set_awaited();
        }
    }

    /// As [`Header::set_awaited`], of the running task, which is a process and will be asked.
    pub(crate) fn owes_answers(&self) {
        // Relaxed: only the task itself looks at it, in `about_to_block`.
        self.slot.awaited.store(true, Ordering::Relaxed);
    }

    /// As [`Header::shared`], if the task has ever been stopped by a wait. Locks nothing.
    #[inline]
    pub(crate) fn shared_if_blocked(&self) -> Option<&Arc<Shared>> {
        // SeqCst with the store in `about_to_block`, which the record was made before.
        if self.slot.ever_blocked.load(Ordering::SeqCst) { self.slot.get() } else { None }
    }

    /// Whether the backend has been closed, so that a task that has not begun does not begin any more.
    #[inline]
    pub(super) fn is_backend_closed(&self) -> bool {
        self.backend.tasks().is_closed()
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.slot.get().is_some_and(|shared| shared.is_cancelled())
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.slot.is_finished()
    }

    /// The task has to wait: from now on it is entered in the tasks, and `waker` is how it is reached.
    ///
    /// # Safety
    /// The header stays where it is until [`Header::finish`] has been called: it lies beside the task's future.
    #[cold]
    pub(crate) unsafe fn enter(&self, waker: Option<&Waker>) {
        // SAFETY: as the caller promises; `finish` takes it out.
        let unlisted = unsafe { self.backend.tasks().insert(self, waker.cloned()) };
        if let (Some(shared), Some(waker)) = (self.slot.get(), unlisted) {
            shared.set_waker(waker);
        }
    }

    /// The task's poll is about to block the stack of `parker`.
    ///
    /// # Safety
    /// As [`Header::enter`].
    pub(crate) unsafe fn block_on(&self, parker: &Arc<Parker>) {
        let shared = self.shared();
        if self.slot.key.load(Ordering::Relaxed) == TaskList::NO_KEY {
            // SAFETY: as the caller promises.
            unsafe { self.enter(None) };
        }
        let mut wait = lock(&shared.wait);
        wait.parker = Some(Arc::clone(parker));
        if shared.is_cancelled() {
            parker.cancel();
        }
    }

    /// The poll is over, or nearly so: the stack is no longer the task's.
    pub(crate) fn unblock(&self) {
        let parker = lock(&self.shared().wait).parker.take();
        drop(parker);
    }

    /// The task is over and its future dropped.
    #[inline]
    pub(crate) fn finish(&self) {
        self.slot.finish();
        let tasks = self.backend.tasks();
        tasks.remove(self);
        tasks.count_end(self.id);
        if let Some(observer) = self.attributes().and_then(|attributes| attributes.observer.as_ref()) {
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
    ever_blocked: seq_cst::AtomicBool,
    /// See [`Header::set_awaited`]. Only ever set.
    awaited: seq_cst::AtomicBool,
    /// Where in its backend's tasks the task is entered; [`TaskList::NO_KEY`] until it has to wait. Written by its
    /// own stack, under the lock of the list. It lies here because here is room: the header is part of every task.
    key: AtomicU32,
}

impl Default for SharedSlot {
    #[inline]
    fn default() -> SharedSlot {
        SharedSlot {
            shared: OnceLock::default(),
            finished: AtomicBool::new(false),
            ever_blocked: seq_cst::AtomicBool::new(false),
            awaited: seq_cst::AtomicBool::new(false),
            key: AtomicU32::new(TaskList::NO_KEY),
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
    attributes: Option<Box<Attributes>>,
    /// See above.
    flags: AtomicU8,
    /// Whether `wait.out_edge` has an edge. Written under the lock, and read without it by those who wait for the task.
    blocked: seq_cst::AtomicBool,
    /// How many edges go to this task, as far as they are counted, and [`AWAITED`]; see the header of `promise::graph`.
    awaited: seq_cst::AtomicU32,
    /// How the waiting task is reached.
    wait: Mutex<WaitState>,
}

/// Cancellation has been asked for. Set under the lock of `wait`.
const CANCELLED: u8 = 1;
/// The task is over and its future dropped.
const FINISHED: u8 = 2;

/// Edges that are not counted may go to the task.
const AWAITED: u32 = 1 << 31;

/// How to get a waiting task's attention.
struct WaitState {
    /// Has it polled again. `None` before it first waits, and once it is over.
    waker: Option<Waker>,
    /// Ends the wait of the stack that its poll is blocked on.
    parker: Option<Arc<Parker>>,
    /// The wait without which it cannot go on. Made with the first one: most tasks wait for other things.
    out_edge: Option<Box<OutEdge>>,
}

impl Shared {
    fn new(id: TaskId, attributes: Option<Box<Attributes>>, waker: Option<Waker>) -> Arc<Shared> {
        Arc::new(Shared {
            id,
            attributes,
            flags: AtomicU8::new(0),
            blocked: seq_cst::AtomicBool::new(false),
            awaited: seq_cst::AtomicU32::new(0),
            wait: Mutex::new(WaitState { waker, parker: None, out_edge: None }),
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
        self.attributes.as_ref()?.name.as_deref()
    }

    pub(crate) fn spawned_at(&self) -> Option<&'static Location<'static>> {
        Some(self.attributes.as_ref()?.spawned_at)
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
    pub(crate) fn publish_edge<R>(&self, publish: impl FnOnce(&mut OutEdge) -> R) -> R {
        let mut wait = lock(&self.wait);
        let published = publish(wait.out_edge.get_or_insert_default());
        // SeqCst with the load in `is_blocked`; see the header of `promise::graph`.
        self.blocked.store(true, Ordering::SeqCst);
        published
    }

    /// Looks at what the task is stopped by, if it ever was, or takes it back. `f` drops nothing.
    #[inline]
    pub(crate) fn with_edge<R>(&self, f: impl FnOnce(&mut OutEdge) -> Option<R>) -> Option<R> {
        let mut wait = lock(&self.wait);
        let stop = wait.out_edge.as_mut()?;
        let result = f(stop);
        if !stop.is_there() {
            // Relaxed: whoever comes too late to see it looks in vain.
            self.blocked.store(false, Ordering::Relaxed);
        }
        result
    }

    /// Whether the task waits for something that somebody is known to owe.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        // SeqCst with the store in `publish_edge`.
        self.blocked.load(Ordering::SeqCst)
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
        let waker = lock(&self.wait).waker.take();
        drop(waker);
        self.flags.fetch_or(FINISHED, Ordering::Release);
    }

    /// What messages call the task: its name, or else its number.
    pub(crate) fn label(&self) -> Box<str> {
        self.name().map_or_else(|| format!("task {}", self.id).into(), Box::from)
    }

    /// The task has to wait, and `waker` is how it is reached; for the task's own poll, which then looks whether it has
    /// been cancelled.
    fn set_waker(&self, waker: Waker) {
        let mut wait = lock(&self.wait);
        let stale = if self.is_cancelled() { Some(waker) } else { wait.waker.replace(waker) };
        drop(wait);
        drop(stale);
    }

    /// Asks the task to end: at its await point if it is suspended, by unwinding if it blocks a stack.
    pub(crate) fn cancel(&self) {
        let waker = {
            let mut wait = lock(&self.wait);
            if self.flags.fetch_or(CANCELLED, Ordering::AcqRel) != 0 {
                return;
            }
            // Under the lock, so that it cannot come after `unblock`, when the stack is another task's.
            if let Some(parker) = &wait.parker {
                parker.cancel();
            }
            wait.waker.take()
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
