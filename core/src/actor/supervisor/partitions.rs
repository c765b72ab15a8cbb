//! [`Partitions`]: several children of one kind, of which a key says which one is meant.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::builder::Supervisor;
use super::child_ref::ChildRef;
use super::spec::ChildSpec;

/// The children of a [partitioned](Supervisor::partitioned) supervisor: each key has one of them, always the
/// same. Clones are the same partitions.
///
/// Their number never changes, and the references follow restarts. So whatever is kept for a key is in one
/// place, and no process has to do with all keys. A [`Pool`](crate::actor::Pool) has members that come and
/// go, and chooses one for each message.
pub struct Partitions<M: Send + 'static>(Arc<[ChildRef<M>]>);

impl Supervisor {
    /// Returns a supervisor of `count` children of one kind, at least one, and the way to each by a key. It
    /// restarts [the child alone](super::Strategy::OneForOne). `make` is called with the numbers from 0 on;
    /// to the id of what it makes the number is added.
    ///
    /// This is Elixir's `PartitionSupervisor`, where the children are often supervisors: one that starts a
    /// process for each connection is soon what all of them wait for.
    ///
    /// # Examples
    /// ```
    /// use std::thread::available_parallelism;
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let count = available_parallelism()?.get();
    /// let (supervisor, sessions) = Supervisor::partitioned(count, |_| {
    ///     ChildSpec::supervisor("sessions", Supervisor::dynamic())
    /// });
    /// let supervisor = supervisor.start().wait()?;
    /// let session = ChildSpec::process("session", async |mut me: Process<()>| drop(me.receive().await));
    /// let of_bob = sessions.of("bob").as_supervisor().expect("it runs");
    /// of_bob.start_child(session).wait()?;
    /// assert_eq!(sessions.of("bob").as_supervisor().map(|found| found.pid()), Some(of_bob.pid()));
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn partitioned<M: Send + 'static>(
        count: usize,
        mut make: impl FnMut(usize) -> ChildSpec<M>,
    ) -> (Supervisor, Partitions<M>) {
        let mut supervisor = Supervisor::one_for_one();
        let mut children = Vec::new();
        for number in 0..count.max(1) {
            let spec = make(number).numbered(number);
            children.push(spec.reference());
            supervisor = supervisor.child(spec);
        }
        (supervisor, Partitions(children.into()))
    }
}

impl<M: Send + 'static> Partitions<M> {
    /// Returns the child that `key` belongs to. Keys that are equal belong to the same one, in each run of
    /// the program; they are spread by the hash of Fowler, Noll and Vo (FNV-1a). That is no protection from
    /// somebody who chooses keys so that they meet.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let (supervisor, counters) = Supervisor::partitioned(4, |_| {
    ///     ChildSpec::process("counter", async |mut me: Process<u64>| {
    ///         let mut sum = 0;
    ///         while let Some(n) = me.receive().await.message() {
    ///             sum += n;
    ///         }
    ///         println!("{sum}");
    ///     })
    /// });
    /// let supervisor = supervisor.start().wait()?;
    /// counters.of(&("user", 7)).send(1).wait()?;
    /// assert_eq!(counters.of("some key").pid(), counters.of("some key").pid());
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of<K: Hash + ?Sized>(&self, key: &K) -> &ChildRef<M> {
        let mut hasher = Fnv::default();
        key.hash(&mut hasher);
        &self.0[(hasher.finish() % self.0.len() as u64) as usize]
    }

    /// Returns all children, in the order of their numbers.
    pub fn all(&self) -> &[ChildRef<M>] {
        &self.0
    }
}

impl<M: Send + 'static> Clone for Partitions<M> {
    fn clone(&self) -> Partitions<M> {
        Partitions(Arc::clone(&self.0))
    }
}

impl<M: Send + 'static> fmt::Debug for Partitions<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Partitions").field(&self.0).finish()
    }
}

/// The hash FNV-1a of 64 bits, with the constants that its authors give.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The values are from the page of the authors.
    #[test]
    fn the_hash_is_fnv_1a() {
        let hash = |bytes: &[u8]| {
            let mut hasher = Fnv::default();
            hasher.write(bytes);
            hasher.finish()
        };
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn keys_are_spread() {
        let mut counts = [0; 7];
        for key in 0..7000_u32 {
            let mut hasher = Fnv::default();
            key.hash(&mut hasher);
            counts[(hasher.finish() % 7) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
