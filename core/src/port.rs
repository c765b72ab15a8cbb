//! Ports: I/O that arrives as messages, so that one receive waits for sockets, children, timers, signals and
//! everything else.
//!
//! A port is Erlang's, with types: a [process](crate::actor) that reads on behalf of its owner, makes items
//! of what comes, and writes what it is sent.
//!
//! | function | items that come | items that are written |
//! |---|---|---|
//! | [`lines`], [`delimited`], [`frames`], [`raw`], [`custom`] | of a stream of bytes, by a [`Decoder`] | by an [`Encoder`] |
//! | [`connect`], [`opening`] | the same, of a connection that is established meanwhile | the same |
//! | [`child`], [`child_with`] | what a child process writes, and its status | what it reads |
//! | [`tail`], [`tail_with`] | what is appended to a file | |
//! | [`file`](fn@file) | [answers](FileAnswer) | [requests](FileRequest): reads and writes at positions, and others |
//! | [`udp`], [`datagrams`](fn@datagrams) | datagrams | datagrams |
//! | [`accept`] | connections | |
//! | [`timer`], [`signals`], [`source`] | ticks, signals, what any [`Source`] gives | |
//!
//! Each returns a [`Builder`]. It starts a [`Port`], which is a [`Source`] of [`Event`]s and a
//! [`Sink`](crate::channel::Sink) of what is written; or it has the events arrive in a mailbox, as messages
//! of the owner's own type ([`Builder::into_mailbox`]):
//!
//! ```
//! use std::time::Duration;
//! use twoply::{Wait, actor::{self, Event, Process}, net::UnixStream, port, process};
//!
//! enum Message {
//!     Net(port::Event<String>),
//!     Child(port::Event<port::ChildItem<String>>),
//!     Tick,
//! }
//!
//! let (ours, theirs) = UnixStream::pair()?;
//! let owner = actor::spawn(async move |mut me: Process<Message>| {
//!     let own = me.me();
//!     let net = port::lines(ours).into_mailbox(&own, Message::Net).unwrap();
//!     let echo = process::Command::new("echo").arg("hi").stdout(process::Stdio::piped()).spawn().unwrap();
//!     port::child(echo).into_mailbox(&own, Message::Child).unwrap();
//!     port::timer(Duration::from_millis(1)).into_mailbox(&own, |_| Message::Tick).unwrap();
//!     let (mut from_net, mut from_child, mut ticks) = (0, 0, 0);
//!     // One receive for all of them.
//!     while from_net == 0 || from_child == 0 || ticks == 0 {
//!         match me.receive().await {
//!             Event::Message(Message::Net(port::Event::Item(line))) => {
//!                 from_net += 1;
//!                 net.send(format!("you said {line}")).await.unwrap();
//!             }
//!             Event::Message(Message::Child(_)) => from_child += 1,
//!             Event::Message(Message::Tick) => ticks += 1,
//!             _ => {}
//!         }
//!     }
//!     net.close();
//!     net.ended().await;
//! })?;
//! theirs.write_all(b"hello\n").wait()?;
//! let mut answer = [0; 15];
//! theirs.read_exact(&mut answer).wait()?;
//! assert_eq!(&answer, b"you said hello\n");
//! assert!(owner.ended().wait().is_normal());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//! - **Order.** Events arrive in the order in which things happened, what one sender sends is written in the
//!   order in which it was sent, and [`Event::Closed`] is the last.
//! - **Backpressure, both ways.** A port whose owner has no room reads nothing, and neither does one whose
//!   owner has as many items as it [asked for](Active). Of what is written, the bytes and the items that wait
//!   have limits, above which a send waits. Neither direction waits for the other.
//! - **Ownership.** A [`Port`] closes when it is dropped; one with a mailbox closes with the process of that.
//!   It can be [handed over](PortRef::hand_over) with nothing lost or reordered. It has a
//!   [pid](PortRef::pid), to be linked, monitored and ended; [`Builder::register`] gives it a name.
//! - **A port is small.** One that waits has no thread, no stack and no buffer of its own: over a socket, a
//!   listener or a timer it takes less than 2,560 bytes of memory, over a child, a file or a log less than
//!   3,072, beside its descriptors.
//! - **A message is its owner's.** An event is made a message when there is room for it in the mailbox, and
//!   from then on it has the fate of the mailbox: an owner that ends takes along what it has not received.
//!   What is no message yet, at most what one read has brought, goes to whoever the port is handed over to,
//!   also if the owner before has ended meanwhile.
//! - **Errors are events.** Bytes that make no item, a decoder that panics or makes no progress, what the
//!   system refuses: the owner is told what, where and at which limit, what was read before comes before it,
//!   and the other direction goes on.
//!
//! # What is still written at the end
//!
//! | the port ends because | of what has been sent before |
//! |---|---|
//! | it is [closed](PortRef::close), drained, or its input ends | all is written; a peer that reads nothing keeps the port open |
//! | it is dropped, or its owner ends | as much is written as can be without waiting; the rest is lost |
//! | it is made to by [`Pid::exit`](crate::actor::Pid::exit), it panics, or its runtime is shut down | nothing more is written |
//!
//! [`PortRef::finish`] ends the writing side only: the peer reads all, then the end. What has been written is
//! the system's affair: it goes on sending for a socket that is closed, but for TCP resets the connection if
//! something was received that nobody has read, and then the peer may miss the last of it.
//!
//! # Where the work is done
//! In the task of the port, which waits asynchronously: it costs no thread, no stack, and, as long as nothing
//! comes, no buffer. It runs on the workers of a green backend; ports of native tasks share a thread; and a
//! runtime may have threads for its ports, `io_server` of its builder. Codecs and the functions that make
//! messages run there, and must not wait.
//!
//! An item has memory of its own, unless its codec is [shared](Shared): then many small ones cost a fraction.
//!
//! This module knows no descriptor: a port is over whatever implements futures-io's traits, such as a socket,
//! a pipe, a [file](crate::fs::File) or a stream of TLS, or is a source.

