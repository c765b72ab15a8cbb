//! The process of a supervisor: it starts its children, and then does what events ask for, one at a time.
//!
//! The steps are those of OTP's `supervisor.erl`, with its names where they are good ones. What differs:
//! - while it waits for children to stop it takes events out and keeps them for later, in order, where OTP
//!   leaves them in the mailbox: nothing is looked at twice, however many children there are;
//! - children stay linked while they are stopped, so that nobody is orphaned when the supervisor is killed
//!   meanwhile;
//! - who starts a supervisor that fails to start learns it from the error alone, not from an exit signal as
//!   well.
//!
//! It never waits for a child in any other way than by [`Engine::stop`] and the child's own start.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::children::{ChildKey, Children};
use super::erased::Spec;
use super::error::{ChildError, StartError};
use super::handle::{Control, Request};
use super::intensity::Intensity;
use super::plan::Plan;
use super::report::{Events, Report, SupervisorEvent};
use super::spec::Restart;
use super::tree::ChildState;
use super::{AutoShutdown, ChildSelector, Strategy};
use crate::actor::{Event, ExitReason, Pid, Process};
use crate::channel::oneshot;
use crate::time;

/// Says whether the supervisor goes on, or for which reason it ends.
pub(super) type Flow = ControlFlow<ExitReason>;

/// The state of a supervisor's process.
pub(super) struct Engine {
    pub(super) me: Process<Control>,
    pub(super) plan: Arc<Plan>,
    /// The channels to those who follow what this supervisor does.
    events: Vec<Events>,
    /// The channels to those who follow what the supervisors below do.
    below: Vec<Events>,
    /// The process that started the supervisor with a link. Its exit signal ends the supervisor.
    parent: Option<Pid>,
    pub(super) children: Children,
    /// Counts the restarts of late.
    pub(super) intensity: Intensity,
    /// Events that came while children were being stopped, in order. They come before those in the mailbox.
    pub(super) deferred: VecDeque<Event<Control>>,
}

/// Runs a supervisor's process, which is followed from `above`, too. Tells `ready` when all children have
/// been started, or why not.
pub(super) async fn supervise(
    me: Process<Control>,
    plan: Arc<Plan>,
    parent: Option<Pid>,
    above: Vec<Events>,
    ready: oneshot::Sender<Result<(), StartError>>,
) -> ExitReason {
    let below = [above, plan.tree_events.clone()].concat();
    let mut engine = Engine {
        me,
        events: [&below[..], &plan.events].concat(),
        below,
        parent,
        children: Children::new(plan.strategy == Strategy::Dynamic),
        intensity: Intensity::new(plan.intensity, plan.period),
        deferred: VecDeque::new(),
        plan,
    };
    if let Err(error) = engine.start_all().await {
        engine.stop_all().await;
        if let Some(parent) = &engine.parent {
            engine.me.unlink(parent);
        }
        let reason = ExitReason::failed(error.clone());
        // Whoever has dropped the future of the start does not want to know.
        let _ = ready.send(Err(error));
        return reason;
    }
    // Here, too, nobody may want to know.
    let _ = ready.send(Ok(()));
    let reason = loop {
        let event = engine.next_event().await;
        if let ControlFlow::Break(reason) = engine.handle(event).await {
            break reason;
        }
        if engine.is_of_no_use() {
            break ExitReason::Normal;
        }
    };
    engine.stop_all().await;
    reason
}

impl Engine {
    /// Starts the children that the supervisor was made with, in order.
    async fn start_all(&mut self) -> Result<(), StartError> {
        let plan = Arc::clone(&self.plan);
        for spec in &plan.children {
            let key = self.children.add(Arc::clone(spec));
            self.start(key).await?;
        }
        if self.is_of_no_use() { Err(StartError::ignored()) } else { Ok(()) }
    }

    /// Returns true if it is there for the sake of its children, and none of them is left, nor about to be
    /// restarted. It does not matter why.
    fn is_of_no_use(&self) -> bool {
        self.plan.needs_children && !self.has_significant()
    }

    /// Returns true if a significant child runs, or is about to be restarted.
    fn has_significant(&self) -> bool {
        self.children.iter().any(|(_, child)| child.is_significant_and_alive())
    }

    async fn next_event(&mut self) -> Event<Control> {
        match self.deferred.pop_front() {
            Some(event) => event,
            None => self.me.receive().await,
        }
    }

