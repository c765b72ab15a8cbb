//! [`CancellationToken`]: asking any number of tasks to end, a tree of them at a time.
//!
//! Tokens that descend from each other share one [`Tree`], which knows who is below whom and nothing else.
//! The state of a token, and those who wait for it, are in its [`Node`]; so a look takes no lock.
//!
//! ```text
//! node:  live ──(1) cancel──▶ cancelled     (1) under the lock of the tree, together with leaving it: what is below a
//!                                               cancelled node has been cancelled, or is about to be by the same call,
//!                                               and nothing new comes below it. Those who wait are woken after that,
//!                                               without the lock.
//! ```
//!
//! A node does not keep the ones above it: where a token is dropped, those below it take its place in the
//! tree. So nothing is left of a token but its children, and neither a drop nor a cancellation calls itself
//! for each level.

mod tree;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use crate::base::sync::atomic::AtomicBool;
use crate::base::sync::atomic::Ordering::{Acquire, Release};
use crate::base::sync::{Mutex, lock};
use crate::base::waitlist::{WaitKey, WaitList};
use crate::future::{OneOf, select};
use crate::kernel::coop;
use crate::kernel::waiting::{self, WaitingFor, address_of};
use tree::{NodeKey, Tree};

/// The number of nodes that are cancelled before others get the lock of the tree.
const BATCH: usize = 64;

/// Asks tasks to end, and says whether it has been asked.
///
/// It is the polite way: whoever holds a token looks at it when that suits, with
/// [`is_cancelled`](CancellationToken::is_cancelled), or waits for it beside other things, with
/// [`cancelled`](CancellationToken::cancelled) in a [`select!`](crate::select!). To cancel a task in the
/// middle of what it does there is [`TaskRef::cancel`](crate::task::TaskRef::cancel). Clones are the same
/// token.
///
/// Cancellation flows down and not up: a [`child_token`](CancellationToken::child_token) is cancelled with
/// its parent, and may be cancelled alone. A token that is dropped cancels nothing; a [`DropGuard`] does. It
/// stays cancelled for good.
///
/// # Examples
/// ```
/// use twoply::{Wait, select, sync::CancellationToken, time};
///
/// let token = CancellationToken::new();
/// let of_task = token.child_token();
/// let task = twoply::spawn(async move {
///     let mut rounds = 0;
///     loop {
///         select! { await;
///             () = of_task.cancelled() => return rounds,
///             () = time::sleep(std::time::Duration::from_millis(1)) => rounds += 1,
///         }
///     }
/// });
/// token.cancel();
/// task.wait().unwrap();
/// ```
#[derive(Clone)]
pub struct CancellationToken(Arc<Node>);

impl CancellationToken {
    /// Makes a token that is below no other one.
    ///
    /// # Examples
    /// ```
    /// use twoply::sync::CancellationToken;
    ///
    /// let token = CancellationToken::new();
    /// assert!(!token.is_cancelled());
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn new() -> CancellationToken {
        let mut tree = Tree::new();
        let node = Arc::new_cyclic(|node: &Weak<Node>| {
            let key = tree.add(node.clone());
            Node::new(Arc::new(Mutex::new(tree)), key, false)
        });
        CancellationToken(node)
    }

    /// Makes a token that is cancelled when this one is, or by itself. If this one has been cancelled, so is
    /// it.
    ///
    /// It does not keep this one: what it descends from may be dropped, and whatever is above that still
    /// reaches it.
    ///
    /// # Examples
    /// ```
    /// use twoply::sync::CancellationToken;
    ///
    /// let parent = CancellationToken::new();
    /// let (one, other) = (parent.child_token(), parent.child_token());
    /// one.cancel();
    /// assert!(!parent.is_cancelled() && !other.is_cancelled());
    /// parent.cancel();
    /// assert!(other.is_cancelled() && parent.child_token().is_cancelled());
    /// ```
    pub fn child_token(&self) -> CancellationToken {
        let parent = &self.0;
        // Held until the child is whole: a cancellation finds it in the tree.
        let mut tree = lock(&parent.tree);
        let is_cancelled = parent.is_cancelled();
        let child = Arc::new_cyclic(|child: &Weak<Node>| {
            let key = if is_cancelled { NodeKey::NONE } else { tree.add_below(parent.key, child.clone()) };
            Node::new(Arc::clone(&parent.tree), key, is_cancelled)
        });
        drop(tree);
        CancellationToken(child)
    }

