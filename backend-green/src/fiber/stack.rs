//! The stacks of fibers: where they come from, and where they go.
//!
//! A [`StackPool`] is shared by the workers of one runtime. What a finished fiber returns is handed out again, the
//! last one first, because its memory is still in the cache. How much memory idle stacks may hold is bounded, in
//! three steps, by how many are idle already when one comes back:
//!
//! | idle stacks    | what becomes of the memory of the next one                                  |
//! |----------------|-----------------------------------------------------------------------------|
//! | fewer than 64  | kept whole                                                                  |
//! | fewer than 256 | kept are the two pages where frames begin; what a deep call touched is not  |
//! | more           | all given back; a slab whose stacks are all in that state is unmapped       |
//!
//! A stack whose fiber never finished is leaked: wakers, other threads or other fibers may hold addresses in its
//! frames, so it is never used again, and neither is it unmapped. A pool counts them.

use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corosensei::stack::{Stack, StackPointer};

use super::overflow::Record;
use super::slab::{Bounds, GuardBudget, Guards, Layout, STACKS, Slab};

/// The size of a stack, in bytes, if nobody chooses one. A panic with its backtrace takes 22 KB in a release build.
pub(crate) const DEFAULT_STACK_SIZE: usize = 64 * 1024;

/// The least size of a stack, in bytes: what a panic with a backtrace needs, and some room for the code it is in.
pub(crate) const MIN_STACK_SIZE: usize = 32 * 1024;

/// So many idle stacks keep all their memory. A worker that blocks and unblocks a few tasks stays within this and
/// makes no system call for it.
const KEPT_WHOLE: usize = 64;

/// So many idle stacks keep the pages where frames begin. About 2 MiB.
const KEPT_WARM: usize = 256;

/// The pages that such a stack keeps. A fiber that blocks in plain code touches one or two.
const WARM_PAGES: usize = 2;

/// Equal frames of two stacks lie at equal offsets; at multiples of a page they would evict each other from the
/// L1 cache. So frames begin a little lower in each stack than in the one before, in this many steps ...
const COLOURS: usize = 16;

/// ... of this many bytes: two cache lines, because the prefetcher fetches pairs.
const COLOUR_STEP: usize = 128;

/// What kind of stacks a pool makes.
#[derive(Clone, Debug)]
pub(crate) struct StackOptions {
    /// Bytes of a stack, without its guard. At least [`MIN_STACK_SIZE`]; rounded up to whole pages. Up to 2 KiB of
    /// it go to the staggering of stacks.
    pub(crate) size: usize,
    /// How many stacks may be in use at once, leaked ones included.
    pub(crate) limit: usize,
    /// How the guard below each stack is made.
    pub(crate) guards: Guards,
}

impl Default for StackOptions {
    fn default() -> StackOptions {
        StackOptions { size: DEFAULT_STACK_SIZE, limit: usize::MAX, guards: Guards::Auto }
    }
}

/// How many stacks a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackStats {
    /// In use by a fiber.
    pub(crate) live: usize,
    /// Waiting to be used again.
    pub(crate) idle: usize,
    /// Lost: their fibers were suspended when the runtime ended.
    pub(crate) leaked: usize,
    /// Bytes of address space held. Most of it has no memory behind it.
    pub(crate) mapped: usize,
}

/// A source of stacks that any thread may take from and return to.
pub(crate) struct StackPool {
    /// The measures of every stack.
    layout: Layout,
    /// See [`StackOptions::limit`].
    limit: usize,
    /// See [`StackOptions::guards`].
    guards: Guards,
    /// Who counts the guards that cost a mapping.
    budget: &'static GuardBudget,
    /// What there is.
    inner: Mutex<Inner>,
}

/// What a [`StackPool`] has.
struct Inner {
    /// The slabs; `None` where one has been unmapped.
    slabs: Vec<Option<Slab>>,
    /// The places of `slabs` that are `None`.
    vacant: Vec<u32>,
    /// The slab that has stacks which were never handed out, if there is one. There is at most one.
    growing: Option<u32>,
    /// Idle stacks with memory, the hottest last. At most [`KEPT_WARM`].
    hot: Vec<StackId>,
    /// How many idle stacks are marked cold in their slabs.
    cold: usize,
    /// No slab before this one has a cold stack.
    first_cold: usize,
    /// How many stacks are in use.
    live: usize,
    /// How many stacks are lost.
    leaked: usize,
}

/// Names a stack of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StackId {
    /// Its slab's place in [`Inner::slabs`].
    slab: u32,
    /// Its index in the slab.
    index: u32,
}

