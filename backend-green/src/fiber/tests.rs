//! What fibers and their stacks promise. What must end a process, or must be alone in one, runs in a child: this
//! test binary again, with one test and an environment variable set.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::Arc;

use corosensei::stack::{STACK_ALIGNMENT, Stack};

use super::overflow::{self, SignalStack};
use super::slab::{GuardBudget, STACKS};
use super::stack::PooledStack;
use super::{Fiber, FiberResult, Guards, MIN_STACK_SIZE, StackOptions, StackPool, Suspender};

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

/// Whether the process ended by `SIGABRT`.
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
    // Symbols are looked up on the fiber's stack here, which takes more of it in a debug build than the default has.
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

fn range(stack: &PooledStack) -> std::ops::Range<usize> {
    stack.limit().get()..stack.base().get()
}

#[test]
fn stacks_are_aligned_large_enough_and_staggered() {
    for pool in [pool(), mprotect_pool()] {
        let page = rustix::param::page_size();
        let stacks: Vec<PooledStack> = (0..2 * STACKS + 1).map(|_| pool.take().unwrap()).collect();
        for stack in &stacks {
            assert_eq!(stack.base().get() % STACK_ALIGNMENT, 0);
            assert_eq!(stack.limit().get() % page, 0);
            assert!(range(stack).len() >= page + 64 * 1024 - 2048);
        }
        let mut ranges: Vec<_> = stacks.iter().map(range).collect();
        ranges.sort_by_key(|range| range.start);
        assert!(ranges.is_sorted_by(|a, b| a.end <= b.start), "no two stacks overlap");
        let mut places: Vec<usize> = stacks[..16].iter().map(|stack| stack.base().get() % page).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 16, "equal frames of neighbours lie in different cache sets");
    }
}

#[test]
fn sizes_are_rounded_up_and_bounded() {
    let size_of = |size| {
        let pool = StackPool::new(&StackOptions { size, ..StackOptions::default() })?;
        let stack = pool.take()?;
        std::io::Result::Ok(range(&stack).len() - rustix::param::page_size())
    };
    assert!((MIN_STACK_SIZE - 2048..MIN_STACK_SIZE).contains(&size_of(0).unwrap()));
    assert!(size_of(100_001).unwrap() > 100_001 - 2048);
    assert!(size_of(usize::MAX).is_err());
    assert!(size_of(usize::MAX / STACKS).is_err());
}

#[test]
fn the_stack_returned_last_is_handed_out_first() {
    for pool in [pool(), mprotect_pool()] {
        let [a, b, c] = std::array::from_fn(|_| pool.take().unwrap());
        let (place_b, place_c) = (range(&b), range(&c));
        drop(b);
        drop(c);
        assert_eq!(pool.stats().idle, 2);
        let again = pool.take().unwrap();
        assert_eq!(range(&again), place_c);
        assert_eq!(range(&pool.take().unwrap()), place_b);
        drop(a);
    }
}

#[test]
fn the_limit_of_a_pool_is_an_error_and_not_forever() {
    let pool = StackPool::new(&StackOptions { limit: 2, ..StackOptions::default() }).unwrap();
    let first = pool.take().unwrap();
    let _second = pool.take().unwrap();
    let error = pool.take().err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    assert!(error.to_string().contains("the limit of 2 fiber stacks"), "{error}");
    drop(first);
    assert!(pool.take().is_ok());
}

#[test]
fn the_limit_of_costly_guards_is_an_error_and_given_back_with_the_slab() {
    const LIMIT: usize = STACKS + 10;
    let budget: &'static GuardBudget = Box::leak(Box::new(GuardBudget::new(LIMIT)));
    let options = StackOptions { guards: Guards::Mprotect, ..StackOptions::default() };
    for _ in 0..2 {
        let pool = StackPool::with_budget(&options, budget).unwrap();
        let mut stacks: Vec<PooledStack> = (0..LIMIT).map(|_| pool.take().unwrap()).collect();
        let error = pool.take().err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        // A stack that exists needs no new guard.
        stacks.pop();
        stacks.push(pool.take().unwrap());
    }
}

#[test]
fn slabs_are_unmapped_when_all_their_stacks_are_idle() {
    for pool in [pool(), mprotect_pool()] {
        let stacks: Vec<PooledStack> = (0..8 * STACKS).map(|_| pool.take().unwrap()).collect();
        let high = pool.stats().mapped;
        drop(stacks);
        let stats = pool.stats();
        assert_eq!(stats.live, 0);
        // The stacks that stay warm are those that came back first, all of one slab.
        assert!(stats.mapped <= high / 8 * 2, "{} of {high} are still mapped", stats.mapped);
        // And it works on.
        let again: Vec<PooledStack> = (0..3 * STACKS).map(|_| pool.take().unwrap()).collect();
        assert_eq!(pool.stats().live, again.len());
    }
}