mod active;
mod buffer;
mod builder;
mod bytes;
mod child;
mod codec;
mod connections;
mod datagrams;
mod deferred;
mod engine;
mod event;
mod feed;
mod halves;
mod handle;
mod medium;
mod outlet;
mod requests;
mod spare;
mod stream;
mod tail;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};

use crate::channel::Source;
use crate::fs::File;
use crate::net::endpoint::{Accepted, Datagram, Endpoint, Family, Ip, Listener};
use crate::net::{TcpStream, ToSocketAddrs, UdpSocket};
use crate::process::Child;
use crate::signal::{Received, SignalKind, Signals};
use crate::time::interval;

pub use active::Active;
pub use buffer::Buffer;
pub use builder::Builder;
pub use bytes::{Bytes, Text};
pub use child::ChildItem;
pub use codec::{CodecError, Decoder, Delimited, Encoder, Frames, Lines, Prefix, Raw, Shared};
pub use datagrams::Addressed;
pub use event::{During, Event, HandOver, PortError};
pub use halves::Halves;
pub use handle::{Port, PortRef};
pub use requests::{FileAnswer, FileRequest};
pub use tail::Tail;

use child::Pipes;
use connections::Connections;
use datagrams::Datagrams;
use deferred::Deferred;
use feed::Feed;
use requests::Requests;
use stream::Framed;
use tail::Followed;

/// Returns a port of lines of text, of 64 KiB at most, over a stream of bytes. For another maximum, see
/// [`custom`].
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(b"hello\r\n").wait()?;
/// let port = port::lines(ours).start()?;
/// assert_eq!(port.recv().wait()?.item().as_deref(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lines<S>(stream: S) -> Builder<String, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    custom(stream, Lines::new(), Lines::new())
}

/// Returns a port of frames, with their length in front, over a stream of bytes.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port::{self, Frames, Prefix}};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(&[0, 0, 0, 2, 7, 8]).wait()?;
/// let port = port::frames(ours, Frames::new(Prefix::U32).maximum(1 << 10)).start()?;
/// assert_eq!(port.recv().wait()?.item(), Some(vec![7, 8]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn frames<S>(stream: S, frames: Frames) -> Builder<Vec<u8>, Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    custom(stream, frames.clone(), frames)
}

/// Returns a port of items that end with a delimiter, over a stream of bytes.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port::{self, Delimited}};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(b"one\0two\0").wait()?;
/// let port = port::delimited(ours, Delimited::new([0])).start()?;
/// assert_eq!(port.recv().wait()?.item().as_deref(), Some(&b"one"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn delimited<S>(stream: S, delimited: Delimited) -> Builder<Vec<u8>, Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    custom(stream, delimited.clone(), delimited)
}

/// Returns a port of bytes as they come, over a stream of bytes.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(b"anything").wait()?;
/// let port = port::raw(ours).start()?;
/// assert_eq!(port.recv().wait()?.item().as_deref(), Some(&b"anything"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn raw<S>(stream: S) -> Builder<Vec<u8>, Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    custom(stream, Raw, Raw)
}

