//! [`select_all`]: waiting for the first of a set of futures that changes.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::children::Children;
use super::random;
use crate::kernel::selection::Selection;

/// Makes a set of futures, whose [`next_ready`](SelectAll::next_ready) is whichever is ready first. Futures
/// may be added and taken out between two of them.
///
/// Only futures that were woken are polled, those first that were woken first; in which order they are polled
/// at the beginning is left to chance. The [keys](SelectKey) of these futures have the indices 0, 1, 2 and so
/// on.
///
/// It is Go's `reflect.Select` and crossbeam's `Select` for any futures: sends and receives of any channels,
/// sleeps, tasks. Futures of several types go in as `Pin<Box<dyn Future<Output = T>>>`.
///
/// ```
/// use twoply::{Wait, channel, future::select_all};
///
/// let channels: Vec<_> = (0..3).map(|_| channel::unbounded()).collect();
/// channels[1].0.try_send("hello").unwrap();
/// let mut receives = select_all(channels.iter().map(|(_, rx)| rx.recv()));
/// let (key, message) = receives.next_ready().wait().expect("there are three");
/// assert_eq!((key.index(), message), (1, Ok("hello")));
///
/// // The one that was ready has left the set. It goes back in for its next message.
/// let again = receives.insert(channels[1].1.recv());
/// channels[1].0.try_send("again").unwrap();
/// assert_eq!(receives.next_ready().wait(), Some((again, Ok("again"))));
/// ```
pub fn select_all<I: IntoIterator<Item: IntoFuture>>(
    futures: I,
) -> SelectAll<<I::Item as IntoFuture>::IntoFuture> {
    let children = Children::new(futures.into_iter().map(IntoFuture::into_future), random::shuffle);
    let slots = (0..children.left()).map(|_| Slot { generation: 0, taken: true }).collect();
    SelectAll { children, slots, selection: Selection::default() }
}

/// A set of futures that changes; see [`select_all`].
///
/// While nobody waits for it, none of its futures is polled. So futures that have been woken for something
/// that others wait for too, such as a message, keep it from those until the next wait: a set is for whoever
/// comes back to it soon.
///
/// Dropping it drops the futures that are left.
#[must_use = "the futures of a set do nothing unless `next_ready` is finished by `.await` or `.wait()`"]
pub struct SelectAll<F> {
    children: Children<F>,
    /// The slots of the children, by index.
    slots: Vec<Slot>,
    /// The arm that others have committed to. Below the futures, because it is dropped after them.
    selection: Selection,
}

/// The history of an index.
struct Slot {
    /// The number of futures that have had the index before.
    generation: u64,
    /// True while a future of the set has the index.
    taken: bool,
}

impl Slot {
    /// Leaves the index of a future to others. Returns the key that it had.
    fn vacate(&mut self, index: usize) -> SelectKey {
        let generation = self.generation;
        *self = Slot { generation: generation + 1, taken: false };
        SelectKey { index, generation }
    }
}

/// Names a future of a [`SelectAll`], also when it has left that. No other one of that set gets the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SelectKey {
    index: usize,
    generation: u64,
}

impl SelectKey {
    /// Returns the place of the future in the set. It is below the largest number of futures that the set has
    /// ever had, and of those in it at a time no two have the same; when one leaves, a new one may get its
    /// place.
    ///
    /// ```
    /// use std::future::ready;
    /// use twoply::{Wait, future::select_all};
    ///
    /// let mut set = select_all(["a", "b"].map(ready));
    /// let (key, output) = set.next_ready().wait().expect("both are ready");
    /// assert_eq!(["a", "b"][key.index()], output);
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }
}

impl<F: Future> SelectAll<F> {
    /// Makes an empty set.
    ///
    /// ```
    /// use std::future::ready;
    /// use twoply::future::SelectAll;
    ///
    /// let mut set = SelectAll::new();
    /// set.extend([ready(1), ready(2)]);
    /// assert_eq!(set.len(), 2);
    /// ```
    pub fn new() -> SelectAll<F> {
        select_all(std::iter::empty::<F>())
    }

    /// Adds a future, and returns the key that [`next_ready`](SelectAll::next_ready) will name it by.
    ///
    /// ```
    /// use std::future::ready;
    /// use twoply::{Wait, future::SelectAll};
    ///
    /// let mut set = SelectAll::new();
    /// let key = set.insert(ready(7));
    /// assert_eq!(set.next_ready().wait(), Some((key, 7)));
    /// ```
    pub fn insert(&mut self, future: F) -> SelectKey {
        let index = self.children.push(future);
        if index == self.slots.len() {
            self.slots.push(Slot { generation: 0, taken: false });
        }
        let slot = &mut self.slots[index];
        slot.taken = true;
        SelectKey { index, generation: slot.generation }
    }

