//! A green runtime inside of an event loop of [calloop](https://docs.rs/calloop)'s, as Wayland's compositors
//! and clients have.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventSource, Interest, Mode, Poll, PostAction, Readiness, Token, TokenFactory};
use twoply_green::{Green, Host};

/// The time after which the loop looks at a runtime that has no deadline: its descriptor calls before.
const FAR: Duration = Duration::from_secs(3600);

/// A runtime as an event source of the loop that carries it. It is inserted and removed as any source, while
/// both run: its tasks, sockets, timers, files and children go on.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use calloop::{Dispatcher, EventLoop};
/// use twoply::calloop::Hosted;
/// use twoply::green_backend::Green;
///
/// let green = Green::builder().workers(1).build()?;
/// let task = green.spawner().spawn(async { 7 });
/// let mut event_loop = EventLoop::<()>::try_new()?;
/// let dispatcher = Dispatcher::new(Hosted::new(green)?, |(), &mut (), _: &mut ()| ());
/// let token = event_loop.handle().register_dispatcher(dispatcher.clone())?;
/// while !task.is_finished() {
///     event_loop.dispatch(Duration::from_secs(1), &mut ())?;
/// }
/// event_loop.handle().remove(token);
/// let green = Dispatcher::into_source_inner(dispatcher).into_inner();
/// green.shutdown(Duration::from_secs(1))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hosted {
    host: Host<Green>,
    /// Calls when the runtime has something to do.
    readable: Generic<OwnedFd>,
    /// Calls when a timer of the runtime's is due, or there is more to do at once.
    due: Timer,
}

impl Hosted {
    /// Has the runtime, which has one worker and no fibers, be carried by the loop that this is inserted in.
    ///
    /// # Errors
    /// Those of [`Green::into_host`], and what the system says when it has no descriptor more. The runtime is
    /// dropped then, which cancels its tasks.
    pub fn new(green: Green) -> io::Result<Hosted> {
        let host = green.into_host().map_err(|refused| refused.error)?;
        let fd = host.as_fd().try_clone_to_owned()?;
        let readable = Generic::new(fd, Interest::READ, Mode::Level);
        Ok(Hosted { host, readable, due: Timer::immediate() })
    }

    /// Returns the runtime, while the loop carries it.
    pub fn runtime(&self) -> &Green {
        self.host.runtime()
    }

    /// Gives the runtime back, which goes on by itself.
    pub fn into_inner(self) -> Green {
        self.host.into_inner()
    }
}

impl EventSource for Hosted {
    type Event = ();
    type Metadata = ();
    type Ret = ();
    type Error = io::Error;

    fn process_events<F>(&mut self, readiness: Readiness, token: Token, _: F) -> io::Result<PostAction>
    where
        F: FnMut((), &mut ()),
    {
        self.readable.process_events(readiness, token, |_, _| Ok(PostAction::Continue))?;
        let over = |_, _: &mut ()| TimeoutAction::Drop;
        self.due.process_events(readiness, token, over).map_err(io::Error::other)?;
        self.due.set_duration(self.host.turn()?.unwrap_or(FAR));
        Ok(PostAction::Reregister)
    }

    fn register(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.readable.register(poll, tokens)?;
        self.due.register(poll, tokens)
    }

    fn reregister(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.readable.reregister(poll, tokens)?;
        self.due.reregister(poll, tokens)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.readable.unregister(poll)?;
        self.due.unregister(poll)
    }
}

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosted").field("host", &self.host).finish_non_exhaustive()
    }
}
