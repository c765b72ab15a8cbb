//! [`Source`] and [`Sink`]: what the ends of channels and references to processes have in common, and the
//! futures that receive from the one and send to the other.
//!
//! Both traits have the poll form, over `&self`, with the waiter's [`WaitKey`] in the hands of the future.
//! The forms that were not chosen:
//! - a method that returns `impl Future` cannot be called through `dyn`, and boxing the future would cost an
//!   allocation a message;
//! - `poll_recv(&mut self)`, as in futures' `Stream`, keeps the key inside the source: then two tasks cannot
//!   receive from one source at a time, and a dropped future keeps waiting.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{Receiver, RecvError, SendError, SendTimeout, Sender, TryRecvError, TrySendError};
pub use crate::base::waitlist::WaitKey;
use crate::kernel::sleep::after;

/// A source of messages of type `T`: a channel's receiver, an interval.
///
/// Users call [`recv`](Source::recv). Implementors forward the three required methods to the source that they
/// wrap; `wait_key` must go to the same source every time.
///
/// ```
/// use twoply::Wait;
/// use twoply::channel::{self, Source};
///
/// let (tx, rx) = channel::unbounded();
/// let source: Box<dyn Source<u32> + Send + Sync> = Box::new(rx);
/// tx.try_send(7).unwrap();
/// assert_eq!(source.recv().wait(), Ok(7));
/// ```
pub trait Source<T> {
    /// Receives a message, or has `cx`'s task woken when it is worth asking again.
    ///
    /// The caller keeps `wait_key` from one poll to the next, and ends with [`stop_recv`](Source::stop_recv)
    /// unless the last poll was ready.
    ///
    /// # Errors
    /// When there will never be a message again.
    fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>>;

    /// Ends a wait that the caller gives up. It has received nothing, and nothing is lost.
    fn stop_recv(&self, wait_key: &mut WaitKey);

    /// Receives a message that is there already.
    ///
    /// # Errors
    /// When there is none now, or never again.
    ///
    /// ```
    /// use twoply::{channel::Source, time};
    ///
    /// let clock = time::interval(std::time::Duration::from_secs(3600));
    /// assert!(Source::try_recv(&clock).is_err(), "no tick is due yet");
    /// ```
    fn try_recv(&self) -> Result<T, TryRecvError>;

    /// Receives a message, by `.await` or `.wait()`. A future that is dropped has received nothing.
    ///
    /// # Errors
    /// The future's output is an error when there will never be a message again.
    ///
    /// ```
    /// use twoply::{Wait, channel::{self, Source}};
    ///
    /// fn first(source: impl Source<u8>) -> Option<u8> {
    ///     source.recv().wait().ok()
    /// }
    ///
    /// let (tx, rx) = channel::unbounded();
    /// tx.try_send(7).unwrap();
    /// assert_eq!(first(rx), Some(7));
    /// ```
    fn recv(&self) -> Receiving<'_, T, Self>
    where
        Self: Sized,
    {
        Receiving::new(self)
    }

    /// Makes a [`Stream`](crate::stream::Stream) of this, which ends when there will never be a message
    /// again. A stream of `&source` leaves the source to others, too.
    ///
    /// ```
    /// use twoply::{Wait, channel::{self, Source}, stream::Stream};
    ///
    /// let (tx, rx) = channel::unbounded();
    /// [1, 2, 3].map(|n| tx.try_send(n).unwrap());
    /// let doubled = (&rx).into_stream().map(|n: u32| 2 * n).take(2);
    /// assert_eq!(doubled.collect::<Vec<_>>().wait(), [2, 4]);
    /// assert_eq!(rx.try_recv(), Ok(3));
    /// ```
    fn into_stream(self) -> SourceStream<T, Self>
    where
        Self: Sized,
    {
        SourceStream::new(self)
    }
}

/// The stream of [`Source::into_stream`]. It holds no item.
#[must_use = "streams do nothing unless items are asked for"]
pub struct SourceStream<T, S: Source<T>> {
    source: S,
    /// The key of the one who asks for an item.
    wait_key: WaitKey,
    /// The stream yields a `T` and holds none.
    item: PhantomData<fn() -> T>,
}

impl<T, S: Source<T>> SourceStream<T, S> {
    fn new(source: S) -> SourceStream<T, S> {
        SourceStream { source, wait_key: WaitKey::new(), item: PhantomData }
    }

    /// Polls for the next item.
    #[inline]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        self.source.poll_recv(&mut self.wait_key, cx)
    }

    /// Ends the wait for an item.
    pub(crate) fn stop_recv(&mut self) {
        if self.wait_key.is_set() {
            self.source.stop_recv(&mut self.wait_key);
        }
    }
}

