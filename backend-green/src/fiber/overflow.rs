//! A fiber that overflows its stack ends the process with a message that names the task.
//!
//! Without this the fault at the guard would look like any wild access: std's handler knows only the stacks
//! of threads. The handler here runs first: if the address lies in the guard of the fiber that runs on this
//! thread, it writes the message and aborts, as std does for threads; any other fault goes on to the handler
//! that was installed before, which usually is std's.
//!
//! The handler may do only what is async-signal-safe: it reads one constant-initialised thread-local without
//! a destructor, follows it to a [`Record`], and calls `prctl`, `write` and `abort`. It needs a signal stack
//! of its own, since the one that overflowed is full: [`SignalStack`].
//!
//! [`Fiber::resume`](super::Fiber::resume) keeps the thread-local up to date; the scheduler calls [`install`]
//! when fibers are switched on, [`SignalStack::ensure`] on each worker thread, and [`with_task`] around each
//! poll.

use std::cell::Cell;
use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::compiler_fence;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

thread_local! {
    /// The record of the fiber that runs on this thread, or null. The handler reads it.
    static RUNNING: Cell<*const Record> = const { Cell::new(ptr::null()) };
}

/// The facts about a fiber that the handler needs. They lie at the upper end of the fiber's stack, which is
/// never in the guard, and whose page is in use anyway.
#[repr(align(16))]
pub(super) struct Record {
    /// The first byte of the guard.
    guard: NonZeroUsize,
    /// The first byte of the stack, where the guard ends.
    limit: NonZeroUsize,
    /// The byte after the last one of the stack.
    end: NonZeroUsize,
    /// The name of the running task, or null.
    name: Cell<*const u8>,
    /// The bytes of the name.
    name_length: Cell<usize>,
}

impl Record {
    pub(super) fn new(guard: NonZeroUsize, limit: NonZeroUsize, end: NonZeroUsize) -> Record {
        Record { guard, limit, end, name: Cell::new(ptr::null()), name_length: Cell::new(0) }
    }
}

/// Says that this thread runs the fiber of `record` from now on, and returns what it ran before, null for its
/// own stack.
///
/// # Safety
/// The record must stay valid until this thread has been told that it runs something else.
#[inline(always)]
pub(super) unsafe fn running(record: *const Record) -> *const Record {
    RUNNING.replace(record)
}

/// Returns the first byte of the stack that this runs on, and the one after the last; `None` on a thread's
/// own stack.
pub(super) fn running_stack() -> Option<(usize, usize)> {
    // SAFETY: as in `with_task`.
    let record = unsafe { RUNNING.get().as_ref() }?;
    Some((record.limit.get(), record.end.get()))
}

/// Calls `f`, during which an overflow of the fiber that this runs on is reported with this name of a task.
///
/// `f` may suspend the fiber: the name belongs to the fiber, not to the thread. On a thread's own stack this
/// only calls `f`.
#[inline(always)]
pub(crate) fn with_task<R>(name: Option<&str>, f: impl FnOnce() -> R) -> R {
    /// Puts the name of the surrounding task back, also when `f` unwinds.
    struct Restore<'a>(&'a Record, *const u8, usize);
    impl Drop for Restore<'_> {
        #[inline(always)]
        fn drop(&mut self) {
            self.0.name.set(self.1);
            self.0.name_length.set(self.2);
        }
    }
    // SAFETY: `running` has been promised that the record is valid, and that lasts as long as code on this
    // fiber runs, which this function's frame is.
    let Some(record) = (unsafe { RUNNING.get().as_ref() }) else { return f() };
    let _restore = Restore(record, record.name.get(), record.name_length.get());
    let name = name.unwrap_or_default();
    record.name.set(name.as_ptr());
    record.name_length.set(name.len());
    // The handler interrupts this very thread: the compiler alone could let it see `f` without the name.
    compiler_fence(SeqCst);
    f()
}

/// The signals of a fault at a guard: Linux sends the first, some systems the second.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// The handlers that were there before, in the order of [`SIGNALS`].
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [const { OnceLock::new() }; 2];

