//! The run queue of one green worker: a ring that others steal from, a LIFO slot, and a way out when it is
//! full.
//!
//! The worker and what its threads share are the only callers. A worker holds the [`Local`], the end that
//! pushes and pops; all the others hold a [`Stealer`]. What does not fit, and what comes from outside the
//! workers, goes through an [`Injector`]. Nothing here blocks (but for the injector's short lock), runs an
//! item, or decides who wakes whom.
//!
//! # The ring
//!
//! ```text
//!                 head                          tail
//!                  ▼                             ▼
//!    ┄┬─────┬─────┬─────┬─────┬─────┬─────┬─────┬─────┬┄
//!     │free │free │  a  │  b  │  c  │  d  │  e  │free │       position p lives in slot p % CAPACITY
//!    ┄┴─────┴─────┴─────┴─────┴─────┴─────┴─────┴─────┴┄
//!
//!    (1) push   owner   slot[tail] = item; tail += 1            plain stores, the second one Release
//!    (2) pop    owner   head += 1; take the slot                compare-exchange on head
//!    (3) steal  thief   copy ⌈half⌉; head += how many           compare-exchange on head
//!    (4) spill  owner   ring full: head += CAPACITY / 2         compare-exchange on head
//! ```
//!
//! This is the scheme of Go's `runqput`, `runqget` and `runqgrab` (runtime/proc.go): `tail` is the owner's
//! alone, an item belongs to whoever moves `head` past it, and a thief copies first and asks afterwards. What
//! it read may be stale; then its compare-exchange fails and the copy is forgotten. Three facts make this
//! right:
//!
//! - **A thief's copy is good if its compare-exchange succeeds.** Success means that `head` was still where
//!   it was before the copy. A slot at or after `head` is never overwritten: the owner reuses the slot of
//!   position `p` only after an Acquire load has shown it a `head` beyond `p`. That load pairs with the
//!   Release of the compare-exchange that moved `head` (all later ones are read-modify-writes and keep the
//!   release sequence going), so the copying of `p` happens before the reuse.
//! - **A thief sees what it copies.** It loads `tail` with Acquire, which pairs with the Release store in (1)
//!   and (3): the slots below that `tail`, and what the items in them point to, are visible.
//! - **A thief never sees `tail` behind `head`.** It loads `head` first, with Acquire. Whoever moved `head`
//!   there, with Release, had seen a `tail` at least as large. So `tail - head` is never negative; it may be
//!   too large, when `head` is old, and then the compare-exchange fails.
//!
//! Deviations from Go: positions are as wide as a pointer, so that on 64-bit machines they never come round
//! and a stalled thief cannot mistake a new `head` for the old one (Go's and tokio's have 32 bits); a thief
//! may have items in its own queue; one item is handed out to be run at once. Deviation from tokio's
//! queue.rs: it keeps a second head for thefts under way, because its slots are plain memory that nobody may
//! read while it is written. Ours are atomics, so one head is enough, two thieves may try at once, and a
//! theft under way never makes the ring look full.
//!
//! # The LIFO slot
//!
//! One item beside the ring, to be run next: what the running task has just woken is likely to find its data
//! still in the cache. It is exchanged as a whole, so there is nothing to get wrong. Thieves may take it too,
//! or an item could wait behind a task that never returns (tokio#4941). A thief that is too eager moves half
//! of each conversation to another core: Go's thieves look there last and after a pause; tokio had thieves
//! woken for it in 1.51 and took that back in 1.52.2 (tokio#8065). When to look there, and how many times in
//! a row a worker may use its own slot before the ring has its turn, is for the scheduler to say.
//!
//! # Going to sleep
//!
//! `is_empty` on its own is a hint. It becomes a guarantee between two sequentially consistent fences: a
//! worker that pushes, then fences, then looks for sleepers, and a worker that enters itself among the
//! sleepers, then fences, then finds every queue empty, cannot miss one another. The fences are the
//! scheduler's.

mod injector;
#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};

use crate::sync::Arc;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicPtr, AtomicUsize};

pub(crate) use injector::Injector;

/// The number of items that a ring holds. Go's and tokio's number: more than one worker falls behind in a
/// scheduling round, and 2 KiB stay in the first-level cache. The models use a ring that they can fill.
const CAPACITY: usize = if cfg!(loom) { 4 } else { 256 };

// A position is turned into a slot by masking, which stays right when positions wrap around.
const _: () = assert!(CAPACITY.is_power_of_two());