impl<T, S: Source<T>> Drop for SourceStream<T, S> {
    fn drop(&mut self) {
        self.stop_recv();
    }
}

impl<T, S: Source<T>> fmt::Debug for SourceStream<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceStream").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}

/// A target of messages of type `T`: a channel's sender, a reference to a process.
///
/// Users call [`send`](Sink::send). Implementors forward the three required methods to the sink that they
/// wrap; `wait_key` must go to the same sink every time.
///
/// ```
/// use twoply::Wait;
/// use twoply::channel::{self, Sink};
///
/// let (tx, rx) = channel::bounded(1);
/// let sinks: Vec<Box<dyn Sink<&str> + Send + Sync>> = vec![Box::new(tx.clone()), Box::new(tx)];
/// sinks[0].send("ping").wait().unwrap();
/// assert_eq!(rx.recv().wait(), Ok("ping"));
/// ```
pub trait Sink<T> {
    /// Sends the message in `message`, or has `cx`'s task woken when it is worth asking again.
    ///
    /// The caller keeps `wait_key` and `message` from one poll to the next, and ends with
    /// [`stop_send`](Sink::stop_send) unless the last poll was ready. The sink may take the message out
    /// before it is ready.
    ///
    /// # Errors
    /// When nobody will receive the message, which is handed back.
    ///
    /// # Panics
    /// May panic if polled again after it was ready.
    fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>>;

    /// Ends a wait that the caller gives up. The message is not sent any more.
    fn stop_send(&self, wait_key: &mut WaitKey);

    /// Ends a wait as [`stop_send`](Sink::stop_send) does, and returns the message if the sink has taken it
    /// out and not sent it. A sink that never takes a message out before it sends it need not implement this.
    fn take_back(&self, wait_key: &mut WaitKey) -> Option<T> {
        self.stop_send(wait_key);
        None
    }

    /// Sends `message` if that can be done at once.
    ///
    /// # Errors
    /// When there is no room now, or nobody will ever receive it. The message is handed back.
    fn try_send(&self, message: T) -> Result<(), TrySendError<T>>;

    /// Sends `message`, by `.await` or `.wait()`. A future that is dropped has not sent it, but for the
    /// exception that [`Sender::send`] names.
    ///
    /// # Errors
    /// The future's output is an error when nobody will receive the message.
    ///
    /// ```
    /// use twoply::{Wait, channel::{self, Sink}};
    ///
    /// fn greet(sink: &impl Sink<String>) -> bool {
    ///     sink.send("hello".to_owned()).wait().is_ok()
    /// }
    ///
    /// let (tx, rx) = channel::unbounded();
    /// assert!(greet(&tx));
    /// assert_eq!(rx.try_recv(), Ok("hello".to_owned()));
    /// ```
    fn send(&self, message: T) -> Sending<'_, T, Self>
    where
        Self: Sized,
    {
        Sending::new(self, message)
    }
}

/// The future of a message from a [`Source`]. It holds no message.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Receiving<'a, T, S: Source<T> + ?Sized = Receiver<T>> {
    source: &'a S,
    wait_key: WaitKey,
    /// The future yields a `T` and holds none.
    message: PhantomData<fn() -> T>,
}

impl<'a, T, S: Source<T> + ?Sized> Receiving<'a, T, S> {
    /// Makes what [`Source::recv`] returns; also for a `&dyn Source`, on which that method cannot be called.
    ///
    /// ```
    /// use twoply::{Wait, channel::{self, Receiving, Source}};
    ///
    /// let (tx, rx) = channel::unbounded();
    /// tx.try_send(7).unwrap();
    /// let source: &dyn Source<u8> = &rx;
    /// assert_eq!(Receiving::new(source).wait(), Ok(7));
    /// ```
    #[inline]
    pub fn new(source: &'a S) -> Receiving<'a, T, S> {
        Receiving { source, wait_key: WaitKey::new(), message: PhantomData }
    }
}

impl<T, S: Source<T> + ?Sized> Future for Receiving<'_, T, S> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.source.poll_recv(&mut this.wait_key, cx)
    }
}

impl<T, S: Source<T> + ?Sized> Drop for Receiving<'_, T, S> {
    #[inline]
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.source.stop_recv(&mut self.wait_key);
        }
    }
}

impl<T, S: Source<T> + ?Sized> fmt::Debug for Receiving<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}

/// The future of a message that goes to a [`Sink`]. It owns the message until that is sent.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Sending<'a, T, S: Sink<T> + ?Sized = Sender<T>> {
    sink: &'a S,
    wait_key: WaitKey,
    /// None once the sink has taken it.
    message: Option<T>,
}

