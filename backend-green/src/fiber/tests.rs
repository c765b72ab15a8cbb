//! The promises of fibers; their stacks and their overflows are tested in the files below.
//!
//! A test that must end its process, or must be alone in one, runs in a child: this
//! test binary again, with one test and an environment variable set.

mod overflow;
mod stacks;

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::Arc;

use corosensei::stack::Stack;
use twoply_core::strand::{self, ThreadStrand};

use super::slab::Guards;
use super::slab::STACKS;
use super::stack::MIN_STACK_SIZE;
use super::stack::PooledStack;
use super::{Fiber, FiberResult, StackOptions, StackPool, Suspender};

/// Set in a child process.
const CHILD: &str = "TWOPLY_FIBER_TEST_CHILD";

fn pool() -> Arc<StackPool> {
    StackPool::new(&StackOptions::default()).unwrap()
}

fn mprotect_pool() -> Arc<StackPool> {
    StackPool::new(&StackOptions { guards: Guards::Mprotect, ..StackOptions::default() }).unwrap()
}

/// A fiber that runs code of these tests, none of which does what `# Safety` forbids.
fn fiber<I: 'static, Y: 'static>(
    pool: &Arc<StackPool>,
    f: impl FnOnce(&Suspender<I, Y>, I) + 'static,
) -> Fiber<I, Y> {
    // SAFETY: see above.
    unsafe { Fiber::new(pool, f) }.unwrap()
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs the test of this name in a process of its own.
fn in_child(test: &str) -> Output {
    let (_crate, module) = module_path!().split_once("::").unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([&format!("{module}::{test}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap()
}

fn assert_passes_in_child(test: &str) {
    let output = in_child(test);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("1 passed"), "{text}");
}

/// Returns true if the process ended by `SIGABRT`.
fn aborted(output: &Output) -> bool {
    use std::os::unix::process::ExitStatusExt;
    output.status.signal() == Some(libc::SIGABRT)
}

/// Touches `bytes` of stack below the caller.
#[inline(never)]
fn touch(bytes: usize) {
    let mut frame = [0u8; 1024];
    black_box(&mut frame);
    if bytes > frame.len() {
        touch(bytes - frame.len());
    }
    black_box(&mut frame);
}

fn range(stack: &PooledStack) -> std::ops::Range<usize> {
    stack.limit().get()..stack.base().get()
}

#[test]
fn values_travel_both_ways() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let mut fiber = fiber(&pool(), move |suspender, first: u32| {
        log.borrow_mut().push(first);
        let second = suspender.suspend("one");
        log.borrow_mut().push(second);
        let third = suspender.suspend("two");
        log.borrow_mut().push(third);
    });
    assert_eq!(fiber.resume(1), FiberResult::Suspended("one"));
    assert_eq!(fiber.resume(2), FiberResult::Suspended("two"));
    assert!(!fiber.is_finished());
    assert_eq!(fiber.resume(3), FiberResult::Finished);
    assert!(fiber.is_finished());
    assert_eq!(*seen.borrow(), [1, 2, 3]);
}

#[test]
#[should_panic(expected = "finished was resumed")]
fn resuming_a_finished_fiber_panics() {
    let mut fiber = fiber(&pool(), |_: &Suspender<(), ()>, ()| {});
    fiber.resume(());
    fiber.resume(());
}

#[test]
fn many_fibers_take_turns() {
    const FIBERS: u64 = 2_000;
    let pool = pool();
    let mut fibers: Vec<Fiber<u64, u64>> = (0..FIBERS)
        .map(|own| {
            fiber(&pool, move |suspender: &Suspender<u64, u64>, mut input| {
                for _ in 0..3 {
                    input = suspender.suspend(own * 10 + input);
                }
            })
        })
        .collect();
    for round in 0..3 {
        for (own, fiber) in (0..).zip(&mut fibers) {
            assert_eq!(fiber.resume(round), FiberResult::Suspended(own * 10 + round));
        }
    }
    assert_eq!(pool.stats().live, FIBERS as usize);
    for fiber in &mut fibers {
        assert_eq!(fiber.resume(0), FiberResult::Finished);
    }
    drop(fibers);
    let stats = pool.stats();
    assert_eq!((stats.live, stats.leaked), (0, 0));
}

#[test]
fn fibers_nest() {
    let pool = pool();
    let inner_pool = Arc::clone(&pool);
    let mut outer = fiber(&pool, move |suspender: &Suspender<(), u8>, ()| {
        let mut inner = fiber(&inner_pool, |suspender: &Suspender<(), u8>, ()| {
            suspender.suspend(1);
        });
        assert_eq!(inner.resume(()), FiberResult::Suspended(1));
        suspender.suspend(2);
        assert_eq!(inner.resume(()), FiberResult::Finished);
    });
    assert_eq!(outer.resume(()), FiberResult::Suspended(2));
    assert_eq!(outer.resume(()), FiberResult::Finished);
}

/// Strands that are entered inside of stacks, as a backend should not, may come to an end in any order.
#[test]
fn strands_that_end_in_another_order_than_they_were_entered_abort() {
    let entered = |pool: &Arc<StackPool>| {
        let mut fiber = fiber(pool, |suspender: &Suspender<(), ()>, ()| {
            strand::enter(&ThreadStrand::new(), || suspender.suspend(()));
        });
        fiber.resume(());
        fiber
    };
    let pool = pool();
    let (mut first, mut second) = (entered(&pool), entered(&pool));
    if is_child() {
        first.resume(());
        unreachable!("what the second goes on with refers to the first");
    }
    assert_eq!(second.resume(()), FiberResult::Finished);
    assert_eq!(first.resume(()), FiberResult::Finished);
    let output = in_child("strands_that_end_in_another_order_than_they_were_entered_abort");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(aborted(&output), "{}\n{text}", output.status);
    assert!(text.contains("Each stack needs a strand of its own"), "{text}");
}

/// Sets its cell when it is dropped.
struct SetOnDrop(Rc<Cell<bool>>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_panic_is_caught_where_it_belongs_and_drops_what_it_passes() {
    let dropped = Rc::new(Cell::new(false));
    let witness = Rc::clone(&dropped);
    let mut fiber = fiber(&pool(), move |suspender: &Suspender<(), bool>, ()| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _witness = SetOnDrop(witness);
            suspender.suspend(false);
            std::panic::resume_unwind(Box::new("a private payload"));
        }));
        let payload = caught.unwrap_err();
        suspender.suspend(payload.downcast_ref() == Some(&"a private payload"));
        // The fiber is as good as new.
        assert!(!std::thread::panicking());
        assert!(catch_unwind(|| panic!("again")).is_err());
    });
    assert_eq!(fiber.resume(()), FiberResult::Suspended(false));
    assert!(!dropped.get());
    assert_eq!(fiber.resume(()), FiberResult::Suspended(true));
    assert!(dropped.get());
    assert_eq!(fiber.resume(()), FiberResult::Finished);
}

