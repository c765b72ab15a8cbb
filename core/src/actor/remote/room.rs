//! [`Room`]: what comes from elsewhere and has waited for room goes into a mailbox many messages at a time.

use std::fmt;
use std::future::{Future, poll_fn};

use crate::actor::{ProcessRef, Reserved};
use crate::channel::{SendError, Sink, WaitKey};

/// Room for some messages in the mailbox of a process; made by [`room`]. Dropping it gives the room to
/// whoever waits for it next.
pub struct Room<'a, M: Send + 'static> {
    process: &'a ProcessRef<M>,
    /// The messages that there is room for. `None` where the mailbox keeps none, and takes what comes.
    permits: Option<u32>,
}

/// Waits for room in the mailbox of a process of this node: for `wanted` messages, or for fewer, but for one
/// at least. A mailbox that never lets anybody wait has room for one at any time.
///
/// Whoever waits keeps its place in front of those who come later, and takes all that is free when it comes.
/// So a mailbox that is full costs a wake-up for many messages, where a send would cost one for each.
///
/// # Errors
/// When the process takes no more messages.
///
/// # Cancel safety
/// Dropping the future leaves the room to others.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{Builder, Process, remote};
///
/// let sum = Builder::new().capacity(2).spawn(async |mut me: Process<u32>| {
///     let mut sum = 0;
///     while sum < 6 {
///         sum += me.receive().await.message().unwrap_or(0);
///     }
/// })?;
/// let mut waiting = vec![1, 2, 3];
/// while !waiting.is_empty() {
///     let room = remote::room(&sum, waiting.len()).wait()?;
///     let later = waiting.split_off(room.len().min(waiting.len()));
///     room.send(&mut waiting);
///     waiting = later;
/// }
/// assert!(sum.ended().wait().is_normal());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn room<M: Send + 'static>(
    process: &ProcessRef<M>,
    wanted: usize,
) -> impl Future<Output = Result<Room<'_, M>, SendError<()>>> + Send {
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).max(1);
    let mut waiting = WaitingForRoom { process, wait_key: WaitKey::new() };
    async move {
        match poll_fn(|cx| process.poll_reserve(wanted, &mut waiting.wait_key, cx)).await {
            Reserved::Permits(permits) => Ok(Room { process, permits: Some(permits) }),
            Reserved::One => Ok(Room { process, permits: None }),
            Reserved::Closed => Err(SendError(())),
        }
    }
}

/// The place of one who waits for room, which is given up when this is dropped.
struct WaitingForRoom<'a, M: Send + 'static> {
    process: &'a ProcessRef<M>,
    wait_key: WaitKey,
}

impl<M: Send + 'static> Drop for WaitingForRoom<'_, M> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.process.stop_send(&mut self.wait_key);
        }
    }
}

impl<M: Send + 'static> Room<'_, M> {
    /// Returns how many messages there is room for, which is one at least.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.permits.unwrap_or(1) as usize
    }

    /// Sends all of these messages, so many or fewer, in their order, all at once: the receiver is woken by
    /// them together. A process that takes no more by now gets none; they are left where they are, or
    /// dropped where room is not kept.
    ///
    /// # Panics
    /// When there are more messages than there is room for.
    pub fn send(mut self, messages: &mut Vec<M>) {
        assert!(messages.len() <= self.len(), "there is less room than that");
        match self.permits.take() {
            Some(permits) => _ = self.process.send_reserved(permits, messages),
            // Where it is full, it drops what its settings say.
            None => messages.drain(..).for_each(|message| _ = self.process.try_send(message)),
        }
    }
}

impl<M: Send + 'static> Drop for Room<'_, M> {
    fn drop(&mut self) {
        if let Some(permits) = self.permits {
            self.process.send_reserved(permits, &mut Vec::new());
        }
    }
}

impl<M: Send + 'static> fmt::Debug for Room<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("len", &self.len()).finish_non_exhaustive()
    }
}
