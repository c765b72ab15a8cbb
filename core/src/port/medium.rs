//! The medium of a port: the place that its items come from and go to.

use std::task::{Context, Poll};

use super::event::PortError;

/// The place that the items of a port come from and go to. The [engine](super::engine) polls it, in the
/// port's own task; dropping it closes what it holds.
pub(super) trait Medium: Send + 'static {
    /// The items that come.
    type In: Send + 'static;
    /// The items that are written.
    type Out: Send + 'static;

    /// False where nothing can be written.
    const WRITES: bool = true;

    /// Polls for what comes next. It is not called again after an end or a failure.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<Self::In>>;

    /// Hands the next items that take no more reading to `take`, `most` of them at most, and returns what
    /// comes in the place of one of these, if that is no item: `None` says nothing of what is to come.
    fn take_at_hand(&mut self, most: usize, take: impl FnMut(Self::In)) -> Option<Input<Self::In>> {
        let _ = (most, take);
        None
    }

    /// Returns an error that [`poll_next`](Medium::poll_next) has not told of and will not, because the port
    /// closes.
    fn take_error(&mut self) -> Option<PortError> {
        None
    }

    /// Returns true while it is being opened, so that there is nothing in it to be written.
    fn is_opening(&self) -> bool {
        false
    }

    /// Encodes `item` behind what is still to be written.
    ///
    /// # Errors
    /// When it cannot be encoded; [`PortError::EncoderPanicked`] if nothing more can.
    fn encode(&mut self, item: Self::Out) -> Result<(), PortError>;

    /// Returns the number of bytes that are still to be written. This and the next two are written by each
    /// medium that writes; what only reads has nothing to do there.
    fn unwritten(&self) -> usize {
        0
    }

    /// Writes what is still to be written. Nothing of it is left when this is done.
    ///
    /// # Errors
    /// When nothing more can be written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Ends the output, which has been written.
    ///
    /// # Errors
    /// The system's.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Notes that nobody takes anything out any more, while what has been encoded is still written.
    fn end_input(&mut self) {}

    /// Gives back memory that is not needed, because the port is going to wait.
    fn settle(&mut self) {}
}

/// Something that comes out of a medium.
pub(super) enum Input<T> {
    /// An item, after which more may come.
    Item(T),
    /// An error, after which more may come.
    Error(PortError),
    /// An error, after which nothing comes.
    Failed(PortError),
    /// The end, which is not told of twice.
    End,
}