/// Installs the handler for this process, once.
///
/// # Errors
/// When the system refuses; overflows then end the process without a message.
pub(crate) fn install() -> io::Result<()> {
    static DONE: OnceLock<Result<(), i32>> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            install_for(signal, previous).map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL))?;
        }
        Ok(())
    });
    done.map_err(io::Error::from_raw_os_error)
}

fn install_for(signal: libc::c_int, previous: &OnceLock<libc::sigaction>) -> io::Result<()> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action this only writes the present one to `before`.
    check(unsafe { libc::sigaction(signal, ptr::null(), before.as_mut_ptr()) })?;
    // SAFETY: zeroed is a valid sigaction, and the call above has filled it.
    let before = unsafe { before.assume_init() };
    // Known before the new handler can run, which would otherwise not know where to go on.
    let _ = previous.set(before);
    // SAFETY: zeroed is a valid sigaction: no flags, an empty mask on every system that this is built for.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = on_fault as *const () as usize;
    // Whoever has asked for nested delivery still gets it through us.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | (before.sa_flags & libc::SA_NODEFER);
    action.sa_mask = before.sa_mask;
    // SAFETY: `on_fault` has the signature that SA_SIGINFO asks for and is async-signal-safe, and it passes
    // on whatever is not its own to the handler that it replaces.
    check(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) })
}

/// Handles a fault at a guard, or passes the signal on.
extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the record is valid, as `running` has been promised; the system passes a valid `info`.
    let (record, address) = unsafe { (RUNNING.get().as_ref(), (*info).si_addr() as usize) };
    if let Some(record) = record
        && (record.guard.get()..record.limit.get()).contains(&address)
    {
        report(record);
        // SAFETY: always allowed, and async-signal-safe.
        unsafe { libc::abort() }
    }
    pass_on(signal, info, context);
}

/// Does what would have happened without this module.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let previous = SIGNALS.iter().position(|&own| own == signal).and_then(|index| PREVIOUS[index].get());
    match previous {
        Some(previous) if !matches!(previous.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) => {
            let handler = previous.sa_sigaction as *const ();
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void);
                // SAFETY: whoever installed it with SA_SIGINFO gave a function of this type.
                let handler = unsafe { std::mem::transmute::<*const (), Handler>(handler) };
                handler(signal, info, context);
            } else {
                // SAFETY: whoever installed it without SA_SIGINFO gave a function of this type.
                let handler =
                    unsafe { std::mem::transmute::<*const (), extern "C" fn(libc::c_int)>(handler) };
                handler(signal);
            }
        }
        // Ignoring a fault is not possible: the access is repeated on return, and then the default applies.
        _ => {
            // SAFETY: zeroed is the default action: SIG_DFL is zero, no flags, an empty mask.
            unsafe {
                let action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                libc::sigaction(signal, &action, ptr::null_mut());
            }
        }
    }
}

/// Writes the message to standard error, in one call so that others do not come in between.
fn report(record: &Record) {
    let mut message = Message { bytes: [0; 512], length: 0 };
    message.push(b"\n");
    thread_name(&mut message);
    let name = record.name.get();
    if name.is_null() || record.name_length.get() == 0 {
        message.push(b"an unnamed task");
    } else {
        message.push(b"task '");
        // SAFETY: `with_task` borrows the name for as long as its call runs on this fiber, and this is one
        // such moment. The length is cut so that there is room for the rest.
        message.push(unsafe { std::slice::from_raw_parts(name, record.name_length.get().min(256)) });
        message.push(b"'");
    }
    message.push(b" has overflowed its fiber stack of ");
    message.push_number((record.end.get() - record.limit.get()) / 1024);
    message.push(b" KiB; `stack_size` of the runtime's builder makes it larger\n");
    // SAFETY: the buffer has that many bytes. A failure cannot be reported anywhere.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, message.bytes.as_ptr().cast(), message.length) };
}