/// Returns a port of the items that `decoder` makes of a stream of bytes, and of those that `encoder` makes
/// bytes of. Either may be of your own; they must not wait.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port::{self, Event, Lines}};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(b"much too long\nfine\n").wait()?;
/// let short = Lines::new().maximum(5);
/// let port = port::custom::<_, _, _, String>(ours, short.clone(), short).start()?;
/// let Event::Error(error) = port.recv().wait()? else { panic!() };
/// assert_eq!(error.to_string(), "at byte 0 of the input: more than 5 bytes before the delimiter");
/// assert_eq!(port.recv().wait()?.item().as_deref(), Some("fine"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn custom<S, D, E, O>(stream: S, decoder: D, encoder: E) -> Builder<D::Item, O>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    D: Decoder<Item: Send + 'static> + Send + 'static,
    E: Encoder<O> + Send + 'static,
    O: Send + 'static,
{
    Builder::new(Framed::new(stream, decoder, encoder))
}

/// Returns a port over a TCP connection that it establishes, with a codec for both directions. What is sent
/// meanwhile waits. If there is no connection to be had, that is an [`Event::Error`], and the port closes.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::TcpListener, port::{self, Lines}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let port = port::connect::<_, String>(listener.local_addr()?, Lines::new()).start()?;
/// port.send("hello".to_owned()).wait()?;
/// let (accepted, _) = listener.accept().wait()?;
/// let other = port::lines(accepted).start()?;
/// assert_eq!(other.recv().wait()?.item().as_deref(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connect<C, O>(addrs: impl ToSocketAddrs + 'static, codec: C) -> Builder<C::Item, O>
where
    C: Decoder<Item: Send + 'static> + Encoder<O> + Clone + Send + 'static,
    O: Send + 'static,
{
    opening(TcpStream::connect(addrs), codec)
}

/// Returns a port over a stream that `opening` makes, with a codec for both directions: a connection to a
/// path, one of TLS, or anything else that has to be waited for first. What is sent meanwhile waits. If
/// `opening` fails, that is an [`Event::Error`], and the port closes.
///
/// `opening` runs in the task of the port, and must not block. It is dropped with the port. One that is
/// [closed](PortRef::close) waits for it only if something has been sent, to write that.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::{UnixAddr, UnixListener, UnixStream}, port::{self, Lines}};
///
/// let name = UnixAddr::Abstract(format!("twoply port {}", std::process::id()).into());
/// let listener = UnixListener::bind(&name)?;
/// let port = port::opening::<_, _, String>(UnixStream::connect(name), Lines::new()).start()?;
/// port.send("hello".to_owned()).wait()?;
/// let (accepted, _) = listener.accept().wait()?;
/// let other = port::lines(accepted).start()?;
/// assert_eq!(other.recv().wait()?.item().as_deref(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn opening<S, C, O>(
    opening: impl Future<Output = io::Result<S>> + Send + 'static,
    codec: C,
) -> Builder<C::Item, O>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    C: Decoder<Item: Send + 'static> + Encoder<O> + Clone + Send + 'static,
    O: Send + 'static,
{
    Builder::new(Deferred::new(async move {
        let stream = opening.await?;
        Ok(Framed::new(stream, codec.clone(), codec))
    }))
}

/// Returns a port of the connections to a listener. It outlives shortages of descriptors as
/// [`Incoming`](crate::net::Incoming) does, and tells of each as an [`Event::Error`]. A listener that accepts
/// nothing any more is told of as one, too, and then the port closes.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::{TcpListener, TcpStream}, port};
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let address = listener.local_addr()?;
/// let port = port::accept(listener).start()?;
/// let client = TcpStream::connect(address).wait()?;
/// let (accepted, peer) = port.recv().wait()?.item().unwrap();
/// assert_eq!(peer, client.local_addr()?);
/// # drop(accepted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn accept<F: Family>(listener: Endpoint<F, Listener>) -> Builder<Accepted<F>, Infallible>
where
    Accepted<F>: Send + 'static,
{
    Builder::new(Connections::new(listener))
}

