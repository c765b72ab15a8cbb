//! The one place where this library starts threads.
//!
//! Where the address space is limited, a thread that the system has started may fail to get its signal stack,
//! and what goes on may fail to get memory: std aborts the process for either. So a thread is refused there
//! that would leave less than [`SPARE`]. The threads of other libraries are not asked.

use std::io;

use super::affinity;

/// Starts a thread that is bound to no processor, with a stack of that size; `None` for what std does.
///
/// # Errors
/// Fails when the operating system refuses a thread, and with
/// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) when the address space has no room for one. Then `body` is
/// dropped.
pub(crate) fn start(
    name: String,
    stack_size: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let body = affinity::unbound(body);
    let mut builder = std::thread::Builder::new().name(name);
    if let Some(bytes) = stack_size {
        builder = builder.stack_size(bytes);
    }
    #[cfg(target_os = "linux")]
    if room::is_limited() {
        return room::start(builder, stack_size, body);
    }
    builder.spawn(body).map(drop)
}

/// Threads where the address space is limited.
#[cfg(target_os = "linux")]
mod room {
    use std::env;
    use std::ffi::c_void;
    use std::io;
    use std::iter;
    use std::ptr;
    use std::sync::{Mutex, OnceLock, mpsc};
    use std::thread::Builder;

    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
    use rustix::process::{Resource, getrlimit};

    use crate::base::fork::PerProcess;
    use crate::base::sync::lock_std;

    /// The bytes that a thread leaves: its guard and signal stack take some of them, which is less than
    /// [`SIGNALS`]; the others are for the program, which needs memory to say what was refused.
    const SPARE: usize = 1 << 20;

    /// The bytes within which std maps a signal stack and its guard.
    const SIGNALS: usize = 128 << 10;

    /// The bytes of an arena of glibc's, `HEAP_MAX_SIZE`: a thread takes them before it has its signal stack,
    /// or goes without where they are not there.
    const ARENA: usize = if cfg!(target_pointer_width = "64") { 64 << 20 } else { 1 << 20 };

    /// Returns whether this process may run out of address space, or of memory that counts as data. It asks
    /// each time: a limit may be set while the program runs.
    pub(super) fn is_limited() -> bool {
        let is_finite = |resource| getrlimit(resource).current.is_some();
        is_finite(Resource::As) || is_finite(Resource::Data)
    }

    /// As [`start`](super::start). Threads start one after the other: each has its signal stack before the
    /// next one is looked at.
    pub(super) fn start<F: FnOnce() + Send + 'static>(
        builder: Builder,
        stack_size: Option<usize>,
        body: F,
    ) -> io::Result<()> {
        static ONE: PerProcess<Mutex<()>> = PerProcess::new();
        let one = lock_std(ONE.get_or_init(Mutex::default));
        let held = hold(stack_size.unwrap_or_else(usual_stack_size))?;
        // The body is the user's: where there is no thread it stays here, and is dropped after the lock.
        let (give, take) = mpsc::sync_channel::<F>(0);
        let began = move || {
            if let Ok(body) = take.recv() {
                body();
            }
        };
        builder.spawn(began)?;
        let taken = give.send(body);
        drop((held, one));
        taken.map_err(|_| io::Error::other("the thread has ended before it began"))
    }

    /// Makes sure that a thread with such a stack leaves enough, and hands back what is to be held until it
    /// has begun, so that it takes no more than that.
    ///
    /// The C library may have kept the stack of a thread that has ended, which takes no more room; nobody can
    /// ask it. So where there is not enough for another one, as much is held as leaves too little for a stack
    /// and enough for a signal stack: then a thread starts on a stack that was kept, or not at all. Where an
    /// arena would take what is to be left, as much is held as leaves too little for an arena.
    fn hold(stack: usize) -> io::Result<Option<Mapping>> {
        let fits =
            |bytes: &[usize]| Mapping::new(bytes.iter().fold(0, |a, b| a.saturating_add(*b))).is_some();
        let suffices = |_: &Option<Mapping>| match fits(&[stack]) {
            false => fits(&[SIGNALS]),
            true if fits(&[stack, ARENA]) => fits(&[stack, ARENA, SPARE]),
            true => fits(&[stack, SPARE]),
        };
        let more = (0..4).filter_map(|halvings| Mapping::new(SPARE >> halvings)).map(Some);
        iter::once(None).chain(more).find(suffices).ok_or_else(|| {
            let message =
                format!("no room for a thread with a stack of {stack} bytes (ulimit -v, ulimit -d)");
            io::Error::new(io::ErrorKind::QuotaExceeded, message)
        })
    }

    /// The size of a stack for which nobody has asked: std's.
    fn usual_stack_size() -> usize {
        static SIZE: OnceLock<usize> = OnceLock::new();
        let told = || env::var("RUST_MIN_STACK").ok()?.parse().ok();
        *SIZE.get_or_init(|| told().unwrap_or(2 << 20))
    }

    /// Address space that is taken, and no memory.
    struct Mapping {
        start: *mut c_void,
        length: usize,
    }

    impl Mapping {
        /// Returns `None` when the system refuses.
        fn new(length: usize) -> Option<Mapping> {
            // Memory that may be written is what counts as data.
            let access = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: the kernel chooses the address, so that no mapping of others is touched.
            let start = unsafe { mmap_anonymous(ptr::null_mut(), length, access, MapFlags::PRIVATE) };
            start.ok().map(|start| Mapping { start, length })
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: it is the mapping made above, of which nobody else knows.
            let unmapped = unsafe { munmap(self.start, self.length) };
            debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        }
    }
}
