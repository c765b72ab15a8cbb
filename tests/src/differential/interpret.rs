//! Has a program run by processes of twoply.
//!
//! Each process of the program is an interpreter: it carries out the operations that the driver tells it, and
//! reports to the driver, which is a process, too, and monitors all of them. What the driver says goes
//! through the mailboxes and is received selectively there, so that it disturbs nothing; or, in every other
//! program, through a channel, so that a process waits in a select of the two and every receive is a plain
//! one.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{Builder, Event, ExitReason, MonitorRef, Pid, Process, ProcessRef};
use twoply_core::backend::Backend;
use twoply_core::channel::{Receiver, Sender, unbounded};
use twoply_core::future::{OneOf, select};

use super::across::{self, Across, Said, Told};
use super::drive::Driver;
use super::program::{Mon, Proc, Program, Reason, Tie};
use super::trace::Trace;
use crate::{Systems, eventually};

/// What comes to an interpreter.
pub(super) enum Message {
    /// The driver has something to say; not if it says it through a channel.
    Control(Control),
    /// A message of the program's.
    Number(u32),
}

/// What the driver says.
pub(super) enum Control {
    /// Carry these out.
    Run(Vec<Resolved>),
    /// Answer. The number is that of the round.
    Ping(u64),
}

/// What comes to the driver.
pub(super) enum Report {
    /// The answer to a ping, and whether the interpreter waits in a receive.
    Pong { from: Proc, round: u64, blocked: bool },
    /// A process has been started.
    Spawned(Proc, Handle),
    /// A monitor has been made.
    Monitored { by: Proc, monitor: Mon, reference: MonitorRef },
    /// What a receive has taken; nothing if there was nothing.
    Took(Proc, Option<Taken>),
    /// Whether a process trapped exits.
    Was(Proc, bool),
    /// A process on another node says something.
    There(Said),
}

/// What a receive has taken, with what only the driver has numbers for.
pub(super) enum Taken {
    /// A message.
    Number(u32),
    /// An exit signal.
    Exit(Pid, ExitReason),
    /// The end of a process.
    Down(MonitorRef, Pid, ExitReason),
}

/// An operation with processes and references in place of their numbers.
pub(super) enum Resolved {
    Spawn(Proc, Tie),
    Link(Pid),
    Unlink(Pid),
    Monitor(Mon, Pid),
    Demonitor(MonitorRef),
    Flush(MonitorRef),
    Trap(bool),
    Exit(Pid, ExitReason),
    Leave(ExitReason),
    Raise(u32),
    Send(ProcessRef<Message>, u32),
    Receive(Fit, bool),
}

/// What a receive takes.
#[derive(Clone, Copy)]
pub(super) enum Fit {
    Any,
    Number(u32),
    Signal,
    Down(MonitorRef),
}

impl Fit {
    fn fits(self, event: &Event<Message>) -> bool {
        match (self, event) {
            (_, Event::Message(Message::Control(_))) => false,
            (Fit::Any, _) | (Fit::Signal, Event::Exit(_) | Event::Down(_)) => true,
            (Fit::Number(k), Event::Message(Message::Number(came))) => k == *came,
            (Fit::Down(monitor), Event::Down(down)) => monitor == down.monitor,
            _ => false,
        }
    }
}

pub(super) fn to_exit(reason: Reason) -> ExitReason {
    match reason {
        Reason::Normal => ExitReason::Normal,
        Reason::Shutdown => ExitReason::Shutdown,
        Reason::Kill => ExitReason::Kill,
        Reason::Killed => ExitReason::Killed,
        Reason::NoProcess => ExitReason::NoProcess,
        Reason::Custom(_) | Reason::Panic(_) => ExitReason::other(reason.to_string()),
    }
}

pub(super) fn from_exit(reason: &ExitReason) -> Reason {
    match reason {
        ExitReason::Normal => Reason::Normal,
        ExitReason::Shutdown => Reason::Shutdown,
        ExitReason::Kill => Reason::Kill,
        ExitReason::Killed => Reason::Killed,
        ExitReason::NoProcess => Reason::NoProcess,
        other => across::reason(&other.to_string()),
    }
}

/// How processes are started: what all of a run have in common.
#[derive(Clone)]
pub(super) struct Setting {
    /// Whom they report to.
    pub(super) driver: ProcessRef<Report>,
    /// Where they run, one after the other.
    pub(super) places: [Arc<dyn Backend>; 2],
    /// Whether the driver says what it says through channels.
    pub(super) aside: bool,
}

