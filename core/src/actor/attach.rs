//! Sources attached to an actor: what they give becomes messages to it.
//!
//! The receive loop of [`behaviour`](super::behaviour) polls the mailbox and the sources in turn, in the actor's own
//! task. So an actor that listens to a clock, a channel and a port costs one task, and everything reaches it one at a
//! time, through [`Actor::handle`](super::Actor::handle).
//!
//! This module never starts a task, and it never takes anything from a source before the actor has time for it: what a
//! source cannot send yet stays there.

use std::marker::PhantomData;
use std::task::{Context, Poll, ready};

use crate::channel::{Source, WaitKey};
use crate::kernel::coop;

/// Names a source that is attached to an actor; see [`Context::attach`](super::Context::attach).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attachment(u64);

/// What is attached to one actor.
pub(super) struct Sources<M> {
    /// The sources, in the order in which they were attached.
    attached: Vec<(Attachment, Box<dyn Attached<M>>)>,
    /// Who is asked first: 0 is the mailbox, `n` the source at `n - 1`. It is the one after whoever gave last, so
    /// each waits for one message of each of the others at most.
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
        let name = Attachment(self.next);
        self.next += 1;
        let converted = Converted { source, wait_key: WaitKey::new(), convert, item: PhantomData };
        self.attached.push((name, Box::new(converted)));
        name
    }

    /// Takes a source away. Returns whether it was there.
    pub(super) fn detach(&mut self, name: Attachment) -> bool {
        let found = self.attached.iter().position(|(attached, _)| *attached == name);
        found.map(|index| self.attached.remove(index)).is_some()
    }

    /// The next message of the mailbox, which `mailbox` polls and `wrap` makes messages look like, or of a source.
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
                    Poll::Ready(Given::Message(message)) => {
                        self.turn = at + 1;
                        return Poll::Ready(wrap(message));
                    }
                    Poll::Ready(Given::Last(last)) => {
                        drop(self.attached.remove(index));
                        self.turn = at;
                        if let Some(message) = last {
                            return Poll::Ready(wrap(message));
                        }
                        // Those behind it have moved up; the next one stands here now.
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

/// What a source has given.
enum Given<M> {
    /// A message; there may be more.
    Message(M),
    /// Its end, and what is to be said of it.
    Last(Option<M>),
}

/// A source, whatever its type.
trait Attached<M>: Send {
    /// The next message, or a wake-up for `cx` when there is one.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Given<M>>;
}

/// A source, and what makes messages of what it gives.
struct Converted<T, S: Source<T>, F> {
    /// The source.
    source: S,
    /// Its place in the source's line.
    wait_key: WaitKey,
    /// Makes a message, or none, of an item or of the end.
    convert: F,
    /// It yields a `T` and holds none.
    item: PhantomData<fn() -> T>,
}

impl<T, S, F, M> Attached<M> for Converted<T, S, F>
where
    S: Source<T> + Send,
    F: FnMut(Option<T>) -> Option<M> + Send,
{
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Given<M>> {
        loop {
            match ready!(self.source.poll_recv(&mut self.wait_key, cx)) {
                Ok(item) => {
                    if let Some(message) = (self.convert)(Some(item)) {
                        return Poll::Ready(Given::Message(message));
                    }
                    // The source may be one of the user's, which asks for nothing.
                    ready!(coop::proceed(cx)).spend();
                }
                Err(_) => return Poll::Ready(Given::Last((self.convert)(None))),
            }
        }
    }
}

impl<T, S: Source<T>, F> Drop for Converted<T, S, F> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.source.stop_recv(&mut self.wait_key);
        }
    }
}

#[cfg(test)]
mod tests;
