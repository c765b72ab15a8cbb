//! Channels: how tasks hand values to each other, on one backend or across two.
//!
//! | channel                    | holds                | a send waits               | a message goes to        |
//! |----------------------------|----------------------|----------------------------|--------------------------|
//! | [`bounded`]                | up to `n` messages   | while it is full           | one receiver             |
//! | [`unbounded`]              | any number           | never                      | one receiver             |
//! | [`priority`]               | up to `n`, or any    | while it is full           | one, the most urgent first |
//! | [`rendezvous`]             | none                 | until its message is taken | one receiver             |
//! | [`oneshot`](oneshot())     | one, once            | never                      | the receiver             |
//! | [`watch`](watch())         | the latest           | never                      | whoever looks            |
//! | [`broadcast`](broadcast()) | the last `n`         | never                      | every receiver           |
//!
//! Sends and receives are futures: finish them with `.await` or [`.wait()`](crate::Wait::wait), whichever
//! suits the code that they stand in. Both ends can be cloned, and a clone may be used from any task or
//! thread. A future that is dropped has neither sent nor received anything, with one exception, that of a
//! rendezvous: see [`Sender::send`]. Messages of one sender arrive in order.
//!
//! A sender can [reserve](Sender::reserve) room before it has a message, and hand a message back that was
//! [not sent in time](Sending::timeout). A [`WeakSender`] keeps no channel open.
//!
//! [`Source`] and [`Sink`] are the traits of everything that messages come from and go to.
//!
//! This module never blocks a thread: all waiting is in the futures. It runs no code of a message or a waker
//! while it holds a lock.
//!
//! ```
//! use twoply::{Wait, channel};
//!
//! let (tx, rx) = channel::bounded(16);
//! let worker = std::thread::spawn(move || rx.iter().sum::<u32>());
//! for n in 1..=100 {
//!     tx.send(n).wait().expect("the worker receives until the end");
//! }
//! drop(tx);
//! assert_eq!(worker.join().expect("the worker does not panic"), 5050);
//! ```

pub mod broadcast;
pub(crate) mod ends;
mod error;
pub mod oneshot;
mod permit;
mod priority;
mod queue;
mod receiver;
mod rendezvous;
mod send_timeout;
mod sender;
mod shared;
pub mod watch;
mod weak;

use std::sync::Arc;

pub(crate) use ends::take_message;
pub use ends::{Receiving, Sending, Sink, Source, WaitKey};
pub use error::{RecvError, ReserveError, SendError, SendTimeoutError, TryRecvError, TrySendError};
pub use permit::{OwnedPermit, Permit, Reserve, ReserveOwned};
use priority::PriorityQueue;
use queue::Queue;
pub use receiver::{Drain, IntoIter, Iter, Receiver, RecvMany, TryIter};
use rendezvous::Rendezvous;
pub use send_timeout::SendTimeout;
pub use sender::{Sender, WeakSender};
use shared::{Flavor, Shared};

/// Makes a channel that holds up to `capacity` messages; `0` makes it a [`rendezvous`].
///
/// Memory is taken as messages come, not beforehand.
///
/// ```
/// use twoply::{Wait, channel};
///
/// let (tx, rx) = channel::bounded(2);
/// tx.send("one").wait()?;
/// tx.send("two").wait()?;
/// assert!(tx.try_send("three").is_err(), "it is full");
/// assert_eq!(rx.recv().wait(), Ok("one"));
/// # Ok::<(), channel::SendError<&str>>(())
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    match capacity {
        0 => rendezvous(),
        _ => channel(Flavor::Queue(Queue::new(Some(capacity)))),
    }
}

/// Makes a channel that holds any number of messages: a send never waits, and memory is the only limit.
///
/// ```
/// use twoply::channel;
///
/// let (tx, rx) = channel::unbounded();
/// (0..1000).for_each(|n| tx.try_send(n).unwrap());
/// assert_eq!(rx.len(), 1000);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(Flavor::Queue(Queue::new(None)))
}

