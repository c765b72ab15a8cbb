//! Tests of the reactor: turns, registrations, notifications, and a host's own loop.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::Waker;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};

use super::*;

const NO_WAIT: Option<Duration> = Some(Duration::ZERO);
/// Longer than any test should take: a wait that is not ended fails the test instead of hanging it.
const LIMIT: Option<Duration> = Some(Duration::from_secs(10));

/// A handler that counts, and what it counts.
fn counting(next: Interest) -> (Arc<AtomicUsize>, impl FnMut(Interest) -> Interest + Send + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    (count, move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        next
    })
}

#[test]
fn a_registration_reports_once_and_again_when_rearmed() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (count, handler) = counting(Interest::NONE);
    let registration = reactor.register(ours, Interest::READ, handler).unwrap();
    assert_eq!(reactor.turn(NO_WAIT).unwrap().events, 0);
    theirs.write_all(b"x").unwrap();
    assert_eq!(reactor.turn(LIMIT).unwrap().events, 1);
    theirs.write_all(b"x").unwrap();
    assert_eq!(reactor.turn(NO_WAIT).unwrap().events, 0);
    registration.rearm(Interest::READ).unwrap();
    assert_eq!(reactor.turn(LIMIT).unwrap().events, 1);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

/// A handler that panics when it is dropped.
fn bad_handler() -> impl FnMut(Interest) -> Interest + Send + 'static {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(thread::panicking(), "expected: in the destructor of a handler");
        }
    }
    let bomb = Bomb;
    move |_| {
        let _bomb = &bomb;
        Interest::NONE
    }
}

#[test]
fn a_registration_whose_handler_panics_as_it_is_dropped_is_gone() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let registration = reactor.register(ours, Interest::READ, bad_handler()).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(registration))).is_err());
    assert_eq!(reactor.metrics().registered, 0);
}

#[test]
fn a_close_lets_go_of_all_handlers_also_when_one_panics_as_it_is_dropped() {
    let reactor = Reactor::new().unwrap();
    let ((bad, _), (good, _)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let (count, handler) = counting(Interest::NONE);
    let registrations = (
        reactor.register(bad, Interest::READ, bad_handler()).unwrap(),
        reactor.register(good, Interest::READ, handler).unwrap(),
    );
    reactor.close();
    assert_eq!(Arc::strong_count(&count), 1, "a handler is kept");
    drop(registrations);
}

#[test]
fn a_handler_says_what_to_watch_next() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (count, handler) = counting(Interest::READ);
    let registration = reactor.register(ours, Interest::READ, handler).unwrap();
    theirs.write_all(b"x").unwrap();
    // The byte is not read, and rearming reports what is there.
    reactor.turn(LIMIT).unwrap();
    reactor.turn(LIMIT).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    registration.io().read_exact(&mut [0]).unwrap();
    // Its event was not in the kernel any more when it would have been reported.
    reactor.turn(NO_WAIT).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn a_handler_may_deregister_others_of_the_same_turn() {
    let reactor = Reactor::new().unwrap();
    let all: Arc<Mutex<Vec<Registration<UnixStream>>>> = Arc::default();
    let called = Arc::new(AtomicUsize::new(0));
    let mut peers = Vec::new();
    for _ in 0..5 {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        peers.push(theirs);
        let (others, count) = (Arc::clone(&all), Arc::clone(&called));
        let handler = move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let all = std::mem::take(&mut *lock_std(&others));
            drop(all);
            Interest::READ
        };
        let registration = reactor.register(ours, Interest::READ, handler).unwrap();
        lock_std(&all).push(registration);
    }
    assert_eq!(reactor.turn(LIMIT).unwrap().events, 5);
    assert_eq!(called.load(Ordering::SeqCst), 1);
    assert_eq!(reactor.metrics().registered, 0);
}

#[test]
fn the_event_of_a_closed_descriptor_does_not_reach_its_successor() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    // The duplicate keeps the kernel's object alive: without deregistering, its events would go on.
    let duplicate = ours.try_clone().unwrap();
    let (before, handler) = counting(Interest::NONE);
    let first = reactor.register(ours, Interest::READ, handler).unwrap();
    theirs.write_all(b"x").unwrap();
    drop(first);
    let (next, _peer) = UnixStream::pair().unwrap();
    let (after, handler) = counting(Interest::NONE);
    let _second = reactor.register(next, Interest::READ, handler).unwrap();
    assert_eq!(reactor.turn(NO_WAIT).unwrap().events, 0);
    assert_eq!((before.load(Ordering::SeqCst), after.load(Ordering::SeqCst)), (0, 0));
    drop(duplicate);
}

