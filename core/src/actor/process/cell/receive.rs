//! The receiver's side of the mailbox: how events get out of it.

use std::task::{Context, Poll, ready};

use super::super::event::Event;
use super::super::mailbox::{Batch, DROPPED, FILLED, LISTENING, TRACED, URGENT};
use super::Cell;
use crate::actor::{ExitReason, Overflow};
use crate::base::sync::lock;
use crate::base::wake::StoredWaker;
use crate::kernel::coop;
use crate::kernel::waiting::{self, WaitingFor};

impl<M> Cell<M> {
    /// Takes the next event that is there already.
    #[inline]
    pub(in crate::actor::process) fn try_next(&self, batch: &mut Batch<M>) -> Option<Event<M>> {
        if self.has(DROPPED | TRACED) {
            self.go_on();
            return self.try_next_traced(batch);
        }
        self.take_next(batch)
    }

    /// The part of [`Cell::try_next`] that is the same for all.
    #[inline]
    pub(in crate::actor::process) fn take_next(&self, batch: &mut Batch<M>) -> Option<Event<M>> {
        if batch.is_empty() && !self.has(FILLED) {
            return None;
        }
        let event = if batch.is_empty() || self.has(URGENT) {
            let mut inbox = lock(&self.inbox);
            let event = batch.take(&mut inbox.queue, self.overflow == Overflow::DropOldest);
            self.sync_flags(&inbox.queue);
            drop(inbox);
            event
        } else {
            batch.pop()
        };
        if let Some(event) = &event {
            self.on_received(event);
        }
        event
    }

    /// Takes the next event. While it is pending, `cx`'s task is woken when one comes.
    #[inline]
    pub(in crate::actor) fn poll_next(&self, batch: &mut Batch<M>, cx: &mut Context<'_>) -> Poll<Event<M>> {
        let unit = ready!(coop::proceed(cx));
        let event = match self.try_next(batch) {
            Some(event) => event,
            None => {
                ready!(self.poll_filled(batch, cx));
                // Nobody but the receiver takes anything out.
                match self.try_next(batch) {
                    Some(event) => event,
                    None => return Poll::Pending,
                }
            }
        };
        unit.spend();
        Poll::Ready(event)
    }

    /// Takes the first event that is `wanted`, of those that are there already. The first `seen` have been
    /// looked at before.
    pub(in crate::actor::process) fn try_match(
        &self,
        batch: &mut Batch<M>,
        seen: &mut usize,
        wanted: &mut dyn FnMut(&Event<M>) -> bool,
    ) -> Option<Event<M>> {
        self.go_on();
        loop {
            if self.has(URGENT) {
                self.fetch_all(batch, seen);
            }
            while let Some(event) = batch.get(*seen) {
                if wanted(event) {
                    let event = batch.remove(*seen)?;
                    self.on_received(&event);
                    self.trace_if(|| Some((&event).into()));
                    return Some(event);
                }
                *seen += 1;
            }
            if !self.has(FILLED) {
                return None;
            }
            self.fetch_all(batch, seen);
        }
    }

    /// As [`Cell::poll_next`], for the first event that is `wanted`.
    pub(in crate::actor::process) fn poll_match(
        &self,
        batch: &mut Batch<M>,
        seen: &mut usize,
        wanted: &mut dyn FnMut(&Event<M>) -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<Event<M>> {
        let unit = ready!(coop::proceed(cx));
        loop {
            if let Some(event) = self.try_match(batch, seen, wanted) {
                unit.spend();
                return Poll::Ready(event);
            }
            ready!(self.poll_filled(batch, cx));
        }
    }

    pub(super) fn fetch_all(&self, batch: &mut Batch<M>, seen: &mut usize) {
        let mut inbox = lock(&self.inbox);
        if inbox.queue.flags() & URGENT != 0 {
            // They come in front of what has been looked at.
            *seen = 0;
        }
        batch.fetch_all(&mut inbox.queue);
        self.sync_flags(&inbox.queue);
    }

    /// Is ready when there is something in the queue.
    pub(super) fn poll_filled(&self, batch: &mut Batch<M>, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned before, as it runs code of the waker's; it is seldom in vain.
        let waker = StoredWaker::of(cx.waker());
        let mut inbox = lock(&self.inbox);
        let queue = &mut inbox.queue;
        if !queue.is_empty() {
            drop(inbox);
            drop(waker);
            return Poll::Ready(());
        }
        if inbox.life.is_over() {
            drop(inbox);
            panic!("a process that has ended receives nothing");
        }
        if batch.is_empty() && self.is_unreferenced() && inbox.life.is_open() {
            let deferred = self.close_behind(&mut inbox, ExitReason::Normal);
            drop(inbox);
            drop(waker);
            deferred.run_without_hooks();
            return Poll::Ready(());
        }
        let queue = &mut inbox.queue;
        batch.trim(queue);
        let before = queue.receiver.replace(waker);
        self.sync_flags(queue);
        drop(inbox);
        drop(before);
        self.note_wait()
    }

    /// Tells those who look that the process waits for what comes next.
    pub(in crate::actor::process) fn note_wait(&self) -> Poll<()> {
        waiting::note(Poll::Pending, || WaitingFor::Mailbox { process: self.serial })
    }

    /// Returns true if the receiver's waker is in the mailbox. Only for the receiver: what it has put there
    /// is taken out before it is woken.
    #[inline]
    pub(in crate::actor::process) fn is_listening(&self) -> bool {
        self.has(LISTENING)
    }

    /// Notes that the receiver no longer waits, if it did.
    #[inline]
    pub(in crate::actor) fn stop_receive(&self) {
        if self.has(LISTENING) {
            self.unlisten();
        }
    }

    #[cold]
    fn unlisten(&self) {
        let mut inbox = lock(&self.inbox);
        let waker = inbox.queue.receiver.take();
        self.sync_flags(&inbox.queue);
        drop(inbox);
        drop(waker);
    }

    /// Takes the first event of this kind out, wherever it is; not for messages.
    pub(in crate::actor::process) fn remove_first(
        &self,
        batch: &mut Batch<M>,
        wanted: impl Fn(&Event<M>) -> bool,
    ) -> Option<Event<M>> {
        if let Some(event) = batch.remove_first(&wanted) {
            return Some(event);
        }
        let mut inbox = lock(&self.inbox);
        let event = inbox.queue.remove_first(wanted);
        self.sync_flags(&inbox.queue);
        drop(inbox);
        event
    }

    /// Gives back what the receiver has fetched and not received, because it is gone: that is undelivered.
    pub(in crate::actor::process) fn give_back(&self, batch: &mut Batch<M>) {
        if batch.is_empty() {
            return;
        }
        let mut inbox = lock(&self.inbox);
        if !inbox.life.is_over() {
            batch.put_back(&mut inbox.queue);
            self.sync_flags(&inbox.queue);
            return;
        }
        drop(inbox);
        while let Some(event) = batch.pop() {
            if let Event::Message(message) = event {
                self.undelivered(message);
            }
        }
    }
}
