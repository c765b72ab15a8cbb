//! Messages that are sent later.
//!
//! A timer is a sleep whose waker delivers: there is no task and no thread to it, and every driver that can fire a
//! deadline can run it. It refers to its target weakly.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::cell::Cell;
use super::reference::ProcessRef;
use crate::lock::lock;
use crate::time::{Sleep, sleep};

/// A message on its way to a process; see [`Process::send_after`](super::Process::send_after).
///
/// Dropping it does not cancel it.
#[derive(Clone)]
pub struct Timer(Arc<dyn Pending>);

impl Timer {
    pub(super) fn start<M: Send + 'static>(delay: Duration, target: &ProcessRef<M>, message: M) -> Timer {
        let load = Load { target: Arc::downgrade(target.cell()), message };
        let sleep = sleep(delay);
        let timer =
            Arc::new(Delayed(Mutex::new(State { sleep: Some(sleep), load: Some(load), woken: false })));
        timer.advance();
        Timer(timer)
    }

    /// Cancels it. Returns whether the message will not be sent because of that; false when it has been sent or
    /// cancelled before.
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }

    /// Whether the message is still to be sent.
    pub fn is_pending(&self) -> bool {
        self.0.is_pending()
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("pending", &self.is_pending()).finish_non_exhaustive()
    }
}

/// A timer, whatever it sends.
trait Pending: Send + Sync {
    fn cancel(&self) -> bool;
    fn is_pending(&self) -> bool;
}

/// A message and where it goes.
struct Load<M> {
    /// The process.
    target: Weak<Cell<M>>,
    /// The message.
    message: M,
}

/// The state of a timer, under a lock that nothing else runs under: the sleep is taken out to be polled.
struct Delayed<M>(Mutex<State<M>>);

struct State<M> {
    /// The deadline; taken out while it is polled.
    sleep: Option<Sleep>,
    /// What is to be sent; `None` when that has been done or cancelled.
    load: Option<Load<M>>,
    /// It was woken while it was polled: to be polled again.
    woken: bool,
}

impl<M: Send + 'static> Delayed<M> {
    /// Polls the sleep, and sends the message if it is over.
    fn advance(self: &Arc<Self>) {
        let Some(mut sleep) = self.take_sleep() else { return };
        let waker = Waker::from(Arc::clone(self));
        loop {
            let elapsed = Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker));
            let mut state = lock(&self.0);
            match elapsed {
                Poll::Ready(()) => {
                    let load = state.load.take();
                    drop(state);
                    drop(sleep);
                    return send(load);
                }
                // Woken meanwhile: by the deadline itself, or because its driver has been shut down.
                Poll::Pending if std::mem::take(&mut state.woken) => {}
                Poll::Pending => {
                    if state.load.is_some() {
                        state.sleep = Some(sleep);
                    }
                    return;
                }
            }
        }
    }

    fn take_sleep(&self) -> Option<Sleep> {
        let mut state = lock(&self.0);
        state.woken |= state.sleep.is_none();
        state.sleep.take()
    }
}

fn send<M>(load: Option<Load<M>>) {
    let Some(Load { target, message }) = load else { return };
    match target.upgrade() {
        Some(cell) => cell.force_send(message),
        None => drop(message),
    }
}

impl<M: Send + 'static> Wake for Delayed<M> {
    fn wake(self: Arc<Self>) {
        self.advance();
    }
}

impl<M: Send + 'static> Pending for Delayed<M> {
    fn cancel(&self) -> bool {
        let (sleep, load) = {
            let mut state = lock(&self.0);
            (state.sleep.take(), state.load.take())
        };
        // Taking the deadline back drops the driver's waker, which is this.
        drop(sleep);
        load.is_some()
    }

    fn is_pending(&self) -> bool {
        lock(&self.0).load.is_some()
    }
}