#[test]
fn a_key_of_the_past_names_nobody() {
    let mut table = Table::default();
    let old = table.insert(Target::Source(Arc::default())).unwrap();
    assert!(table.remove(old).is_some());
    let new = table.insert(Target::Source(Arc::default())).unwrap();
    assert_eq!(old.0 as u32, new.0 as u32);
    assert!(table.get(old).is_none() && table.remove(old).is_none());
    assert!(table.get(new).is_some());
    assert_eq!(table.len(), 1);
}

#[test]
fn notifying_a_reactor_that_is_awake_costs_no_system_call() {
    let reactor = Reactor::new().unwrap();
    for _ in 0..100 {
        reactor.notify();
    }
    let metrics = reactor.metrics();
    assert_eq!((metrics.notifies, metrics.saved_notifies), (0, 100));
    // None of them is lost: the next turn does not sleep, the one after it does.
    let start = Instant::now();
    reactor.turn(LIMIT).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    reactor.turn(Some(Duration::from_millis(20))).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn notifying_a_reactor_that_sleeps_costs_one_system_call() {
    let reactor = Reactor::new().unwrap();
    for round in 1..=50 {
        let sleeper = reactor.clone();
        assert!(reactor.prepare_park());
        let thread = thread::spawn(move || sleeper.turn(LIMIT).unwrap());
        reactor.notify();
        reactor.notify();
        assert_eq!(thread.join().unwrap().events, 0);
        assert_eq!(reactor.metrics().notifies, round);
        // The second one may have come after the sleep: then it is for the next turn.
        reactor.turn(NO_WAIT).unwrap();
    }
}

/// The owner may come back and be about to sleep.
#[test]
fn who_turns_for_the_owner_leaves_it_its_notification_and_its_announcement() {
    let reactor = Reactor::new().unwrap();
    reactor.notify();
    reactor.turn_for_owner().unwrap();
    assert!(!reactor.prepare_park(), "the notification is gone");
    reactor.turn(LIMIT).unwrap();
    assert!(reactor.prepare_park());
    reactor.turn_for_owner().unwrap();
    reactor.notify();
    assert_eq!(reactor.metrics().notifies, 1, "nobody knew that the owner was about to sleep");
    // The system call's event may be taken by another one; the owner knows all the same.
    reactor.turn_for_owner().unwrap();
    reactor.turn(LIMIT).unwrap();
}

#[test]
fn no_notification_is_lost_between_the_queue_and_the_sleep() {
    let reactor = Reactor::new().unwrap();
    let (tx, rx) = mpsc::channel();
    let waker = reactor.clone();
    let producer = thread::spawn(move || {
        for i in 0..20_000 {
            tx.send(i).unwrap();
            waker.notify();
        }
    });
    let mut seen = 0;
    while seen < 20_000 {
        let sleep = reactor.prepare_park() && {
            let n = rx.try_iter().count();
            seen += n;
            n == 0
        };
        let start = Instant::now();
        reactor.turn(if sleep { LIMIT } else { NO_WAIT }).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "slept with work in the queue");
        seen += rx.try_iter().count();
    }
    producer.join().unwrap();
}

#[test]
fn a_second_turn_is_refused_at_once() {
    let reactor = Reactor::new().unwrap();
    let sleeper = reactor.clone();
    let (tx, rx) = mpsc::channel();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let inner = reactor.clone();
    let registration = reactor
        .register(ours, Interest::WRITE, move |_| {
            // From inside as well as from another thread.
            tx.send(inner.turn(NO_WAIT).map_err(|e| e.kind())).unwrap();
            let other = inner.clone();
            tx.send(thread::spawn(move || other.turn(None).map_err(|e| e.kind())).join().unwrap()).unwrap();
            Interest::NONE
        })
        .unwrap();
    assert_eq!(sleeper.turn(LIMIT).unwrap().events, 1);
    assert_eq!(rx.recv().unwrap(), Err(io::ErrorKind::ResourceBusy));
    assert_eq!(rx.recv().unwrap(), Err(io::ErrorKind::ResourceBusy));
    assert!(reactor.turn(NO_WAIT).is_ok());
    drop((registration, theirs));
}

#[test]
fn a_turn_ends_at_the_next_deadline_and_not_before() {
    let reactor = Reactor::new().unwrap();
    let deadline = Instant::now() + Duration::from_millis(5);
    reactor.timers().insert(deadline, Waker::noop()).unwrap();
    assert_eq!(reactor.next_deadline(), Some(deadline));
    assert_eq!(reactor.turn(LIMIT).unwrap().timers, 1);
    assert!(Instant::now() >= deadline);
}

