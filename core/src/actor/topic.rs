//! Topics: what is published reaches every subscriber, [`Topic`].
//!
//! A topic is a few [groups](super::names), one for each [`Backlog`]: so a subscriber that ends leaves before
//! anybody is told of it, and nothing of a topic runs in between. The publisher's own task sends; there is no
//! process in the middle.

use std::fmt;

use super::{Group, Pid, ProcessRef};
use crate::future::join_all;

/// Processes that get every message that is published. Clones are the same topic.
///
/// A message reaches each subscriber in the order in which one publisher publishes. What becomes of one for
/// which a subscriber has no room is said when it [subscribes](Topic::subscribe); one whose mailbox drops
/// messages by itself ([`Overflow`](super::Overflow)), the oldest ones if that is wanted, is never full.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{self, Backlog, Process, Topic};
///
/// let news = Topic::new();
/// let reader = actor::spawn(async |mut me: Process<&str>| {
///     assert_eq!(me.receive().await.message(), Some("it rains"));
/// })?;
/// news.subscribe(&reader, Backlog::Wait);
/// assert_eq!(news.publish("it rains").wait().delivered, 1);
/// # reader.ended().wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Topic<M: Send + 'static> {
    /// The subscribers for whom publishers wait.
    waited_for: Group<M>,
    /// The subscribers that miss what they have no room for.
    missing: Group<M>,
    /// The subscribers that leave when they have no room.
    leaving: Group<M>,
}

/// The way in which a [`Topic`] treats a subscriber without room in its mailbox.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{Backlog, Builder, Process, Topic};
///
/// let topic = Topic::new();
/// let deaf = Builder::new().capacity(1);
/// let deaf = deaf.spawn(async |_: Process<u8>| std::future::pending::<()>().await)?;
/// topic.subscribe(&deaf, Backlog::Disconnect);
/// assert_eq!(topic.publish(1).wait().delivered, 1);
/// assert_eq!(topic.publish(2).wait().disconnected, [deaf.pid()]);
/// assert!(topic.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backlog {
    /// [`publish`](Topic::publish) waits for room. The slowest of these subscribers sets the pace.
    Wait,
    /// The subscriber misses the message.
    Drop,
    /// The subscriber misses the message, and is subscribed no more. It is told nothing by the topic: the
    /// publisher is.
    Disconnect,
}

/// The outcome of a publication: in a [`Topic`], to a [group](Group::try_publish), or to those of one
/// [key](super::Directory::try_publish).
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{Backlog, Builder, Process, Topic};
///
/// let topic = Topic::new();
/// let deaf = Builder::new().capacity(1);
/// let deaf = deaf.spawn(async |_: Process<u8>| std::future::pending::<()>().await)?;
/// topic.subscribe(&deaf, Backlog::Drop);
/// assert_eq!(topic.publish(1).wait().delivered, 1);
/// assert_eq!(topic.publish(2).wait().missed, [deaf.pid()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The number of subscribers whose mailboxes have taken the message.
    pub delivered: usize,
    /// The subscribers that have missed it, because they had no room.
    pub missed: Vec<Pid>,
    /// The subscribers of a topic that are none any more because of that; members of a group stay.
    pub disconnected: Vec<Pid>,
}