#[test]
fn threads_share_a_pool() {
    let pool = pool();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..20 {
                    let mut fibers: Vec<Fiber<usize, usize>> = (0..100)
                        .map(|own| {
                            fiber(&pool, move |suspender: &Suspender<usize, usize>, input| {
                                suspender.suspend(own + input);
                            })
                        })
                        .collect();
                    for (own, fiber) in fibers.iter_mut().enumerate() {
                        assert_eq!(fiber.resume(round), FiberResult::Suspended(own + round));
                    }
                    fibers.iter_mut().for_each(|fiber| assert_eq!(fiber.resume(0), FiberResult::Finished));
                }
            });
        }
    });
    assert_eq!((pool.stats().live, pool.stats().leaked), (0, 0));
}

/// Bytes of memory that this process uses.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

#[test]
#[cfg(target_os = "linux")]
fn memory_after_a_burst_goes_back() {
    if !is_child() {
        return assert_passes_in_child("memory_after_a_burst_goes_back");
    }
    const FIBERS: usize = 10_000;
    for pool in [pool(), mprotect_pool()] {
        let before = resident();
        let mut fibers: Vec<Fiber<(), ()>> = (0..FIBERS)
            .map(|_| {
                fiber(&pool, |suspender: &Suspender<(), ()>, ()| {
                    touch(20 * 1024);
                    suspender.suspend(());
                })
            })
            .collect();
        fibers.iter_mut().for_each(|fiber| assert_eq!(fiber.resume(()), FiberResult::Suspended(())));
        let high = resident() - before;
        assert!(high > FIBERS * 20 * 1024, "the burst has used {high} bytes");
        fibers.iter_mut().for_each(|fiber| assert_eq!(fiber.resume(()), FiberResult::Finished));
        drop(fibers);
        let rest = resident().saturating_sub(before);
        assert!(rest < 8 << 20, "{rest} of {high} bytes are still in use");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_blocked_fiber_touches_at_most_two_pages() {
    if !is_child() {
        return assert_passes_in_child("a_blocked_fiber_touches_at_most_two_pages");
    }
    const FIBERS: usize = 4_000;
    let pool = pool();
    let mut fibers: Vec<Fiber<(), ()>> = Vec::with_capacity(FIBERS);
    let before = resident();
    for _ in 0..FIBERS {
        let mut fiber = fiber(&pool, |suspender: &Suspender<(), ()>, ()| {
            touch(1024);
            suspender.suspend(());
        });
        fiber.resume(());
        fibers.push(fiber);
    }
    let each = (resident() - before) / FIBERS;
    assert!(each <= 2 * rustix::param::page_size() + 512, "{each} bytes each");
}

/// Overflows a fiber's stack on a thread of a known name, while tasks of these names run, the inner one last.
fn overflow_in_child(pool: &Arc<StackPool>, name: Option<&'static str>) {
    fn recurse(depth: usize) -> usize {
        let frame = black_box([depth; 64]);
        if black_box(true) { recurse(depth + 1) + frame[0] } else { 0 }
    }
    overflow::install().unwrap();
    let pool = Arc::clone(pool);
    let thread = std::thread::Builder::new().name("worker-7".into()).spawn(move || {
        let _signal_stack = SignalStack::ensure().unwrap();
        let mut other = fiber(&pool, |suspender: &Suspender<(), ()>, ()| {
            overflow::with_task(Some("another"), || suspender.suspend(()));
        });
        let mut fiber = fiber(&pool, move |suspender: &Suspender<(), ()>, ()| {
            overflow::with_task(name, || {
                overflow::with_task(Some("a nested one"), || ());
                suspender.suspend(());
                recurse(0);
            });
        });
        other.resume(());
        fiber.resume(());
        other.resume(());
        fiber.resume(());
    });
    thread.unwrap().join().unwrap();
    unreachable!("the process has ended");
}

fn assert_overflow_is_reported(output: &Output, who: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(aborted(output), "{}\n{text}", output.status);
    let message = format!("running {who} has overflowed its fiber stack of 64 KiB; raise it with");
    assert!(text.contains(&message), "{text}");
    #[cfg(target_os = "linux")]
    assert!(text.contains("thread 'worker-7' running"), "{text}");
}

#[test]
fn an_overflow_names_the_task_and_aborts() {
    if is_child() {
        overflow_in_child(&pool(), Some("eats too much"));
    }
    assert_overflow_is_reported(&in_child("an_overflow_names_the_task_and_aborts"), "task 'eats too much'");
}

#[test]
fn an_overflow_into_a_guard_made_with_mprotect_is_reported() {
    if is_child() {
        overflow_in_child(&mprotect_pool(), None);
    }
    let output = in_child("an_overflow_into_a_guard_made_with_mprotect_is_reported");
    assert_overflow_is_reported(&output, "an unnamed task");
}

#[test]
fn guards_survive_that_memory_is_given_back() {
    if is_child() {
        let pool = pool();
        // The stacks of the first slab stay warm, those of the second give their memory back; the last one keeps
        // the second slab from being unmapped.
        let mut stacks: Vec<PooledStack> = (0..2 * STACKS).map(|_| pool.take().unwrap()).collect();
        let _last = stacks.pop();
        stacks.clear();
        let _warm: Vec<PooledStack> = (0..STACKS).map(|_| pool.take().unwrap()).collect();
        assert_eq!(pool.stats().idle, STACKS - 1);
        overflow_in_child(&pool, Some("reused"));
    }
    assert_overflow_is_reported(&in_child("guards_survive_that_memory_is_given_back"), "task 'reused'");
}

#[test]
fn a_threads_own_overflow_is_still_reported_by_std() {
    #[expect(unconditional_recursion, reason = "it is to overflow")]
    fn recurse(depth: usize) -> usize {
        let frame = black_box([depth; 64]);
        recurse(depth + 1) + frame[0]
    }
    if is_child() {
        overflow::install().unwrap();
        overflow::install().unwrap();
        let thread = std::thread::Builder::new().name("plain".into()).spawn(|| recurse(0)).unwrap();
        thread.join().unwrap();
        unreachable!("the process has ended");
    }
    let output = in_child("a_threads_own_overflow_is_still_reported_by_std");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(aborted(&output), "{}\n{text}", output.status);
    assert!(text.contains("thread 'plain'") && text.contains("has overflowed its stack"), "{text}");
}

#[test]
fn a_wild_access_on_a_fiber_is_still_a_segmentation_fault() {
    use std::os::unix::process::ExitStatusExt;
    if is_child() {
        overflow::install().unwrap();
        let mut fiber = fiber(&pool(), |_: &Suspender<(), ()>, ()| {
            // SAFETY: it is not, and the process is to end here.
            unsafe { std::ptr::without_provenance::<u8>(64).read_volatile() };
        });
        fiber.resume(());
        unreachable!("the process has ended");
    }
    let output = in_child("a_wild_access_on_a_fiber_is_still_a_segmentation_fault");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.signal(), Some(libc::SIGSEGV | libc::SIGBUS)),
        "{}\n{text}",
        output.status
    );
    assert!(!text.contains("fiber stack"), "{text}");
}

