//! Memory for 256 stacks at a time, and the guard below each of them.
//!
//! The pool in `stack` is the only caller. A slab never hands out the same slot twice by itself and keeps no
//! list of what is in use: that is the pool's.
//!
//! ```text
//! start                                                                             start + 256 strides
//!   | guard |            stack 0              | guard |            stack 1              | ...
//!           ^ limit of use                    ^ end: frames begin below it and grow down
//! ```
//!
//! A guard is one page that faults when it is touched. Linux 6.13 can mark such a page inside a mapping
//! (`MADV_GUARD_INSTALL`), at no cost but the mark. Elsewhere it is made with `mprotect`, which cuts the
//! mapping in two; a process may have only so many mappings, and near that number allocators and the unwinder
//! begin to fail, so the number of those guards is limited to a quarter of it, for the whole process, by
//! [`GuardBudget`].

use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// The number of stacks that one mapping holds. Large enough that a million stacks are a few thousand
/// mappings (which the kernel merges further), small enough that a free slab is found and given back soon.
pub(super) const STACKS: usize = 256;

/// The advice of Linux's `mman-common.h`; it is the same on all its architectures. The libc crate does not
/// have it yet.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// The ways in which guard pages are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guards {
    /// Marks inside the mapping where the system can do that, otherwise `mprotect`.
    Auto,
    /// Always `mprotect`: for tools that do not know the marks, such as valgrind 3.19, which they crash.
    Mprotect,
}

/// The budget of guards of the costly kind.
pub(super) struct GuardBudget {
    /// The most guards that there may be at once.
    limit: usize,
    /// The number of guards that there are. It is a count only and orders no other memory, so `Relaxed` does.
    used: AtomicUsize,
}

impl GuardBudget {
    pub(super) const fn new(limit: usize) -> GuardBudget {
        GuardBudget { limit, used: AtomicUsize::new(0) }
    }

    /// Returns the budget of this process: a quarter of the mappings that the system allows. Each guard adds
    /// two.
    pub(super) fn process() -> &'static GuardBudget {
        static PROCESS: OnceLock<GuardBudget> = OnceLock::new();
        PROCESS.get_or_init(|| {
            // The default of Linux, taken where the limit cannot be read or does not exist.
            const USUAL: usize = 65_530;
            let mappings = std::fs::read_to_string("/proc/sys/vm/max_map_count")
                .ok()
                .and_then(|text| text.trim().parse::<usize>().ok())
                .unwrap_or(USUAL);
            GuardBudget::new(mappings / 4)
        })
    }

    fn take(&self) -> bool {
        self.used.fetch_update(Relaxed, Relaxed, |used| (used < self.limit).then_some(used + 1)).is_ok()
    }

    fn give_back(&self, count: usize) {
        self.used.fetch_sub(count, Relaxed);
    }
}

/// The measures of the stacks in a slab, in bytes. All are multiples of the page size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The size of a page, as the system says, and of a guard.
    pub(super) page: usize,
    /// The size of a stack without its guard.
    pub(super) size: usize,
}

impl Layout {
    /// Returns the measures of stacks of `size` bytes, rounded up to whole pages; `None` if a slab of them
    /// exceeds the address space.
    pub(super) fn new(size: usize) -> Option<Layout> {
        let page = rustix::param::page_size();
        let size = size.checked_next_multiple_of(page)?;
        let layout = Layout { page, size };
        size.checked_add(page)?.checked_mul(STACKS).filter(|&bytes| bytes <= isize::MAX as usize)?;
        Some(layout)
    }

    /// Returns the distance between two stacks.
    ///
    /// The guard comes on top of the size, so that for the usual sizes this is an odd number of pages: at a
    /// power of two the first page of every stack would fall into the same few sets of the TLB. Among 1,000
    /// fibers that take turns, a switch and back took 2.8 ns at 17 pages and 3.7 to 4.9 ns at 16.
    fn stride(&self) -> usize {
        self.page + self.size
    }
}

/// One mapping with room for [`STACKS`] stacks. Dropping it unmaps all of them.
pub(super) struct Slab {
    /// The first byte of the first guard.
    start: NonNull<u8>,
    /// The measures of the stacks in the slab.
    layout: Layout,
    /// The way in which the guards of this slab are made.
    guards: Guards,
    /// The budget that counts the guards made with `mprotect`.
    budget: &'static GuardBudget,
    /// The number of guards of this slab that are counted there.
    counted: usize,
    /// The number of stacks that have their guard; they are always the first ones.
    carved: usize,
    /// The stacks that are idle and still have memory. Kept here for the pool, as is the next.
    dirty: StackSet,
    /// The stacks that are idle and have no memory.
    cold: StackSet,
}

