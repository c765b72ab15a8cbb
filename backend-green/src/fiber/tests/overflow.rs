//! Overflows end the process with a message that names the task, and other faults end it as they always did.

use std::hint::black_box;
use std::process::Output;
use std::sync::Arc;

use super::{aborted, fiber, in_child, is_child, mprotect_pool, pool, touch};
use crate::fiber::overflow::{self, SignalStack};
use crate::fiber::slab::STACKS;
use crate::fiber::stack::PooledStack;
use crate::fiber::{StackPool, Suspender};

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
        let nested_pool = Arc::clone(&pool);
        let mut fiber = fiber(&pool, move |suspender: &Suspender<(), ()>, ()| {
            overflow::with_task(name, || {
                overflow::with_task(Some("a nested one"), || ());
                suspender.suspend(());
                fiber(&nested_pool, |_: &Suspender<(), ()>, ()| ()).resume(());
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
    let message = format!("running {who} has overflowed its fiber stack of 256 KiB; `stack_size` of");
    assert!(text.contains(&message), "{text}");
    #[cfg(target_os = "linux")]
    assert!(text.contains("thread 'worker-7' running"), "{text}");
}

#[test]
fn an_overflow_names_the_task_and_aborts() {
    if is_child() {
        overflow_in_child(&pool(), Some("eats too much"));
    }
    assert_overflow_is_reported(
        &in_child("overflow::an_overflow_names_the_task_and_aborts"),
        "task 'eats too much'",
    );
}

#[test]
fn an_overflow_into_a_guard_made_with_mprotect_is_reported() {
    if is_child() {
        overflow_in_child(&mprotect_pool(), None);
    }
    let output = in_child("overflow::an_overflow_into_a_guard_made_with_mprotect_is_reported");
    assert_overflow_is_reported(&output, "an unnamed task");
}

#[test]
fn guards_survive_that_memory_is_given_back() {
    if is_child() {
        let pool = pool();
        // The stacks of the first slab stay warm, those of the second give their memory back; the last one
        // keeps the second slab from being unmapped.
        let mut stacks: Vec<PooledStack> = (0..2 * STACKS).map(|_| pool.take().unwrap()).collect();
        let _last = stacks.pop();
        stacks.clear();
        let _warm: Vec<PooledStack> = (0..STACKS).map(|_| pool.take().unwrap()).collect();
        assert_eq!(pool.stats().idle, STACKS - 1);
        overflow_in_child(&pool, Some("reused"));
    }
    assert_overflow_is_reported(
        &in_child("overflow::guards_survive_that_memory_is_given_back"),
        "task 'reused'",
    );
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
    let output = in_child("overflow::a_threads_own_overflow_is_still_reported_by_std");
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
    let output = in_child("overflow::a_wild_access_on_a_fiber_is_still_a_segmentation_fault");
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
    let output = in_child("overflow::a_thread_without_a_signal_stack_is_given_one");
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
