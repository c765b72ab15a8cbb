//! The connections of a listener, one after the other, through shortages of descriptors.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::endpoint::{Accepted, Endpoint, Family, Ip, Listener, Stream};
use super::listener::accept_one;
use super::sys::passes;
use crate::base::turns::Turns;
use crate::channel::{RecvError, Source, TryRecvError, WaitKey};
use crate::event::reactor::{Direction, IoSource};
use crate::kernel::io::Op;
use crate::kernel::{Wait, coop};
use crate::time::sleep;

/// The pause of an accept loop that is out of descriptors, and the limit to which it is doubled.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The pauses of an accept loop through shortages, each twice as long as the one before.
pub(crate) struct Pause {
    /// The next pause; back at the shortest after each success.
    next: Duration,
}

impl Pause {
    pub(crate) fn new() -> Pause {
        let (shortest, _) = PAUSE;
        Pause { next: shortest }
    }

    /// Notes that a connection has come.
    pub(crate) fn end(&mut self) {
        *self = Pause::new();
    }

    /// Returns the time after which it is tried again; `None` when `error` does not pass by itself.
    pub(crate) fn after(&mut self, error: &io::Error) -> Option<Duration> {
        let (_, longest) = PAUSE;
        let pause = passes(error).then_some(self.next)?;
        self.next = (pause * 2).min(longest);
        Some(pause)
    }
}

/// A program's function that hears of the troubles of an accept loop.
type Hook = Arc<dyn Fn(&AcceptTrouble<'_>) + Send + Sync>;

/// A trouble that an accept loop tells about; see [`Incoming::on_trouble`].
#[derive(Debug)]
#[non_exhaustive]
pub struct AcceptTrouble<'a> {
    /// The error of the system.
    pub error: &'a io::Error,
    /// The time after which the loop tries again; `None` when this error ends it.
    pub pause: Option<Duration>,
}

/// The connections of a listener, one after the other; made by [`incoming`](Endpoint::incoming).
///
/// When descriptors or memory run out it pauses, 5 ms at first and up to a second, and tries again, so that a
/// server outlives the shortage without burning a core; the connections wait in the queue of the listener
/// meanwhile. Connections that failed before they were accepted are passed over; where many do so in a row,
/// it pauses, too.
///
/// It is a [`Source`], which may be attached to an actor or made a stream, and ends with an error that does
/// not pass; and an iterator, which finishes each step with `.wait()`.
///
/// ```
/// use twoply::{Wait, channel::Source, net::{TcpListener, TcpStream}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let address = listener.local_addr()?;
/// let incoming = listener.into_incoming().on_trouble(|trouble| eprintln!("{trouble:?}"));
/// let client = TcpStream::connect(address).wait()?;
/// let (server, peer) = incoming.recv().wait().unwrap();
/// assert_eq!(peer, client.local_addr()?);
/// # drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Incoming<'a, F: Family = Ip> {
    listener: Held<'a, F>,
    hook: Option<Hook>,
    pause: Pause,
    /// The step that a source waits in.
    step: Turns<Step<F>>,
}

/// A listener that is borrowed or owned.
enum Held<'a, F> {
    Borrowed(&'a Endpoint<F, Listener>),
    Owned(Endpoint<F, Listener>),
}

impl<F: Family> Held<'_, F> {
    fn get(&self) -> &Endpoint<F, Listener> {
        match self {
            Held::Borrowed(listener) => listener,
            Held::Owned(listener) => listener,
        }
    }
}

/// A wait for the next connection.
type Waiting<F> = Pin<Box<dyn Future<Output = io::Result<Accepted<F>>> + Send>>;

/// The state of an accept loop as a source.
struct Step<F: Family> {
    /// The wait for the next connection, while somebody asks for it.
    waiting: Option<Waiting<F>>,
    /// True after an error that does not pass.
    ended: bool,
}

impl<'a, F: Family> Incoming<'a, F> {
    pub(super) fn borrowed(listener: &'a Endpoint<F, Listener>) -> Incoming<'a, F> {
        Incoming::new(Held::Borrowed(listener))
    }

    pub(super) fn owned(listener: Endpoint<F, Listener>) -> Incoming<'static, F> {
        Incoming::new(Held::Owned(listener))
    }