/// Makes a channel whose messages are received in the order of their priority, the highest first, and in the
/// order in which they were sent where that is the same.
///
/// `priority_of` says what a message's priority is. It holds up to `capacity` messages, at least one; `None`
/// is any number. The order is that of the messages which are in the channel: sends that wait for room are
/// served in the order in which they began to wait. A message of low priority waits for as long as there are
/// others before it.
///
/// Sending and receiving take time that grows with the logarithm of the number of messages: it is a binary
/// heap.
///
/// ```
/// use twoply::channel;
///
/// let (tx, rx) = channel::priority(None, |job: &(u64, &str)| job.0);
/// for job in [(1, "sweep"), (9, "fire"), (1, "dust"), (9, "flood")] {
///     tx.try_send(job).unwrap();
/// }
/// assert_eq!(rx.try_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["fire", "flood", "sweep", "dust"]);
/// ```
///
/// Where it is the least that comes first, a deadline for example, the priority is what is left up to the
/// greatest number:
/// ```
/// use twoply::channel;
///
/// let (tx, rx) = channel::priority(64, |deadline: &u64| u64::MAX - deadline);
/// [30, 10, 20].map(|deadline| tx.try_send(deadline).unwrap());
/// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [10, 20, 30]);
/// ```
///
/// An actor whose messages have more than two priorities (a mailbox knows usual and
/// [urgent](crate::actor::ProcessRef::urgent) ones) attaches such a channel, and is sent them by that:
/// ```
/// use std::convert::Infallible;
/// use twoply::actor::{Actor, Context};
/// use twoply::{Wait, channel};
///
/// struct Desk {
///     calls: Option<channel::Receiver<(u64, &'static str)>>,
///     handled: channel::Sender<&'static str>,
/// }
///
/// impl Actor for Desk {
///     type Message = (u64, &'static str);
///     type Error = Infallible;
///
///     async fn started(&mut self, cx: &mut Context<Desk>) -> Result<(), Infallible> {
///         self.calls.take().map(|calls| cx.attach(calls, |call| call));
///         Ok(())
///     }
///
///     async fn handle(&mut self, call: (u64, &'static str), _: &mut Context<Desk>) -> Result<(), Infallible> {
///         _ = self.handled.try_send(call.1);
///         Ok(())
///     }
/// }
///
/// let (call, calls) = channel::priority(100, |call: &(u64, &str)| call.0);
/// for new in [(2, "theft"), (1, "noise"), (3, "fire")] {
///     call.try_send(new)?;
/// }
/// let (handled, told) = channel::unbounded();
/// let desk = Desk { calls: Some(calls), handled }.spawn()?;
/// assert_eq!([(); 3].map(|()| told.recv().wait().unwrap()), ["fire", "theft", "noise"]);
/// # desk.pid().exit(twoply::actor::ExitReason::Normal);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn priority<T>(
    capacity: impl Into<Option<usize>>,
    priority_of: impl Fn(&T) -> u64 + Send + Sync + 'static,
) -> (Sender<T>, Receiver<T>) {
    let capacity = capacity.into().map(|capacity| capacity.max(1));
    channel(Flavor::Priority(Box::new(PriorityQueue::new(capacity, Box::new(priority_of)))))
}

/// Makes a channel that holds no message: a send is done when a receiver has taken the message.
///
/// ```
/// use twoply::{Wait, channel};
///
/// let (tx, rx) = channel::rendezvous();
/// let receiver = std::thread::spawn(move || rx.recv().wait());
/// tx.send("hand to hand").wait().expect("the receiver is there");
/// assert_eq!(receiver.join().expect("it does not panic"), Ok("hand to hand"));
/// ```
pub fn rendezvous<T>() -> (Sender<T>, Receiver<T>) {
    channel(Flavor::Rendezvous(Rendezvous::new()))
}

/// Makes a channel for one message; see [`oneshot`](mod@oneshot).
///
/// ```
/// use twoply::{Wait, channel};
///
/// let (tx, rx) = channel::oneshot();
/// tx.send(7).unwrap();
/// assert_eq!(rx.wait(), Ok(7));
/// ```
pub fn oneshot<T>() -> (oneshot::Sender<T>, oneshot::Receiver<T>) {
    oneshot::channel()
}

/// Makes a channel that holds the latest value, `value` at first; see [`watch`](mod@watch).
///
/// ```
/// use twoply::channel;
///
/// let (tx, mut rx) = channel::watch(0);
/// tx.send(1).unwrap();
/// assert_eq!(*rx.latest(), 1);
/// ```
pub fn watch<T>(value: T) -> (watch::Sender<T>, watch::Receiver<T>) {
    watch::channel(value)
}

/// Makes a channel whose every receiver gets every message, and which keeps the last `capacity` of them; see
/// [`broadcast`](mod@broadcast).
///
/// ```
/// use twoply::{Wait, channel};
///
/// let (tx, mut a) = channel::broadcast(16);
/// let mut b = tx.subscribe();
/// tx.send("event").unwrap();
/// assert_eq!((a.recv().wait(), b.recv().wait()), (Ok("event"), Ok("event")));
/// ```
pub fn broadcast<T>(capacity: usize) -> (broadcast::Sender<T>, broadcast::Receiver<T>) {
    broadcast::channel(capacity)
}

fn channel<T>(flavor: Flavor<T>) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(flavor));
    (Sender::new(Arc::clone(&shared)), Receiver::new(shared))
}
