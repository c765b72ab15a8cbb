//! Questions: a message with a resolver in it, and the wait for the answer.
//!
//! The process owes the answer. If it ends without having given one, wherever the question is by then (in its
//! mailbox, in the hands of its code, in what it keeps for later), the answer comes out as
//! [`Failure::NoProcess`] with the reason; so nobody waits for a process that is gone.
//!
//! # The question that its own process drops
//! Code that returns, fails or panics drops the question that it has in hand *before* anybody knows that it
//! ends, and why. So a question that is dropped by the task of the process it was put to becomes an
//! [`Orphan`], which is kept:
//!
//! - When the reason is settled, the question fails with it.
//! - When the process goes on, it is broken: when the process looks into its mailbox again, or its task
//!   waits, suspended or blocked ([`Cell::go_on`], `StrandState::task_continues`). That includes a wait that
//!   would be an edge of the wait graph, so that nobody is told of a circle through a question that is given
//!   up. Destructors may wait while the process unwinds; that is not yet to go on.
//! - A poll that ends because its budget is spent is no such wait: the next one shows what the process does.
//! - A process that has begun to end ([`Cell::leave`]) does not go on: what it drops from then on waits for
//!   the reason, whatever else it waits for before.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::cell::Cell;
use super::mailbox::DROPPED;
use super::reference::ProcessRef;
use crate::base::sync::lock;
use crate::channel::{TrySendError, WaitKey};
use crate::kernel::backend::StrandState;
use crate::kernel::coop;
use crate::kernel::strand::with_state;
use crate::kernel::task;
use crate::kernel::task::owner::{Orphan, Owner, Owning, sealed::Named};
use crate::promise::{Answer, Failure, Resolver, WaitTimeout, owed_answer};

impl<M: Send + 'static> Owning for Cell<M> {
    fn task(&self) -> Option<Arc<task::Shared>> {
        self.own_task()
    }

    fn is_blocked(&self) -> bool {
        self.is_own_task_stopped()
    }

    fn received(&self) -> u32 {
        self.taken()
    }

    fn failure(&self) -> Option<Failure> {
        self.reason().map(Failure::NoProcess)
    }

    fn keep_orphan(self: Arc<Self>, orphan: Arc<dyn Orphan>) -> bool {
        self.keep_orphan(orphan)
    }

    fn release_orphans(&self) {
        self.break_orphans();
    }
}

impl<M: Send + 'static> Cell<M> {
    /// Keeps a question to this process that was dropped unanswered, by whoever calls. See the
    /// [module](self). Returns false where it is to be broken now.
    fn keep_orphan(self: Arc<Self>, orphan: Arc<dyn Orphan>) -> bool {
        if self.proxy().is_some() {
            // Nothing of the process runs here. The reason for which it has ended, if it has, `cause` has
            // been asked for already.
            return false;
        }
        let runs = self.is_running();
        let mut inbox = lock(&self.inbox);
        let life = &mut inbox.life;
        if let Some(reason) = life.reason() {
            drop(inbox);
            orphan.fail(Failure::NoProcess(reason));
            return true;
        }
        if life.is_leaving() {
            life.keep_orphan(orphan);
        } else if runs {
            life.keep_orphan(orphan);
            self.set_flag(&inbox, DROPPED, true);
            drop(inbox);
            with_state(|state| state.abandons_promise(self));
        } else {
            return false;
        }
        true
    }

    /// Notes that a poll of the body begins. Returns whether the last one was cut short before it showed
    /// whether the process goes on.
    #[inline]
    pub(super) fn resume(self: &Arc<Self>) -> bool {
        let undecided = self.has(DROPPED);
        if undecided {
            with_state(|state| state.abandons_promise(Arc::clone(self) as Arc<dyn Owning>));
        }
        undecided
    }

    /// Notes that the poll is over, and the body is not. Where the budget was spent, the next poll shows
    /// whether the process goes on: a budget decides nothing. `undecided` is what [`Cell::resume`] has
    /// returned.
    #[inline]
    pub(super) fn suspend(&self, undecided: bool) {
        if self.has(DROPPED) {
            match undecided || !coop::is_spent() {
                true => self.go_on(),
                false => with_state(StrandState::task_ends),
            }
        }
    }
}

