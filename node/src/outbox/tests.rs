//! The order and the room of what is to be written, and who writes it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Wake;

use super::*;

fn frame(len: usize) -> Frame {
    Frame::from(vec![7; len])
}

/// Sends as a connection does.
fn send(outbox: &Outbox, len: usize, to: Receiver) -> Result<(), Refused> {
    if outbox.is_full(to) { Err(Refused::Full) } else { outbox.message(&mut frame(len), to) }
}

fn poll_room(outbox: &Outbox, flag: &Arc<Flag>, to: Receiver) -> Poll<()> {
    outbox.poll_room(&mut Context::from_waker(&flag.waker()), to)
}

/// Says that it has been woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Relaxed);
    }
}

impl Flag {
    /// Returns true if it has been woken since this was asked.
    fn is_set(&self) -> bool {
        self.0.swap(false, Relaxed)
    }

    fn waker(self: &Arc<Flag>) -> Waker {
        Waker::from(Arc::clone(self))
    }
}

#[test]
fn who_waits_goes_on_when_all_is_written() {
    let outbox = Outbox::new(true);
    let mut frame = frame(60 << 10);
    while outbox.message(&mut frame, Receiver::Named) == Ok(()) {}
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.poll_room(&mut cx, Receiver::Named).is_pending());
    let mut bytes = Vec::new();
    assert_eq!(outbox.take(&mut bytes), Taken::Some);
    assert!(bytes.len() >= FULL && outbox.poll_room(&mut cx, Receiver::Named).is_pending());
    // It is written now.
    assert_eq!(outbox.take(&mut bytes), Taken::All);
    assert!(bytes.is_empty() && outbox.poll_room(&mut cx, Receiver::Named).is_ready());
    assert!(outbox.state().waiting.is_empty());
}

#[test]
fn only_what_belongs_behind_a_big_message_waits_for_it() {
    let outbox = Outbox::new(true);
    let (near, far) = (Receiver::Pid(1), Receiver::Pid(2));
    assert!(outbox.passed_on(&mut frame(10 * FULL), near, Sender(7)));
    assert!(!outbox.is_full(far));
    assert_eq!(outbox.message(&mut frame(10), near), Ok(()));
    // A message that is as big has to wait.
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(send(&outbox, 1 << 17, far), Err(Refused::Full));
    assert!(outbox.poll_room(&mut cx, far).is_pending());
    // It may be given up, or wait: small ones of the same sender do not care.
    for _ in 0..2 {
        assert_eq!(send(&outbox, 1 << 17, far), Err(Refused::Full));
        assert_eq!(send(&outbox, 10, far), Ok(()));
        assert!(outbox.state().big_ones.is_empty());
    }
    let mut bytes = Vec::new();
    while outbox.take(&mut bytes) != Taken::All {}
    assert!(outbox.poll_room(&mut cx, far).is_ready());
    // A message of the same task's stays behind its own big one.
    assert_eq!(send(&outbox, 10 * FULL, near), Ok(()));
    assert_eq!(send(&outbox, 10, far), Err(Refused::Full));
    assert!(outbox.poll_room(&mut cx, far).is_pending());
}

