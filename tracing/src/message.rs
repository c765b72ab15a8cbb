//! Messages that know the span of their sender.

use tracing::{Instrument, Span};

/// A message with the span in which it was made. A process that receives such messages handles each in a span
/// that follows from the sender's.
///
/// It does not make that span a child of the sender's: who only tells something does not wait, and may be
/// gone; a sender whose span stayed open until all that came of its messages is over would stay open for
/// ever.
///
/// There are three ways to handle one: [`handle`](Traced::handle) for an actor, whose message it is;
/// `#[twoply::actor(traced)]`, for which the attribute writes that; and [`open`](Traced::open) for the loop
/// of a process. Messages of an active value are closures: see [`traced`].
///
/// # Examples
/// ```
/// use tracing::Instrument;
/// use twoply::{Wait, actor::{self, Process}, tracing::Traced};
///
/// let clerk = actor::spawn(async |mut me: Process<Traced<u32>>| {
///     let Some(order) = me.receive().await.message() else { return };
///     let (number, span) = order.open();
///     async move {
///         // INFO process{...}:message{}: packed number=7
///         tracing::info!(number, "packed");
///     }
///     .instrument(span)
///     .await
/// })?;
/// let request = tracing::info_span!("request");
/// request.in_scope(|| clerk.send(Traced::new(7)).wait())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Traced<M> {
    message: M,
    sender: Span,
}

impl<M> Traced<M> {
    /// Adds the span that the caller is in.
    pub fn new(message: M) -> Traced<M> {
        Traced { message, sender: Span::current() }
    }

    /// Handles the message by `handle`, inside of the span to handle it in, also while that waits.
    ///
    /// # Cancel safety
    /// That of what `handle` does.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context};
    /// use twoply::promise::Resolver;
    /// use twoply::tracing::Traced;
    ///
    /// struct Adder(u32);
    ///
    /// impl Actor for Adder {
    ///     type Message = Traced<(u32, Resolver<u32>)>;
    ///     type Error = Infallible;
    ///
    ///     async fn handle(&mut self, message: Self::Message, _: &mut Context<Adder>) -> Result<(), Infallible> {
    ///         let add = async |(number, sum): (u32, Resolver<u32>)| {
    ///             self.0 += number;
    ///             // INFO process{...}:message{}: added number=7
    ///             tracing::info!(number, "added");
    ///             let _ = sum.resolve(self.0);
    ///         };
    ///         message.handle(add).await;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let adder = Adder(0).spawn()?;
    /// assert_eq!(adder.ask(|sum| Traced::new((7, sum))).wait()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn handle<R>(self, handle: impl AsyncFnOnce(M) -> R) -> R {
        let (message, span) = self.open();
        let handling = span.in_scope(|| handle(message));
        handling.instrument(span).await
    }

    /// Returns the message, and the span to handle it in: a new one, of target `twoply::message` and level
    /// `INFO`, in the caller's own, which follows from the sender's.
    pub fn open(self) -> (M, Span) {
        let span = tracing::info_span!(target: "twoply::message", "message");
        span.follows_from(&self.sender);
        (self.message, span)
    }

    /// Returns the message, without the span.
    ///
    /// # Examples
    /// ```
    /// use twoply::tracing::Traced;
    ///
    /// let traced = Traced::new(7);
    /// println!("sent in {:?}", traced.sender().metadata());
    /// assert_eq!(traced.into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> M {
        self.message
    }

    /// Returns the span in which the message was made.
    pub fn sender(&self) -> &Span {
        &self.sender
    }
}

impl<M> From<M> for Traced<M> {
    fn from(message: M) -> Traced<M> {
        Traced::new(message)
    }
}

/// Makes a closure for an active value of one: the new one runs in a span of its own, which follows from the
/// caller's, as for a [message](Traced).
///
/// # Examples
/// ```
/// use twoply::tracing::traced;
/// use twoply::{Wait, actor};
///
/// let account = actor::active(5_u64);
/// let doubled = account.ask(traced(|balance: &mut u64| {
///     // INFO process{...}:message{}: doubled
///     tracing::info!("doubled");
///     *balance *= 2;
///     *balance
/// }));
/// assert_eq!(doubled.wait()?, 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn traced<T: ?Sized, R>(code: impl FnOnce(&mut T) -> R) -> impl FnOnce(&mut T) -> R {
    let traced = Traced::new(code);
    move |value| {
        let (code, span) = traced.open();
        span.in_scope(|| code(value))
    }
}