#[test]
fn a_thread_without_a_signal_stack_is_given_one() {
    if is_child() {
        std::thread::spawn(|| {
            let none = libc::stack_t {
                ss_sp: std::ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: libc::SIGSTKSZ,
            };
            // SAFETY: the thread is not on its signal stack, and std keeps the memory.
            assert_eq!(unsafe { libc::sigaltstack(&none, std::ptr::null_mut()) }, 0);
            drop(SignalStack::ensure().unwrap());
            let _signal_stack = SignalStack::ensure().unwrap();
            let mut recursion = fiber(&pool(), |_: &Suspender<(), ()>, ()| touch(1 << 20));
            overflow::install().unwrap();
            recursion.resume(());
        })
        .join()
        .unwrap();
        unreachable!("the process has ended");
    }
    let output = in_child("a_thread_without_a_signal_stack_is_given_one");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(aborted(&output), "{}\n{text}", output.status);
    assert!(text.contains("has overflowed its fiber stack"), "{text}");
}

#[test]
fn std_threads_have_a_signal_stack_already() {
    std::thread::spawn(|| {
        let mut now = std::mem::MaybeUninit::<libc::stack_t>::zeroed();
        // SAFETY: this only writes the present one to `now`, for which zero is a valid value before.
        let now = unsafe {
            libc::sigaltstack(std::ptr::null(), now.as_mut_ptr());
            now.assume_init()
        };
        assert_eq!(now.ss_flags & libc::SS_DISABLE, 0);
    })
    .join()
    .unwrap();
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
