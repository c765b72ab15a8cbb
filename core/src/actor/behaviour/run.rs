//! The loop of an actor: it receives, calls a handler, and begins again.

use std::error::Error;
use std::fmt::{self, Write};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{self, Poll};

use pin_project_lite::pin_project;

use super::{Actor, Context};
use crate::actor::catch_panic::{catch_panic, catch_panic_async};
use crate::actor::process::system::Request;
use crate::actor::{Event, ExitReason, Process};
use crate::channel::Receiver;
use crate::kernel::task::Panic;
use crate::promise::Failure;

/// The outcome of an actor's first handler, if it was not an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::actor) enum Begun {
    /// The actor has started and goes on.
    Started,
    /// The actor asks that nobody count it as started.
    Ignored,
}

/// Runs an actor's process. Calls `ready` when the actor has started, or has said that it will not.
///
/// Every actor that waits has room for all that is alive at any await point here. So what is captured is not
/// moved to a local variable, where it would lie twice; and a reason is boxed.
pub(super) fn run<A: Actor>(
    actor: A,
    process: Process<A::Message>,
    ready: impl FnOnce(Begun) + Send,
) -> impl Future<Output = ExitReason> + Send {
    run_with(actor, process, None, ready)
}

/// As `run`, for an actor that also receives from a `queue` which it may share with others. At the end of
/// that, the actor stops when it has received what is in its mailbox.
pub(in crate::actor) fn run_with<A: Actor>(
    mut actor: A,
    process: Process<A::Message>,
    queue: Option<Receiver<A::Message>>,
    ready: impl FnOnce(Begun) + Send,
) -> impl Future<Output = ExitReason> + Send {
    let mut cx = Context::new(process);
    if let Some(queue) = queue {
        let own = cx.me().downgrade();
        cx.attach_to_end(queue, move |message| {
            if message.is_none()
                && let Some(own) = own.upgrade()
            {
                own.drain(ExitReason::Shutdown);
            }
            message
        });
    }
    async move {
        let started = catch_panic_async(|| actor.started(&mut cx)).await;
        if let Err(reason) = failure_of(started) {
            return reason;
        }
        if cx.is_ignored() {
            ready(Begun::Ignored);
            return ExitReason::Normal;
        }
        ready(Begun::Started);
        let reason = loop {
            if let Some(reason) = cx.take_stop() {
                break reason;
            }
            if cx.cell().is_asked() || cx.is_suspended() {
                poll_fn(|task| serve(&mut actor, &mut cx, task)).await;
            }
            let turn = Turn::Receiving { parts: Some((&mut actor, &mut cx)), dispatch };
            if let Err(reason) = turn.await {
                break reason;
            }
        };
        // The answers that the actor owes wait for the reason from here on.
        cx.cell().leave();
        match catch_panic_async(|| actor.stopped(&reason, &mut cx)).await {
            Err(panic) if reason.is_orderly() => panic.into(),
            _ => *reason,
        }
    }
}

pin_project! {
    /// One turn of the loop: it receives an event, and runs the handler of that. An event goes from the
    /// mailbox to its handler in one poll, and lies in no future on its way: each move of a message costs
    /// every message.
    #[project = TurnProjection]
    enum Turn<'a, A: Actor, D, H> {
        // No event has come. The parts are there until one does.
        Receiving { parts: Option<(&'a mut A, &'a mut Context<A>)>, dispatch: D },
        // The handler runs, in the same bytes.
        Handling { #[pin] handler: H },
    }
}

impl<'a, A, D, H> Future for Turn<'a, A, D, H>
where
    A: Actor,
    D: Fn(&'a mut A, Option<Event<A::Message>>, &'a mut Context<A>) -> H,
    H: Future<Output = Result<(), A::Error>>,
{
    // An error is the reason to end.
    type Output = Result<(), Box<ExitReason>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let mut received = None;
        if let TurnProjection::Receiving { parts: Some((_, cx)), .. } = self.as_mut().project() {
            let next = match poll_event(cx, task) {
                Poll::Ready(next) => next,
                // A request is served between two turns.
                Poll::Pending if cx.cell().is_asked() => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            };
            received = match next? {
                Some(Event::Exit(exit)) if cx.cell().is_parent(&exit.from) => {
                    return Poll::Ready(Err(Box::new(exit.reason)));
                }
                Some(Event::Stop(reason)) => return Poll::Ready(Err(reason)),
                event => Some(event),
            };
        }
        let polled = catch_panic(|| {
            if let Some(event) = received
                && let TurnProjection::Receiving { parts, dispatch } = self.as_mut().project()
                && let Some((actor, cx)) = parts.take()
            {
                let handler = dispatch(actor, event, cx);
                self.set(Turn::Handling { handler });
            }
            match self.project() {
                TurnProjection::Handling { handler } => handler.poll(task),
                TurnProjection::Receiving { .. } => unreachable!("polled again after it panicked"),
            }
        });
        match polled {
            Ok(polled) => polled.map(|handled| failure_of(Ok(handled)).map_err(Box::new)),
            Err(panic) => Poll::Ready(Err(Box::new(panic.into()))),
        }
    }
}