    /// Takes a future out and returns it. `None` if it has been ready, or has been taken out.
    ///
    /// It may have begun, and may still be finished. To drop it is to cancel it: what that means is said by
    /// the documentation of the future.
    ///
    /// ```
    /// use std::future::{Future, pending, ready};
    /// use std::pin::Pin;
    /// use twoply::{Wait, future::select_all};
    ///
    /// let futures: [Pin<Box<dyn Future<Output = u32>>>; 2] = [Box::pin(pending()), Box::pin(ready(7))];
    /// let mut set = select_all(futures);
    /// let (key, _) = set.next_ready().wait().expect("one is ready");
    /// assert!(set.remove(key).is_none(), "it has been ready");
    /// assert_eq!(set.len(), 1);
    /// ```
    pub fn remove(&mut self, key: SelectKey) -> Option<Pin<Box<F>>> {
        if !self.contains(key) {
            return None;
        }
        self.slots[key.index].vacate(key.index);
        self.children.remove(key.index)
    }

    /// Returns whether the future with this key is in the set: it has neither been ready nor been taken out.
    ///
    /// ```
    /// use std::future::ready;
    /// use twoply::{Wait, future::SelectAll};
    ///
    /// let mut set = SelectAll::new();
    /// let key = set.insert(ready(7));
    /// assert!(set.contains(key));
    /// set.next_ready().wait();
    /// assert!(!set.contains(key));
    /// ```
    pub fn contains(&self, key: SelectKey) -> bool {
        self.slots.get(key.index).is_some_and(|slot| slot.taken && slot.generation == key.generation)
    }

    /// Returns the number of futures.
    ///
    /// ```
    /// use std::future::ready;
    /// use twoply::{Wait, future::select_all};
    ///
    /// let mut set = select_all([ready(1), ready(2)]);
    /// assert_eq!(set.len(), 2);
    /// set.next_ready().wait();
    /// assert_eq!(set.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.children.left()
    }

    /// Returns whether there are no futures.
    ///
    /// ```
    /// use std::future::ready;
    /// use twoply::{Wait, future::select_all};
    ///
    /// let mut set = select_all([ready(1)]);
    /// assert!(!set.is_empty());
    /// set.next_ready().wait();
    /// assert!(set.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the first future to be ready, and returns its key and its output; finish it with `.await` or
    /// `.wait()`. That future has left the set. `None` if the set is empty.
    ///
    /// Of the futures that are operations of a rendezvous channel, one at a time is met while this is waited
    /// for, and none after it was ready.
    ///
    /// Cancel-safe: the futures stay in the set, and nothing that one of them has come to is lost.
    ///
    /// # Panics
    /// When one of the futures does. That one has left the set; the others stay, and can be waited for again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, future::select_all, time::sleep};
    ///
    /// let mut naps = select_all([3, 1, 2].map(|n| sleep(Duration::from_millis(10 * n))));
    /// let mut order = Vec::new();
    /// while let Some((key, ())) = naps.next_ready().wait() {
    ///     order.push(key.index());
    /// }
    /// assert_eq!(order, [1, 2, 0]);
    /// ```
    pub fn next_ready(&mut self) -> NextReady<'_, F> {
        NextReady { set: self }
    }
}

impl<F: Future> Default for SelectAll<F> {
    fn default() -> SelectAll<F> {
        SelectAll::new()
    }
}

impl<F: Future> FromIterator<F> for SelectAll<F> {
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> SelectAll<F> {
        select_all(futures)
    }
}

impl<F: Future> Extend<F> for SelectAll<F> {
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        for future in futures {
            self.insert(future);
        }
    }
}

impl<F: Future> fmt::Debug for SelectAll<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectAll").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The future of [`SelectAll::next_ready`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct NextReady<'a, F: Future> {
    set: &'a mut SelectAll<F>,
}

impl<F: Future> Future for NextReady<'_, F> {
    type Output = Option<(SelectKey, F::Output)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let set = &mut *self.get_mut().set;
        if set.is_empty() {
            return Poll::Ready(None);
        }
        let SelectAll { children, slots, selection } = set;
        let done = |index: usize, output: Option<F::Output>| {
            let key = slots[index].vacate(index);
            output.map(|output| (key, output))
        };
        children.poll_first(selection, cx, done).map(Some)
    }
}

impl<F: Future> Drop for NextReady<'_, F> {
    fn drop(&mut self) {
        self.set.children.forget_parent();
    }
}

impl<F: Future> fmt::Debug for NextReady<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextReady").field("set", &self.set).finish()
    }
}
