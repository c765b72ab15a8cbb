//! The rules of a mailbox and of signals, on cells without a task: what needs no backend to be seen.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex as StdMutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::super::mailbox::Batch;
use super::super::pid::{AtExit, By, Epoch, HookId, Pid, Signal};
use super::*;
use crate::actor::{Event, ExitReason, ProcessRef, Timer};
use crate::base::wake::WakeCount;

/// A process without a task: the test is its body.
fn cell(capacity: u32, overflow: Overflow) -> Arc<Cell<u32>> {
    Cell::new(capacity, overflow, false, Extra::none())
}

/// An error whose destructor does this.
struct Dropping<F: Fn()>(F);

impl<F: Fn()> std::fmt::Debug for Dropping<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dropping")
    }
}

impl<F: Fn()> std::fmt::Display for Dropping<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropping")
    }
}

impl<F: Fn()> std::error::Error for Dropping<F> {}

impl<F: Fn()> Drop for Dropping<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn messages(cell: &Cell<u32>, batch: &mut Batch<u32>) -> Vec<u32> {
    std::iter::from_fn(|| cell.try_next(batch)).filter_map(Event::message).collect()
}

#[test]
fn an_idle_process_is_small() {
    // Each byte is paid for by every process, and a pointer more by three allocations.
    assert!(size_of::<Cell<u64>>() <= 136, "{}", size_of::<Cell<u64>>());
    assert!(size_of::<crate::actor::Process<u64>>() <= 16);
    assert!(size_of::<Event<u64>>() <= 16);
    assert!(cell(1, Overflow::Wait).extra.is_none(), "nothing was said of it");
}

#[test]
fn a_place_that_is_free_is_promised_to_the_send_that_has_waited_longest() {
    let cell = cell(1, Overflow::Wait);
    let (mut batch, process) = (Batch::new(), ProcessRef::new(Arc::clone(&cell)));
    process.try_send(1).unwrap();
    let (first, second) = (WakeCount::new(), WakeCount::new());
    let mut sends = [process.send(2), process.send(3)];
    for (send, (_, waker)) in sends.iter_mut().zip([&first, &second]) {
        assert!(Pin::new(send).poll(&mut Context::from_waker(waker)).is_pending());
    }
    assert_eq!(messages(&cell, &mut batch), [1]);
    assert_eq!([&first, &second].map(|(count, _)| count.get()), [1, 0]);
    assert!(process.try_send(9).unwrap_err().is_full(), "the permit is granted");
    // The one that it is promised to gives up: it goes to the next one that waits.
    let [send, next] = sends;
    drop(send);
    assert_eq!(second.0.get(), 1);
    assert!(process.try_send(9).unwrap_err().is_full());
    let mut next = next;
    assert!(Pin::new(&mut next).poll(&mut Context::from_waker(&second.1)).is_ready());
    assert_eq!(messages(&cell, &mut batch), [3]);
    process.try_send(4).unwrap();
}