#[test]
fn an_earlier_deadline_from_another_thread_ends_the_sleep() {
    let reactor = Reactor::new().unwrap();
    assert!(reactor.prepare_park());
    let timers = Arc::clone(reactor.timers());
    let inserter =
        thread::spawn(move || timers.insert(Instant::now() + Duration::from_millis(1), Waker::noop()));
    let start = Instant::now();
    let mut fired = 0;
    while fired == 0 {
        fired += reactor.turn(LIMIT).unwrap().timers;
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    inserter.join().unwrap().unwrap();
}

#[test]
fn an_earlier_deadline_from_the_owner_costs_no_system_call() {
    let reactor = Reactor::new().unwrap();
    for i in (1..100).rev() {
        reactor.timers().insert(Instant::now() + Duration::from_secs(i), Waker::noop()).unwrap();
    }
    assert_eq!(reactor.metrics().notifies, 0);
}

#[test]
fn a_signal_ends_a_turn_without_an_error() {
    let reactor = Reactor::new().unwrap();
    let sleeper = reactor.clone();
    crate::kernel::ioserver::install_handler();
    let (tx, rx) = mpsc::channel();
    let thread = thread::spawn(move || {
        tx.send(rustix::thread::gettid()).unwrap();
        sleeper.turn(LIMIT).unwrap()
    });
    let id = rx.recv().unwrap().as_raw_nonzero().get();
    let process = rustix::process::getpid().as_raw_nonzero().get();
    while !thread.is_finished() {
        // SAFETY: the call takes three numbers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_tgkill, process, id, libc::SIGURG) };
        thread::sleep(Duration::from_millis(1));
    }
    let turn = thread.join().unwrap();
    assert!(turn.interrupted && turn.events == 0);
}

#[test]
fn a_foreign_loop_can_host_a_reactor() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (count, handler) = counting(Interest::NONE);
    let _registration = reactor.register(ours, Interest::READ, handler).unwrap();
    let host = |reactor: &Reactor| {
        let ready = !reactor.prepare_park()
            || poll(
                &mut [PollFd::new(reactor, PollFlags::IN)],
                Some(&Duration::from_secs(5).try_into().unwrap()),
            )
            .unwrap()
                > 0;
        assert!(ready, "the host was not woken");
        reactor.turn(NO_WAIT).unwrap()
    };
    theirs.write_all(b"x").unwrap();
    assert_eq!(host(&reactor).events, 1);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // A notification from outside wakes the host, too; and each does so once.
    for _ in 0..3 {
        let waker = reactor.clone();
        let thread = thread::spawn(move || waker.notify());
        host(&reactor);
        thread.join().unwrap();
        reactor.turn(NO_WAIT).unwrap();
    }
    assert!(reactor.prepare_park());
    let none = poll(&mut [PollFd::new(&reactor, PollFlags::IN)], Some(&Default::default())).unwrap();
    assert_eq!(none, 0, "the descriptor stays readable");
}

#[test]
fn a_closed_reactor_accepts_nothing() {
    let reactor = Reactor::new().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (count, handler) = counting(Interest::READ);
    let registration = reactor.register(ours, Interest::WRITE, handler).unwrap();
    reactor.close();
    assert!(reactor.is_closed());
    assert_eq!(reactor.turn(NO_WAIT).unwrap().events, 0);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    assert!(registration.rearm(Interest::READ).is_err());
    assert!(reactor.register(theirs, Interest::READ, |_| Interest::NONE).is_err());
    drop(registration.deregister());
}

#[test]
fn the_portable_poller_does_the_same() {
    let poller = sys::portable_for_tests().unwrap();
    let mut events = Default::default();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let key = Key(7 | 3 << 32);
    poller.add_edge(ours.as_fd(), key).unwrap();
    theirs.write_all(b"x").unwrap();
    assert!(!poller.wait(&mut events, LIMIT).unwrap());
    let seen: Vec<_> = events.iter().collect();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].0, key);
    assert_eq!(seen[0].1.interest, Interest::BOTH);
    poller.delete(ours.as_fd()).unwrap();
    poller.add_oneshot(ours.as_fd(), key, Interest::READ).unwrap();
    poller.wait(&mut events, LIMIT).unwrap();
    assert_eq!(events.iter().next().map(|(_, ready)| ready.interest), Some(Interest::READ));
    poller.wait(&mut events, NO_WAIT).unwrap();
    assert!(events.iter().next().is_none());
    poller.rearm(ours.as_fd(), key, Interest::READ).unwrap();
    poller.wait(&mut events, LIMIT).unwrap();
    assert!(events.iter().next().is_some());
    poller.wake();
    poller.wait(&mut events, LIMIT).unwrap();
    assert!(poller.as_fd().try_clone_to_owned().is_ok());
}
