//! [`any`](super::any()) and [`any_all`]: the first success.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::arms::{ALL_ARE_OFF, SameArms};
use super::children::{Children, refuse_after_panic};
use super::random;
use crate::kernel::selection::Selection;

pin_project! {
    /// The future of [`any`](super::any()).
    ///
    /// # Panics
    /// When it is polled and every arm is [off](super::when).
    #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
    pub struct Any<F> {
        #[pin]
        arms: F,
        // A bit for each arm that has failed.
        failed: u32,
        // The arm that others have committed to. Below the futures, because it is dropped after them.
        selection: Selection,
    }
}

impl<F> Any<F> {
    pub(super) fn new(arms: F) -> Any<F> {
        Any { arms, failed: 0, selection: Selection::default() }
    }
}

impl<T, E, F: SameArms<Output = Result<T, E>>> Future for Any<F> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        let failed = this.failed;
        let arms = &mut this.arms;
        let on = arms.on();
        assert!(on != 0, "{ALL_ARE_OFF}");
        this.selection.poll(cx, random::order(on & !*failed, false), |index, cx| {
            match ready!(arms.as_mut().poll_same(index, cx)) {
                Ok(output) => Poll::Ready(Ok(output)),
                Err(error) => {
                    *failed |= 1 << index;
                    if *failed == on { Poll::Ready(Err(error)) } else { Poll::Pending }
                }
            }
        })
    }
}

impl<F> fmt::Debug for Any<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Any").finish_non_exhaustive()
    }
}

/// Waits for the first of the futures to be ready with `Ok`, and returns what is in it.
///
/// Only futures that were woken are polled; in which order they are polled at the beginning is left to
/// chance.
///
/// # Errors
/// When all of them fail: their errors, in the order of the futures. Without futures there are none.
///
/// # Panics
/// When one of the futures does, which is dropped. Who goes on waits for the others, and if they all fail,
/// there is another panic.
///
/// ```
/// use std::future::ready;
/// use twoply::{Wait, future::any_all};
///
/// assert_eq!(any_all([Err("down"), Ok(1)].map(ready)).wait(), Ok(1));
/// assert_eq!(any_all([Err::<(), _>("down"), Err("up")].map(ready)).wait(), Err(vec!["down", "up"]));
/// ```
pub fn any_all<T, E, I>(futures: I) -> AnyAll<<I::Item as IntoFuture>::IntoFuture, E>
where
    I: IntoIterator<Item: IntoFuture<Output = Result<T, E>>>,
{
    let children = Children::new(futures.into_iter().map(IntoFuture::into_future), random::shuffle);
    let errors = (0..children.left()).map(|_| None).collect();
    AnyAll { children, errors, selection: Selection::default() }
}

/// The future of [`any_all`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct AnyAll<F, E> {
    children: Children<F>,
    /// Those of the futures that have failed.
    errors: Vec<Option<E>>,
    /// The arm that others have committed to. Below the futures, because it is dropped after them.
    selection: Selection,
}

// The futures are boxed; the errors are never pinned.
impl<F, E> Unpin for AnyAll<F, E> {}

impl<T, E, F: Future<Output = Result<T, E>>> Future for AnyAll<F, E> {
    type Output = Result<T, Vec<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Vec<E>>> {
        let AnyAll { children, errors, selection } = self.get_mut();
        let first = children.poll_first(selection, cx, |index, output| match output? {
            Ok(output) => Some(output),
            Err(error) => {
                errors[index] = Some(error);
                None
            }
        });
        match first {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if children.left() == 0 => {
                if errors.iter().any(Option::is_none) {
                    refuse_after_panic();
                }
                Poll::Ready(Err(std::mem::take(errors).into_iter().flatten().collect()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<F, E> fmt::Debug for AnyAll<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyAll").finish_non_exhaustive()
    }
}