impl StackPool {
    /// A pool that is empty yet.
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
                cold: 0,
                first_cold: 0,
                live: 0,
                leaked: 0,
            }),
        }))
    }

    /// A stack that nobody else uses.
    ///
    /// # Errors
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory) when a limit is reached or the system has no memory or mappings
    /// left. Nothing is lost by that: the call may be repeated when fibers have finished.
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
            None => match inner.take_cold() {
                Some(id) => id,
                None => self.grow(&mut inner)?,
            },
        };
        inner.live += 1;
        let bounds = inner.bounds(id);
        drop(inner);
        let colour = id.index as usize % COLOURS * COLOUR_STEP;
        // SAFETY: the record lies within the stack, which is idle, hence nobody else's; the offsets are multiples
        // of the record's alignment and the end is at a page boundary.
        let record = unsafe {
            let record = bounds.end.byte_sub(colour + size_of::<Record>()).cast::<Record>();
            record.write(Record::new(bounds.guard.addr(), bounds.limit.addr(), bounds.end.addr()));
            record
        };
        Ok(PooledStack { pool: Arc::clone(self), record, bounds, id })
    }

    /// How many stacks there are.
    pub(crate) fn stats(&self) -> StackStats {
        let inner = self.lock();
        let slabs = inner.slabs.len() - inner.vacant.len();
        StackStats {
            live: inner.live,
            idle: inner.hot.len() + inner.cold,
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
        let place = match inner.growing {
            Some(place) => place,
            None => {
                let slab = Some(Slab::map(self.layout, self.guards, self.budget)?);
                let place = inner.vacant.pop().unwrap_or(inner.slabs.len() as u32);
                match inner.slabs.get_mut(place as usize) {
                    Some(vacant) => *vacant = slab,
                    None => inner.slabs.push(slab),
                }
                inner.growing = Some(place);
                place
            }
        };
        let slab = inner.slab(place);
        let index = slab.carve()? as u32;
        if slab.is_carved() {
            inner.growing = None;
        }
        Ok(StackId { slab: place, index })
    }

    /// Takes back the stack that `take` handed out as `id`.
    fn put(&self, id: StackId, bounds: Bounds) {
        let mut inner = self.lock();
        let mut keep = usize::MAX;
        if inner.hot.len() >= KEPT_WHOLE {
            keep = if inner.hot.len() < KEPT_WARM { WARM_PAGES * self.layout.page } else { 0 };
            // The stack is still in use as far as others can see, so the system call needs no lock.
            drop(inner);
            // SAFETY: the caller has just given up the stack, and nobody can be handed it before it is entered below.
            unsafe { bounds.give_back(keep) };
            inner = self.lock();
        }
        inner.live -= 1;
        // Others may have filled the last places meanwhile; then this one goes to the cold ones with two pages.
        if keep != 0 && inner.hot.len() < KEPT_WARM {
            inner.hot.push(id);
            return;
        }
        let free = inner.put_cold(id);
        // Unmapping takes a while; others need not wait for it.
        drop(inner);
        drop(free);
    }

    /// Nothing panics while the lock is held, so what a poisoned one guards is intact too.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The slab at a place that has one.
    fn slab(&mut self, place: u32) -> &mut Slab {
        self.slabs[place as usize].as_mut().expect("a slab with stacks in use or idle is mapped")
    }

    fn bounds(&mut self, id: StackId) -> Bounds {
        self.slab(id.slab).bounds(id.index as usize)
    }

    /// A cold stack of the first slab that has one, so that use gathers at the front and later slabs become free.
    fn take_cold(&mut self) -> Option<StackId> {
        if self.cold == 0 {
            return None;
        }
        for place in self.first_cold..self.slabs.len() {
            let Some(slab) = &mut self.slabs[place] else { continue };
            if let Some(index) = slab.take_cold() {
                self.first_cold = place;
                self.cold -= 1;
                return Some(StackId { slab: place as u32, index: index as u32 });
            }
        }
        None
    }

    /// Enters a stack whose memory has been given back. Returns its slab if that is to be unmapped.
    fn put_cold(&mut self, id: StackId) -> Option<Slab> {
        self.cold += 1;
        self.first_cold = self.first_cold.min(id.slab as usize);
        let all_cold = self.slab(id.slab).set_cold(id.index as usize);
        let is_last = self.slabs.len() - self.vacant.len() == 1;
        if !all_cold || is_last {
            return None;
        }
        let slab = self.slabs[id.slab as usize].take()?;
        self.vacant.push(id.slab);
        self.cold -= slab.carved();
        if self.growing == Some(id.slab) {
            self.growing = None;
        }
        Some(slab)
    }
}

/// A stack out of a pool. Dropping it returns it there, so whoever drops it has finished with it.
pub(crate) struct PooledStack {
    /// Where it goes back to. It also keeps the memory mapped.
    pool: Arc<StackPool>,
    /// What the overflow handler needs to know. It lies in the stack itself, above the frames.
    record: NonNull<Record>,
    /// Where it lies.
    bounds: Bounds,
    /// Which one it is.
    id: StackId,
}

impl PooledStack {
    /// What the overflow handler needs to know of this stack. Valid until the stack is returned to its pool.
    pub(super) fn record(&self) -> NonNull<Record> {
        self.record
    }
}

impl Drop for PooledStack {
    fn drop(&mut self) {
        self.pool.put(self.id, self.bounds);
    }
}

// SAFETY: between base and limit lies one mapping, readable and writable but for the guard page at its low end, of
// at least MIN_STACK_SIZE less 2 KiB, which is more than corosensei's least size. It is this value's alone until it is
// dropped, and it stays mapped that long because the pool does. Both ends are multiples of 16: the limit is at a page,
// and the base is the record's address, whose alignment and distance from the end are.
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