#[inline(never)]
fn a_function_to_be_found(trace: &RefCell<String>) {
    *trace.borrow_mut() = Backtrace::force_capture().to_string();
    black_box(());
}

#[test]
fn a_backtrace_shows_the_fiber_and_who_resumed_it() {
    let trace = Rc::new(RefCell::new(String::new()));
    let out = Rc::clone(&trace);
    // Symbols are looked up on the fiber's stack here, which takes more of it in a debug build than the
    // default has.
    let pool = StackPool::new(&StackOptions { size: 512 * 1024, ..StackOptions::default() }).unwrap();
    let mut fiber = fiber(&pool, move |_: &Suspender<(), ()>, ()| a_function_to_be_found(&out));
    fiber.resume(());
    let trace = trace.borrow();
    assert!(trace.contains("a_function_to_be_found"), "{trace}");
    assert!(trace.contains("a_backtrace_shows_the_fiber_and_who_resumed_it"), "{trace}");
}

#[test]
fn a_panic_with_a_backtrace_fits_the_least_stack() {
    if !is_child() {
        return assert_passes_in_child("a_panic_with_a_backtrace_fits_the_least_stack");
    }
    std::panic::set_hook(Box::new(|_| drop(black_box(Backtrace::force_capture()))));
    let pool = StackPool::new(&StackOptions { size: MIN_STACK_SIZE, ..StackOptions::default() }).unwrap();
    let mut fiber = fiber(&pool, |_: &Suspender<(), ()>, ()| {
        assert!(catch_unwind(|| panic!("on a small stack")).is_err());
    });
    assert_eq!(fiber.resume(()), FiberResult::Finished);
}

#[test]
fn a_panic_that_would_leave_its_fiber_aborts() {
    if is_child() {
        let mut fiber = fiber(&pool(), |_: &Suspender<(), ()>, ()| panic!("nobody catches this"));
        fiber.resume(());
        unreachable!("the process has ended");
    }
    let output = in_child("a_panic_that_would_leave_its_fiber_aborts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(aborted(&output), "{}\n{text}", output.status);
    assert!(text.contains("nobody catches this"), "{text}");
    assert!(text.contains("about to leave the stack of its fiber"), "{text}");
}

#[test]
fn a_suspended_fiber_that_is_dropped_is_leaked_and_counted() {
    let pool = pool();
    let dropped = Rc::new(Cell::new(false));
    let witness = Rc::clone(&dropped);
    let address = Rc::new(Cell::new(0));
    let out = Rc::clone(&address);
    let mut suspended = fiber(&pool, move |suspender: &Suspender<(), ()>, ()| {
        let witness = SetOnDrop(witness);
        out.set((&raw const witness).addr());
        suspender.suspend(());
    });
    suspended.resume(());
    drop(suspended);
    assert!(!dropped.get(), "nothing on the stack is dropped");
    let stats = pool.stats();
    assert_eq!((stats.live, stats.idle, stats.leaked), (0, 0, 1));
    // The stack is handed to nobody else.
    let stacks: Vec<PooledStack> = (0..2 * STACKS).map(|_| pool.take().unwrap()).collect();
    assert!(stacks.iter().all(|stack| !range(stack).contains(&address.get())));
}

#[test]
fn a_fiber_that_never_began_drops_its_function_and_returns_its_stack() {
    let pool = pool();
    let dropped = Rc::new(Cell::new(false));
    let witness = SetOnDrop(Rc::clone(&dropped));
    drop(fiber(&pool, move |_: &Suspender<(), ()>, ()| drop(witness)));
    assert!(dropped.get());
    let stats = pool.stats();
    assert_eq!((stats.live, stats.idle, stats.leaked), (0, 1, 0));
}

/// `Fiber` is not `Send`: if it were, the call below would be ambiguous.
#[test]
fn a_fiber_stays_on_its_thread() {
    trait Ambiguous<A> {
        fn check() {}
    }
    impl<T: ?Sized> Ambiguous<()> for T {}
    struct Sendable;
    impl<T: ?Sized + Send> Ambiguous<Sendable> for T {}
    <Fiber<(), ()> as Ambiguous<_>>::check();
}