/// Serves the requests that have come, and is ready when the actor is not suspended.
#[cold]
fn serve<A: Actor>(actor: &mut A, cx: &mut Context<A>, task: &mut task::Context<'_>) -> Poll<()> {
    loop {
        for request in cx.cell().take_requests() {
            // Whoever has asked may have gone; a resolver here has no other reason to fail.
            let _ = match request {
                Request::Show(reply) => match catch_panic(|| show(actor)) {
                    Ok(state) => reply.resolve(state).map_err(drop),
                    Err(panic) => reply.fail(Failure::Panicked(panic)).map_err(drop),
                },
                Request::Suspend(reply) => {
                    cx.set_suspended(true);
                    reply.resolve(()).map_err(drop)
                }
                Request::Resume(reply) => {
                    cx.set_suspended(false);
                    reply.resolve(()).map_err(drop)
                }
            };
        }
        if !cx.is_suspended() {
            return Poll::Ready(());
        }
        cx.cell().wait_for_requests(task);
        if !cx.cell().is_asked() {
            return Poll::Pending;
        }
    }
}

/// Returns what the actor shows of its state.
fn show<A: Actor>(actor: &A) -> String {
    struct State<'a, A>(&'a A);
    impl<A: Actor> fmt::Display for State<'_, A> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.show_state(f)
        }
    }
    let mut text = String::new();
    // An error ends the text, and nothing else.
    let _ = write!(text, "{}", State(actor));
    text
}

/// The next event, `None` if none has come for long, or the reason to end.
type Received<M> = Result<Option<Event<M>>, Box<ExitReason>>;

/// Returns the next event, or the panic of a source.
#[inline]
fn poll_event<A: Actor>(cx: &mut Context<A>, task: &mut task::Context<'_>) -> Poll<Received<A::Message>> {
    if cx.is_plain() {
        // The mailbox runs no code of the user's: there is nothing to contain.
        return cx.poll_next(task).map(Ok);
    }
    match catch_panic(|| cx.poll_next(task)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(Box::new(panic.into()))),
    }
}

/// Calls the handler of `event`; `None` is that none has come for long.
#[inline(always)]
fn dispatch<'a, A: Actor>(
    actor: &'a mut A,
    event: Option<Event<A::Message>>,
    cx: &'a mut Context<A>,
) -> impl Future<Output = Result<(), A::Error>> + Send {
    match event {
        Some(Event::Message(message)) => HandlerFuture::Message { handler: actor.handle(message, cx) },
        Some(Event::Exit(exit)) => HandlerFuture::Exit { handler: actor.trapped(*exit, cx) },
        Some(Event::Down(down)) => HandlerFuture::Down { handler: actor.down(*down, cx) },
        Some(Event::Timeout(timer)) => HandlerFuture::Timeout { handler: actor.timed_out(timer, cx) },
        Some(Event::Stop(_)) => unreachable!("it ends the loop"),
        None => HandlerFuture::Idle { handler: actor.idle(cx) },
    }
}

pin_project! {
    /// The future of one of an actor's handlers.
    #[project = HandlerFutureProjection]
    enum HandlerFuture<H, T, D, O, I> {
        // The handler of a message.
        Message { #[pin] handler: H },
        // The handler of an exit signal.
        Exit { #[pin] handler: T },
        // The handler of the end of a process.
        Down { #[pin] handler: D },
        // The handler of a timer.
        Timeout { #[pin] handler: O },
        // The handler of a long silence.
        Idle { #[pin] handler: I },
    }
}

impl<H, T, D, O, I> Future for HandlerFuture<H, T, D, O, I>
where
    H: Future,
    T: Future<Output = H::Output>,
    D: Future<Output = H::Output>,
    O: Future<Output = H::Output>,
    I: Future<Output = H::Output>,
{
    type Output = H::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<H::Output> {
        match self.project() {
            HandlerFutureProjection::Message { handler } => handler.poll(cx),
            HandlerFutureProjection::Exit { handler } => handler.poll(cx),
            HandlerFutureProjection::Down { handler } => handler.poll(cx),
            HandlerFutureProjection::Timeout { handler } => handler.poll(cx),
            HandlerFutureProjection::Idle { handler } => handler.poll(cx),
        }
    }
}

/// Returns the reason to end if a handler has failed or panicked.
fn failure_of<E>(handled: Result<Result<(), E>, Panic>) -> Result<(), ExitReason>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    handled?.map_err(ExitReason::failed)
}
