//! Runs code that may block an OS thread from the middle of a function, and waits for it.
//!
//! Where the strand can hand its worker over
//! ([`Strand::block_in_place`](crate::backend::Strand::block_in_place)), the code stays on its stack and
//! thread, and the worker moves to another thread. On any other stack a thread of the blocking pool runs the
//! code, as the one task of a backend made for it, and the stack waits.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use crate::kernel::backend::{Backend, Job, Mode, SpawnError, StrandState};
use crate::kernel::strand::{self, with_current, with_state};
use crate::kernel::task::{self, Header, TaskList, scope};
use crate::kernel::threads::BlockingPool;
use crate::kernel::wait::Wait;
use crate::kernel::waiting::{self, WaitingFor};

/// Runs `code` where it may block an OS thread, and returns its result. Other tasks go on meanwhile.
///
/// On a green task whose stack is a thread's, the code stays on that thread, and when it takes its time the
/// worker goes to another one: code that turns out to be quick costs some ten nanoseconds. On a fiber,
/// another thread runs it and the fiber waits. There are at most
/// [`BLOCKING_THREADS`](crate::threads::BLOCKING_THREADS) such threads unless the builder of the runtime says
/// [something else](crate::threads::PoolLimits), and code beyond that waits for its turn. So `code` must not
/// wait for other code that is offloaded.
///
/// It is meant for code that blocks in something that is not this library's (a database driver, a lock of the
/// system's), that computes for long, or that needs a big stack. The code may borrow, because this call waits
/// for its end. On a stack that nobody else waits for (a native task, `main`) it is simply called.
///
/// The code has the [task-locals](crate::task::LocalKey) of the calling task, and runs inside of what lies
/// around its polls. Cancellation does not end the wait, because the code may be using what it borrows; the
/// code can ask for it by [`is_cancelled`](crate::task::is_cancelled).
///
/// # Errors
/// Fails when no thread can be had and none runs such code already, and when all threads are busy and more
/// code waits for them than the limits allow; then `code` is dropped without having run.
///
/// # Panics
/// Panics when `code` does, with its payload.
///
/// # Examples
/// ```
/// let mut numbers = vec![3, 1, 2];
/// twoply::offload(|| numbers.sort()).unwrap();
/// assert_eq!(numbers, [1, 2, 3]);
/// ```
pub fn offload<T: Send>(code: impl FnOnce() -> T + Send) -> Result<T, SpawnError> {
    run(None, code)
}

/// As [`offload`], for code with a name: the thread of the pool that runs it has that name meanwhile, for
/// `top`, debuggers and profilers, of which Linux keeps the first 15 bytes; and a [dump](crate::task::dump)
/// shows the name of what a task waits for. A thread that the calling task has anyway keeps its own name.
///
/// # Errors
/// As [`offload`].
///
/// # Panics
/// As [`offload`].
///
/// # Examples
/// ```
/// assert_eq!(twoply::offload_named("checksum", || (1..=100).sum::<u32>()).unwrap(), 5050);
/// ```
pub fn offload_named<T: Send>(name: &str, code: impl FnOnce() -> T + Send) -> Result<T, SpawnError> {
    run(Some(name), code)
}

fn run<T: Send>(name: Option<&str>, code: impl FnOnce() -> T + Send) -> Result<T, SpawnError> {
    strand::assert_may_wait();
    if with_current(|strand| strand.may_block()) {
        return Ok(code());
    }
    let (mut code, mut value) = (Some(code), None);
    with_current(|strand| {
        let _shield = strand.state().shield();
        strand.block_in_place(&mut || value = code.take().map(|code| code()));
    });
    let code = match (value, code) {
        (Some(value), _) => return Ok(value),
        (None, Some(code)) => code,
        (None, None) => unreachable!("what has been run has left a value"),
    };
    let pool = with_current(|strand| strand.blocking_pool());
    let tasks = TaskList::of_task(with_state(StrandState::task));
    let backend: Arc<dyn Backend> = Arc::new(Offload { tasks, pool, name: name.map(Box::from) });
    // The panic is carried by hand, so that it goes on here as itself.
    let result = Mutex::new(None);
    let locals = task::current_values();
    let layers = with_state(|state| state.header().and_then(Header::layers));
    let run = || {
        let caught = || {
            let outcome = catch_unwind(AssertUnwindSafe(|| task::set_while(&locals, code)));
            *crate::base::sync::lock_std(&result) = Some(outcome);
        };
        match &layers {
            Some(layers) => layers.offloaded(caught),
            None => caught(),
        }
    };
    scope(|scope| {
        let mut task = scope.spawn_fn_on(&backend, run)?;
        with_current(|strand| {
            let _shield = strand.state().shield();
            let _ = poll_fn(|cx| {
                let polled = Pin::new(&mut task).poll(cx);
                waiting::note_instead(polled, || WaitingFor::Offload { name: name.map(Arc::from) })
            })
            .wait();
        });
        Ok::<(), SpawnError>(())
    })?;
    match result.into_inner().ok().flatten() {
        Some(Ok(value)) => Ok(value),
        Some(Err(payload)) => resume_unwind(payload),
        None => Err(SpawnError::ShutDown),
    }
}

/// A backend for one job, which runs on a thread of the pool.
struct Offload {
    tasks: Arc<TaskList>,
    pool: BlockingPool,
    /// The name of the thread meanwhile.
    name: Option<Box<str>>,
}

impl Backend for Offload {
    fn name(&self) -> &'static str {
        "offload"
    }

    fn mode(&self) -> Mode {
        Mode::Blocking
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.tasks
    }

    fn start(&self, job: Job) -> Result<(), SpawnError> {
        let home = with_current(|strand| strand.backend());
        let run = move || match home {
            Some(home) => strand::on_thread(&home, || job.run()),
            None => job.run(),
        };
        self.pool.execute(self.name.as_deref(), run).map_err(SpawnError::from)
    }

    fn resume(&self, job: Job, _yielded: bool) {
        drop(job);
    }
}
