//! Combinators: waiting for one of several futures, or for all of them.
//!
//! They take any futures, so channels, timers, sockets and tasks can be waited for together, and they are
//! futures themselves: finish them with `.await` or [`.wait()`](crate::Wait::wait).
//!
//! | waits for  | a few futures, by type         | many of one type |
//! |------------|--------------------------------|------------------|
//! | the first  | [`race`], [`select`](select()) | [`race_all`]     |
//! | the first that succeeds | [`any`](any())    | [`any_all`]      |
//! | all        | [`join`]                       | [`join_all`]     |
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
mod random;
mod suspend;
mod yield_now;

pub use all::{JoinAll, RaceAll, join_all, race_all};
pub use any::{Any, AnyAll, any_all};
pub use arms::{Arms, OneOf, Race, SameArms, Select, Tuple};
pub(crate) use children::Children;
pub use suspend::{Resumer, Suspend, SuspendError, Suspension, suspension};
pub use yield_now::{YieldNow, yield_now};

#[doc(inline)]
pub use crate::select;

/// Waits for the first of two to six futures to be ready, and says which it was.
///
/// At each poll another arm, chosen at random, is polled first, so an arm that is always ready does not
/// starve the others: an arm that is ready wins with a chance of at least one in the number of arms. See
/// [`Select::biased`] for the other order.
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
pub fn select<T: Tuple<Futures: Arms>>(futures: T) -> Select<T::Futures> {
    Select::new(futures.into_futures())
}

/// Waits for the first of two to six futures with the same output to be ready, and returns that.
///
/// The order of polling is that of [`select`](select()).
///
/// ```
/// use std::future::{pending, ready};
/// use twoply::{Wait, future::race};
///
/// assert_eq!(race((pending(), ready(1), pending())).wait(), 1);
/// ```
pub fn race<T: Tuple<Futures: SameArms>>(futures: T) -> Race<T::Futures> {
    Race::new(futures.into_futures())
}

/// Waits for the first of two to six futures to be ready with `Ok`, and returns what is in it.
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
pub fn any<T: Tuple<Futures: SameArms>>(futures: T) -> Any<T::Futures> {
    Any::new(futures.into_futures())
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

/// Waits for the first of two to six futures and runs the arm that belongs to it.
///
/// It begins with the finisher, `await` or `wait`, and may go on with `biased`, which polls the arms in the
/// order in which they are written. Then come the arms, `pattern = future => expression`, with commas between
/// them.
///
/// ```
/// use twoply::{channel, select};
///
/// let (jobs, next_job) = channel::unbounded();
/// let (quit, quitting) = channel::bounded::<()>(1);
/// jobs.try_send(1).unwrap();
/// jobs.try_send(2).unwrap();
/// drop(jobs);
///
/// let mut sum = 0;
/// loop {
///     select! { wait; biased;
///         _ = quitting.recv() => break,
///         job = next_job.recv() => match job {
///             Ok(job) => sum += job,
///             Err(channel::RecvError) => quit.try_send(()).unwrap(),
///         },
///     }
/// }
/// assert_eq!(sum, 3);
/// ```
///
/// It expands to a `match` on [`future::select`](crate::future::select()) of the arms' futures and nothing
/// else:
///
/// ```text
/// match future::select((quitting.recv(), next_job.recv())).biased().wait() {
///     OneOf::First(_) => break,
///     OneOf::Second(job) => ...,
/// }
/// ```
///
/// So patterns must be irrefutable, `?`, `break` and `return` work in the arms, and the losing futures are
/// gone when an arm runs.
#[macro_export]
macro_rules! select {
    (@arms $finish:tt $order:tt [$($futures:tt)*] [$($matches:tt)*] [$variant:ident $($variants:ident)*]
        $pattern:pat = $future:expr => $body:expr $(, $($rest:tt)*)?
    ) => {
        $crate::select!(@arms $finish $order
            [$($futures)* $future,]
            [$($matches)* $crate::future::OneOf::$variant($pattern) => $body,]
            [$($variants)*] $($($rest)*)?)
    };
    (@arms [await] [$($order:tt)*] [$($futures:tt)*] [$($matches:tt)*] $variants:tt) => {
        match $crate::future::select(($($futures)*))$($order)*.await { $($matches)* }
    };
    (@arms [wait] [$($order:tt)*] [$($futures:tt)*] [$($matches:tt)*] $variants:tt) => {
        match $crate::Wait::wait($crate::future::select(($($futures)*))$($order)*) { $($matches)* }
    };
    ($finish:tt; biased; $($arms:tt)+) => {
        $crate::select!(@arms [$finish] [.biased()] [] [] [First Second Third Fourth Fifth Sixth] $($arms)+)
    };
    ($finish:tt; $($arms:tt)+) => {
        $crate::select!(@arms [$finish] [] [] [] [First Second Third Fourth Fifth Sixth] $($arms)+)
    };
}
