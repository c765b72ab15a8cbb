//! The part of a task that lies beside its future: its number, its backend, and the way to its shared part.
//!
//! The [header](Header) is a part of every task, so it is small. It is gone with the last handle to the task;
//! what others keep for longer, or need a lock for, is in [`Shared`], which is made when it is first needed.

#[cfg(all(test, loom))]
pub(super) mod model;

use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;

use super::dump::TaskKind;
use super::holders;
use super::id::TaskId;
use super::list::TaskList;
use super::shared::Shared;
use crate::base::panic::discard_panic;
use crate::base::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence};
use crate::base::sync::{Mutex, OnceLock, lock, seq_cst};
use crate::event::parker::Parker;
use crate::kernel::backend::Backend;
use crate::kernel::hooks::{Hooks, Layers, TaskMeta};
use crate::kernel::strand::Parted;

/// An observer that is told of the end of a task.
pub(crate) trait Observer: Send + Sync {
    /// Is called when the task's future has been dropped. It must not run code of the user's.
    fn finished(&self, task: TaskId);
}

/// The settings of a [`Builder`](super::Builder) that a task keeps; most tasks are started without.
pub(crate) struct Attributes {
    pub(crate) name: Option<Box<str>>,
    /// The size of the stack that was asked for, in bytes.
    pub(crate) stack_size: Option<usize>,
    /// The place in the program where the builder was made.
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// The number of the process that the task is the body of; known where hooks are told.
    pub(super) process: Option<u64>,
    /// The layers around its polls, until it is over.
    pub(super) layers: Mutex<Option<Arc<Layers>>>,
}

impl Attributes {
    /// Returns the attributes of a task of which nothing but its place is said.
    pub(super) fn of_place(spawned_at: &'static Location<'static>) -> Attributes {
        Attributes {
            name: None,
            stack_size: None,
            spawned_at,
            observer: None,
            process: None,
            layers: Mutex::new(None),
        }
    }

    /// Has `hooks` make what lies around the polls of a task that is about to start. A task that has that, or
    /// whose end is told, has attributes, with what is told.
    #[cold]
    pub(super) fn with_hooks(
        hooks: &Hooks,
        attributes: Option<Box<Attributes>>,
        spawned_at: &'static Location<'static>,
        (id, kind, process): (TaskId, TaskKind, Option<u64>),
    ) -> Option<Box<Attributes>> {
        let name = attributes.as_ref().and_then(|own| own.name.as_deref());
        let spawned_at = attributes.as_ref().map_or(spawned_at, |own| own.spawned_at);
        let layers = hooks.layers_of(&TaskMeta { id, name, kind, spawned_at: Some(spawned_at), process });
        if layers.is_none() && !hooks.heed_ends() {
            return attributes;
        }
        let mut attributes = attributes.unwrap_or_else(|| Box::new(Attributes::of_place(spawned_at)));
        attributes.process = process;
        attributes.layers = Mutex::new(layers);
        Some(attributes)
    }

    /// Returns whether something lies around the polls of the task.
    pub(super) fn is_layered(&self) -> bool {
        lock(&self.layers).is_some()
    }
}

/// The header of a task. It lies beside the task's future, in the same allocation.
pub(crate) struct Header {
    id: TaskId,
    backend: Arc<dyn Backend>,
    slot: SharedSlot,
}

impl Header {
    #[inline]
    pub(crate) fn new(
        id: TaskId,
        backend: Arc<dyn Backend>,
        kind: TaskKind,
        attributes: Option<Box<Attributes>>,
    ) -> Header {
        let header = Header { id, backend, slot: SharedSlot::new(kind) };
        if attributes.is_some() { header.with(kind, attributes) } else { header }
    }

    /// Returns the header with the shared part of a task that has attributes. It is out of line, so that the
    /// header of a task without has no address before it lies in the task.
    #[cold]
    fn with(self, kind: TaskKind, attributes: Option<Box<Attributes>>) -> Header {
        self.slot.get_or_make(|| Shared::new(self.id, kind, attributes, None));
        self
    }

    #[inline]
    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    #[inline]
    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Returns the attributes of the task, which lie in its shared part.
    #[inline]
    fn attributes(&self) -> Option<&Attributes> {
        self.slot.get()?.attributes()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.attributes()?.name.as_deref()
    }

    pub(crate) fn kind(&self) -> TaskKind {
        self.slot.kind()
    }

    /// Returns where the task was started, if it keeps that.
    pub(crate) fn spawned_at(&self) -> Option<&'static Location<'static>> {
        Some(self.attributes()?.spawned_at)
    }