    async fn handle(&mut self, event: Event<Control>) -> Flow {
        match event {
            Event::Message(Control(request)) => self.serve(request).await,
            Event::Exit(exit) if self.must_obey(&exit.from) => Flow::Break(exit.reason),
            Event::Exit(exit) => self.child_ended(exit.from, exit.reason).await,
            Event::Stop(reason) => Flow::Break(*reason),
            Event::Timeout(timer) => {
                self.delay_over(timer).await;
                Flow::Continue(())
            }
            // This is a `Down` of a child that is known to have ended, because the wait for it was given up.
            _ => Flow::Continue(()),
        }
    }

    /// Returns whether an exit signal from `sender` ends the supervisor. Callers that are no process are
    /// obeyed like the parent; Erlang has none of them.
    fn must_obey(&self, sender: &Pid) -> bool {
        self.parent.as_ref() == Some(sender) || *sender == Pid::nobody()
    }

    /// Handles the end of a linked process. It may have been a child; a child that has been stopped is none
    /// any more.
    async fn child_ended(&mut self, pid: Pid, reason: ExitReason) -> Flow {
        let Some((key, spec)) = self.children.with_pid(&pid) else { return Flow::Continue(()) };
        self.children.set_not_running(key, ChildState::Stopped);
        let restart = spec.restart.applies_to(&reason);
        self.report(Report::Ended { id: Arc::clone(&spec.id), pid, reason });
        if restart {
            spec.will_run();
            return self.restart(key).await;
        }
        self.end_for_good(key, &spec)
    }