    /// Cancels this token and all that descend from it, and then wakes those who wait for them. Does nothing
    /// if it has been cancelled.
    ///
    /// When it returns they are all cancelled, but for those that another thread is about to cancel by a call
    /// of its own.
    ///
    /// # Examples
    /// ```
    /// use twoply::sync::CancellationToken;
    ///
    /// let token = CancellationToken::new();
    /// let clone = token.clone();
    /// token.cancel();
    /// assert!(clone.is_cancelled());
    /// ```
    pub fn cancel(&self) {
        if let Some(below) = self.0.mark_all() {
            self.0.waiters.notify_all();
            below.iter().for_each(|node| node.waiters.notify_all());
        }
    }

    /// Returns whether it has been cancelled. A load; it may be asked in an inner loop.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::CancellationToken};
    ///
    /// let token = CancellationToken::new();
    /// let of_task = token.clone();
    /// let task = twoply::spawn_fn(move || {
    ///     while !of_task.is_cancelled() {
    ///         std::thread::yield_now();
    ///     }
    /// });
    /// token.cancel();
    /// task.wait().unwrap();
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is cancelled; finish it with `.await` or `.wait()`. Ready at once if it has been.
    ///
    /// Cancel-safe: a dropped wait changes nothing.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::CancellationToken};
    ///
    /// let token = CancellationToken::new();
    /// let child = token.child_token();
    /// std::thread::spawn(move || token.cancel());
    /// child.cancelled().wait();
    /// ```
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled { token: self, wait_key: WaitKey::new() }
    }

    /// As [`cancelled`](CancellationToken::cancelled), for those who need a future that borrows nothing.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::CancellationToken};
    ///
    /// let token = CancellationToken::new();
    /// let task = twoply::spawn(token.clone().cancelled_owned());
    /// token.cancel();
    /// task.wait().unwrap();
    /// ```
    pub fn cancelled_owned(self) -> CancelledOwned {
        CancelledOwned { token: self, wait_key: WaitKey::new() }
    }

    /// Runs `future` until it is ready or this token is cancelled, and then drops it. `None`: the token was
    /// first. Where both come at once, and where the token has been cancelled before, the token is first.
    ///
    /// Cancel-safe if the future is.
    ///
    /// # Examples
    /// ```
    /// use std::future::{pending, ready};
    /// use twoply::{Wait, sync::CancellationToken};
    ///
    /// let token = CancellationToken::new();
    /// assert_eq!(token.run_until_cancelled(ready(7)).wait(), Some(7));
    /// let of_task = token.clone();
    /// let task = twoply::spawn(async move { of_task.run_until_cancelled(pending::<()>()).await });
    /// token.cancel();
    /// assert_eq!(task.wait().unwrap(), None);
    /// ```
    pub async fn run_until_cancelled<F: IntoFuture>(&self, future: F) -> Option<F::Output> {
        match select((self.cancelled(), future)).biased().await {
            OneOf::First(()) => None,
            OneOf::Second(output) => Some(output),
        }
    }

    /// Makes a guard that cancels the token when it is dropped: whoever returns, fails, panics or is
    /// cancelled takes along what it has started.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::CancellationToken};
    ///
    /// let token = CancellationToken::new();
    /// let task = twoply::spawn(token.child_token().cancelled_owned());
    /// let guard = token.drop_guard();
    /// drop(guard);
    /// task.wait().unwrap();
    /// ```
    pub fn drop_guard(self) -> DropGuard {
        DropGuard(Some(self))
    }
}