/// Returns a port of a file: each request that is sent comes to one answer, and the answers come in the order
/// of the requests. Those are carried out one after another, so that each sees what those before it have
/// done.
///
/// A request that fails is given back with the error, as an answer in its place ([`FileAnswer::Failed`]), and
/// the next one is carried out. While an owner takes no answers, no more than 64 of them wait for it, or
/// about 64 KiB, and the requests behind them wait, too. The port has no end of its own: it closes when it
/// [is closed](PortRef::close), or [finished](PortRef::finish), which has all answers come before. After a
/// close, the first failure that no answer has told of is an [`Event::Error`]. For the bytes of a file as
/// they come, see [`lines`] and [`tail`].
///
/// # Examples
/// ```
/// use twoply::{Wait, fs::OpenOptions, port::{self, FileAnswer, FileRequest}};
///
/// # let path = std::env::temp_dir().join(format!("twoply-doc-port-file-{}", std::process::id()));
/// let file = OpenOptions::new().read(true).write(true).create(true).open(&path).wait()?;
/// let port = port::file(file).start()?;
/// port.send(FileRequest::Write { at: 0, bytes: b"hello".to_vec() }).wait()?;
/// port.send(FileRequest::Read { at: 1, len: 100 }).wait()?;
/// let written = port.recv().wait()?.item();
/// assert!(matches!(written, Some(FileAnswer::Written { at: 0, len: 5 })));
/// let read = port.recv().wait()?.item();
/// assert!(matches!(read, Some(FileAnswer::Read { at: 1, bytes }) if bytes == b"ello"));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn file(file: File) -> Builder<FileAnswer, FileRequest> {
    Builder::new(Requests::new(file))
}

/// Returns a port of datagrams. An item is the address of the other side, and what is in the datagram, which
/// is never cut.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UdpSocket, port};
///
/// let (a, b) = (UdpSocket::bind("127.0.0.1:0").wait()?, UdpSocket::bind("127.0.0.1:0").wait()?);
/// let to = b.local_addr()?;
/// let (a, b) = (port::udp(a).start()?, port::udp(b).start()?);
/// a.send((to, b"hello".to_vec())).wait()?;
/// let (_, bytes) = b.recv().wait()?.item().unwrap();
/// assert_eq!(bytes, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn udp(socket: UdpSocket) -> Builder<Addressed<Ip>, Addressed<Ip>> {
    datagrams(socket)
}

/// Returns a port of the datagrams of a socket of either family: what [`udp`] does, for Unix sockets, too.
///
/// A datagram that cannot be sent, or has more than 64 KiB and cannot be received, is an [`Event::Error`],
/// and the port goes on; all that could not be sent has been told of before it closes. Datagrams are sent in
/// order, so those behind one to a Unix socket that has no room wait, too. One to
/// [`UnixAddr::Unnamed`](crate::net::UnixAddr::Unnamed), the address that those from a socket without a name
/// have, goes where the socket is connected to.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixDatagram, port};
///
/// let (ours, theirs) = UnixDatagram::pair()?;
/// let port = port::datagrams(ours).start()?;
/// theirs.send(b"hello").wait()?;
/// let (from, bytes) = port.recv().wait()?.item().unwrap();
/// port.send((from, bytes)).wait()?;
/// assert_eq!(theirs.recv(&mut [0; 8]).wait()?.len, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn datagrams<F: Family>(socket: Endpoint<F, Datagram>) -> Builder<Addressed<F>, Addressed<F>> {
    Builder::new(Datagrams::new(socket))
}

/// Returns a port of lines over the pipes of a child process; see [`child_with`].
///
/// # Examples
/// ```
/// use twoply::{Wait, port::{self, ChildItem}, process::{Command, Stdio}};
///
/// let child = Command::new("sh").args(["-c", "echo out; exit 3"]).stdout(Stdio::piped()).spawn()?;
/// let port = port::child(child).start()?;
/// let next = || port.recv().wait().unwrap().item().unwrap();
/// assert_eq!(next(), ChildItem::Stdout("out".to_owned()));
/// assert!(matches!(next(), ChildItem::Exited(status) if status.code() == Some(3)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn child(child: Child) -> Builder<ChildItem<String>, String> {
    child_with(child, Lines::new())
}

/// Returns a port over the pipes of a child process, with a codec for all of them. The child's standard
/// output and error come as far as they are piped, and then its status; what is sent goes to its standard
/// input.
///
/// [`PortRef::finish`] closes the child's input, and the port goes on to its end. When the port closes
/// before, the pipes are closed; what else becomes of the child is said by
/// [`kill_on_drop`](crate::process::Command::kill_on_drop).
///
/// # Examples
/// ```
/// use twoply::{Wait, port::{self, ChildItem, Frames, Prefix}, process::{Command, Stdio}};
///
/// let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// let port = port::child_with::<_, Vec<u8>>(cat, Frames::new(Prefix::U16)).start()?;
/// port.send(vec![1, 2, 3]).wait()?;
/// assert_eq!(port.recv().wait()?.item(), Some(ChildItem::Stdout(vec![1, 2, 3])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn child_with<C, O>(child: Child, codec: C) -> Builder<ChildItem<C::Item>, O>
where
    C: Decoder<Item: Send + 'static> + Encoder<O> + Clone + Send + 'static,
    O: Send + 'static,
{
    Builder::new(Pipes::new(child, codec.clone(), codec))
}

