//! [`join`](super::join): tuples of futures that are polled until all are ready.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::kernel::coop;
use crate::kernel::strand::with_alternative;

pin_project! {
    /// A future, then its output.
    #[project = MemberProjection]
    enum Member<F: Future> {
        // The future is not ready yet.
        Running { #[pin] future: F },
        // The future was ready. The output is gone once the join is ready.
        Done { output: Option<F::Output> },
    }
}

impl<F: Future> Member<F> {
    /// Polls the future unless it is done. Returns true if it is.
    #[inline]
    fn poll_done(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let MemberProjection::Running { future } = self.as_mut().project() else { return true };
        let Poll::Ready(output) = future.poll(cx) else { return false };
        self.set(Member::Done { output: Some(output) });
        true
    }

    /// Returns true if it is not done.
    fn is_running(&self) -> bool {
        matches!(self, Member::Running { .. })
    }

    /// Takes the output of a member that is done.
    fn take(self: Pin<&mut Self>) -> F::Output {
        match self.project() {
            MemberProjection::Done { output } => output.take().expect("a join was polled after it was done"),
            MemberProjection::Running { .. } => unreachable!("outputs are taken when all members are done"),
        }
    }
}

/// A tuple of two to six futures, or of what turns into futures.
pub trait Tuple: sealed::Sealed {
    /// The future of all their outputs.
    type Join: Future;
    /// Turns the tuple into the future of all outputs.
    fn into_join(self) -> Self::Join;
}

mod sealed {
    /// Keeps the trait of tuples to those of this module.
    pub trait Sealed {}
}

/// The future of [`join`](super::join) for each length of tuple.
macro_rules! join {
    ($Join:ident, $count:literal: $($index:literal $Arm:ident $arm:ident),*) => {
        pin_project! {
            /// The future of all outputs of a tuple of futures; see [`join`](super::join).
            ///
            /// Each member is dropped as soon as it is ready.
            #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
            pub struct $Join<$($Arm: Future),*> {
                $(#[pin] $arm: Member<$Arm>,)*
                // The member that is polled first: another one after each poll that has spent its budget, so
                // that a member that is always ready does not keep it from those after it.
                start_at: usize,
            }
        }

        impl<$($Arm: IntoFuture),*> sealed::Sealed for ($($Arm,)*) {}

        impl<$($Arm: IntoFuture),*> Tuple for ($($Arm,)*) {
            type Join = $Join<$($Arm::IntoFuture),*>;

            fn into_join(self) -> Self::Join {
                let ($($arm,)*) = self;
                $Join { $($arm: Member::Running { future: $arm.into_future() },)* start_at: 0 }
            }
        }

        impl<$($Arm: Future),*> Future for $Join<$($Arm),*> {
            type Output = ($($Arm::Output,)*);

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let mut this = self.project();
                loop {
                    let left = 0 $(+ usize::from(this.$arm.is_running()))*;
                    let start = *this.start_at;
                    let mut poll = || {
                        let members = (start..$count).chain(0..start);
                        members.filter(|&member| !match member {
                            $($index => this.$arm.as_mut().poll_done(cx),)*
                            _ => true,
                        }).count()
                    };
                    // Of several, one may be what another one waits for in the end; the last is on its own.
                    let now = if left > 1 { with_alternative(poll) } else { poll() };
                    match now {
                        0 => return Poll::Ready(($(this.$arm.take(),)*)),
                        1 if left > 1 => {}
                        _ => break,
                    }
                }
                if coop::is_spent() {
                    *this.start_at = (*this.start_at + 1) % $count;
                }
                Poll::Pending
            }
        }

        impl<$($Arm: Future),*> fmt::Debug for $Join<$($Arm),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Join").finish_non_exhaustive()
            }
        }
    };
}

join!(Join2, 2: 0 A first, 1 B second);
join!(Join3, 3: 0 A first, 1 B second, 2 C third);
join!(Join4, 4: 0 A first, 1 B second, 2 C third, 3 D fourth);
join!(Join5, 5: 0 A first, 1 B second, 2 C third, 3 D fourth, 4 E fifth);
join!(Join6, 6: 0 A first, 1 B second, 2 C third, 3 D fourth, 4 E fifth, 5 F sixth);
