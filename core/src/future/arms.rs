//! [`select`](super::select()) and [`race`](super::race): tuples of futures that are polled until one is
//! ready.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::join::{Join2, Join3, Join4, Join5, Join6};
use super::random;
use crate::kernel::selection::Selection;

/// The future that was ready, of up to six, and its output.
///
/// The variants that a selection does not have hold [`Infallible`] and need no arm in a `match`.
///
/// ```
/// use std::future::{pending, ready};
/// use twoply::{Wait, future::{OneOf, select}};
///
/// let first = select((pending::<u8>(), ready("there"))).wait();
/// assert_eq!(first, OneOf::Second("there"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneOf<A, B, C = Infallible, D = Infallible, E = Infallible, F = Infallible> {
    /// The first future was ready.
    First(A),
    /// The second future was ready.
    Second(B),
    /// The third future was ready.
    Third(C),
    /// The fourth future was ready.
    Fourth(D),
    /// The fifth future was ready.
    Fifth(E),
    /// The sixth future was ready.
    Sixth(F),
}

/// A tuple of two to six futures, or of what turns into futures.
pub trait Tuple: sealed::Sealed {
    /// The futures, ready to be polled one by one.
    type Futures;
    /// The future of all their outputs.
    type Join: Future;
    /// Turns the members into futures.
    fn into_futures(self) -> Self::Futures;
    /// Turns the tuple into the future of all outputs.
    fn into_join(self) -> Self::Join;
}

/// Futures that can be polled one by one.
pub trait Arms: sealed::Sealed {
    /// A [`OneOf`], which says which one was ready, and its output.
    type Output;
    /// The number of futures.
    const COUNT: usize;
    /// Polls the one with this index, counted from 0.
    fn poll_arm(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Poll<Self::Output>;
}

/// [`Arms`] that all have the same output.
pub trait SameArms: sealed::Sealed {
    /// The output of each of them.
    type Output;
    /// The number of futures.
    const COUNT: usize;
    /// Polls the one with this index, counted from 0.
    fn poll_same(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Poll<Self::Output>;
}

mod sealed {
    /// Keeps the traits of this module to its own types.
    pub trait Sealed {}
}

/// The types and impls of one length of tuple.
macro_rules! tuple {
    ($Futures:ident, $Join:ident, $count:literal: $($index:literal $Arm:ident $arm:ident $Variant:ident),*) => {
        pin_project! {
            /// Futures that are polled one by one.
            #[derive(Debug)]
            pub struct $Futures<$($Arm),*> { $(#[pin] $arm: $Arm),* }
        }

        impl<$($Arm),*> sealed::Sealed for $Futures<$($Arm),*> {}
        impl<$($Arm),*> sealed::Sealed for ($($Arm,)*) {}

        impl<$($Arm: IntoFuture),*> Tuple for ($($Arm,)*) {
            type Futures = $Futures<$($Arm::IntoFuture),*>;
            type Join = $Join<$($Arm::IntoFuture),*>;

            fn into_futures(self) -> Self::Futures {
                let ($($arm,)*) = self;
                $Futures { $($arm: $arm.into_future()),* }
            }

            fn into_join(self) -> Self::Join {
                let ($($arm,)*) = self;
                $Join::new($($arm.into_future()),*)
            }
        }

        impl<$($Arm: Future),*> Arms for $Futures<$($Arm),*> {
            type Output = OneOf<$($Arm::Output),*>;
            const COUNT: usize = $count;

            #[inline]
            fn poll_arm(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let this = self.project();
                match index {
                    $($index => this.$arm.poll(cx).map(OneOf::$Variant),)*
                    _ => Poll::Pending,
                }
            }
        }

        impl<Output, $($Arm: Future<Output = Output>),*> SameArms for $Futures<$($Arm),*> {
            type Output = Output;
            const COUNT: usize = $count;

            #[inline]
            fn poll_same(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Poll<Output> {
                let this = self.project();
                match index {
                    $($index => this.$arm.poll(cx),)*
                    _ => Poll::Pending,
                }
            }
        }
    };
}

tuple!(Futures2, Join2, 2: 0 A first First, 1 B second Second);
tuple!(Futures3, Join3, 3: 0 A first First, 1 B second Second, 2 C third Third);
tuple!(Futures4, Join4, 4: 0 A first First, 1 B second Second, 2 C third Third, 3 D fourth Fourth);
tuple!(Futures5, Join5, 5:
    0 A first First, 1 B second Second, 2 C third Third, 3 D fourth Fourth, 4 E fifth Fifth);
tuple!(Futures6, Join6, 6:
    0 A first First, 1 B second Second, 2 C third Third, 3 D fourth Fourth, 4 E fifth Fifth, 5 F sixth Sixth);

/// The combinator types, which differ in the trait of their arms only.
macro_rules! first_of {
    ($(#[$doc:meta])* $Name:ident, $Trait:ident, $poll:ident) => {
        pin_project! {
            $(#[$doc])*
            #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
            pub struct $Name<F> {
                #[pin]
                arms: F,
                // True when the futures are polled in the order in which they are written.
                biased: bool,
                // The arm that others have committed to. Below the futures, because it is dropped after them.
                selection: Selection,
            }
        }

        impl<F> $Name<F> {
            pub(super) fn new(arms: F) -> $Name<F> {
                $Name { arms, biased: false, selection: Selection::default() }
            }

            /// Polls the futures in the order in which they are written: where several are ready the first
            /// one wins. An arm that is always ready then starves those after it.
            ///
            /// ```
            /// use std::future::ready;
            /// use twoply::{Wait, future::race};
            ///
            /// assert_eq!(race((ready(1), ready(2))).biased().wait(), 1);
            /// ```
            pub fn biased(self) -> $Name<F> {
                $Name { biased: true, ..self }
            }
        }

        impl<F: $Trait> Future for $Name<F> {
            type Output = F::Output;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
                let mut this = self.project();
                let start = if *this.biased { 0 } else { random::below(F::COUNT) };
                let order = (start..F::COUNT).chain(0..start);
                this.selection.poll(cx, order, |index, cx| this.arms.as_mut().$poll(index, cx))
            }
        }

        impl<F> fmt::Debug for $Name<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Name)).field("biased", &self.biased).finish_non_exhaustive()
            }
        }
    };
}

first_of!(
    /// The future of [`select`](super::select()).
    Select, Arms, poll_arm
);
first_of!(
    /// The future of [`race`](super::race).
    Race, SameArms, poll_same
);