/// What the driver knows a process by.
pub(super) struct Handle {
    /// The process.
    pub(super) process: ProcessRef<Message>,
    /// Where it is told what to do, if not through its mailbox.
    aside: Option<Sender<Control>>,
    /// The same process as one that is told what to do on another node, if it runs there.
    pub(super) there: Option<ProcessRef<Told>>,
}

impl Handle {
    /// Returns that of a process on another node.
    pub(super) fn there(process: ProcessRef<Message>, told: ProcessRef<Told>) -> Handle {
        Handle { process, aside: None, there: Some(told) }
    }

    pub(super) fn say(&self, control: Control) {
        // Whoever is dead is told nothing.
        match (&self.aside, &self.there, control) {
            (_, Some(there), Control::Ping(round)) => drop(there.try_send(Told::Ping(round))),
            (Some(aside), _, control) => drop(aside.try_send(control)),
            (None, _, control) => drop(self.process.try_send(Message::Control(control))),
        }
    }
}

/// What a process of the program is.
struct Interpreter {
    /// Itself.
    me: Process<Message>,
    /// Its number.
    number: Proc,
    /// What it shares with the others.
    setting: Setting,
    /// Where it is told what to do, if not through its mailbox.
    aside: Option<Receiver<Control>>,
}

impl Setting {
    /// Starts a process: every other one as straight-line code.
    pub(super) fn start(
        &self,
        number: Proc,
        parent: Option<(&Process<Message>, Tie)>,
    ) -> (Handle, Option<MonitorRef>) {
        let (tell, told) = unbounded();
        let (aside, listen) = if self.aside { (Some(tell), Some(told)) } else { (None, None) };
        let builder = Builder::<Message>::new().on(&self.places[number % 2]).unbounded();
        let setting = self.clone();
        let make = move |me| Interpreter { me, number, setting, aside: listen }.interpret();
        let made = make.clone();
        let blocking = move |me| made(me).wait();
        let straight = (number / 2 + usize::from(self.aside)) % 2 == 1;
        let (process, monitor) = match (parent, straight) {
            (None | Some((_, Tie::None)), false) => (builder.spawn(make), None),
            (None | Some((_, Tie::None)), true) => (builder.spawn_fn(blocking), None),
            (Some((me, Tie::Link)), false) => (builder.spawn_link(me, make), None),
            (Some((me, Tie::Link)), true) => (builder.spawn_link_fn(me, blocking), None),
            (Some((me, Tie::Monitor(_))), false) => split(builder.spawn_monitor(me, make)),
            (Some((me, Tie::Monitor(_))), true) => split(builder.spawn_monitor_fn(me, blocking)),
        };
        let process = process.unwrap_or_else(|error| panic!("a process is not started: {error}"));
        (Handle { process, aside, there: None }, monitor)
    }
}

/// The two parts of what `spawn_monitor` returns.
fn split<A, B, E>(both: Result<(A, B), E>) -> (Result<A, E>, Option<B>) {
    match both {
        Ok((one, other)) => (Ok(one), Some(other)),
        Err(error) => (Err(error), None),
    }
}

impl Interpreter {
    async fn interpret(mut self) -> ExitReason {
        loop {
            match self.control().await {
                Control::Ping(round) => self.pong(round, false),
                Control::Run(ops) => {
                    for op in ops {
                        if let Some(reason) = self.carry_out(op).await {
                            return reason;
                        }
                    }
                }
            }
        }
    }

    fn report(&self, report: Report) {
        assert!(
            self.setting.driver.try_send(report).is_ok(),
            "the driver lives longer, and its mailbox is unbounded"
        );
    }

    /// Answers a ping. Who has been told to end, and has not noticed, says nothing any more: what comes
    /// through a channel is in no order with signals.
    fn pong(&self, round: u64, blocked: bool) {
        if !self.me.pid().is_alive_here() {
            return;
        }
        self.report(Report::Pong { from: self.number, round, blocked });
    }

    /// What the driver says next.
    async fn control(&mut self) -> Control {
        if let Some(aside) = &self.aside {
            return aside.recv().await.expect("the driver keeps the other end as long as the process lives");
        }
        let said = |event: &Event<Message>| matches!(event, Event::Message(Message::Control(_)));
        match self.me.receive_match(said).await {
            Event::Message(Message::Control(control)) => control,
            _ => unreachable!("it was received selectively"),
        }
    }

