//! Tests of whose turn it is: no process, no task.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::*;
use crate::channel::{self, Sender};

/// A mailbox that has a message whenever `full` says so, and the sources beside it.
struct Polled {
    /// The source that is attached.
    sources: Sources<&'static str>,
    /// True if the mailbox has a message.
    full: bool,
}

impl Polled {
    fn new(full: bool) -> Polled {
        Polled { sources: Sources::new(), full }
    }

    /// The next message, if there is one.
    fn next(&mut self) -> Option<&'static str> {
        let full = self.full;
        let mailbox = |_: &mut Context<'_>| if full { Poll::Ready("mail") } else { Poll::Pending };
        match self.sources.poll_next(&mut Context::from_waker(Waker::noop()), mailbox, |message| message) {
            Poll::Ready(message) => Some(message),
            Poll::Pending => None,
        }
    }

    fn next_of<const N: usize>(&mut self) -> [Option<&'static str>; N] {
        std::array::from_fn(|_| self.next())
    }

    /// Attaches a channel whose items are messages.
    fn channel(&mut self) -> (Sender<&'static str>, Attachment) {
        let (tx, rx) = channel::unbounded();
        let attachment = self.sources.attach(rx, |item| item);
        (tx, attachment)
    }
}

#[test]
fn the_mailbox_and_every_source_have_turns() {
    let mut polled = Polled::new(true);
    let ((a, _), (b, _)) = (polled.channel(), polled.channel());
    for _ in 0..3 {
        a.try_send("a").unwrap();
        b.try_send("b").unwrap();
    }
    let turns = polled.next_of::<9>().map(|message| message.unwrap_or("none"));
    assert_eq!(turns, ["mail", "a", "b", "mail", "a", "b", "mail", "a", "b"]);
    assert_eq!(polled.next_of::<2>(), [Some("mail"), Some("mail")]);
    // One that has been quiet does not wait for a round of the others.
    b.try_send("b").unwrap();
    assert_eq!(polled.next_of::<2>(), [Some("b"), Some("mail")]);
    polled.full = false;
    a.try_send("a").unwrap();
    assert_eq!(polled.next_of::<2>(), [Some("a"), None]);
}

#[test]
fn the_end_of_a_source_is_told_once_and_its_place_is_given_up() {
    let mut polled = Polled::new(false);
    let (first, rx) = channel::unbounded::<u32>();
    let first_name = polled.sources.attach(rx, |item| match item {
        Some(n) => (n % 2 == 0).then_some("even"),
        None => Some("over"),
    });
    let (second, second_name) = polled.channel();
    for n in [1, 2, 3, 4] {
        first.try_send(n).unwrap();
    }
    drop(first);
    drop(second);
    assert_eq!(polled.next_of::<4>(), [Some("even"), Some("even"), Some("over"), None]);
    assert!(!polled.sources.detach(first_name) && !polled.sources.detach(second_name));
    assert!(polled.sources.attached.is_empty());
}

#[test]
fn what_ends_in_the_middle_costs_nobody_a_turn() {
    let mut polled = Polled::new(true);
    let ((a, _), (b, _), (c, _)) = (polled.channel(), polled.channel(), polled.channel());
    for tx in [&a, &c] {
        tx.try_send("x").unwrap();
        tx.try_send("x").unwrap();
    }
    drop(b);
    assert_eq!(polled.next_of::<4>(), [Some("mail"), Some("x"), Some("x"), Some("mail")]);
    assert_eq!(polled.next_of::<3>(), [Some("x"), Some("x"), Some("mail")]);
}

#[test]
fn what_is_detached_is_dropped_and_its_items_stay_where_they_are() {
    let mut polled = Polled::new(false);
    let (tx, rx) = channel::unbounded();
    let attachment = polled.sources.attach(rx.clone(), |item| item);
    assert_eq!(polled.next(), None);
    tx.try_send("for somebody else").unwrap();
    assert!(polled.sources.detach(attachment));
    assert!(!polled.sources.detach(attachment));
    assert_eq!(polled.next(), None);
    assert_eq!(rx.try_recv(), Ok("for somebody else"));
    drop(rx);
    assert!(tx.try_send("to nobody").is_err(), "the source is gone");
}

#[test]
fn whoever_is_detached_leaves_the_line_of_its_source() {
    let mut polled = Polled::new(false);
    let (tx, rx) = channel::unbounded();
    let attachment = polled.sources.attach(rx.clone(), |item| item);
    // It is the first that waits, another one the second.
    assert_eq!(polled.next(), None);
    let (woken, count) = counter();
    let mut other = Box::pin(rx.recv());
    assert!(other.as_mut().poll(&mut Context::from_waker(&woken)).is_pending());
    polled.sources.detach(attachment);
    tx.try_send("x").unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 1, "the one who is left is woken");
}

/// A waker that counts.
fn counter() -> (Waker, Arc<AtomicUsize>) {
    struct Count(Arc<AtomicUsize>);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    (Waker::from(Arc::new(Count(Arc::clone(&count)))), count)
}
