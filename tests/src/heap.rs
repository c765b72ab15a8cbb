//! An allocator that counts, for laws about memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Passes everything on to the system's allocator, and counts the bytes that are in use, and the most that
/// ever were. Make it a program's `#[global_allocator]`.
pub struct Heap {
    used: AtomicUsize,
    most: AtomicUsize,
}

impl Heap {
    /// Makes one that has counted nothing.
    #[expect(clippy::new_without_default, reason = "a static needs a function that is const")]
    pub const fn new() -> Heap {
        Heap { used: AtomicUsize::new(0), most: AtomicUsize::new(0) }
    }

    /// Runs `work`, and returns the most bytes that were in use meanwhile beyond those from before. Other
    /// threads count, too.
    pub fn most_during<T>(&self, work: impl FnOnce() -> T) -> (T, usize) {
        let before = self.used.load(Relaxed);
        self.most.store(before, Relaxed);
        let value = work();
        (value, self.most.load(Relaxed).saturating_sub(before))
    }

    /// Returns the number of bytes that are in use.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    fn add(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Relaxed) + bytes;
        self.most.fetch_max(used, Relaxed);
    }
}

// SAFETY: each call is passed on to the system's allocator as it is, which keeps the contract; what is
// counted beside is no memory of anybody's.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: as the caller has promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.used.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller has promised; the memory is the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}
