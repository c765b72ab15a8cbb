//! The handles of a port: [`Port`], which also receives, and [`PortRef`].

use std::fmt;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use super::active::Active;
use super::engine::{Control, Successor};
use super::event::Event;
use super::outlet::ToMailbox;
use crate::actor::{Ended, Pid, ProcessRef};
use crate::channel::{
    Receiver, Receiving, RecvError, SendError, Sender, Sending, Sink, Source, TryRecvError, TrySendError,
    WaitKey,
};

/// A port whose events are received from it: a [`Source`] of them, and a [`Sink`] of what is written.
///
/// It belongs to whoever has it. Dropping it closes the port: of what has been sent, as much is written as
/// can be without waiting. A process that keeps it in its body closes it with its own end.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port::{self, Event}};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// let echo = port::lines(ours).start()?;
/// let client = port::lines(theirs).start()?;
/// client.send("hello".to_owned()).wait()?;
/// let line = echo.recv().wait()?.item().unwrap();
/// echo.send(line).wait()?;
/// assert!(matches!(client.recv().wait()?, Event::Item(line) if line == "hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Port<I: Send + 'static, O> {
    events: Receiver<Event<I>>,
    port: PortRef<I, O>,
    /// False once it has gone to another owner.
    owned: bool,
}

impl<I: Send + 'static, O> Port<I, O> {
    pub(super) fn new(events: Receiver<Event<I>>, port: PortRef<I, O>) -> Port<I, O> {
        Port { events, port, owned: true }
    }

    /// Returns a handle to write with, which keeps nothing open.
    pub fn port_ref(&self) -> &PortRef<I, O> {
        &self.port
    }

    /// Receives the next event, by `.await` or `.wait()`. A future that is dropped has received nothing.
    ///
    /// # Errors
    /// After [`Event::Closed`], and when the port's process has been made to end.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixStream, port::{self, Event}};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).start()?;
    /// theirs.write_all(b"one\n").wait()?;
    /// drop(theirs);
    /// assert!(matches!(port.recv().wait()?, Event::Item(line) if line == "one"));
    /// assert!(matches!(port.recv().wait()?, Event::Closed));
    /// assert!(port.recv().wait().is_err(), "that was the last event");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv(&self) -> Receiving<'_, Event<I>, Port<I, O>> {
        Receiving::new(self)
    }

    /// Receives an event that is there already.
    ///
    /// # Errors
    /// When there is none now, or never again.
    ///
    /// # Examples
    /// ```
    /// use twoply::{channel::TryRecvError, net::UnixStream, port};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).start()?;
    /// assert!(matches!(port.try_recv(), Err(TryRecvError::Empty)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_recv(&self) -> Result<Event<I>, TryRecvError> {
        self.events.try_recv()
    }

    /// Sends an item to be written; see [`PortRef::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, item: O) -> Sending<'_, O, PortRef<I, O>> {
        self.port.send(item)
    }

    /// Sends an item to be written, if there is room; see [`PortRef::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, item: O) -> Result<(), TrySendError<O>> {
        self.port.try_send(item)
    }

    /// Asks for more items; see [`PortRef::active`].
    pub fn active(&self, active: Active) {
        self.port.active(active);
    }

    /// Gives the port to `owner`, in whose mailbox the events arrive from now on as messages that `make`
    /// makes of them, those first that have not been received here. The port closes with `owner`.
    ///
    /// `make` runs in the task of the port; if it panics, the port ends.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Process}, net::UnixStream, port};
    ///
    /// enum Message {
    ///     Net(port::Event<String>),
    ///     Quit,
    /// }
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let accepted = port::lines(ours).start()?;
    /// let owner = actor::spawn_fn(|mut me: Process<Message>| {
    ///     while let Some(Message::Net(event)) = me.receive().wait().message() {
    ///         println!("{event:?}");
    ///     }
    /// })?;
    /// let port = accepted.into_mailbox(&owner, Message::Net);
    /// port.send("welcome".to_owned()).wait()?;
    /// owner.send(Message::Quit).wait()?;
    /// # drop(theirs);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_mailbox<N, F>(mut self, owner: &ProcessRef<N>, make: F) -> PortRef<I, O>
    where
        N: Send + 'static,
        F: FnMut(Event<I>) -> N + Send + 'static,
    {
        self.owned = false;
        let outlet = Box::new(ToMailbox::new(owner.clone(), make));
        let backlog = Some(self.events.clone());
        self.port.ask(Control::HandOver(Successor { outlet, owner: owner.pid(), backlog }));
        self.port.clone()
    }
}

impl<I: Send + 'static, O> Drop for Port<I, O> {
    fn drop(&mut self) {
        if self.owned {
            self.port.ask(Control::Drop);
        }
    }
}