impl<M> Cell<M> {
    /// Breaks the questions that the process's code has dropped, because the process goes on. Only for its
    /// own task.
    #[inline]
    pub(super) fn go_on(&self) {
        if self.has(DROPPED) && !std::thread::panicking() {
            with_state(StrandState::task_continues);
            // The process may receive in another task than its own.
            self.break_orphans();
        }
    }

    #[cold]
    fn break_orphans(&self) {
        let mut inbox = lock(&self.inbox);
        self.set_flag(&inbox, DROPPED, false);
        let orphans = if inbox.life.is_leaving() { Vec::new() } else { inbox.life.take_orphans() };
        drop(inbox);
        orphans.into_iter().for_each(|orphan| orphan.fail(Failure::Broken));
    }

    /// Notes that the process ends, by itself or because its body is being dropped: the reason is settled, or
    /// still to come.
    pub(in crate::actor) fn leave(&self) {
        if self.has_returned() && !self.has(DROPPED) {
            return;
        }
        if self.has(DROPPED) {
            with_state(StrandState::task_ends);
        }
        let mut inbox = lock(&self.inbox);
        inbox.life.leave();
        self.set_flag(&inbox, DROPPED, false);
    }
}

impl<M: Send + 'static> Named for ProcessRef<M> {
    fn as_owner(&self) -> Owner {
        Owner::of_other(Arc::clone(self.cell()) as Arc<dyn Owning>)
    }
}

impl<M: Send + 'static> ProcessRef<M> {
    /// Asks the process: sends the message that `question` makes of a resolver, and waits for what that is
    /// resolved with. Finish it with `.await` or `.wait()`; set a deadline with [`Ask::timeout`].
    ///
    /// Waits for room in the mailbox, too, as [`ProcessRef::send`] does.
    ///
    /// # Errors
    /// The future's output is [`Failure::NoProcess`] when the process has ended, or ends without having
    /// answered; [`Failure::Broken`] when it has dropped the question and goes on, which shows when it next
    /// waits or looks into its mailbox; [`Failure::Overloaded`] when a mailbox that refuses
    /// ([`Overflow::Fail`](crate::actor::Overflow::Fail)) is full.
    ///
    /// # Cancel safety
    /// A future that is dropped gives up on the answer, which is dropped when it comes. The question may have
    /// been sent.
    ///
    /// # Examples
    /// ```
    /// use twoply::promise::Resolver;
    /// use twoply::{Wait, actor::{Builder, Event, Process}};
    ///
    /// struct Double(u32, Resolver<u32>);
    ///
    /// let doubler = Builder::new().spawn(async |mut me: Process<Double>| {
    ///     while let Event::Message(Double(n, reply)) = me.receive().await {
    ///         let _ = reply.resolve(2 * n);
    ///     }
    /// })?;
    /// assert_eq!(doubler.ask(|reply| Double(21, reply)).wait()?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn ask<R: Send + 'static>(&self, question: impl FnOnce(Resolver<R>) -> M) -> Ask<'_, M, R> {
        let (answer, resolver) = owed_answer(Owner::of_question(Arc::clone(self.cell()) as Arc<dyn Owning>));
        // A closure that captures nothing has nothing to put into the message.
        let parting = if size_of_val(&question) == 0 { Parting::Nothing } else { Parting::Unsent };
        Ask { process: self, message: Some(question(resolver)), wait_key: WaitKey::new(), answer, parting }
    }

    /// Asks the process if that can be done at once, and returns the answer that is to come.
    ///
    /// # Errors
    /// As [`ProcessRef::try_send`]; the message that `question` has made is handed back.
    ///
    /// # Examples
    /// ```
    /// use twoply::promise::Resolver;
    /// use twoply::{Wait, actor::{self, Event, Process}};
    ///
    /// let clock = actor::spawn(async |mut me: Process<Resolver<&str>>| {
    ///     while let Event::Message(reply) = me.receive().await {
    ///         _ = reply.resolve("noon");
    ///     }
    /// })?;
    /// let answer = clock.try_ask(|reply| reply)?;
    /// assert_eq!(answer.wait()?, "noon");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Resolver<R>) -> M,
    ) -> Result<Answer<R>, TrySendError<M>> {
        self.try_ask_as(Owner::of_question(Arc::clone(self.cell()) as Arc<dyn Owning>), question)
    }

    /// As [`ProcessRef::try_ask`], for a question whose resolver stays with code of this library.
    #[inline]
    pub(in crate::actor) fn try_ask_inside<R: Send + 'static>(
        &self,
        question: impl FnOnce(Resolver<R>) -> M,
    ) -> Result<Answer<R>, TrySendError<M>> {
        self.try_ask_as(self.as_owner(), question)
    }

    #[inline]
    fn try_ask_as<R: Send + 'static>(
        &self,
        owner: Owner,
        question: impl FnOnce(Resolver<R>) -> M,
    ) -> Result<Answer<R>, TrySendError<M>> {
        let (answer, resolver) = owed_answer(owner);
        self.try_send(question(resolver))?;
        Ok(answer)
    }
}

