//! The promises of a pool about the stacks it hands out, and about the memory that it holds.

use corosensei::stack::{STACK_ALIGNMENT, Stack};

use super::{assert_passes_in_child, fiber, is_child, mprotect_pool, pool, range, touch};
use crate::fiber::slab::Guards;
use crate::fiber::slab::{GuardBudget, STACKS};
use crate::fiber::stack::{MIN_STACK_SIZE, PooledStack, TRIM_BATCH};
use crate::fiber::{Fiber, FiberResult, StackOptions, StackPool, Suspender};

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

/// Does what idle workers do.
fn trim(pool: &StackPool) {
    while pool.is_untidy() {
        pool.trim(TRIM_BATCH);
    }
}

#[test]
fn slabs_are_unmapped_when_all_their_stacks_are_idle() {
    for pool in [pool(), mprotect_pool()] {
        let stacks: Vec<PooledStack> = (0..8 * STACKS).map(|_| pool.take().unwrap()).collect();
        let high = pool.stats().mapped;
        drop(stacks);
        trim(&pool);
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
        return assert_passes_in_child("stacks::memory_after_a_burst_goes_back");
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
        let mut index = 0;
        assert!(high > FIBERS * 20 * 1024, "the burst has used {high} bytes");
        // Some stay, so that no slab can be unmapped.
        let stay: Vec<_> = fibers
            .extract_if(.., |_| {
                index += 1;
                index % STACKS == 0
            })
            .collect();
        fibers.iter_mut().for_each(|fiber| assert_eq!(fiber.resume(()), FiberResult::Finished));
        drop(fibers);
        trim(&pool);
        let rest = resident().saturating_sub(before);
        assert!(rest < 8 << 20, "{rest} of {high} bytes are still in use");
        let mapped = pool.stats().mapped;
        stay.into_iter().for_each(|mut fiber| assert_eq!(fiber.resume(()), FiberResult::Finished));
        trim(&pool);
        let stats = pool.stats();
        assert_eq!(stats.live, 0);
        assert!(stats.mapped < mapped / 4, "{stats:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_blocked_fiber_touches_at_most_two_pages() {
    if !is_child() {
        return assert_passes_in_child("stacks::a_blocked_fiber_touches_at_most_two_pages");
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
