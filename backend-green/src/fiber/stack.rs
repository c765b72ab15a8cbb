//! The stacks of fibers: where they come from, and where they go.
//!
//! A [`StackPool`] is shared by the workers of one runtime. What a finished fiber returns is handed out
//! again, the last one first, because its memory is still in the cache. What becomes of the memory of a stack
//! that comes back depends on how many are idle already:
//!
//! | idle stacks    | what becomes of the memory of the next one                                  |
//! |----------------|-----------------------------------------------------------------------------|
//! | fewer than 64  | kept whole                                                                  |
//! | fewer than 256 | kept are the two pages where frames begin; what a deep call touched is not  |
//! | more           | given back when a worker has nothing else to do: [`StackPool::trim`]        |
//!
//! Giving memory back takes a microsecond or more a stack, and a slab without a stack in use is unmapped in
//! one go. So it is not done while fibers end by the thousand: the ones behind them would wait for it.
//!
//! A stack whose fiber never finished is leaked: wakers, other threads or other fibers may hold addresses in
//! its frames, so it is never used again, and neither is it unmapped. A pool counts them.

use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corosensei::stack::{Stack, StackPointer};

use super::overflow::Record;
use super::slab::{Bounds, GuardBudget, Guards, Layout, STACKS, Slab};

/// The size of a stack, in bytes, if nobody chooses one. That is what a TLS handshake takes in a build
/// without optimisation, the deepest of the usual libraries; servers of HTTP take 192 KiB there. Memory is
/// used as it is touched, so a larger stack costs address space, of which a million of these take 266 GB of
/// the 128 TB that there are, and page tables, which take half a KiB a stack.
pub(crate) const DEFAULT_STACK_SIZE: usize = 256 * 1024;

/// The least size of a stack, in bytes: what a panic with a backtrace needs, and some room for the code it is
/// in.
pub(crate) const MIN_STACK_SIZE: usize = 32 * 1024;

/// The number of idle stacks that keep all their memory. A worker that blocks and unblocks a few tasks stays
/// within this and makes no system call for it.
const KEPT_WHOLE: usize = 64;

/// The number of idle stacks that keep the pages where frames begin: about 2 MiB.
const KEPT_WARM: usize = 256;

/// The pages that such a stack keeps. A fiber that blocks in plain code touches one or two.
const WARM_PAGES: usize = 2;

/// The number of stacks that a call of [`StackPool::trim`] gives back at most.
pub(crate) const TRIM_BATCH: usize = 16;

/// The number of steps in which frames begin a little lower in each stack than in the one before. Equal
/// frames of two stacks lie at equal offsets; at multiples of a page they would evict each other from the L1
/// cache.
const COLOURS: usize = 16;

/// The length of such a step in bytes: two cache lines, because the prefetcher fetches pairs.
const COLOUR_STEP: usize = 128;

/// The kind of stacks that a pool makes.
#[derive(Clone, Debug)]
pub(crate) struct StackOptions {
    /// The bytes of a stack, without its guard. At least [`MIN_STACK_SIZE`]; rounded up to whole pages. Up to
    /// 2 KiB of it go to the staggering of stacks.
    pub(crate) size: usize,
    /// The number of stacks that may be in use at once, leaked ones included.
    pub(crate) limit: usize,
    /// The way in which the guard below each stack is made.
    pub(crate) guards: Guards,
}

impl Default for StackOptions {
    fn default() -> StackOptions {
        StackOptions { size: DEFAULT_STACK_SIZE, limit: usize::MAX, guards: Guards::Auto }
    }
}

/// The numbers of stacks that a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackStats {
    /// The stacks in use by a fiber.
    pub(crate) live: usize,
    /// The stacks that wait to be used again.
    pub(crate) idle: usize,
    /// The stacks that are lost: their fibers were suspended when the runtime ended.
    pub(crate) leaked: usize,
    /// The bytes of address space held. Most of it has no memory behind it.
    pub(crate) mapped: usize,
}

/// A source of stacks that any thread may take from and return to.
pub(crate) struct StackPool {
    /// The measures of every stack.
    layout: Layout,
    /// The setting of [`StackOptions::limit`].
    limit: usize,
    /// The setting of [`StackOptions::guards`].
    guards: Guards,
    /// The budget that counts the guards which cost a mapping.
    budget: &'static GuardBudget,
    /// The stacks of the pool.
    inner: Mutex<Inner>,
}

/// The stacks of a [`StackPool`].
struct Inner {
    /// The slabs; `None` where one has been unmapped.
    slabs: Vec<Option<Slab>>,
    /// The indices in `slabs` that are `None`.
    vacant: Vec<u32>,
    /// The slab that has stacks which were never handed out, if there is one. There is at most one.
    growing: Option<u32>,
    /// The idle stacks with memory, the hottest last. At most [`KEPT_WARM`].
    hot: Vec<StackId>,
    /// The number of idle stacks that are noted in their slabs as having memory.
    dirty: usize,
    /// The number of idle stacks that are noted in their slabs as having none.
    cold: usize,
    /// No slab before this one has an idle stack noted.
    first_idle: usize,
    /// The number of stacks that are in use.
    live: usize,
    /// The number of stacks that are lost.
    leaked: usize,
}

