//! Starting an actor and waiting until it has started: [`Actor::start`].

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Actor, Begun, run};
use crate::actor::{Builder, Ended, ExitReason, Process, ProcessRef, SpawnProcessError};
use crate::base::fused::fused;
use crate::channel::{RecvError, oneshot};
use crate::time::{Timeout, timeout};

/// The error of starting an actor and waiting for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartActorError {
    /// There is no process.
    #[error(transparent)]
    Spawn(#[from] SpawnProcessError),
    /// The actor has ended before it had started, for this reason: [`Failed`](ExitReason::Failed) holds the
    /// error of [`Actor::started`].
    #[error("the actor has ended before it had started: {0}")]
    Ended(#[source] ExitReason),
    /// It wants not to have been started: [`Context::ignore`](super::Context::ignore).
    #[error("there is nothing for the actor to do")]
    Ignored,
    /// It took longer than it may, and has been killed.
    #[error("the actor has not started in time")]
    TimedOut,
}

impl<M: Send + 'static> Builder<M> {
    /// Starts `actor` as a process, with these settings, and waits until [`Actor::started`] has returned; see
    /// [`Actor::start`].
    #[track_caller]
    pub fn start_actor<A: Actor<Message = M>>(self, actor: A) -> Starting<M> {
        Starting::new(|tell| self.spawn(move |process| run(actor, process, told(tell))))
    }

    /// As [`Builder::start_actor`], and links the process to `parent` before its first step. The parent hears
    /// of an end by the link, too.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::Wait;
    /// use twoply::actor::{self, Actor, Builder, Context, ExitReason, Process};
    ///
    /// struct Quiet;
    ///
    /// impl Actor for Quiet {
    ///     type Message = ();
    ///     type Error = Infallible;
    ///
    ///     async fn handle(&mut self, _: (), _: &mut Context<Quiet>) -> Result<(), Infallible> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let parent = actor::spawn(async |me: Process<()>| {
    ///     Builder::new().start_actor_link(&me, Quiet).await.map(drop)
    /// })?;
    /// assert_eq!(parent.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn start_actor_link<A, P>(self, parent: &Process<P>, actor: A) -> Starting<M>
    where
        A: Actor<Message = M>,
        P: Send + 'static,
    {
        Starting::new(|tell| self.spawn_link(parent, move |process| run(actor, process, told(tell))))
    }
}

/// Tells whoever waits what has come of the first handler.
fn told(tell: oneshot::Sender<Begun>) -> impl FnOnce(Begun) + Send {
    move |begun| {
        // The actor is killed if nobody waits for it any more.
        let _ = tell.send(begun);
    }
}

/// The future of an actor's start; see [`Actor::start`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Starting<M: Send + 'static>(Start<M>);

/// The states of a start.
enum Start<M: Send + 'static> {
    /// There is no process.
    Refused(SpawnProcessError),
    /// The process runs, and its first handler may not have returned.
    Running(Running<M>),
    /// The future has been ready.
    Done,
}

/// A process whose start is waited for.
struct Running<M: Send + 'static> {
    process: ProcessRef<M>,
    /// The word of the actor, which says what has come of its first handler.
    word: oneshot::Receiver<Begun>,
    /// The word that has come; an error means that there is none, and that the actor ends.
    begun: Option<Result<Begun, RecvError>>,
    ended: Ended,
}

impl<M: Send + 'static> Starting<M> {
    fn new(
        spawn: impl FnOnce(oneshot::Sender<Begun>) -> Result<ProcessRef<M>, SpawnProcessError>,
    ) -> Starting<M> {
        let (tell, word) = oneshot::channel();
        Starting(match spawn(tell) {
            Ok(process) => Start::Running(Running { ended: process.ended(), process, word, begun: None }),
            Err(error) => Start::Refused(error),
        })
    }

    /// Waits for at most `duration`, counted from now; then the actor is killed, and the output is
    /// [`StartActorError::TimedOut`]. The names of the process are free by then; its code ends at its next
    /// await point, or by unwinding from its wait.
    ///
    /// # Examples
    /// ```
    /// # use std::convert::Infallible;
    /// use std::{future, time::Duration};
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context, StartActorError};
    ///
    /// struct Slow;
    ///
    /// impl Actor for Slow {
    ///     type Message = ();
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, _: &mut Context<Slow>) -> Result<(), Infallible> {
    ///         future::pending().await
    ///     }
    /// #   async fn handle(&mut self, _: (), _: &mut Context<Slow>) -> Result<(), Infallible> {
    /// #       Ok(())
    /// #   }
    /// }
    ///
    /// let started = Slow.start().timeout(Duration::from_millis(1)).wait();
    /// assert!(matches!(started, Err(StartActorError::TimedOut)));
    /// ```
    pub fn timeout(self, duration: Duration) -> StartingTimeout<M> {
        StartingTimeout(Some(timeout(duration, self)))
    }
}

impl<M: Send + 'static> Running<M> {
    /// Is ready when the actor has started; or when it has ended instead.
    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<Result<ProcessRef<M>, StartActorError>> {
        let begun = match self.begun {
            Some(begun) => begun,
            None => *self.begun.insert(ready!(Pin::new(&mut self.word).poll(cx))),
        };
        if begun == Ok(Begun::Started) {
            return Poll::Ready(Ok(self.process.clone()));
        }
        let reason = ready!(Pin::new(&mut self.ended).poll(cx));
        Poll::Ready(Err(match begun {
            Ok(_) => StartActorError::Ignored,
            Err(_) => StartActorError::Ended(reason),
        }))
    }
}

impl<M: Send + 'static> Future for Starting<M> {
    type Output = Result<ProcessRef<M>, StartActorError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let started = match &mut self.0 {
            Start::Running(running) => ready!(running.poll_begun(cx)),
            start => match mem::replace(start, Start::Done) {
                Start::Refused(error) => return Poll::Ready(Err(error.into())),
                _ => panic!("a start was polled after it was done"),
            },
        };
        self.0 = Start::Done;
        Poll::Ready(started)
    }
}

fused! { [M: Send + 'static] Starting<M>, |this| matches!(this.0, Start::Done) }

impl<M: Send + 'static> Drop for Starting<M> {
    fn drop(&mut self) {
        if let Start::Running(running) = &self.0 {
            running.process.exit(ExitReason::Kill);
        }
    }
}

// A process and what is heard of it are never pinned.
impl<M: Send + 'static> Unpin for Starting<M> {}

impl<M: Send + 'static> fmt::Debug for Starting<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = match &self.0 {
            Start::Running(running) => Some(&running.process),
            _ => None,
        };
        f.debug_tuple("Starting").field(&process).finish()
    }
}

/// The future of [`Starting::timeout`].
#[derive(Debug)]
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct StartingTimeout<M: Send + 'static>(
    /// The start, which is dropped when the time is over; that kills the actor.
    Option<Timeout<Starting<M>>>,
);

impl<M: Send + 'static> Future for StartingTimeout<M> {
    type Output = Result<ProcessRef<M>, StartActorError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(start) = &mut self.0 else { panic!("a start was polled after it was done") };
        let started = ready!(Pin::new(start).poll(cx));
        self.0 = None;
        Poll::Ready(started.unwrap_or(Err(StartActorError::TimedOut)))
    }
}

fused! { [M: Send + 'static] StartingTimeout<M>, |this| this.0.is_none() }