    /// Returns what hooks are told of the task.
    pub(crate) fn meta(&self) -> TaskMeta<'_> {
        let process = self.attributes().and_then(|attributes| attributes.process);
        TaskMeta { id: self.id, name: self.name(), kind: self.kind(), spawned_at: self.spawned_at(), process }
    }

    /// Returns what lies around the polls of the task.
    pub(crate) fn layers(&self) -> Option<Arc<Layers>> {
        lock(&self.attributes()?.layers).clone()
    }

    /// Tells `hooks` that the task is over, and drops what lay around its polls.
    #[cold]
    fn end_with(&self, hooks: &Hooks, attributes: &Attributes) {
        hooks.task_ends(self);
        let layers = lock(&attributes.layers).take();
        discard_panic(|| drop(layers));
    }

    /// Returns whether no hook is told of the task.
    pub(crate) fn is_untold(&self) -> bool {
        self.slot.kind.load(Ordering::Relaxed) & UNTOLD != 0
    }

    /// Has no hook be told of the task. Called before it begins.
    pub(crate) fn set_untold(&self) {
        self.slot.set_bits(UNTOLD);
    }

    pub(crate) fn stack_size(&self) -> Option<usize> {
        self.attributes()?.stack_size
    }

    #[inline]
    pub(super) fn key(&self) -> &AtomicU32 {
        &self.slot.key
    }

    /// Returns the shared part, and makes it if there is none.
    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        match self.slot.get() {
            Some(shared) => shared,
            None => self.make_shared(),
        }
    }

    /// Makes the shared part. The task may be waiting, with a waker that only the list of tasks knows: so the
    /// list does it.
    #[cold]
    fn make_shared(&self) -> &Arc<Shared> {
        self.backend.tasks().make_shared(self)
    }

    /// As [`Header::shared`], for a caller that holds the lock of the list of tasks. `waker` returns the
    /// waker with which the task is listed, which the shared part takes over.
    pub(super) fn make_shared_with(&self, waker: impl FnOnce() -> Option<Waker>) -> &Arc<Shared> {
        self.slot.get_or_make(|| Shared::new(self.id, self.slot.kind(), None, waker()))
    }

    /// Returns what the polls of the task have parted with so far.
    #[inline]
    pub(super) fn parted(&self) -> Parted {
        // Relaxed: polls of a task are ordered.
        Parted::from_stored((self.slot.kind.load(Ordering::Relaxed) & !OTHER_BITS) / PARTED)
    }

    /// Records what the polls of the task have parted with so far.
    #[inline]
    pub(super) fn set_parted(&self, parted: Parted) {
        let kind = self.slot.kind.load(Ordering::Relaxed);
        let rest = (kind & OTHER_BITS) + kind % PARTED;
        self.slot.kind.store(rest + PARTED * parted as u8, Ordering::Relaxed);
    }

    /// Returns whether the shared part has been made.
    pub(super) fn has_shared(&self) -> bool {
        self.slot.get().is_some()
    }

    /// As [`Header::shared`], for the running task, which a wait is about to block. From here on its shared
    /// part can be found without a lock, by [`Header::shared_if_blocked`].
    #[inline]
    pub(crate) fn about_to_block(&self) -> &Arc<Shared> {
        let shared = self.about_to_want_lock();
        if self.slot.locks() != 0 {
            // Pairs with the fence in `LockWait::say`: the locks that this task has are seen to be its
            // own by whoever publishes an edge after this one does.
            fence(Ordering::SeqCst);
        }
        shared
    }

    /// As [`Header::about_to_block`], where the wait is for a lock, which has a fence of its own.
    #[inline]
    pub(crate) fn about_to_want_lock(&self) -> &Arc<Shared> {
        let shared = self.shared();
        if !self.slot.ever_blocked.load(Ordering::Relaxed) {
            // SeqCst with the load in `shared_if_blocked`; see the header of `wait_graph`.
            self.slot.ever_blocked.store(true, Ordering::SeqCst);
        }
        if self.slot.awaited.load(Ordering::SeqCst) {
            shared.set_awaited();
        }
        if self.slot.locks() == LOCKS {
            self.becomes_found_by_locks(shared);
        }
        shared.clear_blocked();
        shared
    }

    /// Has those who want a lock that the task has find it, from the first wait that may stop it on.
    #[cold]
    fn becomes_found_by_locks(&self, shared: &Arc<Shared>) {
        self.slot.set_bits(FOUND_BY_LOCKS);
        holders::enter(shared);
        shared.set_awaited();
    }

    /// Records that the running task, which this is, has taken a lock, or may have; returns the number by
    /// which others know it.
    #[inline]
    pub(crate) fn takes_lock(&self) -> TaskId {
        if self.slot.locks() == 0 {
            self.slot.set_bits(LOCKS);
        }
        self.id
    }

    /// Records that others wait for the task, or may: for its handle, or for its answers as a process. From
    /// here on the task looks for a cycle whenever a wait blocks it.
    pub(crate) fn set_awaited(&self) {
        // SeqCst with the load in `about_to_want_lock`: that one comes later, or its store before that is
        // seen here by `shared_if_blocked`. Acquire is enough to see that another caller has stored; see the
        // header of `wait_graph`. A store by `owes_answers` is the task's own, which it cannot miss.
        if !self.slot.awaited.load(Ordering::Acquire) {
            self.slot.awaited.store(true, Ordering::SeqCst);
        }
        // Also if another caller has set it, which may not have come as far as this.
        if let Some(shared) = self.shared_if_blocked() {
            shared.set_awaited();
        }
    }

    /// As [`Header::set_awaited`], for the running task, which becomes a process and will be asked.
    pub(crate) fn owes_answers(&self) {
        // Relaxed: only the task itself looks at it, in `about_to_want_lock`.
        self.slot.awaited.store(true, Ordering::Relaxed);
    }

    /// Returns the shared part if a wait has ever blocked the task. Takes no lock.
    #[inline]
    pub(crate) fn shared_if_blocked(&self) -> Option<&Arc<Shared>> {
        // SeqCst with the store in `about_to_want_lock`; the shared part was made before that.
        if self.slot.ever_blocked.load(Ordering::SeqCst) { self.slot.get() } else { None }
    }

    /// Returns whether the backend has been closed. A task that has not begun by then never begins.
    #[inline]
    pub(super) fn is_backend_closed(&self) -> bool {
        self.backend.tasks().is_closed()
    }

    /// Returns whether the task is a part of another one that has been cancelled.
    pub(super) fn is_owner_cancelled(&self) -> bool {
        self.backend.tasks().owner().is_some_and(|owner| owner.is_cancelled())
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.slot.get().is_some_and(|shared| shared.is_cancelled())
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.slot.is_finished()
    }

    /// Enters the task in its backend's list of tasks. `waker` is the one that has it polled again.
    ///
    /// # Safety
    /// The header stays where it is until [`Header::finish`] has been called, as it does beside the task's
    /// future.
    #[cold]
    pub(crate) unsafe fn enter(&self, waker: Option<&Waker>) {
        // SAFETY: as the caller promises; `finish` takes it out.
        let unlisted = unsafe { self.backend.tasks().insert(self, waker.cloned()) };
        if let (Some(shared), Some(waker)) = (self.slot.get(), unlisted) {
            shared.set_waker(waker);
        }
    }

    /// Has a cancellation of the task reach the stack of `parker`, which the task's poll is about to block.
    ///
    /// # Safety
    /// As [`Header::enter`].
    pub(crate) unsafe fn block_on(&self, parker: &Arc<Parker>) {
        let shared = self.shared();
        if self.slot.key.load(Ordering::Relaxed) == TaskList::NO_KEY {
            // SAFETY: as the caller promises.
            unsafe { self.enter(None) };
        }
        shared.set_parker(parker);
    }

    /// Ends what [`Header::block_on`] began: the stack is no longer the task's.
    pub(crate) fn unblock(&self) {
        self.shared().clear_parker();
    }

    /// Ends the task, whose future has been dropped: tells the hooks, marks it as finished, takes it out of
    /// the list, tells the observer.
    #[inline]
    pub(crate) fn finish(&self) {
        let tasks = self.backend.tasks();
        // A task of which hooks are told has attributes, as one with layers has.
        if let (Some(hooks), Some(attributes)) = (tasks.hooks(), self.attributes()) {
            self.end_with(hooks, attributes);
        }
        self.slot.finish();
        if self.slot.locks() & FOUND_BY_LOCKS != 0 {
            holders::leave(self.id);
        }
        tasks.remove(self);
        tasks.count_end(self.id);
        if let Some(observer) = self.attributes().and_then(|attributes| attributes.observer.as_ref()) {
            observer.finished(self.id);
        }
    }
}

