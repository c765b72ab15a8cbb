//! The choice of a member: [`Routing`].

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Member;
use crate::actor::ProcessRef;
use crate::channel::{self, Receiver, Sender};

/// Makes a key of a message.
type KeyOf<M> = Box<dyn Fn(&M) -> u64 + Send + Sync>;

/// The way in which a [`Pool`](super::Pool) chooses the member that gets a message.
pub struct Routing<M>(pub(super) Chosen<M>);

/// The kinds of a [`Routing`].
pub(super) enum Chosen<M> {
    RoundRobin,
    LeastLoaded,
    Hash(KeyOf<M>),
    FirstIdle(usize),
}

impl<M> Routing<M> {
    /// Returns the routing by which the members take turns.
    pub fn round_robin() -> Routing<M> {
        Routing(Chosen::RoundRobin)
    }

    /// Returns the routing to the member in whose mailbox the fewest messages wait. The one that it handles
    /// is not counted: where a message may take long, [`first_idle`](Routing::first_idle) is better.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use twoply::actor::{Actor, Context};
    /// # struct Quiet;
    /// # impl Actor for Quiet {
    /// #     type Message = u32;
    /// #     type Error = Infallible;
    /// #     async fn handle(&mut self, _: u32, _: &mut Context<Quiet>) -> Result<(), Infallible> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// use twoply::{Wait, actor::{Pool, Routing}};
    ///
    /// let pool = Pool::builder().size(2).routing(Routing::least_loaded()).start(|| Quiet).wait()?;
    /// pool.send(7).wait()?;
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn least_loaded() -> Routing<M> {
        Routing(Chosen::LeastLoaded)
    }

    /// Returns the routing by which messages of the same key go to the same member. A pool that grows moves
    /// as few keys as possible, each to a new member; one that shrinks moves those of the members that are
    /// stopped. The keys are spread by `key`'s value as jump consistent hash does ("A Fast, Minimal Memory,
    /// Consistent Hash Algorithm", Lamping and Veach, 2014).
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context, Pid, Pool, Routing};
    /// use twoply::promise::Resolver;
    ///
    /// struct Clerk;
    ///
    /// struct Question {
    ///     customer: u64,
    ///     who: Resolver<Pid>,
    /// }
    ///
    /// impl Actor for Clerk {
    ///     type Message = Question;
    ///     type Error = Infallible;
    ///
    ///     async fn handle(&mut self, asked: Question, cx: &mut Context<Clerk>) -> Result<(), Infallible> {
    ///         _ = asked.who.resolve(cx.me().pid());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let by_customer = Routing::hash(|asked: &Question| asked.customer);
    /// let clerks = Pool::builder().size(3).routing(by_customer).start(|| Clerk).wait()?;
    /// let clerk_of = |customer| clerks.ask(|who| Question { customer, who }).wait();
    /// assert_eq!(clerk_of(7)?, clerk_of(7)?);
    /// # clerks.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hash(key: impl Fn(&M) -> u64 + Send + Sync + 'static) -> Routing<M> {
        Routing(Chosen::Hash(Box::new(key)))
    }

    /// Returns the routing to the member that has nothing to do first: messages wait in one queue, for at
    /// most `capacity` of them, at least one. A message that nobody has taken is lost with none of the
    /// members.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use twoply::actor::{Actor, Context};
    /// # struct Quiet;
    /// # impl Actor for Quiet {
    /// #     type Message = u32;
    /// #     type Error = Infallible;
    /// #     async fn handle(&mut self, _: u32, _: &mut Context<Quiet>) -> Result<(), Infallible> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// use twoply::{Wait, actor::{Pool, Routing}};
    ///
    /// let pool = Pool::builder().size(2).routing(Routing::first_idle(100)).start(|| Quiet).wait()?;
    /// pool.send(7).wait()?;
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn first_idle(capacity: usize) -> Routing<M> {
        Routing(Chosen::FirstIdle(capacity.max(1)))
    }
}