#[test]
fn whoever_has_several_messages_is_woken_once_for_them() {
    let cell = cell(4, Overflow::Wait);
    let (mut batch, process) = (Batch::new(), ProcessRef::new(Arc::clone(&cell)));
    let (several, one) = (WakeCount::new(), WakeCount::new());
    let mut cx = Context::from_waker(&several.1);
    let mut wait_key = crate::base::waitlist::WaitKey::new();
    // There is room for some of them.
    process.try_send(0).unwrap();
    assert_eq!(cell.poll_reserve(8, &mut wait_key, &mut cx), Poll::Ready(Reserved::Permits(3)));
    assert!(process.try_send(9).unwrap_err().is_full(), "the room is kept");
    assert!(cell.send_reserved(3, &mut vec![1, 2]), "one less than it has asked for");
    process.try_send(3).unwrap();
    // There is none.
    assert!(cell.poll_reserve(3, &mut wait_key, &mut cx).is_pending());
    let mut late = process.send(9);
    assert!(Pin::new(&mut late).poll(&mut Context::from_waker(&one.1)).is_pending());
    assert_eq!(messages(&cell, &mut batch), [0, 1, 2, 3]);
    assert_eq!([several.0.get(), one.0.get()], [1, 0], "it is called, and nobody is served before it");
    assert!(process.try_send(9).unwrap_err().is_full());
    assert_eq!(cell.poll_reserve(3, &mut wait_key, &mut cx), Poll::Ready(Reserved::Permits(3)));
    assert_eq!(one.0.get(), 1, "the rest is for the next one");
    assert!(cell.send_reserved(3, &mut vec![4, 5, 6]));
    assert!(Pin::new(&mut late).poll(&mut Context::from_waker(&one.1)).is_ready());
    // One that is called and gives up leaves the room to the next.
    assert!(cell.poll_reserve(2, &mut wait_key, &mut cx).is_pending());
    let mut late = process.send(10);
    assert!(Pin::new(&mut late).poll(&mut Context::from_waker(&one.1)).is_pending());
    assert_eq!(messages(&cell, &mut batch), [4, 5, 6, 9]);
    cell.stop_send(&mut wait_key);
    assert_eq!([several.0.get(), one.0.get()], [2, 2]);
    assert!(Pin::new(&mut late).poll(&mut Context::from_waker(&one.1)).is_ready());
    // The end tells one that waits, and takes nothing from one that has permits.
    assert_eq!(cell.poll_reserve(2, &mut wait_key, &mut cx), Poll::Ready(Reserved::Permits(2)));
    cell.end(ExitReason::Normal);
    let mut left = vec![11];
    assert!(!cell.send_reserved(2, &mut left));
    assert_eq!(left, [11]);
    assert_eq!(cell.poll_reserve(2, &mut wait_key, &mut cx), Poll::Ready(Reserved::Closed));
}

#[test]
fn the_end_wakes_the_sends_that_wait() {
    let cell = cell(1, Overflow::Wait);
    let process = ProcessRef::new(Arc::clone(&cell));
    process.try_send(1).unwrap();
    let (count, waker) = WakeCount::new();
    let mut send = process.send(2);
    assert!(Pin::new(&mut send).poll(&mut Context::from_waker(&waker)).is_pending());
    cell.end(ExitReason::Normal);
    assert_eq!(count.get(), 1);
    let Poll::Ready(Err(error)) = Pin::new(&mut send).poll(&mut Context::from_waker(&waker)) else {
        panic!("it was sent");
    };
    assert_eq!(error.into_inner(), 2);
}

