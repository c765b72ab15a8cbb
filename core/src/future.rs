//! Combinators: waiting for one of several futures, or for all of them.
//!
//! They take any futures, so channels, timers, sockets and tasks can be waited for together, and they are
//! futures themselves: finish them with `.await` or [`.wait()`](crate::Wait::wait).
//!
//! | waits for  | a few futures, by type         | many of one type | a set that changes |
//! |------------|--------------------------------|------------------|--------------------|
//! | the first  | [`race`], [`select`](select()), [`select!`](crate::select!) | [`race_all`] | [`select_all`] |
//! | the first that succeeds | [`any`](any())    | [`any_all`]      | |
//! | all        | [`join`]                       | [`join_all`]     | [`select_all`] |
//!
//! Losers are dropped with the combinator, before the code after `.await` or `.wait()` goes on. So a race is
//! cancel-safe if its arms are: the receives and sends of [`channel`](crate::channel) are, with one
//! exception, that of [a rendezvous](crate::channel::Sender::send) that is no arm of one of these or of a
//! `timeout`. Those offer their arms to a rendezvous all at once, and commit to one: a send that loses has
//! not sent, and no select meets itself. To keep a loser, race `&mut` of it.
//!
//! Beside them: [`yield_now`] lets others run, [`suspension`] is a future that somebody else resumes.
//!
//! This module never blocks and starts no task; it runs no waker while it holds a lock.

mod all;
mod any;
mod arms;
mod children;
mod join;
mod one_of;
pub(crate) mod random;
mod select;
mod select_all;
mod suspend;
mod yield_now;

pub use all::{JoinAll, RaceAll, join_all, race_all};
pub use any::{Any, AnyAll, any_all};
pub use arms::{Alternatives, Arm, ArmSet, Arms, IntoArm, OrNone, Race, SameArms, Select, When, when};
pub(crate) use children::Children;
pub use join::Tuple;
pub use one_of::OneOf;
pub use select_all::{NextReady, SelectAll, SelectKey, select_all};
pub use suspend::{Resumer, Suspend, SuspendError, Suspension, suspension};
pub use yield_now::{YieldNow, yield_now};

#[doc(inline)]
pub use crate::select;

/// Waits for the first of up to 32 arms to be ready, and says which it was.
///
/// An arm is a future, or [`when`] around one. At each poll they are polled in an order that is left to
/// chance: of those that are ready each wins with the same chance, however many others there are, and none
/// starves. See [`Select::biased`] for the other order, and [`Select::or_none`] for the case that no arm
/// takes part.
///
/// ```
/// use twoply::future::{OneOf, select};
/// use twoply::{Wait, channel};
///
/// let (tx, numbers) = channel::unbounded::<u32>();
/// let (_quit, quit) = channel::bounded::<()>(1);
/// tx.try_send(5).unwrap();
/// match select((numbers.recv(), quit.recv())).wait() {
///     OneOf::First(number) => assert_eq!(number, Ok(5)),
///     OneOf::Second(_) => unreachable!("nobody has asked to quit"),
/// }
/// ```
pub fn select<T: Alternatives<Arms: Arms>>(arms: T) -> Select<T::Arms> {
    Select::new(arms.into_arms())
}

/// Waits for the first of up to 32 arms with the same output to be ready, and returns that.
///
/// The order of polling is that of [`select`](select()).
///
/// ```
/// use std::future::{pending, ready};
/// use twoply::{Wait, future::race};
///
/// assert_eq!(race((pending(), ready(1), pending())).wait(), 1);
/// ```
pub fn race<T: Alternatives<Arms: SameArms>>(arms: T) -> Race<T::Arms> {
    Race::new(arms.into_arms())
}

/// Waits for the first of up to 32 arms to be ready with `Ok`, and returns what is in it.
///
/// All have outputs of one type, `Result<T, E>`. The order of polling is that of [`select`](select()).
///
/// # Errors
/// When all of them fail: the error of the last one to do so.
///
/// ```
/// use std::future::{pending, ready};
/// use twoply::{Wait, future::any};
///
/// assert_eq!(any((pending(), ready(Err("down")), ready(Ok(1)))).wait(), Ok(1));
/// assert_eq!(any((ready(Err::<(), _>("down")), ready(Err("down")))).wait(), Err("down"));
/// ```
pub fn any<T: Alternatives<Arms: SameArms>>(arms: T) -> Any<T::Arms> {
    Any::new(arms.into_arms())
}

/// Waits for all of two to six futures, and returns their outputs.
///
/// ```
/// use std::future::ready;
/// use twoply::{Wait, future::join};
///
/// assert_eq!(join((ready(1), async { "two" })).wait(), (1, "two"));
/// ```
pub fn join<T: Tuple>(futures: T) -> T::Join {
    futures.into_join()
}
