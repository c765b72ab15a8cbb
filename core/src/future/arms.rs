//! [`select`](super::select()) and [`race`](super::race): tuples of arms that are polled until one is ready.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::one_of::OneOf;
use super::random;
use crate::kernel::selection::Selection;

/// A value that may be an arm of a [`select`](super::select()): all that turns into a future, and [`When`].
///
/// ```
/// use std::future::{pending, ready};
/// use twoply::{Wait, future::{Arm, IntoArm, OneOf, select}};
///
/// /// Waits for `work`, which may be a future or an arm that is on under a condition, or for the end.
/// async fn or_end<A: IntoArm>(work: A) -> Option<<A::Arm as Arm>::Output> {
///     match select((work, ready("the end"))).biased().await {
///         OneOf::First(output) => Some(output),
///         OneOf::Second(_) => None,
///     }
/// }
///
/// assert_eq!(or_end(ready(7)).wait(), Some(7));
/// assert_eq!(or_end(pending::<u8>()).wait(), None);
/// ```
pub trait IntoArm {
    /// The arm, ready to be polled.
    type Arm: Arm;
    /// Turns it into the arm.
    fn into_arm(self) -> Self::Arm;
}

/// An arm that can be polled: a future, or [`When`] around one.
pub trait Arm {
    /// The output of the arm.
    type Output;
    /// Returns whether it takes part, which is the same each time.
    fn is_on(&self) -> bool;
    /// Polls the arm, as a future is polled.
    fn poll_arm(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output>;
}

impl<F: IntoFuture> IntoArm for F {
    type Arm = F::IntoFuture;

    #[inline]
    fn into_arm(self) -> F::IntoFuture {
        self.into_future()
    }
}

impl<F: Future> Arm for F {
    type Output = F::Output;

    #[inline]
    fn is_on(&self) -> bool {
        true
    }

    #[inline]
    fn poll_arm(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.poll(cx)
    }
}

pin_project! {
    /// An arm that takes part only if there is a future in it; see [`when`].
    ///
    /// # Examples
    /// ```
    /// use std::future::ready;
    /// use twoply::{Wait, future::{OneOf, When, select}};
    ///
    /// let job: Option<u8> = None;
    /// let arms = (When::from(job.map(|job| async move { job + 1 })), ready("idle"));
    /// assert_eq!(select(arms).wait(), OneOf::Second("idle"));
    /// ```
    #[derive(Debug)]
    #[must_use = "an arm does nothing unless it is part of a `select`, `race` or `any`"]
    pub struct When<F> {
        #[pin]
        future: Option<F>,
    }
}

/// Makes an arm for [`select`](super::select()), [`race`](super::race) or [`any`](super::any()) that takes
/// part only if `condition` is true. It is looked at here, once.
///
/// An arm that is off is never polled. To make the future only if the condition is true, make an `Option` of
/// it: `When::from(condition.then(|| ...))`; that is what an arm of [`select!`](crate::select!) with `, if`
/// does.
///
/// ```
/// use std::future::ready;
/// use twoply::{Wait, future::{OneOf, select, when}};
///
/// for is_open in [false, true] {
///     let arms = (when(is_open, ready("open")), ready("always"));
///     let expected = if is_open { OneOf::First("open") } else { OneOf::Second("always") };
///     assert_eq!(select(arms).biased().wait(), expected);
/// }
/// ```
pub fn when<F: IntoFuture>(condition: bool, future: F) -> When<F> {
    When { future: condition.then_some(future) }
}

impl<F: IntoFuture> From<Option<F>> for When<F> {
    #[inline]
    fn from(future: Option<F>) -> When<F> {
        When { future }
    }
}

impl<F: IntoFuture> IntoArm for When<F> {
    type Arm = When<F::IntoFuture>;

    #[inline]
    fn into_arm(self) -> When<F::IntoFuture> {
        When { future: self.future.map(IntoFuture::into_future) }
    }
}

impl<F: Future> Arm for When<F> {
    type Output = F::Output;

    #[inline]
    fn is_on(&self) -> bool {
        self.future.is_some()
    }

