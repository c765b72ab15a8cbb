//! Tests of sources: readiness, several waiters, reactors that come and go.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::Wait;
use crate::base::wake::WakeCount;
use crate::kernel::backend::{Backend, Driver, Strand, StrandState};
use crate::kernel::strand::{ThreadStrand, enter};

const LIMIT: Option<Duration> = Some(Duration::from_secs(10));
const NO_WAIT: Option<Duration> = Some(Duration::ZERO);

/// A strand whose driver is a reactor of the test's: nothing is watched but by its turns.
struct Driven {
    /// The strand that parks the thread.
    thread: ThreadStrand,
    /// The driver that watches.
    reactor: Reactor,
}

impl Strand for Driven {
    fn state(&self) -> &StrandState {
        self.thread.state()
    }

    fn park(&self) {
        self.reactor.turn(LIMIT).unwrap();
    }

    fn driver(&self) -> &dyn Driver {
        &self.reactor
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }
}

fn driven() -> Driven {
    Driven { thread: ThreadStrand::new(), reactor: Reactor::new().unwrap() }
}

fn pair() -> (Arc<IoSource>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (IoSource::new(OwnedFd::from(ours)), theirs)
}

/// Reads one byte; counts the system calls.
fn read_byte(fd: impl AsFd, calls: &AtomicUsize) -> io::Result<Progress<u8>> {
    calls.fetch_add(1, Ordering::SeqCst);
    let mut byte = [0];
    match rustix::io::read(fd, &mut byte)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(Progress::More(byte[0])),
    }
}

fn poll_once<'a>(waiter: &mut IoWaiter<'a>, waker: &Waker, calls: &AtomicUsize) -> Poll<io::Result<u8>> {
    waiter.poll_io(&mut Context::from_waker(waker), |fd| read_byte(fd, calls))
}

async fn read(source: &Arc<IoSource>) -> io::Result<u8> {
    let mut waiter = IoWaiter::new(source, Direction::Read);
    poll_fn(|cx| waiter.poll_io(cx, |fd| read_byte(fd, &AtomicUsize::new(0)))).await
}