/// The future of [`ProcessRef::ask`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Ask<'a, M, R> {
    /// The process that is asked.
    process: &'a ProcessRef<M>,
    /// The question, until it has been sent.
    message: Option<M>,
    /// The key among those that wait for room.
    wait_key: WaitKey,
    /// The answer that is to come.
    answer: Answer<R>,
    /// The part that the message has in what the running task parts with.
    parting: Parting,
}

/// The part that the message of a question has in what the task parts with that asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// It carries nothing, or the task has parted with it for good.
    Nothing,
    /// It may carry something, and has not been sent.
    Unsent,
    /// It has been sent, and is all that the task has parted with. While the task waits for its answer,
    /// whatever it carries is with the process that is waited for.
    Alone,
}

impl<M, R> Ask<'_, M, R> {
    /// Waits for at most `duration`, counted from now; then the output is [`Failure::TimedOut`], and an
    /// answer that comes later is dropped.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::promise::{Failure, Resolver};
    /// use twoply::{Wait, actor::{self, Process}};
    ///
    /// let deaf = actor::spawn(async |_: Process<Resolver<u8>>| std::future::pending::<()>().await)?;
    /// let answer = deaf.ask(|reply| reply).timeout(Duration::from_millis(1)).wait();
    /// assert!(matches!(answer, Err(Failure::TimedOut)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timeout(self, duration: Duration) -> WaitTimeout<Self> {
        WaitTimeout::new(duration, self)
    }
}

// The message is moved out when it is sent; nothing in it is ever pinned.
impl<M, R> Unpin for Ask<'_, M, R> {}

impl<M, R> Future for Ask<'_, M, R> {
    type Output = Result<R, Failure>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R, Failure>> {
        let this = self.get_mut();
        if this.message.is_some() {
            let cell = this.process.cell();
            let Poll::Ready(sent) = cell.poll_send(false, &mut this.wait_key, &mut this.message, cx) else {
                // Whoever is to make room is the one who is to answer. So this waits for the answer as well,
                // which can come out in one way only: the process waits for this task, and there will be no
                // room.
                with_state(|state| state.probe.report_extra(cx.waker()));
                return Pin::new(&mut this.answer).poll(cx);
            };
            if let Err(error) = sent {
                // The question's own resolver is dropped here, unanswered.
                drop(error);
                let failure = match cell.refusal() {
                    Some(reason) => Failure::NoProcess(reason),
                    None => Failure::Overloaded,
                };
                return Poll::Ready(Err(failure));
            }
            if this.parting == Parting::Unsent {
                let is_alone = with_state(StrandState::parts_with_question);
                this.parting = if is_alone { Parting::Alone } else { Parting::Nothing };
            }
        } else if this.parting == Parting::Alone {
            with_state(StrandState::asks_on);
        }
        let answer = Pin::new(&mut this.answer).poll(cx);
        if answer.is_ready() {
            this.end_parting();
        }
        answer
    }
}

impl<M, R> Ask<'_, M, R> {
    /// Ends the wait for the answer: the message, and whatever it carries, is out of the task's sight.
    #[inline]
    fn end_parting(&mut self) {
        if self.parting == Parting::Alone {
            self.parting = Parting::Nothing;
            with_state(StrandState::parts);
        }
    }
}

impl<M, R> Drop for Ask<'_, M, R> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.process.cell().stop_send(&mut self.wait_key);
        }
        self.end_parting();
    }
}

impl<M, R> fmt::Debug for Ask<'_, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.message.is_none();
        f.debug_struct("Ask").field("process", self.process).field("asked", &asked).finish()
    }
}
