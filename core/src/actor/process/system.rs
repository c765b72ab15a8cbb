//! Requests to an actor beside its mailbox: to show its state, to be suspended and to go on. They are those
//! of Erlang's `sys`.
//!
//! A request needs no room and overtakes all that waits. It is served between two handlers, by the loop of
//! the actor (`behaviour/run.rs`), which is told of it by a flag and by the waker with which it waits for
//! events. Where a process is no actor there is no such loop, and it refuses.

use std::task::Context;

use super::cell::Cell;
use super::mailbox::{ASKED, SERVES};
use super::reference::ProcessRef;
use crate::base::sync::lock;
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::task::owner::sealed::Named;
use crate::promise::{Answer, Failure, Resolver, owed_answer};

/// A request to an actor.
pub(in crate::actor) enum Request {
    /// To show its state.
    Show(Resolver<String>),
    /// To handle nothing more until it is to go on.
    Suspend(Resolver<()>),
    /// To go on with what has come.
    Resume(Resolver<()>),
}

impl<M: Send + 'static> ProcessRef<M> {
    /// Asks the actor to show its state, as text: what its
    /// [`show_state`](crate::actor::Actor::show_state) writes. Finish it with `.await` or `.wait()`.
    ///
    /// The actor answers when the handler that it is in has returned, before all that waits in its mailbox,
    /// and goes on. This is the `sys:get_state` of Erlang.
    ///
    /// The answer fails with
    /// - [`Failure::NoProcess`] when the process has ended, or ends before;
    /// - [`Failure::Broken`] when it is no [`Actor`](crate::actor::Actor), or runs on another node;
    /// - [`Failure::Panicked`] when `show_state` panics, which ends nothing.
    ///
    /// # Examples
    /// ```
    /// use std::{convert::Infallible, fmt};
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context};
    ///
    /// struct Counter(u64);
    ///
    /// impl Actor for Counter {
    ///     type Message = u64;
    ///     type Error = Infallible;
    ///
    ///     async fn handle(&mut self, n: u64, _: &mut Context<Counter>) -> Result<(), Infallible> {
    ///         self.0 += n;
    ///         Ok(())
    ///     }
    ///
    ///     fn show_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    ///         write!(f, "counted to {}", self.0)
    ///     }
    /// }
    ///
    /// let counter = Counter(1).spawn()?;
    /// assert_eq!(counter.show_state().wait()?, "counted to 1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn show_state(&self) -> Answer<String> {
        self.request(Request::Show)
    }

    /// Has the actor handle nothing more, messages and news alike, until it is to [go
    /// on](ProcessRef::resume); it still shows its state, and what comes waits in its mailbox. The answer
    /// comes when the handler that it is in has returned, and fails as that of [`ProcessRef::show_state`].
    /// This is the `sys:suspend` of Erlang.
    ///
    /// An exit signal that the actor does not trap ends it all the same. A trapped one waits like others,
    /// also if it is that of the parent: a supervisor that stops a suspended child kills it when its time is
    /// over.
    ///
    /// # Examples
    /// ```
    /// # use std::convert::Infallible;
    /// use twoply::Wait;
    /// # use twoply::actor::{Actor, Context};
    /// # struct Quiet;
    /// # impl Actor for Quiet {
    /// #     type Message = ();
    /// #     type Error = Infallible;
    /// #     async fn handle(&mut self, _: (), _: &mut Context<Quiet>) -> Result<(), Infallible> { Ok(()) }
    /// # }
    /// let quiet = Quiet.spawn()?;
    /// quiet.suspend().wait()?;
    /// quiet.send(()).wait()?;
    /// assert_eq!(quiet.len(), 1);
    /// quiet.resume().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn suspend(&self) -> Answer<()> {
        self.request(Request::Suspend)
    }

    /// Has an actor that is [suspended](ProcessRef::suspend) go on, however often it was suspended. The
    /// answer fails as that of [`ProcessRef::show_state`].
    pub fn resume(&self) -> Answer<()> {
        self.request(Request::Resume)
    }

    fn request<R: Send + 'static>(&self, request: impl FnOnce(Resolver<R>) -> Request) -> Answer<R> {
        let (answer, resolver) = owed_answer(self.as_owner());
        self.cell().ask_system(request(resolver));
        answer
    }
}

impl Request {
    fn fail(self, failure: Failure) {
        // Nobody else has the resolver, so nothing can come too late.
        let _ = match self {
            Request::Show(reply) => reply.fail(failure),
            Request::Suspend(reply) | Request::Resume(reply) => reply.fail(failure),
        };
    }
}

impl<M> Cell<M> {
    /// Puts a request to the actor, or has it refused.
    fn ask_system(&self, request: Request) {
        let mut inbox = lock(&self.inbox);
        if !(self.has(SERVES) && inbox.life.is_alive()) {
            drop(inbox);
            return request.fail(self.reason().map_or(Failure::Broken, Failure::NoProcess));
        }
        inbox.life.add_request(request);
        self.set_flag(&inbox, ASKED, true);
        let waker = inbox.queue.receiver.take();
        self.sync_flags(&inbox.queue);
        drop(inbox);
        wake_all(waker);
    }

    /// Notes that the process is an actor, whose loop serves requests.
    pub(in crate::actor) fn serve_requests(&self) {
        let inbox = lock(&self.inbox);
        self.set_flag(&inbox, SERVES, true);
    }

    /// Returns true if there may be requests.
    #[inline]
    pub(in crate::actor) fn is_asked(&self) -> bool {
        self.has(ASKED)
    }

    /// Takes the requests that have come.
    pub(in crate::actor) fn take_requests(&self) -> Vec<Request> {
        let mut inbox = lock(&self.inbox);
        self.set_flag(&inbox, ASKED, false);
        inbox.life.take_requests()
    }

    /// Has `cx`'s task woken by the next request, and by the next event, which a suspended actor leaves where
    /// it is. The caller then looks whether there is a request.
    pub(in crate::actor) fn wait_for_requests(&self, cx: &mut Context<'_>) {
        // Cloned before, as it runs code of the waker's.
        let waker = StoredWaker::of(cx.waker());
        let mut inbox = lock(&self.inbox);
        let before = inbox.queue.receiver.replace(waker);
        self.sync_flags(&inbox.queue);
        drop(inbox);
        drop(before);
        let _ = self.note_wait();
    }
}
