//! Tests of the I/O server, and of interrupting a blocked thread.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake};

use super::*;
use crate::kernel::backend::Strand;
use crate::kernel::strand::{ThreadStrand, enter, with_current};
use crate::kernel::wait::blocking_call;
use crate::kernel::waiting::WaitingFor;
use crate::time::sleep;

/// A waker that sends to a channel.
struct Tell(mpsc::Sender<()>);

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

#[test]
fn it_serves_wakers_of_other_runtimes() {
    // This does what a foreign executor does: it polls with a waker of its own and sleeps in its own way.
    let (tx, rx) = mpsc::channel();
    let waker = Waker::from(Arc::new(Tell(tx)));
    let mut sleeping = pin!(sleep(Duration::from_millis(3)));
    let mut polls = 0;
    while sleeping.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        rx.recv_timeout(Duration::from_secs(10)).expect("the waker was not woken");
        polls += 1;
    }
    assert!(polls >= 1);

    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let source = IoSource::new(OwnedFd::from(ours));
    let mut reading = pin!(async {
        let mut waiter =
            crate::event::reactor::IoWaiter::new(&source, crate::event::reactor::Direction::Read);
        poll_fn(|cx| {
            waiter.poll_io(cx, |fd| {
                Ok(crate::event::reactor::Progress::More(rustix::io::read(fd, &mut [0; 4])?))
            })
        })
        .await
    });
    let mut cx = Context::from_waker(&waker);
    assert!(reading.as_mut().poll(&mut cx).is_pending());
    theirs.write_all(b"abc").unwrap();
    loop {
        rx.recv_timeout(Duration::from_secs(10)).expect("the waker was not woken");
        if let Poll::Ready(read) = reading.as_mut().poll(&mut cx) {
            assert_eq!(read.unwrap(), 3);
            break;
        }
    }
}

#[test]
fn a_wake_up_interrupts_a_blocked_call() {
    for _ in 0..20 {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (tx, rx) = mpsc::channel();
        let thread = thread::spawn(move || {
            let strand = ThreadStrand::new();
            enter(&strand, || {
                with_current(|strand| tx.send(Arc::clone(strand.state().parker())).unwrap());
                let mut calls = 0;
                let nothing = || WaitingFor::Read { fd: None };
                let result = blocking_call(nothing, || {
                    calls += 1;
                    Ok(rustix::net::recv(ours.as_fd(), &mut [0; 4], rustix::net::RecvFlags::empty())?.0)
                });
                (result.unwrap().unwrap(), calls)
            })
        });
        // A wake-up that is none of the call's business: it is interrupted, and made again.
        let parker = rx.recv().unwrap();
        let remote_wakes = std::iter::repeat_with(|| {
            Wake::wake_by_ref(&parker);
            thread::sleep(Duration::from_micros(500));
        });
        remote_wakes.take(10).for_each(drop);
        theirs.write_all(b"abc").unwrap();
        let (read, calls) = thread.join().unwrap();
        assert_eq!(read, 3);
        assert!(calls > 1, "the call was not interrupted");
    }
}

#[test]
fn a_cancelled_thread_leaves_its_blocked_call() {
    for i in 0..50 {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (tx, rx) = mpsc::channel();
        let thread = thread::spawn(move || {
            let strand = ThreadStrand::new();
            enter(&strand, || {
                with_current(|strand| {
                    tx.send(Arc::clone(strand.state().parker())).unwrap();
                    // This is what `blocking_call` does in a task that can be cancelled.
                    let parker = strand.state().parker();
                    let mask = crate::event::parker::Parker::mask_cancel(true);
                    let mut result = Ok(0);
                    if parker.prepare(mask) {
                        strand.block(&mut || {
                            let buf = &mut [0; 4];
                            let flags = rustix::net::RecvFlags::empty();
                            result = rustix::net::recv(ours.as_fd(), buf, flags).map(|(n, _)| n);
                        });
                        parker.finish();
                    }
                    assert!(parker.cancelled());
                    result
                })
            })
        });
        let parker = rx.recv().unwrap();
        // Now before the call, now in it, now just at its edge.
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(i * 10) {
            std::hint::spin_loop();
        }
        parker.cancel();
        // Nobody ever writes: this join ends only if the call has been interrupted, or not made.
        let result = thread.join().unwrap();
        assert!(matches!(result, Ok(0) | Err(rustix::io::Errno::INTR)));
    }
}

#[test]
fn a_signal_that_came_too_early_is_sent_again() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let (tx, rx) = mpsc::channel();
    let (cancelled, go_on) = mpsc::channel();
    let thread = thread::spawn(move || {
        let strand = ThreadStrand::new();
        let parker = strand.state().parker();
        assert!(parker.prepare(crate::event::parker::Parker::mask_cancel(true)));
        let mut result = Ok(0);
        strand.block(&mut || {
            tx.send(Arc::clone(parker)).unwrap();
            // The first signal is over before the system call begins.
            go_on.recv().unwrap();
            result =
                rustix::net::recv(ours.as_fd(), &mut [0; 4], rustix::net::RecvFlags::empty()).map(|(n, _)| n);
        });
        parker.finish();
        result
    });
    rx.recv().unwrap().cancel();
    cancelled.send(()).unwrap();
    assert_eq!(thread.join().unwrap(), Err(rustix::io::Errno::INTR));
}

#[test]
fn the_handler_lets_calls_be_interrupted() {
    install_handler();
    install_handler();
    // SAFETY: a null new action only reads the present one into a valid place.
    let present = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(libc::SIGURG, std::ptr::null(), &raw mut action), 0);
        action
    };
    assert_ne!(present.sa_sigaction, libc::SIG_DFL);
    assert_eq!(present.sa_flags & libc::SA_RESTART, 0);
}