/// A pointer to a header, for those who know how long that lasts: the task's own future, the list of tasks,
/// and the edges of waits for the task's handle.
#[derive(Clone)]
pub(crate) struct HeaderRef(NonNull<Header>);

// SAFETY: a `Header` is Sync, and this is a shared reference to one.
unsafe impl Send for HeaderRef {}
// SAFETY: as above.
unsafe impl Sync for HeaderRef {}

impl HeaderRef {
    /// Makes a reference without a lifetime.
    ///
    /// # Safety
    /// The header lasts as long as anybody may call [`HeaderRef::get`] of this or of a clone.
    #[inline]
    pub(crate) unsafe fn new(header: &Header) -> HeaderRef {
        HeaderRef(NonNull::from(header))
    }

    /// Returns whether this refers to `header`. What this refers to may be gone.
    pub(crate) fn is(&self, header: &Header) -> bool {
        std::ptr::eq(self.0.as_ptr(), header)
    }

    #[inline]
    pub(crate) fn get(&self) -> &Header {
        // SAFETY: whoever made this has promised that the header is still there.
        unsafe { self.0.as_ref() }
    }
}

/// Set once the task may hold locks.
const LOCKS: u8 = 1 << 6;
/// Set once the task has been entered in [`holders`], because it may hold locks.
const FOUND_BY_LOCKS: u8 = 1 << 7;
/// All bits of a task that are about locks.
const LOCK_BITS: u8 = LOCKS | FOUND_BY_LOCKS;
/// Set before the task begins if no hook is told of it.
const UNTOLD: u8 = 1 << 5;
/// All bits that are neither the kind nor of [`Parted`].
const OTHER_BITS: u8 = LOCK_BITS | UNTOLD;

