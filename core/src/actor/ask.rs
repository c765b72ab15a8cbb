//! Questions: a message with a resolver in it, and the wait for the answer.
//!
//! The process owes the answer. If it ends without having given one, wherever the question is by then, the answer
//! comes out as [`Failure::NoProcess`] with the reason; so nobody waits for a process that is gone.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::cell::Cell;
use super::reference::ProcessRef;
use crate::channel::{Place, TrySendError};
use crate::promise::{Answer, Debtor, Failure, Named, Orphan, Owner, Resolver, owed_answer};
use crate::task::TaskState;
use crate::time::{Timeout, timeout};

impl<M: Send + 'static> Owner for Cell<M> {
    fn task(&self) -> Option<Arc<TaskState>> {
        self.own_task()
    }

    fn is_stopped(&self) -> bool {
        self.is_own_task_stopped()
    }

    fn cause(&self) -> Option<Failure> {
        self.reason().map(Failure::NoProcess)
    }

    fn keep(&self, orphan: Arc<dyn Orphan>) -> bool {
        self.keep_orphan(orphan)
    }
}

impl<M: Send + 'static> Named for ProcessRef<M> {
    fn debtor(&self) -> Debtor {
        Debtor::of_owner(Arc::clone(self.cell()) as Arc<dyn Owner>)
    }
}

impl<M: Send + 'static> ProcessRef<M> {
    /// Asks the process: sends the message that `question` makes of a resolver, and waits for what that is resolved
    /// with. Finish it with `.await` or `.wait()`; set a deadline with [`Ask::within`].
    ///
    /// Waits for room in the mailbox, too, as [`ProcessRef::send`] does.
    ///
    /// # Errors
    /// The future's output is [`Failure::NoProcess`] when the process has ended, or ends without having answered;
    /// [`Failure::Broken`] when it has dropped the question and lives on; [`Failure::Overloaded`] when a mailbox that
    /// refuses ([`Overflow::Fail`](super::Overflow::Fail)) is full.
    ///
    /// # Cancel safety
    /// A future that is dropped gives up on the answer, which is dropped when it comes. The question may have been sent.
    ///
    /// # Examples
    /// ```no_run
    /// # fn on(backend: std::sync::Arc<dyn twoply_core::backend::Backend>) -> Result<(), Box<dyn std::error::Error>> {
    /// use twoply_core::promise::Resolver;
    /// use twoply_core::{Wait, actor::{Builder, Event, Process}};
    ///
    /// struct Double(u32, Resolver<u32>);
    ///
    /// let doubler = Builder::new().on(&backend).spawn(async |mut me: Process<Double>| {
    ///     while let Event::Message(Double(n, reply)) = me.receive().await {
    ///         let _ = reply.resolve(2 * n);
    ///     }
    /// })?;
    /// assert_eq!(doubler.ask(|reply| Double(21, reply)).wait()?, 42);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn ask<R: Send + 'static>(&self, question: impl FnOnce(Resolver<R>) -> M) -> Ask<'_, M, R> {
        let (answer, resolver) = owed_answer(Arc::clone(self.cell()) as Arc<dyn Owner>);
        Ask { process: self, message: Some(question(resolver)), place: Place::new(), answer }
    }

    /// Asks the process if that can be done at once, and returns the answer that is to come.
    ///
    /// # Errors
    /// As [`ProcessRef::try_send`]; the message that `question` has made is handed back.
    #[inline]
    pub fn try_ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Resolver<R>) -> M,
    ) -> Result<Answer<R>, TrySendError<M>> {
        let (answer, resolver) = owed_answer(Arc::clone(self.cell()) as Arc<dyn Owner>);
        self.try_send(question(resolver))?;
        Ok(answer)
    }
}

/// The future of [`ProcessRef::ask`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Ask<'a, M, R> {
    /// Who is asked.
    process: &'a ProcessRef<M>,
    /// The question, until it has been sent.
    message: Option<M>,
    /// The place in the line of those that wait for room.
    place: Place,
    /// The answer.
    answer: Answer<R>,
}

impl<M, R> Ask<'_, M, R> {
    /// Waits for at most `duration`, counted from now; then the output is [`Failure::TimedOut`], and an answer that
    /// comes later is dropped.
    pub fn within(self, duration: Duration) -> AskWithin<Self> {
        AskWithin { timeout: timeout(duration, self) }
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
            let Poll::Ready(sent) = cell.poll_send(false, &mut this.place, &mut this.message, cx) else {
                // Whoever is to make room is the one who is to answer. So this waits for the answer as well, which can
                // come out in one way only: the process waits for this task, and there will be no room.
                return Pin::new(&mut this.answer).poll(cx);
            };
            if let Err(error) = sent {
                // It is the question's own resolver that is dropped here, unanswered.
                drop(error);
                let failure = match cell.reason() {
                    Some(reason) => Failure::NoProcess(reason),
                    None => Failure::Overloaded,
                };
                return Poll::Ready(Err(failure));
            }
        }
        Pin::new(&mut this.answer).poll(cx)
    }
}

impl<M, R> Drop for Ask<'_, M, R> {
    fn drop(&mut self) {
        if self.place.is_taken() {
            self.process.cell().stop_send(&mut self.place);
        }
    }
}

impl<M, R> fmt::Debug for Ask<'_, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.message.is_none();
        f.debug_struct("Ask").field("process", self.process).field("asked", &asked).finish()
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Ask::within`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
    pub struct AskWithin<A> {
        // The question and its deadline.
        #[pin]
        timeout: Timeout<A>,
    }
}

impl<R, A: Future<Output = Result<R, Failure>>> Future for AskWithin<A> {
    type Output = Result<R, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R, Failure>> {
        let answer = ready!(self.project().timeout.poll(cx));
        Poll::Ready(answer.unwrap_or(Err(Failure::TimedOut)))
    }
}
