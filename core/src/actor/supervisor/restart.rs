//! The restart of children: whether there is one, who is restarted with whom, and when.

use std::ops::ControlFlow;
use std::time::Duration;

use super::Strategy;
use super::children::ChildKey;
use super::engine::{Engine, Flow};
use super::handle::{Control, Request};
use super::report::Report;
use super::spec::Restart;
use super::tree::ChildState;
use crate::actor::{ExitReason, TimerRef};
use crate::time;

impl Engine {
    /// Restarts the child and those that the strategy restarts with it, at once or after the delay of its
    /// backoff, unless there have been too many restarts.
    pub(super) async fn restart(&mut self, key: ChildKey) -> Flow {
        let now = time::now();
        if !self.children.allow_restart(key, now) {
            return self.give_up(key);
        }
        if !self.intensity.allow_restart(now) {
            self.report_of(key, |id| Report::TooManyRestarts { id });
            self.children.set_not_running(key, ChildState::Stopped);
            return Flow::Break(ExitReason::Shutdown);
        }
        match self.children.next_delay(key, now) {
            Some(delay) => self.restart_later(key, delay).await,
            None => self.restart_now(key).await,
        }
        Flow::Continue(())
    }

    /// Gives up a child that has been restarted as often as its own limit allows. Where others depend on it,
    /// that is the end of the supervisor.
    fn give_up(&mut self, key: ChildKey) -> Flow {
        let Some(spec) = self.children.spec(key) else { return Flow::Continue(()) };
        self.report_of(key, |id| Report::GaveUp { id });
        match self.plan.strategy {
            Strategy::OneForOne | Strategy::Dynamic => self.end_for_good(key, &spec),
            Strategy::OneForAll | Strategy::RestForOne => {
                self.children.set_not_running(key, ChildState::Stopped);
                ControlFlow::Break(ExitReason::Shutdown)
            }
        }
    }

    /// Stops those that are restarted with the child, and restarts all of them after `delay`. Meanwhile the
    /// supervisor does what else it is asked to.
    async fn restart_later(&mut self, key: ChildKey, delay: Duration) {
        self.report_of(key, |id| Report::RestartScheduled { id, delay });
        if let Some(first) = self.first_restarted_with(key) {
            self.stop_from(first).await;
        }
        self.children.set_not_running(key, ChildState::Restarting);
        let timer = self.me.start_timer(delay);
        self.children.set_delayed(key, timer);
    }

    /// Restarts the child whose delay is over, if there is one.
    pub(super) async fn delay_over(&mut self, timer: TimerRef) {
        if let Some(key) = self.children.delayed_by(timer) {
            self.restart_now(key).await;
        }
    }

    /// Ends the delay of the child, if it waits for one: something else starts it, or nothing does.
    pub(super) fn end_delay(&mut self, key: ChildKey) {
        if let Some(timer) = self.children.take_delay(key) {
            self.me.cancel_timer(timer);
        }
    }

    async fn restart_now(&mut self, key: ChildKey) {
        let failed = match self.first_restarted_with(key) {
            None => self.start(key).await.err().map(|_| key),
            Some(first) => {
                self.stop_from(first).await;
                self.start_from(first).await
            }
        };
        if let Some(failed) = failed {
            self.children.set_not_running(failed, ChildState::Restarting);
            // The retry comes after what is in the mailbox by now, so that a supervisor whose child does not
            // start can still be asked and stopped. The mailbox is unbounded.
            let _ = self.me.me().try_send(Control(Request::Retry(failed)));
        }
    }

    /// Returns the first of the children that are restarted if this one is, all of those from there on;
    /// `None` if it is restarted alone.
    fn first_restarted_with(&self, key: ChildKey) -> Option<ChildKey> {
        match self.plan.strategy {
            Strategy::OneForOne | Strategy::Dynamic => None,
            Strategy::RestForOne => Some(key),
            Strategy::OneForAll => Some(0),
        }
    }

    /// Stops all children from `first` on in reverse order. They will be started again.
    async fn stop_from(&mut self, first: ChildKey) {
        for key in self.children.from(first).into_iter().rev() {
            let Some(spec) = self.children.spec(key) else { continue };
            self.end_delay(key);
            self.stop(vec![key]).await;
            if spec.restart == Restart::Temporary {
                self.retire(key, &spec);
            } else {
                self.children.set_not_running(key, ChildState::Stopped);
                spec.will_run();
            }
        }
    }

    /// Starts all children from `first` on in order. Returns the first that could not be started; those
    /// behind it are not started either.
    async fn start_from(&mut self, first: ChildKey) -> Option<ChildKey> {
        for key in self.children.from(first) {
            if self.start(key).await.is_err() {
                return Some(key);
            }
        }
        None
    }
}