/// Adds `thread 'NAME' running `, with the name as the kernel has it: std's may take a lock.
fn thread_name(message: &mut Message) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let mut name = [0u8; 16];
        // SAFETY: the kernel writes at most 16 bytes, the last of them zero.
        if unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) } == 0 {
            message.push(b"thread '");
            message.push(name.split(|&byte| byte == 0).next().unwrap_or_default());
            message.push(b"' running ");
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = message;
}

/// A text that is put together without allocating.
struct Message {
    /// The text. What does not fit is cut off.
    bytes: [u8; 512],
    /// The number of bytes that are used.
    length: usize,
}

impl Message {
    fn push(&mut self, text: &[u8]) {
        let room = &mut self.bytes[self.length..];
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text[..fits]);
        self.length += fits;
    }

    fn push_number(&mut self, number: usize) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.push(&[b'0' + (number % 10) as u8]);
    }
}

/// The stack on which the handler runs on this thread.
///
/// std gives one to `main` and to each thread that it starts, in a program whose `main` is Rust's; this gives
/// one to the threads that have none, such as those of a C program that loads Rust code. Dropping it takes it
/// away, so keep it for as long as the thread runs fibers.
pub(crate) struct SignalStack {
    /// The memory and its length with the guard; `None` if the thread had a signal stack before.
    own: Option<(NonNull<c_void>, usize)>,
    /// It belongs to the thread that asked for it.
    _not_send: PhantomData<*mut ()>,
}

impl SignalStack {
    /// Sees to it that this thread has a signal stack.
    ///
    /// # Errors
    /// When there is none and the system has no memory for one.
    pub(crate) fn ensure() -> io::Result<SignalStack> {
        if current_signal_stack()?.ss_flags & libc::SS_DISABLE == 0 {
            return Ok(SignalStack { own: None, _not_send: PhantomData });
        }
        let page = rustix::param::page_size();
        let size = signal_stack_size().next_multiple_of(page);
        let length = page + size;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so that no mapping of others is touched.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), length, access, MapFlags::PRIVATE)? };
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        // From here on an early return unmaps.
        let stack = SignalStack { own: Some((start, length)), _not_send: PhantomData };
        // SAFETY: the first page of the mapping made above, which is larger than one page.
        unsafe { mprotect(start.as_ptr(), page, MprotectFlags::empty())? };
        // SAFETY: as above, so that this stays within the mapping.
        let lowest = unsafe { start.byte_add(page) };
        let new = libc::stack_t { ss_sp: lowest.as_ptr(), ss_flags: 0, ss_size: size };
        // SAFETY: the memory is mapped, used for nothing else, and stays until `drop` has taken it back.
        check(unsafe { libc::sigaltstack(&new, ptr::null_mut()) })?;
        Ok(stack)
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let Some((start, length)) = self.own else { return };
        let lies_within = |address: *mut c_void| {
            (start.addr().get()..start.addr().get() + length).contains(&address.addr())
        };
        // Someone may have replaced it meanwhile, and then must have kept it mapped as the one before.
        if current_signal_stack().is_ok_and(|now| lies_within(now.ss_sp)) {
            // A size is asked for although nothing is installed: macOS checks it.
            let none = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: signal_stack_size(),
            };
            // SAFETY: the thread is not on its signal stack: handlers do not drop this.
            unsafe { libc::sigaltstack(&none, ptr::null_mut()) };
        }
        // SAFETY: the mapping is this value's own, and no signal stack any more.
        let _ = unsafe { munmap(start.as_ptr(), length) };
    }
}

fn current_signal_stack() -> io::Result<libc::stack_t> {
    let mut now = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: with no new stack this only writes the present one to `now`.
    check(unsafe { libc::sigaltstack(ptr::null(), now.as_mut_ptr()) })?;
    // SAFETY: the call has filled it.
    Ok(unsafe { now.assume_init() })
}

/// Returns the bytes that the handler and the kernel's record of the registers need. The latter grows with
/// the processor.
fn signal_stack_size() -> usize {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: reads a number that the kernel gave the process when it started; zero if it gave none.
    let least = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let least = libc::MINSIGSTKSZ;
    // std's handler, which ours passes faults on to, makes do with SIGSTKSZ.
    least + libc::SIGSTKSZ
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