#[test]
fn a_bound_source_that_is_not_ready_costs_no_system_call() {
    let strand = driven();
    enter(&strand, || {
        let (source, mut peer) = pair();
        let calls = AtomicUsize::new(0);
        let (count, waker) = WakeCount::new();
        let mut waiter = IoWaiter::new(&source, Direction::Read);
        for _ in 0..5 {
            assert!(poll_once(&mut waiter, &waker, &calls).is_pending());
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        peer.write_all(b"a").unwrap();
        // The first event tells the state at registration, writable; then comes the byte.
        while count.get() == 0 {
            strand.reactor.turn(LIMIT).unwrap();
        }
        assert!(matches!(poll_once(&mut waiter, &waker, &calls), Poll::Ready(Ok(b'a'))));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_write_is_tried_before_the_reactor_that_a_read_was_bound_to_has_turned() {
    let strand = driven();
    enter(&strand, || {
        let (source, _peer) = pair();
        let calls = AtomicUsize::new(0);
        let mut reader = IoWaiter::new(&source, Direction::Read);
        assert!(poll_once(&mut reader, Waker::noop(), &calls).is_pending());
        let mut writer = IoWaiter::new(&source, Direction::Write);
        let cx = &mut Context::from_waker(Waker::noop());
        let written = writer.poll_io(cx, |fd| Ok(Progress::More(rustix::io::write(fd, b"a")?)));
        assert!(matches!(written, Poll::Ready(Ok(1))));
    });
}

#[test]
fn an_event_between_the_call_and_the_forgetting_is_not_lost() {
    let strand = driven();
    enter(&strand, || {
        let (source, mut peer) = pair();
        source.bind(&strand.reactor).unwrap();
        source.notify(Interest::READ);
        let mut first = true;
        let mut waiter = IoWaiter::new(&source, Direction::Read);
        let polled = waiter.poll_io(&mut Context::from_waker(Waker::noop()), |fd| {
            let result = read_byte(fd, &AtomicUsize::new(0));
            if std::mem::take(&mut first) {
                // The byte arrives after the call has said that there is none, and is reported before that is
                // noted.
                peer.write_all(b"a").unwrap();
                strand.reactor.turn(LIMIT).unwrap();
            }
            result
        });
        assert!(matches!(polled, Poll::Ready(Ok(b'a'))));
    });
}

#[test]
fn all_waiters_of_a_direction_are_woken_and_no_others() {
    let (source, _peer) = pair();
    let strand = driven();
    enter(&strand, || {
        let readers: Vec<_> = (0..10).map(|_| WakeCount::new()).collect();
        let mut waiters = Vec::new();
        for (_, waker) in &readers {
            let mut waiter = IoWaiter::new(&source, Direction::Read);
            assert!(poll_once(&mut waiter, waker, &AtomicUsize::new(0)).is_pending());
            waiters.push(waiter);
        }
        let (writer, waker) = WakeCount::new();
        let mut waiter = IoWaiter::new(&source, Direction::Write);
        let full = waiter.poll_io(&mut Context::from_waker(&waker), |_| {
            Err::<Progress<()>, _>(io::ErrorKind::WouldBlock.into())
        });
        assert!(full.is_pending());
        source.notify(Interest::READ);
        assert!(readers.iter().all(|(count, _)| count.get() == 1));
        assert_eq!(writer.get(), 0);
    });
}

#[test]
fn a_hang_up_wakes_both_directions() {
    let strand = driven();
    enter(&strand, || {
        let (source, peer) = pair();
        let (reader, writer) = (WakeCount::new(), WakeCount::new());
        let mut reading = IoWaiter::new(&source, Direction::Read);
        let mut writing = IoWaiter::new(&source, Direction::Write);
        assert!(poll_once(&mut reading, &reader.1, &AtomicUsize::new(0)).is_pending());
        strand.reactor.turn(NO_WAIT).unwrap();
        let full = |_: &IoHandle| Err::<Progress<()>, _>(io::ErrorKind::WouldBlock.into());
        assert!(writing.poll_io(&mut Context::from_waker(&writer.1), full).is_pending());
        drop(peer);
        strand.reactor.turn(LIMIT).unwrap();
        assert_eq!(reader.0.get(), 1);
        assert_eq!(writer.0.get(), 1);
    });
}

#[test]
fn a_dropped_waiter_is_not_woken_and_its_waker_is_let_go() {
    let strand = driven();
    enter(&strand, || {
        let (source, mut peer) = pair();
        let wakers: Vec<_> = (0..3).map(|_| WakeCount::new()).collect();
        let mut waiters: Vec<_> = wakers
            .iter()
            .map(|(_, waker)| {
                let mut waiter = IoWaiter::new(&source, Direction::Read);
                assert!(poll_once(&mut waiter, waker, &AtomicUsize::new(0)).is_pending());
                waiter
            })
            .collect();
        drop(waiters.remove(2));
        drop(waiters.remove(0));
        peer.write_all(b"a").unwrap();
        while wakers[1].0.get() == 0 {
            strand.reactor.turn(LIMIT).unwrap();
        }
        for dropped in [0, 2] {
            assert_eq!(wakers[dropped].0.get(), 0);
            // The counter itself and the test's waker.
            assert_eq!(Arc::strong_count(&wakers[dropped].0), 2);
        }
        drop(waiters);
        assert!(!source.waits(Interest::BOTH, |_| true));
    });
}

#[test]
fn a_drained_source_is_not_read_again_before_the_next_event() {
    let strand = driven();
    enter(&strand, || {
        let (source, mut peer) = pair();
        source.bind(&strand.reactor).unwrap();
        peer.write_all(b"a").unwrap();
        strand.reactor.turn(LIMIT).unwrap();
        let calls = AtomicUsize::new(0);
        let drain = |fd: &IoHandle| {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(Progress::Drained(rustix::io::read(fd, &mut [0; 16])?))
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut waiter = IoWaiter::new(&source, Direction::Read);
        assert!(matches!(waiter.poll_io(&mut cx, drain), Poll::Ready(Ok(1))));
        assert!(waiter.poll_io(&mut cx, drain).is_pending());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        // The end of the stream is an event like any other ...
        peer.write_all(b"bc").unwrap();
        drop(peer);
        strand.reactor.turn(LIMIT).unwrap();
        assert!(matches!(waiter.poll_io(&mut cx, drain), Poll::Ready(Ok(2))));
        // ... after which no further one comes, so a short read is not trusted.
        assert!(matches!(waiter.poll_io(&mut cx, drain), Poll::Ready(Ok(0))));
    });
}

#[test]
fn closing_the_reactor_wakes_and_the_source_finds_another_driver() {
    let (source, mut peer) = pair();
    let first = driven();
    let (count, waker) = WakeCount::new();
    let mut waiter = IoWaiter::new(&source, Direction::Read);
    enter(&first, || assert!(poll_once(&mut waiter, &waker, &AtomicUsize::new(0)).is_pending()));
    assert_eq!(first.reactor.metrics().registered, 1);
    first.reactor.close();
    assert_eq!((count.get(), first.reactor.metrics().registered), (1, 0));
    let second = driven();
    enter(&second, || {
        assert!(poll_once(&mut waiter, &waker, &AtomicUsize::new(0)).is_pending());
        assert_eq!(second.reactor.metrics().registered, 1);
        peer.write_all(b"a").unwrap();
        assert!(matches!(read(&source).wait(), Ok(b'a')));
    });
    // On a strand whose driver is closed, the I/O server watches.
    enter(&first, || assert!(poll_once(&mut waiter, &waker, &AtomicUsize::new(0)).is_pending()));
    drop(second);
    enter(&first, || {
        assert!(poll_once(&mut waiter, &waker, &AtomicUsize::new(0)).is_pending());
        peer.write_all(b"b").unwrap();
    });
    let reader = pin!(read(&source));
    assert!(matches!(reader.wait(), Ok(b'b')));
}

/// As in the child of a fork, which still has its parent's reactor in memory, and may drop it.
#[test]
fn the_end_of_a_reactor_leaves_a_source_to_the_one_that_watches_it_by_then() {
    let (source, mut peer) = pair();
    let (first, second) = (Reactor::new().unwrap(), driven());
    first.shared.bind(source.as_fd(), &source.state).unwrap();
    source.bind(&second.reactor).unwrap();
    first.close();
    enter(&second, || {
        let mut waiter = IoWaiter::new(&source, Direction::Read);
        assert!(poll_once(&mut waiter, Waker::noop(), &AtomicUsize::new(0)).is_pending());
        peer.write_all(b"a").unwrap();
        assert!(matches!(read(&source).wait(), Ok(b'a')));
    });
    assert_eq!(second.reactor.metrics().registered, 1);
}

#[test]
fn a_dropped_source_is_closed_and_deregistered() {
    let strand = driven();
    let (source, mut peer) = pair();
    source.bind(&strand.reactor).unwrap();
    let number = source.as_fd().as_raw_fd();
    drop(source);
    assert_eq!(strand.reactor.metrics().registered, 0);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    // The new descriptor has the same number; no event of the old one is reported to it.
    let (next, _peer) = pair();
    if next.as_fd().as_raw_fd() == number {
        next.bind(&strand.reactor).unwrap();
        strand.reactor.turn(NO_WAIT).unwrap();
        assert_eq!(next.state.word.load(Ordering::SeqCst) & STICKY, 0);
    }
}

#[test]
fn a_descriptor_taken_out_is_watched_by_nobody() {
    let strand = driven();
    let (source, mut peer) = pair();
    source.bind(&strand.reactor).unwrap();
    let fd = IoSource::into_handle(source).unwrap();
    assert_eq!(strand.reactor.metrics().registered, 0);
    peer.write_all(b"a").unwrap();
    assert_eq!(strand.reactor.turn(NO_WAIT).unwrap().events, 0);
    assert_eq!(rustix::io::read(&fd, &mut [0]).unwrap(), 1);
}

/// Many readers and writers on one pair of descriptors, on threads that watch for themselves, on the I/O
/// server and on a reactor, all at once: a lost wake-up hangs.
#[test]
fn no_wake_up_is_lost_between_many_readers() {
    const EACH: usize = 300;
    const THREADS: usize = 4;
    let (source, peer) = pair();
    let start = Barrier::new(THREADS + 1);
    let got = AtomicUsize::new(0);
    thread::scope(|scope| {
        for i in 0..THREADS {
            let (source, start, got) = (&source, &start, &got);
            scope.spawn(move || {
                let strand = driven();
                start.wait();
                let reads = || {
                    while got.fetch_add(1, Ordering::SeqCst) < EACH * THREADS {
                        read(source).wait().unwrap();
                    }
                };
                // One of them has a reactor, the others park in poll(2).
                if i == 0 { enter(&strand, reads) } else { reads() }
            });
        }
        let (start, mut peer) = (&start, &peer);
        scope.spawn(move || {
            start.wait();
            for i in 0..EACH * THREADS {
                peer.write_all(&[i as u8]).unwrap();
                if i % 7 == 0 {
                    thread::yield_now();
                }
            }
        });
    });
}

/// A stale watch of a parked thread must not keep open what another thread has closed.
#[test]
fn a_parked_thread_does_not_hold_what_it_no_longer_waits_for() {
    let (source, mut peer) = pair();
    let (tx, rx) = std::sync::mpsc::channel();
    let waiter = thread::spawn(move || {
        {
            // Waits for a byte and for nothing, and gives the byte up; the watch stays behind.
            let mut reading = pin!(read(&source));
            let mut polled = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut polled, true) {
                    return Poll::Ready(());
                }
                assert!(reading.as_mut().poll(cx).is_pending());
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .wait();
        }
        let (other, other_peer) = pair();
        tx.send((source, other_peer)).unwrap();
        read(&other).wait().unwrap();
    });
    let (source, mut other_peer) = rx.recv().unwrap();
    // Until the thread is parked in poll(2), most likely: what is asserted holds either way.
    thread::sleep(Duration::from_millis(20));
    drop(source);
    peer.set_read_timeout(LIMIT).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    other_peer.write_all(b"a").unwrap();
    waiter.join().unwrap();
}