/// Names a stack of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StackId {
    /// The index of its slab in [`Inner::slabs`].
    slab: u32,
    /// The index of the stack in the slab.
    index: u32,
}

impl StackPool {
    /// Makes a pool that is empty yet.
    ///
    /// # Errors
    /// When the size exceeds the address space.
    pub(crate) fn new(options: &StackOptions) -> io::Result<Arc<StackPool>> {
        StackPool::with_budget(options, GuardBudget::process())
    }

    /// As [`StackPool::new`], with guards counted by `budget`.
    pub(super) fn with_budget(
        options: &StackOptions,
        budget: &'static GuardBudget,
    ) -> io::Result<Arc<StackPool>> {
        let layout = Layout::new(options.size.max(MIN_STACK_SIZE)).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the fiber stack size exceeds the address space")
        })?;
        Ok(Arc::new(StackPool {
            layout,
            limit: options.limit,
            guards: options.guards,
            budget,
            inner: Mutex::new(Inner {
                slabs: Vec::new(),
                vacant: Vec::new(),
                growing: None,
                hot: Vec::with_capacity(KEPT_WARM),
                dirty: 0,
                cold: 0,
                first_idle: 0,
                live: 0,
                leaked: 0,
            }),
        }))
    }

    /// Returns a stack that nobody else uses.
    ///
    /// # Errors
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory) when a limit is reached or the system has no memory or
    /// mappings left. Nothing is lost by that: the call may be repeated when fibers have finished.
    pub(crate) fn take(self: &Arc<Self>) -> io::Result<PooledStack> {
        let mut inner = self.lock();
        if inner.live + inner.leaked >= self.limit {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!("the limit of {} fiber stacks is reached", self.limit),
            ));
        }
        let id = match inner.hot.pop() {
            Some(id) => id,
            None => match inner.take_idle() {
                Some(id) => id,
                None => self.grow(&mut inner)?,
            },
        };
        inner.live += 1;
        let bounds = inner.bounds(id);
        drop(inner);
        let colour = id.index as usize % COLOURS * COLOUR_STEP;
        // SAFETY: the record lies within the stack, which is idle, hence nobody else's; the offsets are
        // multiples of the record's alignment and the end is at a page boundary.
        let record = unsafe {
            let record = bounds.end.byte_sub(colour + size_of::<Record>()).cast::<Record>();
            record.write(Record::new(bounds.guard.addr(), bounds.limit.addr(), bounds.end.addr()));
            record
        };
        Ok(PooledStack { pool: Arc::clone(self), record, bounds, id })
    }

    /// Returns how many stacks there are.
    pub(crate) fn stats(&self) -> StackStats {
        let inner = self.lock();
        let slabs = inner.slabs.len() - inner.vacant.len();
        StackStats {
            live: inner.live,
            idle: inner.hot.len() + inner.dirty + inner.cold,
            leaked: inner.leaked,
            mapped: slabs * STACKS * (self.layout.page + self.layout.size),
        }
    }

    /// Counts a stack that was in use and never comes back.
    pub(super) fn count_leaked(&self) {
        let mut inner = self.lock();
        inner.live -= 1;
        inner.leaked += 1;
    }

    /// Makes a stack where none is idle.
    fn grow(&self, inner: &mut Inner) -> io::Result<StackId> {
        let slab_index = match inner.growing {
            Some(slab_index) => slab_index,
            None => {
                let slab = Some(Slab::map(self.layout, self.guards, self.budget)?);
                let slab_index = inner.vacant.pop().unwrap_or(inner.slabs.len() as u32);
                match inner.slabs.get_mut(slab_index as usize) {
                    Some(vacant) => *vacant = slab,
                    None => inner.slabs.push(slab),
                }
                inner.growing = Some(slab_index);
                slab_index
            }
        };
        let slab = inner.slab(slab_index);
        let index = slab.carve()? as u32;
        if slab.is_carved() {
            inner.growing = None;
        }
        Ok(StackId { slab: slab_index, index })
    }

    /// Takes back the stack that `take` handed out as `id`.
    fn put(&self, id: StackId, bounds: Bounds) {
        let mut inner = self.lock();
        if (KEPT_WHOLE..KEPT_WARM).contains(&inner.hot.len()) {
            // The stack is still in use as far as others can see, so the system call needs no lock.
            drop(inner);
            // SAFETY: the caller has just given up the stack, and nobody can be handed it before it is
            // entered below.
            unsafe { bounds.give_back(WARM_PAGES * self.layout.page) };
            inner = self.lock();
        }
        inner.live -= 1;
        if inner.hot.len() < KEPT_WARM {
            inner.hot.push(id);
        } else {
            inner.dirty += 1;
            inner.first_idle = inner.first_idle.min(id.slab as usize);
            inner.slab(id.slab).set_dirty(id.index as usize);
        }
    }

    /// Returns true if [`StackPool::trim`] would find something to do.
    pub(crate) fn is_untidy(&self) -> bool {
        self.lock().dirty != 0
    }

    /// Gives the memory of at most `count` idle stacks back to the system, some microseconds each, or unmaps
    /// a slab.
    pub(crate) fn trim(&self, count: usize) {
        let mut inner = self.lock();
        let Some(slab_index) = inner.last_dirty() else { return };
        if let Some(slab) = inner.remove_idle_slab(slab_index) {
            // Unmapping takes a while; others need not wait for it.
            drop(inner);
            drop(slab);
            return;
        }
        let mut batch = [(StackId { slab: slab_index, index: 0 }, None); TRIM_BATCH];
        for (id, bounds) in batch.iter_mut().take(count) {
            let Some(index) = inner.slab(slab_index).take_dirty() else { break };
            inner.dirty -= 1;
            id.index = index as u32;
            *bounds = Some(inner.bounds(*id));
        }
        // As in `put`: the stacks count as in use meanwhile, so that their slab stays.
        drop(inner);
        for bounds in batch.iter().filter_map(|(_, bounds)| *bounds) {
            // SAFETY: the stack was idle, and nobody can be handed it before it is entered again below.
            unsafe { bounds.give_back(0) };
        }
        let mut inner = self.lock();
        for (id, _) in batch.iter().filter(|(_, bounds)| bounds.is_some()) {
            inner.cold += 1;
            inner.first_idle = inner.first_idle.min(id.slab as usize);
            inner.slab(id.slab).set_cold(id.index as usize);
        }
        // Another worker may have trimmed the rest of the slab meanwhile.
        let slab = inner.remove_idle_slab(slab_index);
        drop(inner);
        drop(slab);
    }

    /// Locks the content. Nothing panics while the lock is held, so a poisoned one guards what is intact,
    /// too.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns the slab at an index that has one.
    fn slab(&mut self, slab_index: u32) -> &mut Slab {
        self.slabs[slab_index as usize].as_mut().expect("a slab with stacks in use or idle is mapped")
    }

    fn bounds(&mut self, id: StackId) -> Bounds {
        self.slab(id.slab).bounds(id.index as usize)
    }

    /// Takes an idle stack of the first slab that has one, so that use gathers at the front and later slabs
    /// become free.
    fn take_idle(&mut self) -> Option<StackId> {
        if self.dirty + self.cold == 0 {
            return None;
        }
        for slab_index in self.first_idle..self.slabs.len() {
            let Some(slab) = &mut self.slabs[slab_index] else { continue };
            let index = if let Some(index) = slab.take_dirty() {
                self.dirty -= 1;
                index
            } else if let Some(index) = slab.take_cold() {
                self.cold -= 1;
                index
            } else {
                continue;
            };
            self.first_idle = slab_index;
            return Some(StackId { slab: slab_index as u32, index: index as u32 });
        }
        None
    }

    /// Returns the last slab that has idle stacks with memory: the first ones are used again first.
    fn last_dirty(&self) -> Option<u32> {
        if self.dirty == 0 {
            return None;
        }
        let has_dirty = |slab: &Option<Slab>| slab.as_ref().is_some_and(|slab| slab.idle().0 != 0);
        self.slabs.iter().rposition(has_dirty).map(|slab_index| slab_index as u32)
    }

    /// Takes the slab out if none of its stacks is in use and it is not the only one.
    fn remove_idle_slab(&mut self, slab_index: u32) -> Option<Slab> {
        let is_last = self.slabs.len() - self.vacant.len() == 1;
        if is_last || !self.slab(slab_index).is_idle() {
            return None;
        }
        let slab = self.slabs[slab_index as usize].take()?;
        let (dirty, cold) = slab.idle();
        self.vacant.push(slab_index);
        self.dirty -= dirty;
        self.cold -= cold;
        if self.growing == Some(slab_index) {
            self.growing = None;
        }
        Some(slab)
    }
}