impl<I: Send + 'static, O> Source<Event<I>> for Port<I, O> {
    #[inline]
    fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<Event<I>, RecvError>> {
        self.events.poll_recv(wait_key, cx)
    }

    fn stop_recv(&self, wait_key: &mut WaitKey) {
        self.events.stop_recv(wait_key);
    }

    fn try_recv(&self) -> Result<Event<I>, TryRecvError> {
        self.events.try_recv()
    }
}

impl<I: Send + 'static, O> fmt::Debug for Port<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({})", self.port.pid())
    }
}

/// A handle of a port, to write with and to ask things of it. It can be cloned, and keeps nothing open.
///
/// A port is a process: it can be monitored, linked and found by a name, and [`Pid::exit`] ends it at once.
/// It ends by itself, with [`Normal`](crate::actor::ExitReason::Normal), after [`Event::Closed`], and with
/// the reason of its owner after that.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// let port = port::lines(ours).start()?;
/// let writer = port.port_ref().clone();
/// writer.send("hello".to_owned()).wait()?;
/// let mut buf = [0; 6];
/// theirs.read_exact(&mut buf).wait()?;
/// assert_eq!(&buf, b"hello\n");
/// drop(port);
/// assert!(writer.ended().wait().is_normal(), "the handle has kept nothing open");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PortRef<I: Send + 'static, O> {
    control: ProcessRef<Control<I>>,
    writes: Sender<O>,
    /// The port gives items of this type, and none is in here.
    item: PhantomData<fn() -> I>,
}