    fn new(listener: Held<'_, F>) -> Incoming<'_, F> {
        Incoming {
            listener,
            hook: None,
            pause: Pause::new(),
            step: Turns::new(Step { waiting: None, ended: false }),
        }
    }

    /// Has `hook` called with each shortage, and with an error that ends the loop. It runs in the middle of
    /// the wait for a connection, with nothing locked.
    pub fn on_trouble(mut self, hook: impl Fn(&AcceptTrouble<'_>) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Returns the listener whose connections these are.
    pub fn listener(&self) -> &Endpoint<F, Listener> {
        self.listener.get()
    }

    /// Waits for the next connection. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`accept`](Endpoint::accept) that do not pass by themselves.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let mut incoming = listener.incoming();
    /// let (server, peer) = incoming.accept().wait()?;
    /// # drop((client, server, peer));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn accept(&mut self) -> io::Result<(Endpoint<F, Stream>, F::Address)> {
        let Incoming { listener, hook, pause, .. } = self;
        accept_patiently(listener.get().source(), hook.as_ref(), pause).await
    }

    /// Polls the step of a source. What it comes to is `None` at the end.
    fn poll_step(&self, step: &mut Step<F>, cx: &mut Context<'_>) -> Poll<Option<Accepted<F>>> {
        if step.ended {
            return Poll::Ready(None);
        }
        // Out of the step while it is polled: a waker may panic, and what it leaves cannot be polled again.
        let mut waiting = step.waiting.take().unwrap_or_else(|| {
            let (source, hook) = (Arc::clone(self.listener().source()), self.hook.clone());
            Box::pin(async move { accept_patiently(&source, hook.as_ref(), &mut Pause::new()).await })
        });
        match waiting.as_mut().poll(cx) {
            Poll::Ready(accepted) => {
                step.ended = accepted.is_err();
                Poll::Ready(accepted.ok())
            }
            Poll::Pending => {
                step.waiting = Some(waiting);
                Poll::Pending
            }
        }
    }
}

/// Accepts a connection, and pauses through shortages.
async fn accept_patiently<F: Family>(
    source: &Arc<IoSource>,
    hook: Option<&Hook>,
    pause: &mut Pause,
) -> io::Result<Accepted<F>> {
    loop {
        let error = match Op::new(source, Direction::Read, None, accept_one::<F>).await {
            Ok(accepted) => {
                pause.end();
                return Ok(accepted);
            }
            Err(error) => error,
        };
        let retry = pause.after(&error);
        if let Some(hook) = hook {
            hook(&AcceptTrouble { error: &error, pause: retry });
        }
        let Some(rest) = retry else { return Err(error) };
        sleep(rest).await;
    }
}

impl<F: Family> Source<(Endpoint<F, Stream>, F::Address)> for Incoming<'_, F> {
    fn poll_recv(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Endpoint<F, Stream>, F::Address), RecvError>> {
        let polled = self.step.poll(wait_key, cx, |step, cx| self.poll_step(step, cx));
        polled.map(|accepted| accepted.ok_or(RecvError))
    }

    fn stop_recv(&self, wait_key: &mut WaitKey) {
        // A connection is taken by the poll that returns it: with the wait, none is lost.
        self.step.stop(wait_key, |step| drop(step.waiting.take()));
    }

    fn try_recv(&self) -> Result<(Endpoint<F, Stream>, F::Address), TryRecvError> {
        let looked = self.step.look(|step| {
            let mut cx = Context::from_waker(Waker::noop());
            let polled = coop::with_full_budget(|| self.poll_step(step, &mut cx));
            step.waiting = None;
            (polled, false)
        });
        match looked {
            Some(Poll::Ready(accepted)) => accepted.ok_or(TryRecvError::Closed),
            // Whoever waits for a connection at this moment is given the one that is there.
            Some(Poll::Pending) | None => Err(TryRecvError::Empty),
        }
    }
}

impl<F: Family> Iterator for Incoming<'_, F> {
    type Item = io::Result<Endpoint<F, Stream>>;

    fn next(&mut self) -> Option<io::Result<Endpoint<F, Stream>>> {
        Some(self.accept().wait().map(|(stream, _)| stream))
    }
}

impl<F: Family> fmt::Debug for Incoming<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("listener", self.listener()).finish_non_exhaustive()
    }
}