impl<'a, T, S: Sink<T> + ?Sized> Sending<'a, T, S> {
    /// Makes what [`Sink::send`] returns; also for a `&dyn Sink`, on which that method cannot be called.
    ///
    /// ```
    /// use twoply::{Wait, channel::{self, Sending, Sink}};
    ///
    /// let (tx, rx) = channel::unbounded();
    /// let sink: &dyn Sink<u8> = &tx;
    /// Sending::new(sink, 7).wait().unwrap();
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// ```
    #[inline]
    pub fn new(sink: &'a S, message: T) -> Sending<'a, T, S> {
        Sending { sink, wait_key: WaitKey::new(), message: Some(message) }
    }

    /// Gives the send up, and returns the message; `None` when it has been sent.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use twoply::{Wait, channel, time::timeout};
    ///
    /// let (tx, _rx) = channel::rendezvous();
    /// let mut sending = tx.send("patient");
    /// assert!(timeout(Duration::from_millis(1), &mut sending).wait().is_err());
    /// assert_eq!(sending.into_message(), Some("patient"));
    /// ```
    pub fn into_message(mut self) -> Option<T> {
        self.take_back()
    }

    /// Ends the wait, and returns the message unless it has been sent.
    pub(super) fn take_back(&mut self) -> Option<T> {
        let offered = if self.wait_key.is_set() { self.sink.take_back(&mut self.wait_key) } else { None };
        offered.or_else(|| self.message.take())
    }

    /// Gives the send up when it is not done within `duration` from now, and hands the message back then.
    ///
    /// [`time::timeout`](crate::time::timeout()) drops the future, and with it the message, unless it is
    /// polled by reference.
    ///
    /// # Errors
    /// The future's output is an error, with the message in it, when the time is over or nobody will receive
    /// the message.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// tx.try_send(1).unwrap();
    /// let late = tx.send(2).timeout(Duration::from_millis(1)).wait();
    /// assert_eq!(late.unwrap_err().into_inner(), 2);
    /// assert_eq!(rx.recv().wait(), Ok(1));
    /// assert!(rx.is_empty(), "it has not been sent");
    /// ```
    pub fn timeout(self, duration: Duration) -> SendTimeout<'a, T, S> {
        SendTimeout::new(self, after(duration))
    }

    /// As [`Sending::timeout`], with the instant at which the time is over.
    ///
    /// # Errors
    /// As [`Sending::timeout`].
    ///
    /// ```
    /// use std::time::Instant;
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, _rx) = channel::rendezvous();
    /// let late = tx.send("patient").timeout_at(Instant::now()).wait();
    /// assert_eq!(late.unwrap_err().into_inner(), "patient");
    /// ```
    pub fn timeout_at(self, deadline: Instant) -> SendTimeout<'a, T, S> {
        SendTimeout::new(self, Some(deadline))
    }
}

// The message is never pinned: it is moved out when it is sent.
impl<T, S: Sink<T> + ?Sized> Unpin for Sending<'_, T, S> {}

impl<T, S: Sink<T> + ?Sized> Future for Sending<'_, T, S> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.sink.poll_send(&mut this.wait_key, &mut this.message, cx)
    }
}

impl<T, S: Sink<T> + ?Sized> Drop for Sending<'_, T, S> {
    #[inline]
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.sink.stop_send(&mut self.wait_key);
        }
    }
}

impl<T, S: Sink<T> + ?Sized> fmt::Debug for Sending<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}

/// Takes the message out of a send that is done with this poll.
///
/// # Panics
/// When the send was done before.
pub(crate) fn take_message<T>(message: &mut Option<T>) -> T {
    match message.take() {
        Some(message) => message,
        None => panic!("a send was polled after it was done"),
    }
}

/// Forwards both traits through a pointer, which also makes a boxed `dyn` end callable.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T, S: Source<T> + ?Sized> Source<T> for $pointer {
            #[inline]
            fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
                (**self).poll_recv(wait_key, cx)
            }

            fn stop_recv(&self, wait_key: &mut WaitKey) {
                (**self).stop_recv(wait_key);
            }

            fn try_recv(&self) -> Result<T, TryRecvError> {
                (**self).try_recv()
            }
        }

        impl<T, S: Sink<T> + ?Sized> Sink<T> for $pointer {
            #[inline]
            fn poll_send(
                &self,
                wait_key: &mut WaitKey,
                message: &mut Option<T>,
                cx: &mut Context<'_>,
            ) -> Poll<Result<(), SendError<T>>> {
                (**self).poll_send(wait_key, message, cx)
            }

            fn stop_send(&self, wait_key: &mut WaitKey) {
                (**self).stop_send(wait_key);
            }

            fn take_back(&self, wait_key: &mut WaitKey) -> Option<T> {
                (**self).take_back(wait_key)
            }

            fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
                (**self).try_send(message)
            }
        }
    )*};
}

forward!(&S, Box<S>, Arc<S>);