impl<I: Send + 'static, O> PortRef<I, O> {
    pub(super) fn new(control: ProcessRef<Control<I>>, writes: Sender<O>) -> PortRef<I, O> {
        PortRef { control, writes, item: PhantomData }
    }

    /// Sends an item to be written, by `.await` or `.wait()`. It waits while as many items wait as the port
    /// [takes](super::Builder::write_queue), which encodes none while as many bytes are unwritten as the
    /// [high-water mark](super::Builder::high_water) says: so a peer that reads nothing stops the sender in
    /// the end. Items of one sender are written in order.
    ///
    /// # Errors
    /// When the output has ended. The item is handed back.
    ///
    /// # Cancel safety
    /// A future that is dropped before it is ready has sent nothing.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixStream, port::{self, Event}};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).start()?;
    /// drop(theirs);
    /// while !matches!(port.recv().wait()?, Event::Closed) {}
    /// let error = port.send("too late".to_owned()).wait().unwrap_err();
    /// assert_eq!(error.into_inner(), "too late");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(&self, item: O) -> Sending<'_, O, PortRef<I, O>> {
        Sending::new(self, item)
    }

    /// Sends an item to be written, if there is room. It never waits.
    ///
    /// # Errors
    /// [`Full`](TrySendError::Full) when there is no room, [`Closed`](TrySendError::Closed) when the output
    /// has ended. The item is handed back.
    pub fn try_send(&self, item: O) -> Result<(), TrySendError<O>> {
        self.writes.try_send(item)
    }

    /// Asks for more items, or for none; see [`Active`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixStream, port::{self, Active, Event}};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"1\n2\n3\n").wait()?;
    /// let port = port::lines(ours).active(Active::N(2)).start()?;
    /// let next = || port.recv().wait();
    /// assert!(matches!(next()?, Event::Item(line) if line == "1"));
    /// assert!(matches!(next()?, Event::Item(line) if line == "2"));
    /// assert!(matches!(next()?, Event::Passive));
    /// port.active(Active::Once);
    /// assert!(matches!(next()?, Event::Item(line) if line == "3"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn active(&self, active: Active) {
        self.ask(Control::Active(active));
    }

    /// Ends the output when what has been sent is written: the peer reads the end. What the peer sends still
    /// arrives, to its end.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, port::{self, Event}, process::{Command, Stdio}};
    ///
    /// let sort = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// let port = port::child(sort).start()?;
    /// for word in ["pear", "apple"] {
    ///     port.send(word.to_owned()).wait()?;
    /// }
    /// port.port_ref().finish();
    /// let first = port.recv().wait()?.item().unwrap();
    /// assert_eq!(first.stdout().as_deref(), Some("apple"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn finish(&self) {
        self.ask(Control::Finish);
    }

    /// Closes the port: it reads nothing more, writes what has been sent, and ends with [`Event::Closed`]. A
    /// peer that reads nothing keeps it open, and so does an owner that receives nothing, if there is no room
    /// for the last events; [`Pid::exit`] with [`Kill`](crate::actor::ExitReason::Kill) waits for nobody.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixStream, port::{self, Event}};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).start()?;
    /// port.send("bye".to_owned()).wait()?;
    /// port.port_ref().close();
    /// let mut text = Vec::new();
    /// twoply::io::read_to_end(&mut &theirs, &mut text, 100).wait()?;
    /// assert_eq!(text, b"bye\n");
    /// assert!(matches!(port.recv().wait()?, Event::Closed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        self.ask(Control::Close);
    }

    /// Gives the port to `owner`, in whose mailbox the events arrive as messages that `make` makes of them.
    /// The port closes with `owner` from then on, and no longer with the owner before.
    ///
    /// Nothing is lost and nothing is reordered. The owner before gets [`Event::HandedOver`] as its last
    /// event, in its turn; and the new one gets none before the other has dropped that, so that it can pass
    /// on what came before. If `owner` is gone, the port closes.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Process, ProcessRef}, net::UnixStream, port::{self, Event}};
    ///
    /// type Lines = Event<String>;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let second = actor::spawn_fn(|mut me: Process<Lines>| {
    ///     for expected in ["one", "two"] {
    ///         assert_eq!(me.receive().wait().message().unwrap().item().unwrap(), expected);
    ///     }
    /// })?;
    /// let next = second.clone();
    /// let first = actor::spawn_fn(move |mut me: Process<Lines>| {
    ///     while let Some(event) = me.receive().wait().message() {
    ///         match event {
    ///             Event::HandedOver(_) => break,
    ///             other => next.send(other).wait().unwrap(),
    ///         }
    ///     }
    /// })?;
    /// let port = port::lines(ours).into_mailbox(&first, |event| event)?;
    /// theirs.write_all(b"one\n").wait()?;
    /// port.hand_over(&second, |event| event);
    /// theirs.write_all(b"two\n").wait()?;
    /// assert!(second.ended().wait().is_normal());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hand_over<N, F>(&self, owner: &ProcessRef<N>, make: F)
    where
        N: Send + 'static,
        F: FnMut(Event<I>) -> N + Send + 'static,
    {
        let outlet = Box::new(ToMailbox::new(owner.clone(), make));
        self.ask(Control::HandOver(Successor { outlet, owner: owner.pid(), backlog: None }));
    }

    /// Returns the pid of the port, to link, monitor or end it.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::ExitReason, net::UnixStream, port};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).start()?;
    /// port.port_ref().pid().exit(ExitReason::Kill);
    /// assert_eq!(port.port_ref().ended().wait(), ExitReason::Killed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pid(&self) -> Pid {
        self.control.pid()
    }

    /// Waits for the end of the port, and returns its reason. That comes after the last event: an owner which
    /// waits for it receives that first, or [drops](Port) the port.
    ///
    /// ```
    /// use twoply::{Wait, net::UnixStream, port};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(&[b'\n'; 1000]).wait()?;
    /// let port = port::lines(ours).start()?;
    /// let reference = port.port_ref().clone();
    /// reference.close();
    /// while port.recv().wait().is_ok() {}
    /// assert!(reference.ended().wait().is_normal());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ended(&self) -> Ended {
        self.control.ended()
    }

    /// Returns true if nothing can be written any more.
    pub fn is_closed(&self) -> bool {
        self.writes.is_closed()
    }

    /// Asks something of the port. One that is over has nothing to do.
    fn ask(&self, control: Control<I>) {
        let _ = self.control.try_send(control);
    }
}

impl<I: Send + 'static, O> Sink<O> for PortRef<I, O> {
    #[inline]
    fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<O>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<O>>> {
        self.writes.poll_send(wait_key, message, cx)
    }

    fn stop_send(&self, wait_key: &mut WaitKey) {
        self.writes.stop_send(wait_key);
    }

    fn take_back(&self, wait_key: &mut WaitKey) -> Option<O> {
        self.writes.take_back(wait_key)
    }

    fn try_send(&self, message: O) -> Result<(), TrySendError<O>> {
        self.writes.try_send(message)
    }
}

/// Sends through the port itself; see [`PortRef`].
impl<I: Send + 'static, O> Sink<O> for Port<I, O> {
    fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<O>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<O>>> {
        self.port.poll_send(wait_key, message, cx)
    }

    fn stop_send(&self, wait_key: &mut WaitKey) {
        self.port.stop_send(wait_key);
    }

    fn take_back(&self, wait_key: &mut WaitKey) -> Option<O> {
        self.port.take_back(wait_key)
    }

    fn try_send(&self, message: O) -> Result<(), TrySendError<O>> {
        self.port.try_send(message)
    }
}

impl<I: Send + 'static, O> Clone for PortRef<I, O> {
    fn clone(&self) -> PortRef<I, O> {
        PortRef::new(self.control.clone(), self.writes.clone())
    }
}

impl<I: Send + 'static, O> fmt::Debug for PortRef<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortRef({})", self.pid())
    }
}
