//! What the process of a supervisor does: it starts its children, and then does what events ask for, one at a time.
//!
//! The steps are those of OTP's `supervisor.erl`, with its names where they are good ones. What differs:
//! - while it waits for children to stop it takes events out and keeps them for later, in order, where OTP leaves them
//!   in the mailbox: nothing is looked at twice, however many children there are;
//! - children stay linked while they are stopped, so that nobody is orphaned when the supervisor is killed meanwhile;
//! - who starts a supervisor that fails to start learns it from the error alone, not from an exit signal as well.
//!
//! It never waits for a child in any other way than by [`Engine::stop`] and the child's own start.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::children::{Children, Serial};
use super::error::{ChildError, StartError};
use super::handle::{Control, Request};
use super::intensity::Intensity;
use super::report::Report;
use super::spec::{Restart, Spec};
use super::tree::ChildState;
use super::{AutoShutdown, ChildSelector, Plan, Strategy};
use crate::actor::{Event, ExitReason, Pid, Process};
use crate::channel::oneshot;
use crate::time;

/// Whether the supervisor goes on, or ends for a reason.
type Flow = ControlFlow<ExitReason>;

/// The state of a supervisor's process.
pub(super) struct Engine {
    /// The process.
    pub(super) me: Process<Control>,
    /// What was asked for.
    pub(super) plan: Arc<Plan>,
    /// Whose exit signal ends the supervisor: who started it with a link.
    parent: Option<Pid>,
    /// The children.
    pub(super) children: Children,
    /// The restarts of late.
    intensity: Intensity,
    /// Events that came while children were being stopped, in order. They come before those in the mailbox.
    pub(super) deferred: VecDeque<Event<Control>>,
}