impl Default for CancellationToken {
    fn default() -> CancellationToken {
        CancellationToken::new()
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

/// A token, as its clones and its futures share it.
struct Node {
    cancelled: AtomicBool,
    /// Those who wait; notified once, after `cancelled` has been set.
    waiters: WaitList,
    tree: Arc<Mutex<Tree<Weak<Node>>>>,
    /// The node's key in the tree, until it is cancelled.
    key: NodeKey,
}

impl Node {
    fn new(tree: Arc<Mutex<Tree<Weak<Node>>>>, key: NodeKey, cancelled: bool) -> Node {
        Node { cancelled: AtomicBool::new(cancelled), waiters: WaitList::new(), tree, key }
    }

    fn is_cancelled(&self) -> bool {
        // Acquire pairs with Release in `mark`.
        self.cancelled.load(Acquire)
    }

    /// Makes transition 1 of the module's diagram. For the holder of the lock of the tree.
    fn mark(&self) {
        self.cancelled.store(true, Release);
    }

    /// Cancels this node and those below it, without waking anybody. Returns those below. None if it was
    /// cancelled before.
    fn mark_all(&self) -> Option<Vec<Arc<Node>>> {
        let mut tree = lock(&self.tree);
        if self.is_cancelled() {
            return None;
        }
        self.mark();
        tree.leave(self.key);
        let mut below = Vec::new();
        // Level by level: of each node that is taken out, those below it get into the list.
        while let Some(key) = tree.first_below(self.key) {
            tree.move_children(key, self.key);
            match tree.value(key).and_then(Weak::upgrade) {
                Some(node) => {
                    node.mark();
                    tree.remove(key);
                    below.push(node);
                }
                // It is being dropped, and waits for the lock to give its key up.
                None => tree.leave(key),
            }
            if below.len() % BATCH == BATCH - 1 {
                drop(tree);
                tree = lock(&self.tree);
            }
        }
        tree.remove(self.key);
        Some(below)
    }

    fn poll_cancelled(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<()> {
        let cancelled = self.waiters.poll_until(wait_key, cx, || self.is_cancelled().then_some(()));
        ready!(waiting::note(cancelled, || WaitingFor::Signal { signal: address_of(self) }));
        // After that: so whoever has polled once has left a waker, whatever is left of the budget.
        ready!(coop::proceed(cx)).spend();
        Poll::Ready(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Whoever cancels a node has a reference to it: from here on nobody does.
        if !self.is_cancelled() {
            lock(&self.tree).remove(self.key);
        }
    }
}

/// The future of [`CancellationToken::cancelled`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Cancelled<'a> {
    token: &'a CancellationToken,
    wait_key: WaitKey,
}

/// The future of [`CancellationToken::cancelled_owned`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct CancelledOwned {
    token: CancellationToken,
    wait_key: WaitKey,
}

/// The impls that the two futures have in common.
macro_rules! wait_for_cancellation {
    ($Name:ident $(<$life:lifetime>)?) => {
        impl Future for $Name $(<$life>)? {
            type Output = ();

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                let this = self.get_mut();
                this.token.0.poll_cancelled(&mut this.wait_key, cx)
            }
        }

        impl Drop for $Name $(<$life>)? {
            fn drop(&mut self) {
                self.token.0.waiters.withdraw(&mut self.wait_key);
            }
        }

        impl fmt::Debug for $Name $(<$life>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Name)).field("token", &self.token).finish_non_exhaustive()
            }
        }
    };
}

wait_for_cancellation!(Cancelled<'_>);
wait_for_cancellation!(CancelledOwned);

/// Cancels a token when it is dropped; made by [`CancellationToken::drop_guard`].
///
/// # Examples
/// ```
/// use twoply::{Wait, sync::CancellationToken};
///
/// let token = CancellationToken::new();
/// let guard = token.clone().drop_guard();
/// assert!(!token.is_cancelled());
/// drop(guard); // At the end of the function, however that is left.
/// assert!(token.is_cancelled());
/// ```
#[derive(Debug)]
#[must_use = "dropping the guard cancels the token"]
pub struct DropGuard(Option<CancellationToken>);

impl DropGuard {
    /// Hands the token back, without cancelling it.
    ///
    /// # Examples
    /// ```
    /// use twoply::sync::CancellationToken;
    ///
    /// let guard = CancellationToken::new().drop_guard();
    /// assert!(!guard.disarm().is_cancelled());
    /// ```
    pub fn disarm(mut self) -> CancellationToken {
        self.0.take().expect("the token is there until the guard is disarmed or dropped")
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.0 {
            token.cancel();
        }
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;
