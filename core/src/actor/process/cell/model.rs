//! The mailbox under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib actor`.
//!
//! A noop waker will do where a poll shows what a wake-up would have announced; where the wake-up itself is
//! the point, a waker sets a flag.

use std::task::{Context, Poll, Wake, Waker};

use loom::thread;

use super::super::mailbox::Batch;
use super::*;
use crate::actor::ExitReason;
use crate::base::waitlist::WaitKey;

fn cell(capacity: u32) -> Arc<Cell<u32>> {
    Cell::new(capacity, Overflow::Wait, false, Extra::none())
}

/// True once it has been woken.
#[derive(Default)]
struct Bell(std::sync::atomic::AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

fn send(cell: &Cell<u32>, wait_key: &mut WaitKey, message: u32, waker: &Waker) -> bool {
    let mut cx = Context::from_waker(waker);
    cell.poll_permit(false, wait_key, &mut Some(message), &mut cx).is_ready()
}

#[test]
fn a_message_wakes_the_receiver_that_comes_to_wait() {
    loom::model(|| {
        let cell = cell(1);
        let sender = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || assert!(cell.try_send(1, false).is_ok()))
        };
        let (bell, mut batch) = (Arc::new(Bell::default()), Batch::new());
        let waker = Waker::from(Arc::clone(&bell));
        let at_once = match cell.try_next(&mut batch) {
            Some(_) => true,
            None => cell.poll_filled(&mut batch, &mut Context::from_waker(&waker)).is_ready(),
        };
        sender.join().unwrap();
        assert!(at_once || bell.0.load(std::sync::atomic::Ordering::SeqCst), "asleep, with a message there");
    });
}

/// The pair S1, S2 and R1, R2 of the mailbox's diagram.
#[test]
fn a_receive_wakes_the_send_that_comes_to_wait() {
    loom::model(|| {
        let cell = cell(1);
        assert!(cell.try_send(1, false).is_ok());
        assert!(cell.try_send(2, false).is_err());
        // The message is with the receiver already, so that it is taken without the lock.
        let mut batch = Batch::new();
        cell.fetch_all(&mut batch, &mut 0);
        let receiver = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                assert!(cell.try_next(&mut batch).is_some());
                batch
            })
        };
        let bell = Arc::new(Bell::default());
        let mut wait_key = WaitKey::new();
        let at_once = send(&cell, &mut wait_key, 3, &Waker::from(Arc::clone(&bell)));
        let mut batch = receiver.join().unwrap();
        assert!(
            at_once || bell.0.load(std::sync::atomic::Ordering::SeqCst),
            "it waits for room that is there"
        );
        assert!(at_once || send(&cell, &mut wait_key, 3, Waker::noop()), "it was promised");
        assert!(cell.try_next(&mut batch).is_some());
    });
}

#[test]
fn the_mailbox_never_holds_more_than_its_capacity() {
    loom::model(|| {
        let cell = cell(1);
        assert!(cell.try_send(1, false).is_ok());
        let mut batch = Batch::new();
        cell.fetch_all(&mut batch, &mut 0);
        let sender = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || u32::from(cell.try_send(2, false).is_ok()))
        };
        let mut taken = u32::from(cell.try_next(&mut batch).is_some());
        let mine = u32::from(cell.try_send(3, false).is_ok());
        let sent = 1 + mine + sender.join().unwrap();
        assert!(sent - taken <= 1, "{sent} sent, {taken} taken");
        while cell.try_next(&mut batch).is_some() {
            taken += 1;
        }
        assert_eq!(sent, taken);
    });
}

#[test]
fn a_promise_that_is_given_up_goes_to_the_next_waiter() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let cell = cell(1);
        assert!(cell.try_send(1, false).is_ok());
        let mut batch = Batch::new();
        cell.fetch_all(&mut batch, &mut 0);
        let (mut a, mut b) = (WaitKey::new(), WaitKey::new());
        assert!(!send(&cell, &mut a, 2, Waker::noop()));
        let receiver = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || drop((cell.try_next(&mut batch), batch)))
        };
        let at_once = send(&cell, &mut b, 3, Waker::noop());
        cell.stop_send(&mut a);
        receiver.join().unwrap();
        assert!(at_once || send(&cell, &mut b, 3, Waker::noop()), "the permit is lost");
        assert_eq!(lock(&cell.inbox).queue.permits(), 0);
    });
}

/// The receiver that calls a sender of several messages looks at no others until that comes.
#[test]
fn whoever_is_called_takes_what_has_become_free_and_serves_the_next() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let cell = cell(2);
        assert!(cell.try_send(1, false).is_ok() && cell.try_send(2, false).is_ok());
        let mut batch = Batch::new();
        cell.fetch_all(&mut batch, &mut 0);
        let receiver = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                assert!(cell.try_next(&mut batch).is_some() && cell.try_next(&mut batch).is_some());
            })
        };
        let bells = [(); 2].map(|()| Arc::new(Bell::default()));
        let wakers = bells.clone().map(Waker::from);
        let rang = |bell: usize| bells[bell].0.load(std::sync::atomic::Ordering::SeqCst);
        let (mut a, mut b) = (WaitKey::new(), WaitKey::new());
        let mut reserve = || cell.poll_permits(1, &mut a, &mut Context::from_waker(&wakers[0]));
        let first = reserve();
        let second = send(&cell, &mut b, 4, &wakers[1]);
        receiver.join().unwrap();
        assert!(first.is_ready() || rang(0), "asleep, and there is room");
        if first.is_pending() {
            assert_eq!(reserve(), Poll::Ready(Reserved::Permits(1)));
        }
        assert!(cell.send_reserved(1, &mut vec![3]));
        assert!(second || rang(1), "whoever came after it has not been served");
        assert!(second || send(&cell, &mut b, 4, &wakers[1]));
        assert_eq!(lock(&cell.inbox).queue.permits(), 0);
    });
}

#[test]
fn a_send_that_comes_to_wait_learns_of_the_end() {
    loom::model(|| {
        let cell = cell(1);
        assert!(cell.try_send(1, false).is_ok());
        let process = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.end(ExitReason::Normal))
        };
        let bell = Arc::new(Bell::default());
        let mut wait_key = WaitKey::new();
        let at_once = send(&cell, &mut wait_key, 2, &Waker::from(Arc::clone(&bell)));
        process.join().unwrap();
        assert!(at_once || bell.0.load(std::sync::atomic::Ordering::SeqCst), "it waits for ever");
        assert!(at_once || send(&cell, &mut wait_key, 2, Waker::noop()));
    });
}