/// The body of a supervisor's process. Tells `ready` when all children have been started, or why not.
pub(super) async fn supervise(
    me: Process<Control>,
    plan: Arc<Plan>,
    parent: Option<Pid>,
    ready: oneshot::Sender<Result<(), StartError>>,
) -> ExitReason {
    let mut engine = Engine {
        me,
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
        // Who is not waiting any more has been told by dropping the future that it does not want to know.
        let _ = ready.send(Err(error));
        return reason;
    }
    // As above.
    let _ = ready.send(Ok(()));
    let reason = loop {
        let event = engine.next_event().await;
        if let ControlFlow::Break(reason) = engine.handle(event).await {
            break reason;
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
            let serial = self.children.add(Arc::clone(spec));
            self.start(serial).await?;
        }
        Ok(())
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
            Event::Exit(exit) if self.obeys(&exit.from) => Flow::Break(exit.reason),
            Event::Exit(exit) => self.child_ended(exit.from, exit.reason).await,
            // Of a child that is known to have ended, because the wait for it was given up.
            _ => Flow::Continue(()),
        }
    }

    /// Whether an exit signal from there ends the supervisor. Those who are no process are obeyed like the parent: in
    /// Erlang there are none.
    fn obeys(&self, sender: &Pid) -> bool {
        self.parent.as_ref() == Some(sender) || *sender == Pid::nobody()
    }

    /// A linked process has ended by itself. It may have been a child; one that has been stopped is none any more.
    async fn child_ended(&mut self, pid: Pid, reason: ExitReason) -> Flow {
        let Some((serial, spec)) = self.children.with_pid(&pid) else { return Flow::Continue(()) };
        self.children.halted(serial, ChildState::Stopped);
        let restart = spec.restart.applies_to(&reason);
        self.report(Report::Ended { id: Arc::clone(&spec.id), pid, reason });
        if restart {
            spec.will_run();
            return self.restart(serial).await;
        }
        self.rest(serial, &spec);
        let significant = match self.plan.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => spec.significant,
            AutoShutdown::AllSignificant => {
                spec.significant && !self.children.iter().any(|(_, child)| child.is_significant_and_alive())
            }
        };
        if significant { Flow::Break(ExitReason::Shutdown) } else { Flow::Continue(()) }
    }

    /// The child is over, and nothing will start it but a request. Temporary and anonymous ones are forgotten.
    pub(super) fn rest(&mut self, serial: Serial, spec: &Spec) {
        self.children.halted(serial, ChildState::Stopped);
        spec.will_not_run();
        if spec.restart == Restart::Temporary || self.plan.strategy == Strategy::Dynamic {
            self.children.remove(serial);
        }
    }

    /// Restarts the child and those that the strategy restarts with it, unless there have been too many restarts.
    pub(super) async fn restart(&mut self, serial: Serial) -> Flow {
        if !self.intensity.admit(time::now()) {
            if let Some(child) = self.children.get(serial) {
                self.report(Report::TooManyRestarts { id: Arc::clone(&child.spec.id) });
            }
            self.children.halted(serial, ChildState::Stopped);
            return Flow::Break(ExitReason::Shutdown);
        }
        let failed = match self.plan.strategy {
            Strategy::OneForOne | Strategy::Dynamic => self.start(serial).await.err().map(|_| serial),
            Strategy::RestForOne => self.restart_from(serial).await,
            Strategy::OneForAll => self.restart_from(0).await,
        };
        if let Some(failed) = failed {
            self.children.halted(failed, ChildState::Restarting);
            // After what is in the mailbox by now, so that a supervisor whose child does not start can still be asked
            // and stopped. The mailbox is unbounded.
            let _ = self.me.me().try_send(Control(Request::Retry(failed)));
        }
        Flow::Continue(())
    }

    /// Stops all children from `first` on in reverse order, and starts them in order. Returns the one that could not be
    /// started, where it stopped starting.
    async fn restart_from(&mut self, first: Serial) -> Option<Serial> {
        for serial in self.children.from(first).into_iter().rev() {
            let Some(spec) = self.children.spec(serial) else { continue };
            self.stop(vec![serial]).await;
            if spec.restart == Restart::Temporary {
                self.rest(serial, &spec);
            } else {
                self.children.halted(serial, ChildState::Stopped);
                spec.will_run();
            }
        }
        for serial in self.children.from(first) {
            if self.start(serial).await.is_err() {
                return Some(serial);
            }
        }
        None
    }

    /// Starts one child that does not run. What a supervisor that was killed has left behind of it is seen off first,
    /// and what a start that failed has left behind is killed.
    pub(super) async fn start(&mut self, serial: Serial) -> Result<Pid, StartError> {
        let Some(spec) = self.children.spec(serial) else { unreachable!("only children are started") };
        for pid in spec.left_behind() {
            self.outlive(&pid, spec.shutdown).await;
        }
        match spec.start(&mut self.me).await {
            Ok(started) => {
                let pid = started.pid.clone();
                self.children.started(serial, started);
                self.report(Report::Started { id: Arc::clone(&spec.id), pid: pid.clone() });
                Ok(pid)
            }
            Err(source) => {
                self.kill(spec.left_behind()).await;
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
            Request::Retry(serial) => {
                if self.children.is_restarting(serial) {
                    return self.restart(serial).await;
                }
            }
            Request::Stop => return Flow::Break(ExitReason::Normal),
        }
        Flow::Continue(())
    }

    async fn start_new(&mut self, spec: Arc<Spec>) -> Result<Pid, ChildError> {
        if let Some(serial) = self.children.with_id(&spec.id) {
            let pid = self.children.get(serial).and_then(|child| child.pid());
            return Err(pid.cloned().map_or(ChildError::AlreadyPresent, ChildError::AlreadyStarted));
        }
        self.plan.check_child(&spec).map_err(ChildError::NotStarted)?;
        let serial = self.children.add(spec);
        let result = self.start(serial).await;
        if result.is_err() {
            self.children.remove(serial);
        }
        result.map_err(ChildError::NotStarted)
    }

    async fn start_again(&mut self, which: &ChildSelector) -> Result<Pid, ChildError> {
        let serial = self.children.find(which)?;
        self.resting(serial)?;
        let Some(spec) = self.children.spec(serial) else { return Err(ChildError::NotFound) };
        spec.will_run();
        let result = self.start(serial).await;
        if result.is_err() && self.awaited_from().is_none_or(|first| serial < first) {
            spec.will_not_run();
        }
        result.map_err(ChildError::NotStarted)
    }

    async fn terminate(&mut self, which: &ChildSelector) -> Result<(), ChildError> {
        let serial = self.children.find(which)?;
        let restarting = self.children.is_restarting(serial);
        self.stop(vec![serial]).await;
        if let Some(spec) = self.children.spec(serial) {
            self.rest(serial, &spec);
        }
        if restarting {
            self.forsake();
        }
        Ok(())
    }

    /// A restart will not be tried again. Nor will those be started that it would have started, too, unless the restart
    /// of another one does.
    fn forsake(&self) {
        if matches!(self.plan.strategy, Strategy::OneForOne | Strategy::Dynamic) {
            return;
        }
        let awaited_from = self.awaited_from();
        for (serial, child) in self.children.iter() {
            if child.state == ChildState::Stopped && awaited_from.is_none_or(|first| serial < first) {
                child.spec.will_not_run();
            }
        }
    }

    /// The first of those that are started with one whose restart is tried again; they are all that come after it.
    fn awaited_from(&self) -> Option<Serial> {
        match self.plan.strategy {
            Strategy::OneForOne | Strategy::Dynamic => None,
            Strategy::RestForOne => self.children.first_restarting(),
            Strategy::OneForAll => self.children.first_restarting().and(Some(0)),
        }
    }

    fn delete(&mut self, which: &ChildSelector) -> Result<(), ChildError> {
        let serial = self.children.find(which)?;
        self.resting(serial)?;
        self.children.remove(serial);
        Ok(())
    }

    /// Refuses children that run or are about to.
    fn resting(&self, serial: Serial) -> Result<(), ChildError> {
        match self.children.get(serial).map(|child| &child.state) {
            Some(ChildState::Running(pid)) => Err(ChildError::Running(pid.clone())),
            Some(ChildState::Restarting) => Err(ChildError::Restarting),
            Some(ChildState::Stopped) => Ok(()),
            None => Err(ChildError::NotFound),
        }
    }

    /// Tells who observes this supervisor.
    pub(super) fn report(&self, report: Report) {
        if let Some(observer) = &self.plan.observer {
            crate::base::panic::discard_panic(|| observer(&report));
        }
    }
}