#[test]
fn each_waits_for_what_has_no_room() {
    let outbox = Outbox::new(true);
    let (near, far) = (Receiver::Pid(1), Receiver::Pid(2));
    let mut bytes = Vec::new();
    let (small, big, other) = (Arc::<Flag>::default(), Arc::<Flag>::default(), Arc::<Flag>::default());
    assert!(outbox.passed_on(&mut frame(10 * FULL), near, Sender(7)));
    while send(&outbox, 60 << 10, far) == Ok(()) {}
    assert!(poll_room(&outbox, &small, far).is_pending());
    // The bytes are out, and the lanes are as full as before.
    while outbox.state().is_full(|| false) {
        let _ = outbox.take(&mut bytes);
    }
    assert!(outbox.state().lanes.len() > 8 * FULL);
    assert!(small.is_set() && poll_room(&outbox, &small, far).is_ready());
    assert_eq!(send(&outbox, 10, far), Ok(()));
    // Big ones wait for the lanes, and go on by turns.
    for flag in [&big, &other] {
        assert_eq!(send(&outbox, 10 * FULL, far), Err(Refused::Full));
        assert!(poll_room(&outbox, flag, far).is_pending());
    }
    outbox.state().big_ones.extend(1..=BIG_ONES as u64);
    assert_eq!(send(&outbox, 10 * FULL, far), Err(Refused::Full));
    assert_eq!(outbox.state().big_ones.len(), 1);
    while !big.is_set() {
        assert!(outbox.state().lanes.len() >= FULL);
        let _ = outbox.take(&mut bytes);
    }
    assert!(outbox.state().lanes.len() < FULL && !other.is_set());
    assert!(outbox.state().big_ones.is_empty());
    // A small one of the same task's waits for the end of that lane, not for what is in others.
    assert_eq!(send(&outbox, 2 * FULL, far), Ok(()));
    assert!(outbox.passed_on(&mut frame(20 * FULL), near, Sender(8)));
    assert_eq!(send(&outbox, 10, near), Err(Refused::Full));
    assert!(poll_room(&outbox, &small, near).is_pending());
    while !small.is_set() {
        assert_ne!(outbox.take(&mut bytes), Taken::All);
    }
    assert!(outbox.state().lanes.len() > 10 * FULL);
}

#[test]
fn a_closed_outbox_keeps_nothing() {
    let outbox = Outbox::new(true);
    assert!(outbox.passed_on(&mut frame(10 * FULL), Receiver::Pid(1), Sender(7)));
    assert_eq!(outbox.message(&mut frame(1 << 17), Receiver::Pid(2)), Err(Refused::Full));
    assert_eq!(outbox.message(&mut frame(10), Receiver::Pid(2)), Ok(()));
    assert_eq!(outbox.message(&mut frame(1 << 17), Receiver::Pid(2)), Err(Refused::Full));
    outbox.close();
    let state = outbox.state();
    assert!(state.is_empty() && state.bytes.capacity() == 0 && state.big_ones.is_empty());
    assert!(state.closed);
}

#[test]
fn the_longest_message_is_forgotten_when_nobody_has_to_wait() {
    let outbox = Outbox::new(true);
    let mut bytes = Vec::new();
    assert_eq!(outbox.message(&mut frame(800 << 10), Receiver::Pid(1)), Ok(()));
    for _ in 0..6 {
        assert!(outbox.passed_on(&mut frame(50 << 10), Receiver::Nobody, Sender(9)));
    }
    // Neither the lanes nor the other bytes are full; both together are more than that.
    assert_eq!(outbox.take(&mut bytes), Taken::Some);
    assert!(outbox.state().len() >= FULL && outbox.state().longest == 0);
}

#[test]
fn a_signal_beside_a_message_of_any_length_is_not_too_much() {
    let outbox = Outbox::new(true);
    let mut bytes = Vec::new();
    assert_eq!(outbox.message(&mut frame(TOO_MANY + FULL), Receiver::Named), Ok(()));
    assert!(outbox.signal(&mut frame(10), Receiver::Named));
    // The message is half written.
    while outbox.state().len() > TOO_MANY / 2 {
        let _ = outbox.take(&mut bytes);
    }
    assert!(outbox.signal(&mut frame(10), Receiver::Named));
    // But signals may be too many by themselves.
    assert!(outbox.signal(&mut frame(TOO_MANY), Receiver::Nobody));
    assert!(!outbox.signal(&mut frame(TOO_MANY), Receiver::Nobody));
    while outbox.take(&mut bytes) != Taken::All {}
    assert_eq!(outbox.state().longest, 0);
}