    /// Carries an operation out. It returns a reason if the process is to end.
    async fn carry_out(&mut self, op: Resolved) -> Option<ExitReason> {
        match op {
            Resolved::Spawn(number, tie) => {
                let (handle, reference) = self.setting.start(number, Some((&self.me, tie)));
                self.report(Report::Spawned(number, handle));
                if let (Tie::Monitor(monitor), Some(reference)) = (tie, reference) {
                    self.report(Report::Monitored { by: self.number, monitor, reference });
                }
            }
            Resolved::Link(pid) => self.me.link(&pid),
            Resolved::Unlink(pid) => self.me.unlink(&pid),
            Resolved::Monitor(monitor, pid) => {
                let reference = self.me.monitor(&pid);
                self.report(Report::Monitored { by: self.number, monitor, reference });
            }
            Resolved::Demonitor(reference) => drop(self.me.demonitor(reference)),
            Resolved::Flush(reference) => drop(self.me.demonitor_flush(reference)),
            Resolved::Trap(on) => self.report(Report::Was(self.number, self.me.trap_exit(on))),
            Resolved::Exit(pid, reason) => self.me.exit(&pid, reason),
            Resolved::Leave(reason) => return Some(reason),
            Resolved::Raise(number) => panic!("expected: p{number}"),
            Resolved::Send(process, k) => drop(process.send(Message::Number(k)).await),
            Resolved::Receive(fit, true) => {
                let taken = self.receive(fit).await;
                self.report(Report::Took(self.number, Some(taken)));
            }
            Resolved::Receive(fit, false) => {
                let taken = match fit {
                    Fit::Any if self.aside.is_some() => self.me.receive_timeout(Duration::ZERO).await,
                    _ => self.me.try_receive_match(|event| fit.fits(event)),
                };
                self.report(Report::Took(self.number, taken.map(to_taken)));
            }
        }
        None
    }

    /// Waits for an event that fits, and answers pings meanwhile: an event that came before a ping is
    /// received before.
    async fn receive(&mut self, fit: Fit) -> Taken {
        loop {
            let ping = |event: &Event<Message>| matches!(event, Event::Message(Message::Control(_)));
            let event = match (&self.aside, fit) {
                (None, _) => self.me.receive_match(|event| ping(event) || fit.fits(event)).await,
                (Some(aside), Fit::Any) => match select((self.me.receive(), aside.recv())).biased().await {
                    OneOf::First(event) => event,
                    OneOf::Second(control) => {
                        Event::Message(Message::Control(control.expect("the driver lives")))
                    }
                },
                (Some(aside), _) => {
                    let fitting = self.me.receive_match(|event| fit.fits(event));
                    match select((fitting, aside.recv())).biased().await {
                        OneOf::First(event) => event,
                        OneOf::Second(control) => {
                            Event::Message(Message::Control(control.expect("the driver lives")))
                        }
                    }
                }
            };
            match event {
                Event::Message(Message::Control(Control::Ping(round))) => self.pong(round, true),
                Event::Message(Message::Control(Control::Run(_))) => {
                    unreachable!("who waits is told nothing to do")
                }
                event => return to_taken(event),
            }
        }
    }
}

fn to_taken(event: Event<Message>) -> Taken {
    match event {
        Event::Message(Message::Number(k)) => Taken::Number(k),
        Event::Exit(exit) => Taken::Exit(exit.from, exit.reason),
        Event::Down(down) => Taken::Down(down.monitor, down.from, down.reason),
        _ => panic!("something was received that does not fit"),
    }
}

/// Runs `program` on `on`, its processes on both of its runtimes, and says what was seen. With another node,
/// about half of its processes run there.
///
/// # Errors
/// When a process neither answers nor dies.
pub fn run(on: &Systems, program: &Program, across: Option<&Across>) -> Result<Trace, String> {
    let places = [Arc::clone(on.here().backend()), Arc::clone(on.there().backend())];
    let mut homes = places.to_vec();
    if on.there().kind() == on.here().kind() {
        homes.truncate(1);
    }
    let (result, done) = mpsc::channel();
    let (program, there) = (program.clone(), across.map(Across::there));
    let body = async move |me: Process<Report>| {
        let setting = Setting { driver: me.me(), places, aside: program.seed % 2 == 1 };
        let traced = Driver::new(me, setting, homes, there).drive(&program).await;
        drop(result.send(traced));
    };
    let builder = Builder::new().on(on.here().backend()).unbounded();
    builder.spawn(body).map_err(|error| error.to_string())?;
    let traced = done.recv().map_err(|_| "the driver died".to_owned())?;
    eventually("nothing is left of a program", || on.here().tasks() == 0 && on.there().tasks() == 0);
    traced
}
