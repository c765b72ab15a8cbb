//! [`Barrier`]: a place where tasks wait for each other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::base::fused::fused;
use crate::base::sync::{Mutex, const_fn, lock};
use crate::base::waitlist::{LinkedSlab, WaitKey};
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::coop;
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// Lets a number of tasks wait until all of them have arrived. It may be used again and again.
///
/// Exactly one of those who meet is the leader. The interface is that of std's `Barrier`.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use twoply::{Wait, sync::Barrier};
///
/// let barrier = Arc::new(Barrier::new(3));
/// let tasks: Vec<_> = (0..3)
///     .map(|_| {
///         let barrier = Arc::clone(&barrier);
///         twoply::spawn(async move { barrier.wait().await.is_leader() })
///     })
///     .collect();
/// let leaders = tasks.into_iter().filter_map(|task| task.wait().ok()).filter(|is_leader| *is_leader);
/// assert_eq!(leaders.count(), 1);
/// ```
pub struct Barrier {
    /// The number of those that have to arrive; at least one.
    parties: usize,
    state: Mutex<State>,
}

/// The part of a barrier that its lock guards.
struct State {
    /// The number of entries in `waiters`.
    arrived: usize,
    /// Those who have arrived and wait for the others. A key without an entry means that all have arrived.
    waiters: LinkedSlab<StoredWaker>,
}

impl Barrier {
    const_fn! {
        /// Makes a barrier for `parties` tasks. 0 is taken for 1: nobody has to wait.
        pub fn new(parties: usize) -> Barrier {
            let parties = if parties == 0 { 1 } else { parties };
            Barrier { parties, state: Mutex::new(State { arrived: 0, waiters: LinkedSlab::new() }) }
        }
    }

    /// Arrives, and waits until all have; finish it with `.await` or `.wait()`. It arrives with its first
    /// poll. The one that arrives last is the leader.
    ///
    /// Cancel-safe: if it is dropped before all have arrived, it has not arrived, and the others wait for
    /// somebody else.
    ///
    /// # Panics
    /// When it is polled after it was ready.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, future::join, sync::Barrier, time::timeout};
    ///
    /// let barrier = Barrier::new(2);
    /// assert!(timeout(Duration::from_millis(1), barrier.wait()).wait().is_err(), "it was alone");
    /// let (first, second) = join((barrier.wait(), barrier.wait())).wait();
    /// assert!(!first.is_leader() && second.is_leader());
    /// ```
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait { barrier: Some(self), wait_key: WaitKey::new() }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrived = lock(&self.state).arrived;
        f.debug_struct("Barrier").field("parties", &self.parties).field("arrived", &arrived).finish()
    }
}

/// The outcome of a wait at a [`Barrier`].
///
/// # Examples
/// ```
/// use twoply::{Wait, sync::Barrier};
///
/// let barrier = Barrier::new(1);
/// assert!(barrier.wait().wait().is_leader(), "one of those who come is the leader");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Returns whether this is the one that arrived last, of those who have met.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::Barrier};
    ///
    /// assert!(Barrier::new(1).wait().wait().is_leader(), "it has met nobody else");
    /// ```
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

/// The future of [`Barrier::wait`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct BarrierWait<'a> {
    /// None once it has been ready.
    barrier: Option<&'a Barrier>,
    /// The key of its entry; set when it has arrived.
    wait_key: WaitKey,
}

impl Future for BarrierWait<'_> {
    type Output = BarrierWaitResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BarrierWaitResult> {
        let this = self.get_mut();
        let barrier = this.barrier.expect("a wait at a barrier was polled after it was ready");
        let unit = ready!(coop::proceed(cx));
        // Dropped, as the older local, when the lock is free.
        let mut spare = None;
        let result = loop {
            let mut state = lock(&barrier.state);
            let is_waiting = state.waiters.is_waiting(&this.wait_key);
            if this.wait_key.is_set() && !is_waiting {
                break BarrierWaitResult(false);
            }
            if !is_waiting && state.arrived + 1 == barrier.parties {
                state.arrived = 0;
                let mut wakers = Vec::with_capacity(barrier.parties - 1);
                wakers.extend(std::iter::from_fn(|| state.waiters.pop_front()));
                drop(state);
                wake_all(wakers);
                break BarrierWaitResult(true);
            }
            if state.waiters.enter(&mut this.wait_key, cx.waker(), &mut spare) {
                state.arrived += usize::from(!is_waiting);
                drop(state);
                return waiting::note(Poll::Pending, || WaitingFor::Signal { signal: address_of(barrier) });
            }
            drop(state);
            spare = Some(StoredWaker::of(cx.waker()));
        };
        unit.spend();
        this.wait_key.take();
        this.barrier = None;
        Poll::Ready(result)
    }
}

fused! { [] BarrierWait<'_>, |this| this.barrier.is_none() }

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        let Some(barrier) = self.barrier.filter(|_| self.wait_key.is_set()) else { return };
        let mut state = lock(&barrier.state);
        let left = state.waiters.leave(&mut self.wait_key);
        state.arrived -= usize::from(left.is_some());
        drop(state);
        drop(left);
    }
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWait").field("arrived", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}
