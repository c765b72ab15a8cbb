//! The readiness word and the waiters under loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib reactor::source`.
//!
//! [`Peer`] stands for the kernel's queue of bytes; [`State`] is the real one. A read that nobody has polled
//! again is a deadlock, which loom reports.

use loom::sync::{Condvar, Mutex as LoomMutex};
use loom::thread;

use super::*;

/// The bytes that have been sent. Relaxed: the word alone must make visible what a report announces.
#[derive(Default)]
struct Peer(AtomicU32);

impl Peer {
    fn send(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// The system call: a byte, or "it would block".
    fn read(&self) -> Option<()> {
        self.0.fetch_update(Relaxed, Relaxed, |bytes| bytes.checked_sub(1)).ok().map(drop)
    }
}

/// A waker that a thread of the model sleeps for.
#[derive(Default)]
struct SleepWaker {
    /// The number of wakes that no sleep has used up.
    rung: LoomMutex<u32>,
    /// Notified when there is one.
    rings: Condvar,
}

impl SleepWaker {
    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while *rung == 0 {
            rung = self.rings.wait(rung).unwrap();
        }
        *rung = 0;
    }
}

impl std::task::Wake for SleepWaker {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() += 1;
        self.rings.notify_one();
    }
}

/// A source that a reactor watches, with whatever is said of it at first.
fn bound(ready: Interest) -> Arc<State> {
    let state = State::default();
    state.word.store(BOUND | u32::from(ready.0), Relaxed);
    Arc::new(state)
}

/// Reads one byte, by the code that futures poll, sleeping where that returns pending. Returns how many of
/// its system calls have said "it would block".
fn read(state: &State, peer: &Peer) -> u32 {
    let (sleeper, mut slot, mut refused) = (Arc::new(SleepWaker::default()), WakerSlot::Unset, 0);
    let waker = Waker::from(Arc::clone(&sleeper));
    loop {
        let waiter = Waiter { direction: Direction::Read, slot: &mut slot, waker: &waker };
        let op = || match peer.read() {
            Some(()) => Ok(Progress::More(())),
            None => {
                refused += 1;
                Err(io::ErrorKind::WouldBlock.into())
            }
        };
        // The reactor watches already.
        match state.poll_op(waiter, op, || Ok(())) {
            Poll::Ready(read) => break read.unwrap(),
            Poll::Pending => sleeper.sleep(),
        }
    }
    refused
}

/// All schedules with at most three involuntary switches; see the parker's model.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Sends one byte and reports it, as another thread.
fn send(state: &Arc<State>, peer: &Arc<Peer>) -> thread::JoinHandle<()> {
    let (state, peer) = (Arc::clone(state), Arc::clone(peer));
    thread::spawn(move || {
        peer.send();
        state.ready(Interest::READ, false);
    })
}

#[test]
fn an_event_between_the_system_call_and_the_clearing_is_not_lost() {
    check(|| {
        let (state, peer) = (bound(Interest::READ), Arc::new(Peer::default()));
        let sender = send(&state, &peer);
        // At most one call finds nothing before the report, and none after it.
        assert!(read(&state, &peer) <= 1);
        sender.join().unwrap();
    });
}

#[test]
fn a_report_brings_what_it_reports() {
    check(|| {
        let (state, peer) = (bound(Interest::NONE), Arc::new(Peer::default()));
        let sender = send(&state, &peer);
        assert_eq!(read(&state, &peer), 0, "a report came before its byte");
        sender.join().unwrap();
    });
}

#[test]
fn a_waiter_meets_each_of_two_events() {
    check(|| {
        let (state, peer) = (bound(Interest::READ), Arc::new(Peer::default()));
        let senders = [send(&state, &peer), send(&state, &peer)];
        read(&state, &peer);
        read(&state, &peer);
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

#[test]
fn a_report_for_writers_takes_nothing_from_readers() {
    check(|| {
        let (state, peer) = (bound(Interest::READ), Arc::new(Peer::default()));
        let sender = send(&state, &peer);
        let writable = {
            let state = Arc::clone(&state);
            thread::spawn(move || state.ready(Interest::WRITE, false))
        };
        read(&state, &peer);
        sender.join().unwrap();
        writable.join().unwrap();
        assert_eq!(state.word.load(Relaxed) & u32::from(Interest::WRITE.0), u32::from(Interest::WRITE.0));
    });
}

/// A waiter looks for another driver; here it finds its byte, which no reactor reports.
#[test]
fn the_end_of_the_reactor_ends_every_wait() {
    check(|| {
        let (state, peer) = (bound(Interest::READ), Arc::new(Peer::default()));
        let closer = {
            let (state, peer) = (Arc::clone(&state), Arc::clone(&peer));
            thread::spawn(move || {
                peer.send();
                state.unbind(std::ptr::null());
            })
        };
        read(&state, &peer);
        closer.join().unwrap();
        assert_eq!(state.word.load(Relaxed) & BOUND, 0);
    });
}