impl<M> fmt::Debug for Routing<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Chosen::RoundRobin => "round_robin",
            Chosen::LeastLoaded => "least_loaded",
            Chosen::Hash(_) => "hash",
            Chosen::FirstIdle(_) => "first_idle",
        })
    }
}

/// A routing at work.
pub(super) enum Route<M> {
    /// The number of the next message.
    RoundRobin(AtomicUsize),
    LeastLoaded,
    Hash(KeyOf<M>),
    /// The queue that the members share.
    FirstIdle(Sender<M>),
}

impl<M: Send + 'static> Route<M> {
    /// Returns the routing, and where the members are to receive from besides their mailboxes.
    pub(super) fn new(routing: Routing<M>) -> (Route<M>, Option<Receiver<M>>) {
        match routing.0 {
            Chosen::RoundRobin => (Route::RoundRobin(AtomicUsize::new(0)), None),
            Chosen::LeastLoaded => (Route::LeastLoaded, None),
            Chosen::Hash(key) => (Route::Hash(key), None),
            Chosen::FirstIdle(capacity) => {
                let (queue, receiver) = channel::bounded(capacity);
                (Route::FirstIdle(queue), Some(receiver))
            }
        }
    }

    /// Returns the queue that the members share, if they do.
    pub(super) fn queue(&self) -> Option<&Sender<M>> {
        match self {
            Route::FirstIdle(queue) => Some(queue),
            _ => None,
        }
    }

    /// Returns true if any other member would do as well.
    pub(super) fn is_free(&self) -> bool {
        matches!(self, Route::RoundRobin(_) | Route::LeastLoaded)
    }

    /// Chooses the index of the member that gets `message`; `None` when there is none.
    pub(super) fn choose(&self, members: &[Member<M>], message: &M) -> Option<usize> {
        match self {
            Route::Hash(key) => bucket(key(message), members.len()),
            _ => self.choose_freely(members),
        }
    }

    /// Chooses a member before there is a message, if the routing does not go by that.
    pub(super) fn choose_unseen<'a>(&self, members: &'a [Member<M>]) -> Option<&'a ProcessRef<M>> {
        if !self.is_free() {
            return None;
        }
        let first = self.choose_freely(members)?;
        let turns = (0..members.len()).map(|step| &members[(first + step) % members.len()].process);
        turns.into_iter().find(|process| !process.is_closed())
    }

    fn choose_freely(&self, members: &[Member<M>]) -> Option<usize> {
        match self {
            // Relaxed: it orders nothing.
            Route::RoundRobin(next) => next.fetch_add(1, Relaxed).checked_rem(members.len()),
            Route::LeastLoaded => (0..members.len()).min_by_key(|at| members[*at].process.len()),
            Route::Hash(_) | Route::FirstIdle(_) => None,
        }
    }
}

impl<M> fmt::Debug for Route<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Route::RoundRobin(_) => "round_robin",
            Route::LeastLoaded => "least_loaded",
            Route::Hash(_) => "hash",
            Route::FirstIdle(_) => "first_idle",
        })
    }
}

/// Returns the bucket of `key` among so many, by jump consistent hash: with one more bucket a key stays where
/// it is, or goes there.
fn bucket(key: u64, buckets: usize) -> Option<usize> {
    let (mut key, mut bucket, mut next) = (key, None, 0_u64);
    while next < buckets as u64 {
        bucket = Some(next);
        // The constants are those of the paper.
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((next + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    bucket.map(|bucket| bucket as usize)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::bucket;

    #[test]
    fn a_key_stays_or_goes_to_the_new_bucket() {
        assert_eq!(bucket(1, 0), None);
        let mut moved = 0;
        for key in (0..2000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
            for buckets in 1..20 {
                let (before, after) = (bucket(key, buckets).unwrap(), bucket(key, buckets + 1).unwrap());
                assert!(before < buckets && (after == before || after == buckets));
                moved += usize::from(buckets == 9 && after != before);
            }
        }
        assert!((100..300).contains(&moved), "a tenth of them goes to the tenth bucket: {moved} of 2000");
    }
}