/// A value that a queue can hold: it fits in a pointer, so that a slot is one atomic.
pub(crate) trait Item: Sized {
    /// Turns the value into a pointer that stands for it.
    fn into_raw(self) -> NonNull<()>;

    /// Turns the pointer back.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of the same type, and has not been turned back before.
    unsafe fn from_raw(raw: NonNull<()>) -> Self;
}

#[cfg(test)]
impl<M> Item for async_task::Runnable<M> {
    fn into_raw(self) -> NonNull<()> {
        self.into_raw()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the caller vouches for the same that this asks for.
        unsafe { async_task::Runnable::from_raw(raw) }
    }
}

/// The owner's end of a queue. There is one; it may move to another thread, but cannot be used from two.
pub(crate) struct Local<T: Item> {
    /// The part that is shared with the thieves.
    ring: Arc<Ring<T>>,
    /// Makes this `!Sync`: `tail` has a single writer.
    _single: PhantomData<Cell<()>>,
}

/// The other end of a queue, for every worker but the owner.
pub(crate) struct Stealer<T: Item> {
    /// The part that is shared with the owner.
    ring: Arc<Ring<T>>,
}

/// The part of a queue that its ends share. Aligned so that the words of two workers are never on one cache
/// line, nor on a pair of lines that are fetched together.
#[repr(align(128))]
struct Ring<T: Item> {
    /// The position of the oldest item. It is moved by compare-exchange, and whoever moves it owns what it
    /// passed.
    head: AtomicUsize,
    /// The position where the next item goes. Only the owner writes it.
    tail: AtomicUsize,
    /// The item to be run next, or null. Only the owner puts one in; anyone takes it out.
    lifo: AtomicPtr<()>,
    /// True if there are thieves. Where there are none, as with a single worker, the owner alone touches the
    /// ring and the slot, and spares itself the exchanges.
    shared: bool,
    /// The items at `head..tail`; the rest is garbage. Only the owner writes.
    slots: [AtomicPtr<()>; CAPACITY],
    /// The ring hands items from thread to thread as a mutex would: it may be shared if they may be sent.
    _items: PhantomData<std::sync::Mutex<T>>,
}

impl<T: Item> Local<T> {
    /// Makes an empty queue. If `shared` is false, nobody may steal from it, and its stealers only count.
    pub(crate) fn new(shared: bool) -> Local<T> {
        Local::starting_at(0, shared)
    }

    /// Makes an empty queue whose first item gets `position`; tests start just before the wrap-around.
    fn starting_at(position: usize, shared: bool) -> Local<T> {
        let ring = Arc::new(Ring {
            head: AtomicUsize::new(position),
            tail: AtomicUsize::new(position),
            lifo: AtomicPtr::new(null_mut()),
            shared,
            slots: std::array::from_fn(|_| AtomicPtr::new(null_mut())),
            _items: PhantomData,
        });
        Local { ring, _single: PhantomData }
    }

    /// Returns the end of this queue that other workers steal from.
    pub(crate) fn stealer(&self) -> Stealer<T> {
        Stealer { ring: Arc::clone(&self.ring) }
    }

    /// Adds `item` as the newest one. A full ring first moves its older half to `overflow`, and `item` after
    /// it.
    #[inline]
    pub(crate) fn push(&self, mut item: T, overflow: &Injector<T>) {
        let ring = &*self.ring;
        let tail = ring.tail.load(Relaxed);
        loop {
            // Acquire pairs with the Release of whoever moved `head`: the slot to be reused has been copied.
            let head = ring.head.load(Acquire);
            if tail.wrapping_sub(head) < CAPACITY {
                ring.slot(tail).store(item.into_raw().as_ptr(), Relaxed);
                // Release pairs with the Acquire of `tail` in `steal_into`: the slot and the item are
                // visible.
                ring.tail.store(tail.wrapping_add(1), Release);
                return;
            }
            match ring.spill(head, item, overflow) {
                Ok(()) => return,
                // A thief has made room.
                Err(back) => item = back,
            }
        }
    }

