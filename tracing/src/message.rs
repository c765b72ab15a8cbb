//! Messages that know the span of their sender.

use tracing::Span;

/// A message with the span in which it was made. A process that receives such messages handles each in a span
/// that follows from the sender's.
///
/// It does not make that span a child of the sender's: who only tells something does not wait, and may be
/// gone; a sender whose span stayed open until all that came of its messages is over would stay open for
/// ever.
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
