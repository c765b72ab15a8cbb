//! Sources attached to an actor: what they give becomes messages to it.
//!
//! The receive loop of [`behaviour`](super::behaviour) polls the mailbox and the sources in turn, in the
//! actor's own task. So an actor that listens to a clock, a channel and a socket costs one task, and
//! everything reaches it one at a time, through [`Actor::handle`](super::Actor::handle).
//!
//! This module never starts a task, and it never takes anything from a source before the actor has time for
//! it: what a source cannot send yet stays there.

use std::marker::PhantomData;
use std::task::{Context, Poll, ready};

use crate::channel::{Source, WaitKey};
use crate::kernel::coop;
use crate::kernel::strand::with_alternative;

/// Identifies a source that is attached to an actor: what [`Context::attach`](super::Context::attach) returns
/// and [`Context::detach`](super::Context::detach) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attachment(u64);

/// The sources that are attached to one actor.
pub(super) struct Sources<M> {
    /// The sources, in the order in which they were attached.
    attached: Vec<(Attachment, Box<dyn PollMessage<M>>)>,
    /// The arm that is asked first: 0 is the mailbox, `n` the source at `n - 1`. It is the arm after the one
    /// that gave last, so each waits for one message of each of the others at most.
    turn: usize,
    /// The number of the next attachment.
    next: u64,
}

impl<M: 'static> Sources<M> {
    pub(super) const fn new() -> Sources<M> {
        Sources { attached: Vec::new(), turn: 0, next: 0 }
    }

    /// Attaches `source`. `convert` is asked with `None` once, at its end.
    pub(super) fn attach<T, S, F>(&mut self, source: S, convert: F) -> Attachment
    where
        S: Source<T> + Send + 'static,
        T: 'static,
        F: FnMut(Option<T>) -> Option<M> + Send + 'static,
    {
        let attachment = Attachment(self.next);
        self.next += 1;
        let converted = ConvertedSource { source, wait_key: WaitKey::new(), convert, item: PhantomData };
        self.attached.push((attachment, Box::new(converted)));
        attachment
    }

    /// Drops a source. Returns whether it was there.
    pub(super) fn detach(&mut self, attachment: Attachment) -> bool {
        let found = self.attached.iter().position(|(attached, _)| *attached == attachment);
        found.map(|index| self.attached.remove(index)).is_some()
    }

    /// Returns the next event of the mailbox, which `mailbox` polls, or the next message of a source, which
    /// `wrap` makes an event.
    #[inline]
    pub(super) fn poll_next<E>(
        &mut self,
        cx: &mut Context<'_>,
        mut mailbox: impl FnMut(&mut Context<'_>) -> Poll<E>,
        wrap: impl FnOnce(M) -> E,
    ) -> Poll<E> {
        if self.attached.is_empty() {
            return mailbox(cx);
        }
        // Once one of them has something, the others are not what the actor waits for.
        with_alternative(|| self.poll_in_turn(cx, mailbox, wrap))
    }

    fn poll_in_turn<E>(
        &mut self,
        cx: &mut Context<'_>,
        mut mailbox: impl FnMut(&mut Context<'_>) -> Poll<E>,
        wrap: impl FnOnce(M) -> E,
    ) -> Poll<E> {
        let (mut asked, mut arms) = (0, self.attached.len() + 1);
        let mut at = self.turn % arms;
        while asked < arms {
            match at.checked_sub(1) {
                None => {
                    if let Poll::Ready(event) = mailbox(cx) {
                        self.turn = 1;
                        return Poll::Ready(event);
                    }
                }
                Some(index) => match self.attached[index].1.poll_message(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Item::Message(message)) => {
                        self.turn = at + 1;
                        return Poll::Ready(wrap(message));
                    }
                    Poll::Ready(Item::Last(last)) => {
                        drop(self.attached.remove(index));
                        self.turn = at;
                        if let Some(message) = last {
                            return Poll::Ready(wrap(message));
                        }
                        // The sources behind it have moved up; the next one is at this index now.
                        arms -= 1;
                        at %= arms;
                        continue;
                    }
                },
            }
            asked += 1;
            at = (at + 1) % arms;
        }
        Poll::Pending
    }
}

/// An item of a source, converted.
enum Item<M> {
    /// A message; there may be more.
    Message(M),
    /// The end of the source, and the message that is made of it.
    Last(Option<M>),
}

/// A source that gives messages, whatever its own type.
trait PollMessage<M>: Send {
    /// Returns the next message, or arranges that `cx` is woken when there is one.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Item<M>>;
}

/// A source with the function that makes messages of its items.
struct ConvertedSource<T, S: Source<T>, F> {
    source: S,
    /// Set while this is among the waiters of the source.
    wait_key: WaitKey,
    /// Makes a message, or none, of an item or of the end.
    convert: F,
    /// The source yields a `T`, and nothing here holds one.
    item: PhantomData<fn() -> T>,
}

impl<T, S, F, M> PollMessage<M> for ConvertedSource<T, S, F>
where
    S: Source<T> + Send,
    F: FnMut(Option<T>) -> Option<M> + Send,
{
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Item<M>> {
        loop {
            match ready!(self.source.poll_recv(&mut self.wait_key, cx)) {
                Ok(item) => {
                    if let Some(message) = (self.convert)(Some(item)) {
                        return Poll::Ready(Item::Message(message));
                    }
                    // The source may be one of the user's, which asks for nothing.
                    ready!(coop::proceed(cx)).spend();
                }
                Err(_) => return Poll::Ready(Item::Last((self.convert)(None))),
            }
        }
    }
}

impl<T, S: Source<T>, F> Drop for ConvertedSource<T, S, F> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.source.stop_recv(&mut self.wait_key);
        }
    }
}

#[cfg(test)]
mod tests;