    /// Takes the oldest item of the ring.
    #[inline]
    pub(crate) fn pop(&self) -> Option<T> {
        let ring = &*self.ring;
        let tail = ring.tail.load(Relaxed);
        let mut head = ring.head.load(Relaxed);
        if !ring.shared && head != tail {
            ring.head.store(head.wrapping_add(1), Relaxed);
            // SAFETY: as below, and nobody else moves `head`: `steal_into` refuses.
            return Some(unsafe { item(ring.slot(head).load(Relaxed)) });
        }
        while head != tail {
            // Release pairs with the Acquire of `head` in `steal_into`, which then sees `tail` beyond it.
            match ring.head.compare_exchange_weak(head, head.wrapping_add(1), Release, Relaxed) {
                Ok(_) => {
                    let raw = ring.slot(head).load(Relaxed);
                    // SAFETY: the exchange made position `head` ours alone, and `head` was short of `tail`,
                    // so `push` or `steal_into` has put an item there. Nobody but the owner, who is running
                    // this, writes to slots, so it is there still.
                    return Some(unsafe { item(raw) });
                }
                Err(now) => head = now,
            }
        }
        None
    }

    /// Puts `item` in the LIFO slot and returns the one that was there, which goes to the ring.
    #[inline]
    #[must_use = "the displaced item has to be pushed"]
    pub(crate) fn push_lifo(&self, item: T) -> Option<T> {
        let raw = item.into_raw().as_ptr();
        let displaced = if self.ring.shared {
            // Release pairs with the Acquire in `steal_lifo`. What comes back is the owner's own, or null.
            self.ring.lifo.swap(raw, Release)
        } else {
            let displaced = self.ring.lifo.load(Relaxed);
            self.ring.lifo.store(raw, Relaxed);
            displaced
        };
        // SAFETY: a pointer in the LIFO slot stands for an item, and the exchange has taken it out.
        (!displaced.is_null()).then(|| unsafe { self::item(displaced) })
    }

    /// Takes the item in the LIFO slot.
    #[inline]
    pub(crate) fn pop_lifo(&self) -> Option<T> {
        // Only the owner puts items in, so there is nothing to acquire.
        self.ring.take_lifo(Relaxed)
    }

    /// Adds all of `items`, which must be no more than there is [room](Self::room) for.
    fn extend(&self, items: impl Iterator<Item = T>) {
        let mut tail = self.ring.tail.load(Relaxed);
        // Acquire as in `push`.
        let head = self.ring.head.load(Acquire);
        for item in items {
            assert!(tail.wrapping_sub(head) < CAPACITY, "more items than the ring has room for");
            self.ring.slot(tail).store(item.into_raw().as_ptr(), Relaxed);
            tail = tail.wrapping_add(1);
        }
        // Release as in `push`: one store publishes them all.
        self.ring.tail.store(tail, Release);
    }

    /// Returns how many items can be pushed before the ring is full. Only the owner can make it fewer.
    fn room(&self) -> usize {
        // Acquire, as in `push`, which the caller does the work of.
        CAPACITY - self.ring.tail.load(Relaxed).wrapping_sub(self.ring.head.load(Acquire))
    }
}

impl<T: Item> Stealer<T> {
    /// Takes the older half of the ring's items, at most half a ring. The oldest one is returned, to be run
    /// at once; the others go to `local`, as many as fit. Nothing happens when `local` is the other end of
    /// this very queue.
    pub(crate) fn steal_into(&self, local: &Local<T>) -> Option<T> {
        let (from, to) = (&*self.ring, &*local.ring);
        if std::ptr::eq(from, to) || !from.shared {
            return None;
        }
        let room = local.room();
        let to_tail = to.tail.load(Relaxed);
        // Acquire: see the third fact in the module's header. It holds for the failure below, too.
        let mut head = from.head.load(Acquire);
        loop {
            // Acquire pairs with the Release stores of `tail`: what lies below it is visible.
            let queued = from.tail.load(Acquire).wrapping_sub(head);
            let count = queued.div_ceil(2).min(CAPACITY / 2).min(room + 1);
            if count == 0 {
                return None;
            }
            let first = from.slot(head).load(Relaxed);
            for i in 1..count {
                // Nobody looks at these slots of ours until `tail` has passed them, so a copy that turns out
                // to be stale does no harm.
                let raw = from.slot(head.wrapping_add(i)).load(Relaxed);
                to.slot(to_tail.wrapping_add(i - 1)).store(raw, Relaxed);
            }
            // Release pairs with the Acquire of `head` in `push`: the slots have been copied.
            match from.head.compare_exchange_weak(head, head.wrapping_add(count), Release, Acquire) {
                Ok(_) => {
                    // Release pairs with the Acquire of `tail` of whoever steals from us.
                    to.tail.store(to_tail.wrapping_add(count - 1), Release);
                    // SAFETY: the exchange made the positions from `head` on ours alone; the first fact in
                    // the module's header says that `first` is what was pushed there. Only the others are in
                    // `local`.
                    return Some(unsafe { item(first) });
                }
                Err(now) => head = now,
            }
        }
    }