/// A set of a slab's stacks.
#[derive(Default)]
struct StackSet {
    /// A bit for each stack.
    bits: [u64; STACKS / 64],
    /// The number of bits that are set.
    count: usize,
}

impl StackSet {
    fn insert(&mut self, index: usize) {
        debug_assert!(self.bits[index / 64] & (1 << (index % 64)) == 0);
        self.bits[index / 64] |= 1 << (index % 64);
        self.count += 1;
    }

    /// Takes the lowest stack out.
    fn pop(&mut self) -> Option<usize> {
        let word = self.bits.iter().position(|&word| word != 0)?;
        let bit = self.bits[word].trailing_zeros() as usize;
        self.bits[word] &= self.bits[word] - 1;
        self.count -= 1;
        Some(word * 64 + bit)
    }
}

// SAFETY: the pointer is to a mapping that the slab owns; nothing in it depends on the thread.
unsafe impl Send for Slab {}

impl Slab {
    /// Reserves the address space. No memory is used before a stack is touched.
    pub(super) fn map(layout: Layout, guards: Guards, budget: &'static GuardBudget) -> io::Result<Slab> {
        let length = layout.stride() * STACKS;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so that no mapping of others is touched.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, map_flags())? };
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // A huge page would make one touched page of one stack cost 2 MiB. Systems without them refuse, which
        // does no harm.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // SAFETY: the range is the mapping made above, and the advice changes no contents.
        let _ = unsafe { libc::madvise(start.as_ptr().cast(), length, libc::MADV_NOHUGEPAGE) };
        let guards = if guards == Guards::Auto && !marks_work() { Guards::Mprotect } else { guards };
        Ok(Slab {
            start,
            layout,
            guards,
            budget,
            counted: 0,
            carved: 0,
            dirty: StackSet::default(),
            cold: StackSet::default(),
        })
    }

    /// Returns true if every stack has been handed out at least once.
    pub(super) fn is_carved(&self) -> bool {
        self.carved == STACKS
    }

    /// Puts the guard below the next stack that has none, and returns its index.
    ///
    /// Must not be called when [`Slab::is_carved`].
    ///
    /// # Errors
    /// When the system refuses, or when there are as many guards made with `mprotect` as there may be.
    pub(super) fn carve(&mut self) -> io::Result<usize> {
        let index = self.carved;
        assert!(index < STACKS, "a full slab has no stack left to carve");
        // SAFETY: the index is below STACKS, so that this stays within the mapping.
        let guard = unsafe { self.start.add(index * self.layout.stride()) };
        // Memory that is locked takes no marks; a slab that has met that asks no more.
        if self.guards == Guards::Auto && !mark(guard, self.layout.page) {
            self.guards = Guards::Mprotect;
        }
        if self.guards == Guards::Mprotect {
            self.protect(guard)?;
        }
        self.carved += 1;
        Ok(index)
    }

    fn protect(&mut self, guard: NonNull<u8>) -> io::Result<()> {
        if !self.budget.take() {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!(
                    "{} fiber stacks exist, as many as a quarter of vm.max_map_count allows where each guard \
                     page divides a mapping (Linux before 6.13, or locked memory)",
                    self.budget.limit
                ),
            ));
        }
        // SAFETY: the page is this slab's, and below a stack that nobody has been handed yet.
        let made = unsafe { mprotect(guard.as_ptr().cast(), self.layout.page, MprotectFlags::empty()) };
        if let Err(error) = made {
            self.budget.give_back(1);
            return Err(error.into());
        }
        self.counted += 1;
        Ok(())
    }

    /// Returns the first byte of the guard below stack `index`, the first byte of the stack, and the end of
    /// the stack.
    pub(super) fn bounds(&self, index: usize) -> Bounds {
        debug_assert!(index < self.carved);
        // SAFETY: the index is below `carved`, hence below STACKS: all three are within the mapping or at its
        // end.
        unsafe {
            let guard = self.start.add(index * self.layout.stride());
            Bounds { guard, limit: guard.add(self.layout.page), end: guard.add(self.layout.stride()) }
        }
    }

    /// Notes that stack `index` is idle, with its memory.
    pub(super) fn set_dirty(&mut self, index: usize) {
        self.dirty.insert(index);
    }

    /// Notes that stack `index` is idle, without memory.
    pub(super) fn set_cold(&mut self, index: usize) {
        self.cold.insert(index);
    }

    /// Returns how many stacks are idle, with memory and without.
    pub(super) fn idle(&self) -> (usize, usize) {
        (self.dirty.count, self.cold.count)
    }

    /// Returns true if no stack is in use.
    pub(super) fn is_idle(&self) -> bool {
        self.dirty.count + self.cold.count == self.carved
    }

    /// Returns an idle stack that has memory, which counts as in use from now on.
    pub(super) fn take_dirty(&mut self) -> Option<usize> {
        self.dirty.pop()
    }

    /// Returns an idle stack that has none, which counts as in use from now on.
    pub(super) fn take_cold(&mut self) -> Option<usize> {
        self.cold.pop()
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: the mapping is this slab's, and the pool drops a slab only when none of its stacks is in
        // use.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.layout.stride() * STACKS) };
        // Unmapping can cut a merged mapping in two and be refused for that. The memory has been given back
        // before; what is lost then is address space, and the guards stay counted.
        if unmapped.is_ok() {
            self.budget.give_back(self.counted);
        }
    }
}

