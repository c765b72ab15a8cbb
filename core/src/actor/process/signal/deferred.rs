//! The consequences of signals and ends, collected under the lock of a process and done after it.

use std::sync::Arc;

use super::later::{Known, give_up};
use crate::actor::process::pid::{AtExit, HookId, Pid, Signal};
use crate::base::panic::discard_panic;
use crate::base::small_map::SmallMap;
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::backend::Backend;
use crate::kernel::task::owner::Orphan;
use crate::kernel::task::{self, ExitReason};
use crate::promise::Failure;

/// The consequences of a signal or an end that wait until the lock is free.
#[derive(Default)]
#[must_use]
pub(in crate::actor::process) struct Deferred {
    /// The things that an end leaves behind. They are boxed, because most ends leave none, and a signal is no
    /// end.
    pub(super) left: Option<Box<Left>>,
    /// The task of a process that is doomed by a signal.
    pub(super) cancel: Option<Arc<task::Shared>>,
    /// The waker of the receiver, for which something has come.
    pub(super) receiver: Option<StoredWaker>,
    /// The answer that another process gets.
    pub(super) answer: Option<(Pid, Signal)>,
    /// A pid that may be the last to hold a cell, so that dropping it runs destructors.
    pub(super) stale: Option<Pid>,
    /// A reason for which the process does not stop: it turned out otherwise, or this one came too late. It
    /// may hold an error of the user's.
    pub(super) old_reason: Option<Box<ExitReason>>,
}

/// The things that a process leaves behind which ends, or which receives no more.
#[derive(Default)]
pub(super) struct Left {
    /// The hooks for the names and groups of a process that is doomed.
    pub(super) hooks: SmallMap<HookId, Arc<dyn AtExit>>,
    /// The questions that the process has left unanswered.
    pub(super) orphans: Vec<Arc<dyn Orphan>>,
    /// The outcome of these questions.
    pub(super) failure: Option<Failure>,
    /// The messages that would have been sent to the process later.
    pub(super) timers: SmallMap<HookId, Known>,
    /// The backend to which those messages go.
    pub(super) home: Option<Arc<dyn Backend>>,
    /// The wakers of sends that will never be received.
    pub(super) senders: Vec<StoredWaker>,
}

impl Deferred {
    /// Returns true if nothing is deferred, as with most ends.
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_none()
            && self.cancel.is_none()
            && self.receiver.is_none()
            && self.answer.is_none()
            && self.stale.is_none()
            && self.old_reason.is_none()
    }

    /// Returns the things that an end leaves behind, to be added to.
    pub(super) fn left(&mut self) -> &mut Left {
        self.left.get_or_insert_default()
    }

    /// Defers the wakers of sends that will never be received.
    pub(super) fn wake_senders(&mut self, senders: Vec<StoredWaker>) {
        if !senders.is_empty() {
            self.left().senders = senders;
        }
    }

    /// Does what was deferred, all of it, whatever panics. `pid` is the process that it follows from.
    pub(super) fn run(mut self, pid: &Pid) {
        if let Some(left) = &mut self.left {
            for (id, hook) in std::mem::take(&mut left.hooks).into_entries() {
                discard_panic(|| hook.ended(pid, id));
            }
        }
        self.run_without_hooks();
    }

    /// As [`Deferred::run`], for what does not end a process.
    pub(in crate::actor::process) fn run_without_hooks(self) {
        if let Some(task) = self.cancel {
            discard_panic(|| task.cancel());
        }
        let senders = match self.left {
            Some(left) => left.run(),
            None => Vec::new(),
        };
        if let Some((to, signal)) = self.answer {
            discard_panic(|| to.deliver(signal));
        }
        discard_panic(|| drop((self.stale, self.old_reason)));
        wake_all(senders.into_iter().chain(self.receiver));
    }
}

impl Left {
    /// Fails the questions and gives the timers up. Returns whom to wake after all else.
    fn run(self) -> Vec<StoredWaker> {
        for orphan in self.orphans {
            discard_panic(|| orphan.fail(self.failure.clone().unwrap_or(Failure::Broken)));
        }
        if !self.timers.is_empty() {
            give_up(self.timers, self.home);
        }
        self.senders
    }
}