impl<M: Send + 'static> Topic<M> {
    /// Returns a topic without subscribers.
    pub fn new() -> Topic<M> {
        Topic { waited_for: Group::new(), missing: Group::new(), leaving: Group::new() }
    }

    /// Has `process` get what is published from now on, until it ends or [unsubscribes](Topic::unsubscribe).
    /// To subscribe once more is to change the backlog. Returns false when it has ended, or runs on another
    /// node.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Backlog, Process, Topic};
    ///
    /// let topic = Topic::new();
    /// let reader = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// assert!(topic.subscribe(&reader, Backlog::Wait));
    /// assert!(topic.subscribe(&reader, Backlog::Drop), "it has another backlog now");
    /// assert_eq!(topic.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self, process: &ProcessRef<M>, backlog: Backlog) -> bool {
        let group = match backlog {
            Backlog::Wait => &self.waited_for,
            Backlog::Drop => &self.missing,
            Backlog::Disconnect => &self.leaving,
        };
        let pid = process.pid();
        if !group.contains(&pid) {
            self.unsubscribe(&pid);
        }
        group.join(process) || group.contains(&pid)
    }

    /// Ends the subscription of `process`. Returns true if there was one.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Backlog, Process, Topic};
    ///
    /// let topic = Topic::new();
    /// let reader = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// topic.subscribe(&reader, Backlog::Wait);
    /// assert!(topic.unsubscribe(&reader.pid()));
    /// assert_eq!(topic.try_publish(&1).delivered, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unsubscribe(&self, process: &Pid) -> bool {
        [&self.waited_for, &self.missing, &self.leaving].into_iter().any(|group| group.leave(process))
    }

    /// Returns the number of subscribers.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Backlog, Process, Topic}};
    ///
    /// let topic = Topic::new();
    /// let reader = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// topic.subscribe(&reader, Backlog::Wait);
    /// assert_eq!(topic.len(), 1);
    /// topic.publish(1).wait(); // It receives that, and ends.
    /// reader.ended().wait();
    /// assert_eq!(topic.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.waited_for.len() + self.missing.len() + self.leaving.len()
    }

    /// Returns true if there are no subscribers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<M: Clone + Send + 'static> Topic<M> {
    /// Sends `message` to every subscriber, and waits for room where one is to be [waited
    /// for](Backlog::Wait): for all of those at a time, after the others have been served.
    ///
    /// # Cancel safety
    /// A future that is dropped has sent the message to some of those that have had room by then, and to no
    /// others; one that was never polled has sent it to nobody.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Backlog, Process, Topic}};
    ///
    /// let topic = Topic::new();
    /// for backlog in [Backlog::Wait, Backlog::Drop] {
    ///     let reader = actor::spawn(async |mut me: Process<&str>| {
    ///         assert_eq!(me.receive().await.message(), Some("it rains"));
    ///     })?;
    ///     topic.subscribe(&reader, backlog);
    /// }
    /// assert_eq!(topic.publish("it rains").wait().delivered, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn publish(&self, message: M) -> Published {
        let mut published = self.publish_now(&message);
        let waited_for = self.waited_for.members();
        let sends = waited_for.iter().map(|process| process.send(message.clone()));
        published.delivered += join_all(sends).await.iter().filter(|sent| sent.is_ok()).count();
        published
    }

    /// Sends `message` to every subscriber that has room. One that is to be waited for, and has none, has
    /// missed it.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Backlog, Builder, Process, Topic};
    ///
    /// let topic = Topic::new();
    /// let deaf = Builder::new().capacity(1);
    /// let deaf = deaf.spawn(async |_: Process<u8>| std::future::pending::<()>().await)?;
    /// topic.subscribe(&deaf, Backlog::Disconnect);
    /// assert_eq!(topic.try_publish(&1).delivered, 1);
    /// assert_eq!(topic.try_publish(&2).disconnected, [deaf.pid()]);
    /// assert!(topic.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_publish(&self, message: &M) -> Published {
        let mut published = self.publish_now(message);
        published.send_to_all(&self.waited_for.members(), message);
        published
    }

    /// Sends the message to those that are never waited for.
    fn publish_now(&self, message: &M) -> Published {
        let mut published = Published::default();
        published.send_to_all(&self.missing.members(), message);
        for process in self.leaving.members() {
            if !published.send(&process, message) && self.leaving.leave(&process.pid()) {
                published.disconnected.push(process.pid());
            }
        }
        published
    }
}

impl Published {
    /// Sends the message to those of the processes that have room, and notes what has come of it.
    pub(super) fn send_to_all<'a, M: Clone + Send + 'static>(
        &mut self,
        processes: impl IntoIterator<Item = &'a ProcessRef<M>>,
        message: &M,
    ) {
        for process in processes {
            self.send(process, message);
        }
    }

    /// Sends the message if there is room, and notes what has come of it. Returns false if there was none.
    fn send<M: Clone + Send + 'static>(&mut self, process: &ProcessRef<M>, message: &M) -> bool {
        match process.try_send(message.clone()) {
            Ok(()) => self.delivered += 1,
            Err(error) if error.is_full() => {
                self.missed.push(process.pid());
                return false;
            }
            // It has ended, and so it is about to leave.
            Err(_) => {}
        }
        true
    }
}

impl<M: Send + 'static> Clone for Topic<M> {
    fn clone(&self) -> Topic<M> {
        Topic {
            waited_for: self.waited_for.clone(),
            missing: self.missing.clone(),
            leaving: self.leaving.clone(),
        }
    }
}

impl<M: Send + 'static> Default for Topic<M> {
    fn default() -> Topic<M> {
        Topic::new()
    }
}

impl<M: Send + 'static> fmt::Debug for Topic<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("subscribers", &self.len()).finish()
    }
}
