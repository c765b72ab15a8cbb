//! The hook that names the task which panics, and keeps the stack that the panic came from: the message of
//! std's panic hook names the thread, which runs many.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{set_hook, take_hook};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use super::id::TaskId;
use crate::kernel::strand::with_state;

/// True once backtraces are to be kept whatever the environment says.
static KEEPS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The backtrace of the last panic on this thread that nobody has taken.
    static LAST: Cell<Option<Kept>> = const { Cell::new(None) };
}

/// The backtrace of a panic, with what it is recognised by: the payload is found where the unwinding ends,
/// and code that caught another panic may have run on this thread since.
struct Kept {
    /// The task that panicked.
    task: Option<TaskId>,
    /// The message, if the payload is a string.
    message: Option<Box<str>>,
    backtrace: Arc<Backtrace>,
}

/// Returns the message of a panic with this payload, if that is a string.
pub(super) fn message_of(payload: &(dyn Any + Send)) -> Option<&str> {
    match payload.downcast_ref::<&'static str>() {
        Some(text) => Some(text),
        None => payload.downcast_ref::<String>().map(String::as_str),
    }
}

fn running() -> Option<TaskId> {
    with_state(|state| state.header().map(|header| header.id()))
}

/// Has the panics of all tasks and processes keep the stack that they came from, as they do where the
/// variable `RUST_BACKTRACE` or `RUST_LIB_BACKTRACE` of the environment is set, from now on.
///
/// [`Panic::backtrace`](crate::task::Panic::backtrace) returns it of a task, and
/// [`ExitReason::backtrace`](crate::actor::ExitReason::backtrace) of a process: so everybody has it who is
/// told of the end, such as a supervisor's [`Report`](crate::actor::supervisor::Report).
///
/// It is the work of a panic hook around the one that is set at the first call, or when the first task with a
/// name or the first supervisor is started; a program that sets its own after that has no backtraces. A panic
/// costs more then, and what does not panic costs nothing.
///
/// # Examples
/// ```
/// use twoply::{Failure, Wait, task};
///
/// task::keep_backtraces();
/// let failed: Result<(), _> = twoply::spawn_fn(|| panic!("no luck")).wait();
/// let Err(Failure::Panicked(panic)) = failed else { unreachable!() };
/// assert!(panic.backtrace().is_some());
/// ```
pub fn keep_backtraces() {
    // Relaxed: a panic that happens at the same time may be before this or after it.
    KEEPS.store(true, Ordering::Relaxed);
    set_own_hook();
}

/// Has the panics of tasks with a name say so, from now on, and keeps backtraces that are asked for.
pub(crate) fn set_own_hook() {
    static ONCE: Once = Once::new();
    // A hook cannot be set by a destructor that is run by a panic: then the next one to ask sees to it.
    if ONCE.is_completed() || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            with_state(|state| {
                if let Some(name) = state.header().and_then(|header| header.name()) {
                    eprintln!("task {name:?} panics:");
                }
            });
            keep(info.payload_as_str());
            usual(info);
        }));
    });
}

/// Keeps the backtrace of the panic that has just begun with this message, if that is asked for.
fn keep(message: Option<&str>) {
    let backtrace = match KEEPS.load(Ordering::Relaxed) {
        true => Backtrace::force_capture(),
        false => Backtrace::capture(),
    };
    if backtrace.status() == BacktraceStatus::Captured {
        let kept = Kept { task: running(), message: message.map(Box::from), backtrace: Arc::new(backtrace) };
        // Whoever panics while the thread ends keeps nothing.
        let before = LAST.try_with(|last| last.replace(Some(kept)));
        drop(before);
    }
}

/// Returns the backtrace of the panic with this message that has just ended on this stack, if it was kept.
pub(super) fn take_backtrace(message: Option<&str>) -> Option<Arc<Backtrace>> {
    let kept = LAST.try_with(Cell::take).ok()??;
    (kept.message.as_deref() == message && kept.task == running()).then_some(kept.backtrace)
}
