//! A stop that takes its turn: the mailbox is closed at once, and the process is told when it has received
//! what was in it.
//!
//! The word stands in the mailbox as [`Event::Stop`], behind all that was sent before. It is put there by
//! whoever asks ([`Cell::drain`]); or by the process itself, when it would wait and nobody is left who could
//! send it anything ([`Extra::references`](super::super::cell::Extra::references)). The count of references
//! is changed without the lock, but for the way up from a weak reference; and whoever gives the last one back
//! looks after the receiver under the lock. So a process that is about to wait sees the count, or is woken to
//! look once more.

use std::sync::Arc;

use super::super::cell::{Cell, Inbox};
use super::super::event::Event;
use super::Deferred;
use crate::actor::ExitReason;
use crate::base::sync::atomic::Ordering::Relaxed;
use crate::base::sync::lock;

impl<M> Cell<M> {
    /// Closes the mailbox, and puts word of the stop behind what is in it. The rest is to be done once the
    /// lock is free.
    pub(in crate::actor::process) fn close_behind(
        &self,
        inbox: &mut Inbox<M>,
        reason: ExitReason,
    ) -> Deferred {
        let mut deferred = Deferred::default();
        let stored = (!reason.is_normal()).then(|| Box::new(reason.clone()));
        deferred.old_reason = std::mem::replace(&mut inbox.life.reason, stored);
        inbox.life.closed = true;
        deferred.wake_senders(inbox.queue.close());
        deferred.receiver = self.enqueue(&mut inbox.queue, Event::Stop(Box::new(reason)), false);
        deferred
    }

    /// Asks the process to stop when it has received what is in its mailbox, unless it has been asked or
    /// ends.
    pub(in crate::actor::process) fn drain(&self, reason: ExitReason) {
        let mut inbox = lock(&self.inbox);
        if !inbox.life.is_open() {
            drop(inbox);
            return;
        }
        let deferred = self.close_behind(&mut inbox, reason);
        drop(inbox);
        deferred.run_without_hooks();
    }

    /// Returns why the mailbox takes no more messages, if it does not.
    pub(in crate::actor) fn refusal(&self) -> Option<ExitReason> {
        match self.proxy() {
            Some(proxy) => proxy.reason(),
            None => lock(&self.inbox).life.refusal(),
        }
    }

    /// Returns true if references count, and there is none.
    #[inline]
    pub(in crate::actor::process) fn is_unreferenced(&self) -> bool {
        // Relaxed: the lock of the inbox orders it, see the header.
        let references = self.extra.as_ref().and_then(|extra| extra.references.as_ref());
        references.is_some_and(|references| references.load(Relaxed) == 0)
    }

    /// Counts one more reference.
    #[inline]
    pub(in crate::actor::process) fn count_reference(&self) {
        if let Some(extra) = &self.extra
            && let Some(references) = &extra.references
        {
            references.fetch_add(1, Relaxed);
        }
    }

    /// Counts one reference less.
    #[inline]
    pub(in crate::actor::process) fn release_reference(&self) {
        if let Some(extra) = &self.extra
            && let Some(references) = &extra.references
            && references.fetch_sub(1, Relaxed) == 1
        {
            self.look_again();
        }
    }

    /// Wakes the receiver, if it waits.
    #[cold]
    fn look_again(&self) {
        let mut inbox = lock(&self.inbox);
        let receiver = inbox.queue.receiver.take();
        self.sync_flags(&inbox.queue);
        drop(inbox);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    /// Counts one more reference to a process that takes messages. False: it takes none.
    pub(in crate::actor::process) fn upgrade_reference(self: &Arc<Self>) -> bool {
        let inbox = lock(&self.inbox);
        let open = !inbox.life.is_closed() || self.proxy().is_some();
        if open {
            self.count_reference();
        }
        drop(inbox);
        open
    }
}