/// The slot of a header for the shared part of its task, and what had to be known before there is one.
///
/// Most tasks are never referred to, and wait for nothing that a known task owes: they never get a shared
/// part. It is made under the lock of the list of tasks, which knows the waker of a task without one; or with
/// the task, if that has attributes.
///
/// It may be made while the task ends. The maker fills `shared` and then looks at `finished`; the task sets
/// `finished` and then looks at `shared`. Both access `finished` by a read-modify-write, and of those one
/// comes first: the second reads what the first wrote, and sees what happened before it. So at least one of
/// the two marks the shared part.
struct SharedSlot {
    shared: OnceLock<Arc<Shared>>,
    /// Set once, when the future has been dropped.
    finished: AtomicBool,
    /// Set once, before the first wait that blocks the task.
    ever_blocked: seq_cst::AtomicBool,
    /// Set once; see [`Header::set_awaited`].
    awaited: seq_cst::AtomicBool,
    /// The task's key in the list of tasks, or [`TaskList::NO_KEY`]. Only the task's own stack writes it,
    /// under the lock of the list. It lies here because the padding leaves room for it.
    key: AtomicU32,
    /// The kind of the task; above it, from [`PARTED`] on, the value of [`Parted`] when the last poll of the
    /// task was over; and [`OTHER_BITS`]. Only the task's own polls write it, once it has begun. It lies here
    /// for the same reason.
    kind: AtomicU8,
}

/// The unit in which a slot counts its value of [`Parted`].
const PARTED: u8 = 4;

impl SharedSlot {
    #[inline]
    fn new(kind: TaskKind) -> SharedSlot {
        SharedSlot {
            shared: OnceLock::default(),
            finished: AtomicBool::new(false),
            ever_blocked: seq_cst::AtomicBool::new(false),
            awaited: seq_cst::AtomicBool::new(false),
            key: AtomicU32::new(TaskList::NO_KEY),
            kind: AtomicU8::new(kind as u8),
        }
    }

    /// Returns whether the task may hold locks, and whether it has been entered in [`holders`].
    #[inline]
    fn locks(&self) -> u8 {
        self.kind.load(Ordering::Relaxed) & LOCK_BITS
    }

    /// Sets bits of [`OTHER_BITS`]. Called by the task itself, or before it begins, so no read-modify-write
    /// is needed.
    #[inline]
    fn set_bits(&self, bits: u8) {
        self.kind.store(self.kind.load(Ordering::Relaxed) | bits, Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> Option<&Arc<Shared>> {
        self.shared.get()
    }

    fn kind(&self) -> TaskKind {
        match self.kind.load(Ordering::Relaxed) % PARTED {
            0 => TaskKind::Future,
            1 => TaskKind::Closure,
            _ => TaskKind::Process,
        }
    }

    #[inline]
    fn get_or_make(&self, make: impl FnOnce() -> Arc<Shared>) -> &Arc<Shared> {
        self.get().unwrap_or_else(|| self.make(make))
    }

    #[cold]
    fn make(&self, make: impl FnOnce() -> Arc<Shared>) -> &Arc<Shared> {
        let shared = self.shared.get_or_init(make);
        // Changes nothing, but as a write it comes before or after the one in `finish`, which is AcqRel, too.
        if self.finished.fetch_or(false, Ordering::AcqRel) {
            shared.finish();
        }
        shared
    }

    /// Marks the task as finished.
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