#[test]
fn what_cannot_be_written_at_once_goes_out_first() {
    let outbox = Outbox::new(true);
    let (mut written, mut bytes) = (Vec::<u8>::new(), Vec::new());
    let say = |number: u8| assert!(outbox.signal(&mut Frame::from(vec![number; 10]), Receiver::Nobody));
    say(1);
    outbox.write_now(|bytes| {
        // Meanwhile nobody else writes, and what comes is kept.
        say(2);
        assert_eq!(outbox.take(&mut Vec::new()), Taken::Lent);
        outbox.write_now(|_| panic!("somebody writes already"));
        written.extend(&bytes[..3]);
        Ok(3)
    });
    say(3);
    assert_eq!(outbox.take(&mut bytes), Taken::All);
    written.extend(&bytes);
    // The writer has what it has taken until it says otherwise.
    say(4);
    outbox.write_now(|_| panic!("the writer writes"));
    assert_eq!(outbox.take(&mut bytes), Taken::All);
    written.extend(&bytes);
    outbox.rest();
    say(5);
    outbox.write_now(|_| Err(io::ErrorKind::WouldBlock.into()));
    assert_eq!(outbox.take(&mut bytes), Taken::All);
    written.extend(&bytes);
    outbox.rest();
    assert_eq!(written, [[1; 10], [2; 10], [3; 10], [4; 10], [5; 10]].concat());
    assert!(passed_filled(&outbox), "the writer is told of what is left");
}

/// Returns true if the writer has been told that there is something.
fn passed_filled(outbox: &Outbox) -> bool {
    let mut filled = std::pin::pin!(outbox.filled());
    filled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn only_little_is_written_by_others_than_the_writer() {
    let outbox = Outbox::new(true);
    assert!(outbox.signal(&mut frame(AT_ONCE + 1), Receiver::Nobody));
    outbox.write_now(|_| panic!("it is too much"));
    assert!(passed_filled(&outbox));
    assert_eq!(outbox.take(&mut Vec::new()), Taken::All);
    outbox.rest();
    assert!(outbox.passed_on(&mut frame(1 << 17), Receiver::Pid(1), Sender(7)));
    outbox.write_now(|_| panic!("lanes are the writer's"));
    assert!(passed_filled(&outbox));
    let other = Outbox::new(true);
    assert!(other.signal(&mut frame(10), Receiver::Nobody));
    other.write_now(|bytes| {
        other.close();
        Ok(bytes.len() - 1)
    });
    let state = other.state();
    assert!(state.is_empty() && state.bytes.capacity() == 0);
    assert_eq!(state.len(), 0);
}

#[test]
fn nobody_writes_in_the_middle_of_a_tick() {
    let outbox = Outbox::new(true);
    let mut bytes = Vec::new();
    assert_eq!(outbox.take(&mut bytes), Taken::All);
    assert!(bytes.is_empty(), "so the writer may write a tick");
    assert!(outbox.signal(&mut frame(10), Receiver::Nobody));
    outbox.write_now(|_| panic!("the writer writes"));
    outbox.rest();
    let mut written = 0;
    outbox.write_now(|bytes| {
        written = bytes.len();
        Ok(written)
    });
    assert!(written > 0);
    outbox.write_now(|_| panic!("there is nothing"));
}

#[test]
fn who_waits_for_room_is_told_though_another_one_writes() {
    let outbox = Outbox::new(false);
    let mut bytes = Vec::new();
    assert!(outbox.signal(&mut frame(FULL - 1_000), Receiver::Nobody));
    assert_eq!(outbox.take(&mut bytes), Taken::All);
    assert!(outbox.signal(&mut frame(2_000), Receiver::Nobody));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.poll_room(&mut cx, Receiver::Nobody).is_pending());
    // The writer comes again just when somebody else has what is left.
    outbox.rest();
    outbox.write_now(|bytes| {
        assert_eq!(outbox.take(&mut Vec::new()), Taken::Lent);
        Ok(bytes.len())
    });
    assert!(passed_filled(&outbox), "the writer is told, and tells those who wait");
    assert_eq!(outbox.take(&mut bytes), Taken::All);
    assert!(outbox.state().waiting.is_empty());
}