    #[inline]
    fn poll_arm(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.as_pin_mut().map_or(Poll::Pending, |future| future.poll(cx))
    }
}

/// A tuple of 1 to 32 arms.
///
/// # Examples
/// ```
/// use std::future::{pending, ready};
/// use twoply::{Wait, future::{Alternatives, Arms, OneOf, select}};
///
/// /// As `select`, and tells of it.
/// async fn told<T: Alternatives<Arms: Arms>>(arms: T) -> <T::Arms as Arms>::Output {
///     let output = select(arms).await;
///     println!("one of them is ready");
///     output
/// }
///
/// assert_eq!(told((pending::<u8>(), ready("second"))).wait(), OneOf::Second("second"));
/// ```
pub trait Alternatives: sealed::Sealed {
    /// The arms, ready to be polled one by one.
    type Arms: ArmSet;
    /// Turns the members into arms.
    fn into_arms(self) -> Self::Arms;
}

/// Arms that can be polled one by one.
pub trait ArmSet: sealed::Sealed {
    /// Returns a bit for each arm that takes part: the lowest for the first one.
    fn on(&self) -> u32;
}

/// An [`ArmSet`] whose arms may have different outputs.
pub trait Arms: ArmSet {
    /// A [`OneOf`], which says which one was ready, and its output.
    type Output;
    /// Polls the one with this index, counted from 0.
    fn poll_arm(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Poll<Self::Output>;
}

/// An [`ArmSet`] whose arms all have the same output.
///
/// # Examples
/// ```
/// use std::future::{pending, ready};
/// use twoply::{Wait, future::{Alternatives, SameArms, race}};
///
/// async fn first<T>(arms: T) -> <T::Arms as SameArms>::Output
/// where
///     T: Alternatives<Arms: SameArms>,
/// {
///     race(arms).await
/// }
///
/// assert_eq!(first((pending(), ready(7))).wait(), 7);
/// ```
pub trait SameArms: ArmSet {
    /// The output of each of them.
    type Output;
    /// Polls the one with this index, counted from 0.
    fn poll_same(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Poll<Self::Output>;
}

mod sealed {
    /// Keeps the traits of tuples to the types of this module.
    pub trait Sealed {}
}

/// The types and impls of one length of tuple.
macro_rules! tuple {
    ($Arms:ident: $($index:literal $A:ident $arm:ident $Variant:ident,)*) => {
        pin_project! {
            /// Arms that are polled one by one.
            pub struct $Arms<$($A),*> { $(#[pin] $arm: $A),* }
        }

        impl<$($A),*> sealed::Sealed for $Arms<$($A),*> {}
        impl<$($A: IntoArm),*> sealed::Sealed for ($($A,)*) {}

        impl<$($A: IntoArm),*> Alternatives for ($($A,)*) {
            type Arms = $Arms<$($A::Arm),*>;

            fn into_arms(self) -> Self::Arms {
                let ($($arm,)*) = self;
                $Arms { $($arm: $arm.into_arm()),* }
            }
        }

        impl<$($A: Arm),*> ArmSet for $Arms<$($A),*> {
            #[inline]
            fn on(&self) -> u32 {
                0 $(| u32::from(self.$arm.is_on()) << $index)*
            }
        }

        impl<$($A: Arm),*> Arms for $Arms<$($A),*> {
            type Output = OneOf<$($A::Output),*>;

            #[inline]
            fn poll_arm(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let this = self.project();
                match index {
                    $($index => this.$arm.poll_arm(cx).map(OneOf::$Variant),)*
                    _ => Poll::Pending,
                }
            }
        }

        impl<Output, $($A: Arm<Output = Output>),*> SameArms for $Arms<$($A),*> {
            type Output = Output;

            #[inline]
            fn poll_same(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Poll<Output> {
                let this = self.project();
                match index {
                    $($index => this.$arm.poll_arm(cx),)*
                    _ => Poll::Pending,
                }
            }
        }
    };
}

/// Calls [`tuple!`] for each beginning of a list.
macro_rules! tuples {
    ([$($done:tt)*]) => {};
    ([$($done:tt)*] $index:literal $A:ident $arm:ident $Variant:ident $Arms:ident, $($rest:tt)*) => {
        tuple!($Arms: $($done)* $index $A $arm $Variant,);
        tuples!([$($done)* $index $A $arm $Variant,] $($rest)*);
    };
}

tuples! { []
    0 A arm_a First Arms1,
    1 B arm_b Second Arms2,
    2 C arm_c Third Arms3,
    3 D arm_d Fourth Arms4,
    4 E arm_e Fifth Arms5,
    5 F arm_f Sixth Arms6,
    6 G arm_g Seventh Arms7,
    7 H arm_h Eighth Arms8,
    8 I arm_i Ninth Arms9,
    9 J arm_j Tenth Arms10,
    10 K arm_k Eleventh Arms11,
    11 L arm_l Twelfth Arms12,
    12 M arm_m Thirteenth Arms13,
    13 N arm_n Fourteenth Arms14,
    14 O arm_o Fifteenth Arms15,
    15 P arm_p Sixteenth Arms16,
    16 Q arm_q Seventeenth Arms17,
    17 R arm_r Eighteenth Arms18,
    18 S arm_s Nineteenth Arms19,
    19 T arm_t Twentieth Arms20,
    20 U arm_u TwentyFirst Arms21,
    21 V arm_v TwentySecond Arms22,
    22 W arm_w TwentyThird Arms23,
    23 X arm_x TwentyFourth Arms24,
    24 Y arm_y TwentyFifth Arms25,
    25 Z arm_z TwentySixth Arms26,
    26 Aa arm_aa TwentySeventh Arms27,
    27 Ab arm_ab TwentyEighth Arms28,
    28 Ac arm_ac TwentyNinth Arms29,
    29 Ad arm_ad Thirtieth Arms30,
    30 Ae arm_ae ThirtyFirst Arms31,
    31 Af arm_af ThirtySecond Arms32,
}

/// The message of the panic of a combinator that has nothing to wait for.
pub(super) const ALL_ARE_OFF: &str =
    "every arm is off, so none will ever be ready: see `or_none`, or `else` in `select!`";

/// The combinator types, which differ in the trait of their arms only.
macro_rules! first_of {
    ($(#[$doc:meta])* $Name:ident, $Trait:ident, $poll:ident) => {
        pin_project! {
            $(#[$doc])*
            ///
            /// # Panics
            /// When it is polled and every arm is [off](when).
            #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
            pub struct $Name<F> {
                #[pin]
                arms: F,
                // True when the arms are polled in the order in which they are written.
                biased: bool,
                // The arm that others have committed to. Below the arms, because it is dropped after them.
                selection: Selection,
            }
        }

        impl<F> $Name<F> {
            pub(super) fn new(arms: F) -> $Name<F> {
                $Name { arms, biased: false, selection: Selection::default() }
            }

            /// Polls the arms in the order in which they are written: where several are ready the first one
            /// wins. An arm that is always ready then starves those after it.
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

            /// Makes the output an `Option`, which is `None` when every arm is [off](when).
            ///
            /// ```
            /// use std::future::ready;
            /// use twoply::{Wait, future::{race, when}};
            ///
            /// assert_eq!(race((when(false, ready(1)), when(true, ready(2)))).or_none().wait(), Some(2));
            /// assert_eq!(race((when(false, ready(1)), when(false, ready(2)))).or_none().wait(), None);
            /// ```
            pub fn or_none(self) -> OrNone<$Name<F>> {
                OrNone { first_of: self }
            }
        }

        impl<F: $Trait> Future for $Name<F> {
            type Output = F::Output;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
                let mut this = self.project();
                let on = this.arms.on();
                assert!(on != 0, "{ALL_ARE_OFF}");
                let order = random::order(on, *this.biased);
                this.selection.poll(cx, order, |index, cx| this.arms.as_mut().$poll(index, cx))
            }
        }

        impl<F: $Trait> Future for OrNone<$Name<F>> {
            type Output = Option<F::Output>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
                let first_of = self.project().first_of;
                if first_of.arms.on() == 0 { Poll::Ready(None) } else { first_of.poll(cx).map(Some) }
            }
        }

        impl<F> fmt::Debug for $Name<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Name)).field("biased", &self.biased).finish_non_exhaustive()
            }
        }
    };
}

pin_project! {
    /// The future of [`Select::or_none`] and [`Race::or_none`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
    pub struct OrNone<F> {
        #[pin]
        first_of: F,
    }
}

first_of!(
    /// The future of [`select`](super::select()).
    Select, Arms, poll_arm
);
first_of!(
    /// The future of [`race`](super::race).
    Race, SameArms, poll_same
);