/// The bounds of a stack and of its guard.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// The first byte of the guard.
    pub(super) guard: NonNull<u8>,
    /// The first byte of the stack, where the guard ends.
    pub(super) limit: NonNull<u8>,
    /// The byte after the last one of the stack.
    pub(super) end: NonNull<u8>,
}

impl Bounds {
    /// Gives the memory back to the system, except for the `keep` bytes at the end, where frames begin.
    ///
    /// # Safety
    /// The stack must be idle. Its contents below the kept bytes are lost.
    pub(super) unsafe fn give_back(&self, keep: usize) {
        let length = (self.end.addr().get() - self.limit.addr().get()).saturating_sub(keep);
        // Elsewhere MADV_DONTNEED does not free memory, and MADV_FREE does so only when it is needed.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let advice = libc::MADV_DONTNEED;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let advice = libc::MADV_FREE;
        // SAFETY: the range lies within the stack, which is mapped and idle by the caller's promise. A
        // refusal (locked memory) leaves the contents as they are, which is no harm either.
        let _ = unsafe { libc::madvise(self.limit.as_ptr().cast(), length, advice) };
    }
}

/// Returns the flags of private memory that is not reserved in advance, and is meant for stacks where that
/// can be said.
fn map_flags() -> MapFlags {
    let mut flags = MapFlags::PRIVATE;
    #[cfg(not(any(target_os = "freebsd", target_os = "dragonfly")))]
    {
        flags |= MapFlags::NORESERVE;
    }
    #[cfg(not(target_vendor = "apple"))]
    {
        flags |= MapFlags::STACK;
    }
    flags
}

/// Marks a page as a guard. Returns false if the system cannot.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn mark(page: NonNull<u8>, length: usize) -> bool {
    // SAFETY: callers pass a page of a mapping of their own that nobody uses; a kernel that does not know the
    // advice refuses it and changes nothing.
    unsafe { libc::madvise(page.as_ptr().cast(), length, MADV_GUARD_INSTALL) == 0 }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn mark(_page: NonNull<u8>, _length: usize) -> bool {
    false
}

/// Returns whether marking a page makes it fault. Emulators have been seen to accept any advice and do
/// nothing, and the soundness of every fiber rests on its guard, so this is tried out once.
fn marks_work() -> bool {
    static WORK: OnceLock<bool> = OnceLock::new();
    *WORK.get_or_init(|| try_mark().unwrap_or(false))
}

fn try_mark() -> io::Result<bool> {
    let page = rustix::param::page_size();
    let (_reader, writer) = rustix::pipe::pipe()?;
    // SAFETY: as in `Slab::map`.
    let start = unsafe {
        mmap_anonymous(std::ptr::null_mut(), page, ProtFlags::READ | ProtFlags::WRITE, map_flags())?
    };
    let marked = NonNull::new(start.cast()).is_some_and(|start| mark(start, page));
    // The kernel refuses to read from a guard on our behalf, which tells without a fault.
    // SAFETY: one byte of a mapping that lives until below; the kernel checks the access itself.
    let written = unsafe { libc::write(std::os::fd::AsRawFd::as_raw_fd(&writer), start, 1) };
    let faults = written == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT);
    // SAFETY: the mapping was made above and nothing points into it.
    unsafe { munmap(start, page)? };
    Ok(marked && faults)
}