#[test]
fn what_was_fetched_and_not_received_is_in_front_of_what_has_come_since() {
    let cell = cell(UNLIMITED, Overflow::Wait);
    let process = ProcessRef::new(Arc::clone(&cell));
    let mut batch = Batch::new();
    (1..=4).for_each(|n| process.try_send(n).unwrap());
    process.urgent().try_send(10).unwrap();
    assert_eq!(cell.try_next(&mut batch).and_then(Event::message), Some(10));
    (5..=6).for_each(|n| process.try_send(n).unwrap());
    process.urgent().try_send(11).unwrap();
    cell.give_back(&mut batch);
    assert_eq!(messages(&cell, &mut Batch::new()), [11, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn news_that_is_taken_back_leaves_the_urgent_messages_in_front() {
    let cell = cell(UNLIMITED, Overflow::Wait);
    let process = ProcessRef::new(Arc::clone(&cell));
    process.urgent().try_send(10).unwrap();
    cell.trap_exit(true);
    process.pid().exit(ExitReason::Shutdown);
    process.try_send(1).unwrap();
    let mut batch = Batch::new();
    let taken_back = cell.remove_first(&mut batch, |event| matches!(event, Event::Exit(_)));
    assert!(taken_back.is_some(), "it stands right behind the urgent one");
    process.urgent().try_send(11).unwrap();
    assert_eq!(messages(&cell, &mut batch), [10, 11, 1]);
}

#[test]
fn a_burst_costs_no_memory_for_ever() {
    let cell = cell(UNLIMITED, Overflow::Wait);
    let mut batch = Batch::new();
    for n in 0..1000 {
        cell.try_send(n, false).unwrap();
    }
    assert_eq!(messages(&cell, &mut batch).len(), 1000);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(cell.poll_next(&mut batch, &mut cx).is_pending());
    assert_eq!(batch.capacity() + lock(&cell.inbox).queue.capacity(), 0);
}

/// Beside a plain queue, at random: bursts, receives, selective receives that wait, and so buffers that
/// shrink.
#[test]
fn buffers_that_shrink_lose_nothing() {
    for prepared in 1..=60_u64 {
        let mut state = prepared;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let cell = cell(UNLIMITED, Overflow::Wait);
        let (mut batch, mut queue, mut next) = (Batch::new(), VecDeque::new(), 0);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..400 {
            match below(6) {
                0 => {
                    // Around the number for which there is room in a buffer that an idle process keeps.
                    for _ in 0..[1, 3, 16, 31, 32, 33, 64, 130][below(8)] {
                        cell.try_send(next, false).unwrap();
                        queue.push_back(next);
                        next += 1;
                    }
                }
                1 => {
                    let mut nothing = |_: &Event<u32>| false;
                    assert!(cell.poll_match(&mut batch, &mut 0, &mut nothing, &mut cx).is_pending());
                    cell.stop_receive();
                }
                2 => {
                    let chosen = next.saturating_sub(below(100) as u32);
                    let mut wanted = |event: &Event<u32>| matches!(event, Event::Message(n) if *n == chosen);
                    let got = cell.try_match(&mut batch, &mut 0, &mut wanted).and_then(Event::message);
                    let expected = queue.iter().position(|n| *n == chosen).and_then(|at| queue.remove(at));
                    assert_eq!(got, expected, "prepared {prepared}");
                }
                _ => {
                    for _ in 0..below(queue.len() + 2) {
                        let got = cell.try_next(&mut batch).and_then(Event::message);
                        assert_eq!(got, queue.pop_front(), "prepared {prepared}");
                    }
                }
            }
            assert_eq!(cell.len(), queue.len(), "prepared {prepared}");
        }
        cell.give_back(&mut batch);
        assert!(messages(&cell, &mut Batch::new()).into_iter().eq(queue), "prepared {prepared}");
    }
}

#[test]
fn what_a_selective_receive_leaves_needs_no_more_memory_than_it_takes() {
    let cell = cell(UNLIMITED, Overflow::Wait);
    let mut batch = Batch::new();
    (0..1000).for_each(|n| cell.try_send(n, false).unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    let mut nothing = |_: &Event<u32>| false;
    assert!(cell.poll_match(&mut batch, &mut 0, &mut nothing, &mut cx).is_pending());
    assert!((0..999).all(|n| cell.try_next(&mut batch).and_then(Event::message) == Some(n)));
    assert!(cell.poll_match(&mut batch, &mut 0, &mut nothing, &mut cx).is_pending());
    assert!(batch.capacity() < 10, "{}", batch.capacity());
    assert_eq!(messages(&cell, &mut batch), [999]);
}

#[test]
fn a_mailbox_that_is_kept_survives_its_body() {
    let cell = cell(2, Overflow::Wait);
    let process = ProcessRef::new(Arc::clone(&cell));
    process.keep_mailbox(true);
    process.try_send(1).unwrap();
    // SAFETY: no task is running.
    assert!(unsafe { cell.begin() });
    cell.end(ExitReason::other("storm"));
    assert!(!process.pid().is_alive_here() && !process.is_closed());
    process.try_send(2).unwrap();
    assert!(process.try_send(3).unwrap_err().is_full());
    assert!(cell.revive(true) && !cell.revive(true), "it lives");
    assert!(process.pid().is_alive_here());
    assert_eq!(messages(&cell, &mut Batch::new()), [1, 2]);
    cell.end(ExitReason::Normal);
    process.try_send(4).unwrap();
    process.keep_mailbox(false);
    assert!(process.is_closed() && !cell.revive(true));
    assert!(process.try_send(5).is_err());
}

#[test]
fn what_another_life_forgets_may_panic_as_it_is_dropped() {
    let bomb = || Dropping(|| std::panic::resume_unwind(Box::new("expected")));
    let cell = cell(2, Overflow::Wait);
    let process = ProcessRef::new(Arc::clone(&cell));
    process.keep_mailbox(true);
    cell.trap_exit(true);
    // SAFETY: no task is running.
    assert!(unsafe { cell.begin() });
    // Two of them would abort the program where one went on to the other.
    (0..2).for_each(|_| process.exit(ExitReason::failed(bomb())));
    process.try_send(1).unwrap();
    cell.end(ExitReason::failed(bomb()));
    assert!(cell.revive(true));
    assert_eq!(messages(&cell, &mut Batch::new()), [1]);
}

#[test]
fn a_mailbox_that_is_kept_keeps_its_timers() {
    let cell = cell(2, Overflow::Wait);
    let process = ProcessRef::new(Arc::clone(&cell));
    process.keep_mailbox(true);
    let timers = [0, 1, 2].map(|n| process.send_after(Duration::from_secs(3600), n));
    assert!(timers[0].cancel());
    for _ in 0..2 {
        // SAFETY: no task is running.
        assert!(unsafe { cell.begin() });
        cell.end(ExitReason::other("storm"));
        assert!(timers[1..].iter().all(Timer::is_pending), "they are for the successor");
        assert!(cell.revive(false));
    }
    let due = process.send_after(Duration::ZERO, 3);
    while due.is_pending() {
        std::thread::yield_now();
    }
    assert_eq!(messages(&cell, &mut Batch::new()), [3]);
    // The rest is given up with the mailbox.
    cell.end(ExitReason::Normal);
    process.keep_mailbox(false);
    assert!(!timers.iter().any(Timer::is_pending));
}

#[test]
fn a_mailbox_that_is_kept_keeps_no_timer_of_the_body() {
    let cell = cell(4, Overflow::Wait);
    cell.keep_mailbox(true);
    let me = crate::actor::Process::new(Arc::clone(&cell));
    let process = ProcessRef::new(Arc::clone(&cell));
    let own = me.start_timer(Duration::from_secs(1000));
    let (exit, message) = (process.kill_after(Duration::MAX), process.send_after(Duration::MAX, 1));
    me.start_timer(Duration::ZERO);
    drop(me);
    cell.end(ExitReason::Normal);
    assert!(cell.revive(false));
    let mut me = crate::actor::Process::new(cell);
    assert!(me.try_receive().is_none() && me.timer_remaining(own).is_none());
    assert!(!exit.is_pending() && message.is_pending());
}

#[test]
fn names_are_released_before_anybody_is_told() {
    /// Notes whether the observer had been told by then.
    struct Name(Arc<Cell<u32>>, StdMutex<Vec<usize>>);
    impl AtExit for Name {
        fn ended(&self, _: &Pid, _: HookId) {
            let told = !lock(&self.0.inbox).queue.is_empty();
            self.1.lock().unwrap().push(usize::from(told));
        }
    }
    let (ending, observer) = (cell(1, Overflow::Wait), cell(1, Overflow::Wait));
    let name = Arc::new(Name(Arc::clone(&observer), StdMutex::default()));
    let hook = || Arc::clone(&name) as Arc<dyn AtExit>;
    let taken_back = ending.pid().at_exit(hook()).unwrap();
    ending.pid().at_exit(hook()).unwrap();
    ending.pid().forget_hook(taken_back);
    observer.trap_exit(true);
    let epoch = Epoch::next();
    observer.enter_link(&ending.pid(), epoch);
    ending.pid().deliver(Signal::Link { from: observer.pid(), epoch });
    ending.end(ExitReason::Normal);
    assert_eq!(*name.1.lock().unwrap(), [0], "the one that was not taken back, and first");
    assert!(!lock(&observer.inbox).queue.is_empty());
    assert!(ending.pid().at_exit(hook()).is_none());
    assert_eq!(Arc::strong_count(&name), 1, "nothing is kept");
}

#[test]
fn names_are_released_by_whoever_ends_first() {
    /// Keeps whoever calls it first from going on, and notes by whom it was called.
    struct Slow(Barrier, AtomicUsize);
    impl AtExit for Slow {
        fn ended(&self, _: &Pid, _: HookId) {
            if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
                self.0.wait();
                self.0.wait();
            }
        }
    }
    let (ending, observer) = (cell(1, Overflow::Wait), cell(1, Overflow::Wait));
    let slow = Arc::new(Slow(Barrier::new(2), AtomicUsize::new(0)));
    ending.pid().at_exit(Arc::clone(&slow) as Arc<dyn AtExit>).unwrap();
    observer.trap_exit(true);
    let epoch = Epoch::next();
    observer.enter_link(&ending.pid(), epoch);
    ending.pid().deliver(Signal::Link { from: observer.pid(), epoch });
    let (called, told) = std::thread::scope(|scope| {
        // Somebody ends it, and is slow to have its names released; meanwhile it comes to its own end.
        let pid = ending.pid();
        scope.spawn(move || pid.exit(ExitReason::Shutdown));
        slow.0.wait();
        ending.end(ExitReason::Normal);
        let seen = (slow.1.load(Ordering::SeqCst), !lock(&observer.inbox).queue.is_empty());
        slow.0.wait();
        seen
    });
    assert!(told && called == 2, "it tells nobody before it has called the hooks, too");
    assert_eq!(ending.reason(), Some(ExitReason::Shutdown));
}

#[test]
fn an_exit_signal_through_a_link_that_is_gone_is_nothing() {
    let cell = cell(1, Overflow::Wait);
    let from = Pid::nobody();
    let exit = |epoch| Signal::Exit { from: from.clone(), reason: ExitReason::Shutdown, by: By::Link(epoch) };
    let (early, late) = (Epoch::next(), Epoch::next());
    cell.pid().deliver(exit(late));
    assert!(cell.is_alive(), "there is no link");
    cell.enter_link(&from, late);
    cell.pid().deliver(Signal::Unlink { from: from.clone(), epoch: early });
    cell.pid().deliver(exit(early));
    assert!(cell.is_linked(&from) && cell.is_alive(), "an earlier link was taken back, or has ended");
    cell.pid().deliver(Signal::Unlink { from: from.clone(), epoch: late });
    cell.pid().deliver(exit(late));
    assert!(cell.is_alive(), "it was taken back");
    cell.enter_link(&from, late);
    cell.pid().deliver(exit(Epoch::next()));
    assert_eq!(cell.reason(), Some(ExitReason::Shutdown));
}

#[test]
fn a_reason_that_comes_too_late_is_dropped_without_the_lock() {
    let cell = cell(1, Overflow::Wait);
    let (pid, (reaches, reached)) = (cell.pid(), mpsc::channel());
    // While the reason is dropped, another thread gets at the process.
    let late = Dropping(move || {
        let (pid, (tx, rx)) = (pid.clone(), mpsc::channel());
        std::thread::spawn(move || {
            pid.exit(ExitReason::Shutdown);
            let _ = tx.send(());
        });
        reaches.send(rx.recv_timeout(Duration::from_secs(10))).unwrap();
    });
    cell.pid().exit(ExitReason::Kill);
    cell.settle(ExitReason::failed(late));
    assert_eq!(reached.try_recv(), Ok(Ok(())));
    assert_eq!(cell.reason(), Some(ExitReason::Killed));
    cell.end(ExitReason::Shutdown);
}