/// A stack out of a pool. Dropping it returns it there, so whoever drops it has finished with it.
pub(crate) struct PooledStack {
    /// The pool that it goes back to, which also keeps the memory mapped.
    pool: Arc<StackPool>,
    /// The record for the overflow handler. It lies in the stack itself, above the frames.
    record: NonNull<Record>,
    /// The bounds of the stack.
    bounds: Bounds,
    /// The name of the stack in its pool.
    id: StackId,
}

impl PooledStack {
    /// Returns the record of this stack for the overflow handler. It is valid until the stack is returned to
    /// its pool.
    pub(super) fn record(&self) -> NonNull<Record> {
        self.record
    }
}

impl Drop for PooledStack {
    fn drop(&mut self) {
        self.pool.put(self.id, self.bounds);
    }
}

// SAFETY: between base and limit lies one mapping, readable and writable but for the guard page at its low
// end, of at least MIN_STACK_SIZE less 2 KiB, which is more than corosensei's least size. It is this value's
// alone until it is dropped, and it stays mapped that long because the pool does. Both ends are multiples of
// 16: the limit is at a page, and the base is the record's address, whose alignment and distance from the end
// are.
unsafe impl Stack for PooledStack {
    #[inline(always)]
    fn base(&self) -> StackPointer {
        self.record.addr()
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        self.bounds.guard.addr()
    }
}