    /// Takes the item in the LIFO slot. Its owner was about to run it: for thieves that have found nothing
    /// else.
    pub(crate) fn steal_lifo(&self) -> Option<T> {
        if !self.ring.shared {
            return None;
        }
        // Acquire pairs with the Release in `push_lifo`: the item is visible.
        self.ring.take_lifo(Acquire)
    }

    /// Returns how many items there were a moment ago, the LIFO slot included.
    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Returns true if there was nothing to steal a moment ago; see "Going to sleep" in the header. The LIFO
    /// slot does not count: it is for its owner, unless that is stuck.
    pub(crate) fn is_empty(&self) -> bool {
        // At the moment when `tail` is read, `head` is between the value read before and `tail`: if these are
        // equal, the ring is empty at that moment.
        let head = self.ring.head.load(Acquire);
        head == self.ring.tail.load(Acquire)
    }
}

impl<T: Item> Clone for Stealer<T> {
    fn clone(&self) -> Stealer<T> {
        Stealer { ring: Arc::clone(&self.ring) }
    }
}

impl<T: Item> Ring<T> {
    fn slot(&self, position: usize) -> &AtomicPtr<()> {
        &self.slots[position & (CAPACITY - 1)]
    }

    /// Moves the older half of a full ring that starts at `head`, and then `item`, to `overflow`. Only the
    /// owner may call this. Gives `item` back when a thief was faster.
    #[cold]
    fn spill(&self, head: usize, item: T, overflow: &Injector<T>) -> Result<(), T> {
        let half = CAPACITY / 2;
        // Release as in `pop`. After a failure the caller loads `head` again, and sees this value or a later
        // one.
        if self.head.compare_exchange(head, head.wrapping_add(half), Release, Relaxed).is_err() {
            return Err(item);
        }
        let older = (0..half).map(|i| {
            let raw = self.slot(head.wrapping_add(i)).load(Relaxed);
            // SAFETY: as in `pop`: the exchange made these positions ours, all of them are short of `tail`,
            // each is visited once, and only the owner, who is running this, writes to slots.
            unsafe { self::item(raw) }
        });
        overflow.push_batch(older.chain([item]));
        Ok(())
    }

    fn take_lifo(&self, order: crate::sync::atomic::Ordering) -> Option<T> {
        // The slot is mostly empty, and then a load leaves the cache line where it is.
        if self.lifo.load(Relaxed).is_null() {
            return None;
        }
        let raw = if self.shared {
            self.lifo.swap(null_mut(), order)
        } else {
            let raw = self.lifo.load(Relaxed);
            self.lifo.store(null_mut(), Relaxed);
            raw
        };
        // SAFETY: a pointer in the LIFO slot stands for an item, and the exchange has taken it out.
        (!raw.is_null()).then(|| unsafe { item(raw) })
    }

    fn len(&self) -> usize {
        // `head` first, with Acquire: see the third fact in the module's header.
        let head = self.head.load(Acquire);
        let queued = self.tail.load(Acquire).wrapping_sub(head).min(CAPACITY);
        queued + usize::from(!self.lifo.load(Relaxed).is_null())
    }
}

/// The owner takes what is left with it. The stealers may stay for as long as the items that they could
/// steal, because these hold on to their runtime, which has the stealers: so the ring, which both ends keep,
/// must not hold any.
impl<T: Item> Drop for Local<T> {
    fn drop(&mut self) {
        let rest = std::iter::from_fn(|| self.pop().or_else(|| self.pop_lifo()));
        // From a vector, because that drops the rest when the destructor of one item panics.
        drop(rest.collect::<Vec<T>>());
    }
}

/// Returns the item that `raw` stands for.
///
/// # Safety
/// `raw` was stored in a slot by one of this queue's operations, and the caller is the one who has claimed
/// it.
unsafe fn item<T: Item>(raw: *mut ()) -> T {
    // SAFETY: what is stored comes from `Item::into_raw` and is not null; who has claimed it is alone with
    // it.
    unsafe { T::from_raw(NonNull::new_unchecked(raw)) }
}