    /// Handles that a child has ended by itself and is not restarted. Says whether the supervisor ends, too.
    pub(super) fn end_for_good(&mut self, key: ChildKey, spec: &Spec) -> Flow {
        self.retire(key, spec);
        let significant = match self.plan.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => spec.significant,
            AutoShutdown::AllSignificant => spec.significant && !self.has_significant(),
        };
        if significant { Flow::Break(ExitReason::Shutdown) } else { Flow::Continue(()) }
    }

    /// Records that the child is over, and nothing will start it but a request. Temporary children and those
    /// of a dynamic supervisor are forgotten.
    pub(super) fn retire(&mut self, key: ChildKey, spec: &Spec) {
        self.children.set_not_running(key, ChildState::Stopped);
        spec.will_not_run();
        if spec.restart == Restart::Temporary || self.plan.strategy == Strategy::Dynamic {
            self.children.remove(key);
        }
    }

    /// Starts one child that does not run. Before that it waits for the end of the processes that a
    /// supervisor which was killed has left behind; and it kills those that a start which failed leaves
    /// behind.
    ///
    /// Returns its process, or `None` when there is nothing for it to do; then it is over.
    pub(super) async fn start(&mut self, key: ChildKey) -> Result<Option<Pid>, StartError> {
        let Some(spec) = self.children.spec(key) else { unreachable!("only children are started") };
        self.end_delay(key);
        for pid in spec.leftover_processes() {
            self.await_predecessor(&pid, spec.shutdown).await;
        }
        match spec.start(&mut self.me, &self.below).await {
            Ok(Some(started)) => {
                let pid = started.pid.clone();
                let (id, reported) = (Arc::clone(&spec.id), pid.clone());
                let report = match self.children.set_running(key, started, time::now()) {
                    false => Report::Started { id, pid: reported },
                    true => Report::Restarted { id, pid: reported },
                };
                self.report(report);
                Ok(Some(pid))
            }
            Ok(None) => {
                self.kill(spec.leftover_processes()).await;
                self.retire(key, &spec);
                self.report(Report::Ignored { id: Arc::clone(&spec.id) });
                Ok(None)
            }
            Err(source) => {
                self.kill(spec.leftover_processes()).await;
                let error = StartError::new(&spec.id, source);
                self.report(Report::NotStarted(error.clone()));
                Err(error)
            }
        }
    }

    async fn serve(&mut self, request: Request) -> Flow {
        match request {
            Request::Start(spec, answer) => {
                let result = self.start_new(spec).await;
                let _ = answer.resolve(result);
            }
            Request::Restart(which, answer) => {
                let result = self.start_again(&which).await;
                let _ = answer.resolve(result);
            }
            Request::Terminate(which, answer) => {
                let result = self.terminate(&which).await;
                let _ = answer.resolve(result);
            }
            Request::Delete(which, answer) => drop(answer.resolve(self.delete(&which))),
            Request::List(answer) => drop(answer.resolve((self.plan.strategy, self.children.list()))),
            Request::Count(answer) => drop(answer.resolve(self.children.count())),
            Request::Retry(key) => {
                if self.children.is_restarting(key) && !self.children.is_delayed(key) {
                    return self.restart(key).await;
                }
            }
            Request::Stop => return Flow::Break(ExitReason::Normal),
        }
        Flow::Continue(())
    }

    async fn start_new(&mut self, spec: Arc<Spec>) -> Result<Pid, ChildError> {
        if let Some(key) = self.children.with_id(&spec.id) {
            let pid = self.children.get(key).and_then(|child| child.pid());
            return Err(pid.cloned().map_or(ChildError::AlreadyPresent, ChildError::AlreadyStarted));
        }
        self.plan.check_child(&spec).map_err(ChildError::NotStarted)?;
        if self.children.len() >= self.plan.max_children {
            return Err(ChildError::TooManyChildren(self.plan.max_children));
        }
        let key = self.children.add(spec);
        let result = self.start(key).await;
        if result.is_err() {
            self.children.remove(key);
        }
        result.map_err(ChildError::NotStarted)?.ok_or(ChildError::Ignored)
    }

    async fn start_again(&mut self, which: &ChildSelector) -> Result<Pid, ChildError> {
        let key = self.children.find(which)?;
        self.check_not_running(key)?;
        let Some(spec) = self.children.spec(key) else { return Err(ChildError::NotFound) };
        spec.will_run();
        let result = self.start(key).await;
        if result.is_err() && self.first_awaiting_retry().is_none_or(|first| key < first) {
            spec.will_not_run();
        }
        result.map_err(ChildError::NotStarted)?.ok_or(ChildError::Ignored)
    }

    async fn terminate(&mut self, which: &ChildSelector) -> Result<(), ChildError> {
        let key = self.children.find(which)?;
        let restarting = self.children.is_restarting(key);
        self.end_delay(key);
        self.stop(vec![key]).await;
        if let Some(spec) = self.children.spec(key) {
            self.retire(key, &spec);
        }
        if restarting {
            self.cancel_waiting_starts();
        }
        Ok(())
    }

    /// Tells the children that would have been started by a restart which is not tried again that they will
    /// not run, unless the restart of another child starts them.
    fn cancel_waiting_starts(&self) {
        if matches!(self.plan.strategy, Strategy::OneForOne | Strategy::Dynamic) {
            return;
        }
        let first_awaiting_retry = self.first_awaiting_retry();
        for (key, child) in self.children.iter() {
            if child.state == ChildState::Stopped && first_awaiting_retry.is_none_or(|first| key < first) {
                child.spec.will_not_run();
            }
        }
    }

    /// Returns the first of the children that will be started by a restart which is tried again; they are all
    /// children from there on.
    fn first_awaiting_retry(&self) -> Option<ChildKey> {
        match self.plan.strategy {
            Strategy::OneForOne | Strategy::Dynamic => None,
            Strategy::RestForOne => self.children.first_restarting(),
            Strategy::OneForAll => self.children.first_restarting().and(Some(0)),
        }
    }

    fn delete(&mut self, which: &ChildSelector) -> Result<(), ChildError> {
        let key = self.children.find(which)?;
        self.check_not_running(key)?;
        self.children.remove(key);
        Ok(())
    }

    /// Refuses a child that runs or is about to be restarted.
    fn check_not_running(&self, key: ChildKey) -> Result<(), ChildError> {
        match self.children.get(key).map(|child| &child.state) {
            Some(ChildState::Running(pid)) => Err(ChildError::Running(pid.clone())),
            Some(ChildState::Restarting) => Err(ChildError::Restarting),
            Some(ChildState::Stopped) => Ok(()),
            None => Err(ChildError::NotFound),
        }
    }

    /// Reports something of this child, by its id.
    pub(super) fn report_of(&self, key: ChildKey, report: impl FnOnce(Arc<str>) -> Report) {
        if let Some(child) = self.children.get(key) {
            self.report(report(Arc::clone(&child.spec.id)));
        }
    }

    /// Tells those who follow the supervisor, and calls the user's observer, if there is one.
    pub(super) fn report(&self, report: Report) {
        for events in &self.events {
            let event = SupervisorEvent { supervisor: self.me.pid(), report: report.clone() };
            // An event that nobody needs any more may drop an error of the user's.
            crate::base::panic::discard_panic(|| drop(events.send(event)));
        }
        if let Some(observer) = &self.plan.observer {
            crate::base::panic::discard_panic(|| observer(&report));
        }
    }
}