/// Returns a port of the lines that are appended to a file from now on, as `tail -F` prints them; see
/// [`tail_with`].
///
/// # Examples
/// ```
/// use std::io::Write;
/// use twoply::{Wait, port};
///
/// # let path = std::env::temp_dir().join(format!("twoply-doc-tail-{}", std::process::id()));
/// let mut log = std::fs::File::create(&path)?;
/// let port = port::tail(&path).start()?;
/// let line = loop {
///     writeln!(log, "hello")?;
///     match port.try_recv() {
///         Ok(event) => break event.item(),
///         Err(_) => twoply::time::sleep(std::time::Duration::from_millis(1)).wait(),
///     }
/// };
/// assert_eq!(line.as_deref(), Some("hello"));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tail(path: impl Into<PathBuf>) -> Builder<String, Infallible> {
    tail_with(Tail::new(path), Lines::new())
}

/// Returns a port of the items that `decoder` makes of what is appended to a file.
///
/// It follows the name. When another file has that, which is how logs are rotated, the old one is read to its
/// end, and the new one from its beginning. So is a file that has become shorter. An item that has not ended
/// by then is what the decoder makes of its end, or an [`Event::Error`]. A file that is not there is waited
/// for, and read from its beginning; one that is removed is read on, until there is another one.
///
/// The file is looked at when the system tells of a change, on Linux, and [by the clock](Tail::every). A file
/// that between two looks becomes shorter, and longer again than it was, is not seen to have done so; nor is
/// one that had the name only between two looks. What somebody appends to an old file after the new one has
/// been seen may be missed.
///
/// The port holds no more than one read of what it has not delivered. It ends when it is
/// [closed](PortRef::close), or with an error: where the path is no file, or may not be read.
///
/// # Examples
/// A log that is rotated:
/// ```
/// use twoply::{Wait, fs, port::{self, Lines, Tail}};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-tail-with-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let log = dir.join("log");
/// fs::write(&log, "one\ntwo\n").wait()?;
/// let port = port::tail_with(Tail::new(&log).from_start(true), Lines::new()).start()?;
/// assert_eq!(port.recv().wait()?.item().as_deref(), Some("one"));
/// fs::rename(&log, dir.join("log.1")).wait()?;
/// fs::write(&log, "three\n").wait()?;
/// assert_eq!(port.recv().wait()?.item().as_deref(), Some("two"));
/// assert_eq!(port.recv().wait()?.item().as_deref(), Some("three"));
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tail_with<D>(tail: Tail, decoder: D) -> Builder<D::Item, Infallible>
where
    D: Decoder<Item: Send + 'static> + Clone + Send + 'static,
{
    Builder::new(Followed::new(tail, decoder))
}

/// Returns a port that ticks each `period`, for the first time after one. An item is the instant at which the
/// tick was due. What it misses is as for an [interval](crate::time::Interval).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, port};
///
/// let port = port::timer(Duration::from_millis(1)).start()?;
/// let (first, second) = (port.recv().wait()?, port.recv().wait()?);
/// assert!(first.item() < second.item());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn timer(period: Duration) -> Builder<Instant, Infallible> {
    source(interval(period))
}

/// Returns a port of signals of the operating system; see [`Signals`].
///
/// # Errors
/// As [`Signals::new`].
///
/// # Examples
/// ```
/// use twoply::{Wait, port, signal::SignalKind};
///
/// let port = port::signals([SignalKind::USER1])?.start()?;
/// # std::process::Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status()?;
/// assert_eq!(port.recv().wait()?.item().unwrap().kind, SignalKind::USER1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn signals(kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<Builder<Received, Infallible>> {
    Ok(source(Signals::new(kinds)?))
}

/// Returns a port of what a source gives: for a source that is to reach a mailbox.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Process}, channel, port};
///
/// let (tx, rx) = channel::bounded(1);
/// let process = actor::spawn_fn(|mut me: Process<u32>| {
///     assert_eq!(me.receive().wait().message(), Some(7));
/// })?;
/// port::source(rx).into_mailbox(&process, |event| event.item().unwrap_or(0))?;
/// tx.send(7).wait()?;
/// assert!(process.ended().wait().is_normal());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn source<T, S>(source: S) -> Builder<T, Infallible>
where
    T: Send + 'static,
    S: Source<T> + Send + 'static,
{
    Builder::new(Feed::new(source))
}
