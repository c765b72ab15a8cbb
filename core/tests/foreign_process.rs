//! A toy node layer, written against the contract of `actor::remote` alone: two nodes that are joined by two
//! channels, with messages, questions, links, monitors and a cut. It proves that the core can be spoken for
//! by a process elsewhere.
//!
//! Both nodes are in this program, so that they share one sequence of epochs, and frames may carry these; a
//! layer with a real wire between has numbers of its own there.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::remote::{self, By, Endpoint, Epoch, Forwarder, Node, NodeTable, Signal};
use twoply_core::actor::{Builder, Event, ExitReason, Foreign, MonitorRef, Pid, Process, ProcessRef};
use twoply_core::backend::{Backend, Job, Mode, SpawnError};
use twoply_core::channel::TrySendError;
use twoply_core::promise::{Failure, Resolver};
use twoply_core::task::TaskList;

/// What the processes of the tests understand.
enum Message {
    Add(u32),
    Total(Resolver<u32>),
    Link(Pid),
    Unlink(Pid),
    Monitor(Pid),
    End(ExitReason),
}

/// What goes over a channel. Processes are named by their numbers on their nodes.
enum Frame {
    Add { to: u64, number: u32 },
    Total { to: u64, question: u64 },
    Answer { question: u64, total: Result<u32, Failure> },
    Link { from: u64, to: u64, epoch: Epoch },
    Unlink { from: u64, to: u64, epoch: Epoch },
    Exit { from: u64, to: u64, reason: ExitReason, by: By },
    Monitor { from: u64, to: u64, number: u64 },
    Demonitor { number: u64 },
    Down { from: u64, number: u64, reason: ExitReason },
    Cut,
}

/// One side of the connection between two nodes.
struct Connection {
    peer: Node,
    out: Sender<Frame>,
    state: Mutex<State>,
}

/// What one side knows of the two nodes' relations. Nothing is delivered under its lock.
#[derive(Default)]
struct State {
    cut: bool,
    /// Processes of this node that the other one may name.
    exposed: BTreeMap<u64, ProcessRef<Message>>,
    /// By the process of this node and that of the other.
    links: BTreeMap<(u64, u64), (Pid, Epoch)>,
    /// Monitors that this node has set, by their numbers on the wire: who monitors whom.
    watched: BTreeMap<u64, (MonitorRef, Pid, u64)>,
    /// Monitors that the other node has set, by their numbers on the wire: who is monitored.
    watchers: BTreeMap<u64, (MonitorRef, Pid)>,
    questions: BTreeMap<u64, Resolver<u32>>,
    last: u64,
}

impl State {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// A process of the other node, as this one sees it.
struct There {
    connection: Arc<Connection>,
    serial: u64,
}

/// The two sides of a connection between the nodes `left` and `right`. Frames are read by two threads until
/// the cut.
fn connect(nodes: &NodeTable) -> (Arc<Connection>, Arc<Connection>) {
    let (to_right, from_left) = channel();
    let (to_left, from_right) = channel();
    let side = |peer: &str, out: Sender<Frame>, incoming: Receiver<Frame>| {
        let connection = Arc::new(Connection { peer: nodes.node(peer, 1), out, state: Mutex::default() });
        let reader = Arc::clone(&connection);
        thread::spawn(move || {
            for frame in incoming {
                if matches!(frame, Frame::Cut) {
                    break;
                }
                reader.receive(frame);
            }
            reader.lose();
        });
        connection
    };
    (side("right", to_right, from_right), side("left", to_left, from_left))
}

impl Connection {
    fn expose(&self, process: &ProcessRef<Message>) -> u64 {
        let serial = process.pid().serial();
        self.state.lock().unwrap().exposed.insert(serial, process.clone());
        serial
    }

    fn there(self: &Arc<Self>, serial: u64) -> Arc<There> {
        Arc::new(There { connection: Arc::clone(self), serial })
    }

    fn pid(self: &Arc<Self>, serial: u64) -> Pid {
        remote::pid(&self.peer, serial, self.there(serial))
    }

    /// A reference to a process of the other node.
    fn reference(self: &Arc<Self>, serial: u64) -> ProcessRef<Message> {
        remote::process_ref(self.pid(serial), self.there(serial))
    }

    fn send(&self, frame: Frame) {
        let _ = self.out.send(frame);
    }

    /// Cuts the connection, for both sides.
    fn cut(self: &Arc<Self>) {
        self.send(Frame::Cut);
        self.lose();
    }

    fn local(&self, serial: u64) -> Option<Pid> {
        self.state.lock().unwrap().exposed.get(&serial).map(ProcessRef::pid)
    }

    fn receive(self: &Arc<Self>, frame: Frame) {
        if self.state.lock().unwrap().cut {
            return;
        }
        match frame {
            Frame::Add { to, number } => {
                let process = self.state.lock().unwrap().exposed.get(&to).cloned();
                let _ = process.map(|process| process.try_send(Message::Add(number)));
            }
            Frame::Total { to, question } => {
                let process = self.state.lock().unwrap().exposed.get(&to).cloned();
                let answer = process.map(|process| process.try_ask(Message::Total));
                let connection = Arc::clone(self);
                thread::spawn(move || {
                    let total = match answer {
                        Some(Ok(answer)) => answer.wait(),
                        _ => Err(Failure::NoProcess(ExitReason::NoProcess)),
                    };
                    connection.send(Frame::Answer { question, total });
                });
            }
            Frame::Answer { question, total } => {
                let resolver = self.state.lock().unwrap().questions.remove(&question);
                let Some(resolver) = resolver else { return };
                match total {
                    Ok(total) => drop(resolver.resolve(total)),
                    Err(failure) => drop(resolver.fail(failure)),
                }
            }
            Frame::Link { from, to, epoch } => match self.local(to) {
                Some(local) => {
                    self.note_link(&local, from, epoch);
                    remote::deliver(&local, Signal::Link { from: self.pid(from), epoch });
                }
                None => {
                    let reason = ExitReason::NoProcess;
                    self.send(Frame::Exit { from: to, to: from, reason, by: By::Link(epoch) });
                }
            },
            Frame::Unlink { from, to, epoch } => {
                self.forget_link(to, from, epoch);
                if let Some(local) = self.local(to) {
                    remote::deliver(&local, Signal::Unlink { from: self.pid(from), epoch });
                }
            }
            Frame::Exit { from, to, reason, by } => {
                let linked = self.state.lock().unwrap().links.get(&(to, from)).cloned();
                let local = linked.map(|(local, _)| local).or_else(|| self.local(to));
                if let By::Link(epoch) = by {
                    self.forget_link(to, from, epoch);
                }
                if let Some(local) = local {
                    remote::deliver(&local, Signal::Exit { from: self.pid(from), reason, by });
                }
            }
            Frame::Monitor { from, to, number } => match self.local(to) {
                Some(local) => {
                    let monitor = remote::monitor_ref();
                    self.state.lock().unwrap().watchers.insert(number, (monitor, local.clone()));
                    remote::deliver(&local, Signal::Monitor { from: self.pid(from), monitor });
                }
                None => self.send(Frame::Down { from: to, number, reason: ExitReason::NoProcess }),
            },
            Frame::Demonitor { number } => {
                let watcher = self.state.lock().unwrap().watchers.remove(&number);
                if let Some((monitor, local)) = watcher {
                    remote::deliver(&local, Signal::Demonitor { monitor });
                }
            }
            Frame::Down { from, number, reason } => {
                let watched = self.state.lock().unwrap().watched.remove(&number);
                if let Some((monitor, local, _)) = watched {
                    remote::deliver(&local, Signal::Down { from: self.pid(from), monitor, reason });
                }
            }
            Frame::Cut => {}
        }
    }

    fn note_link(&self, local: &Pid, there: u64, epoch: Epoch) {
        let links = &mut self.state.lock().unwrap().links;
        let link = links.entry((local.serial(), there)).or_insert((local.clone(), epoch));
        link.1 = link.1.max(epoch);
    }

    fn forget_link(&self, local: u64, there: u64, epoch: Epoch) {
        let links = &mut self.state.lock().unwrap().links;
        if links.get(&(local, there)).is_some_and(|(_, latest)| *latest <= epoch) {
            links.remove(&(local, there));
        }
    }

    /// The connection is lost: everybody here who had to do with the other node is told.
    fn lose(self: &Arc<Self>) {
        let mut state = self.state.lock().unwrap();
        if std::mem::replace(&mut state.cut, true) {
            return;
        }
        let lost = std::mem::replace(&mut *state, State { cut: true, ..State::default() });
        drop(state);
        let reason = || ExitReason::NoConnection;
        for ((_, there), (local, epoch)) in lost.links {
            let from = self.pid(there);
            remote::deliver(&local, Signal::Exit { from, reason: reason(), by: By::Link(epoch) });
        }
        for (monitor, local, there) in lost.watched.into_values() {
            remote::deliver(&local, Signal::Down { from: self.pid(there), monitor, reason: reason() });
        }
        for (monitor, local) in lost.watchers.into_values() {
            remote::deliver(&local, Signal::Demonitor { monitor });
        }
        for resolver in lost.questions.into_values() {
            let _ = resolver.fail(Failure::NoProcess(reason()));
        }
    }
}

impl Endpoint for There {
    fn deliver(&self, to: &Pid, signal: Signal) {
        let connection = &self.connection;
        let (cut, there) = (connection.state.lock().unwrap().cut, self.serial);
        match signal {
            Signal::Link { from, epoch } if cut => {
                let reason = ExitReason::NoConnection;
                remote::deliver(&from, Signal::Exit { from: to.clone(), reason, by: By::Link(epoch) });
            }
            Signal::Monitor { from, monitor } | Signal::Watch { from, monitor } if cut => {
                let reason = ExitReason::NoConnection;
                remote::deliver(&from, Signal::Down { from: to.clone(), monitor, reason });
            }
            // The consequences of the cut on this side, such as the answer to an exit signal, must not reach
            // the other side before that has been told of the cut itself.
            _ if cut => {}
            Signal::Link { from, epoch } => {
                connection.note_link(&from, there, epoch);
                connection.send(Frame::Link { from: from.serial(), to: there, epoch });
            }
            Signal::Unlink { from, epoch } => {
                connection.forget_link(from.serial(), there, epoch);
                connection.send(Frame::Unlink { from: from.serial(), to: there, epoch });
            }
            Signal::Exit { from, reason, by } => {
                if let By::Link(epoch) = by {
                    connection.forget_link(from.serial(), there, epoch);
                }
                connection.send(Frame::Exit { from: from.serial(), to: there, reason, by });
            }
            Signal::Monitor { from, monitor } | Signal::Watch { from, monitor } => {
                let mut state = connection.state.lock().unwrap();
                let number = state.number();
                state.watched.insert(number, (monitor, from.clone(), there));
                drop(state);
                connection.send(Frame::Monitor { from: from.serial(), to: there, number });
            }
            Signal::Demonitor { monitor } => {
                let watched = &mut connection.state.lock().unwrap().watched;
                let number = watched.iter().find(|(_, entry)| entry.0 == monitor).map(|(number, _)| *number);
                if let Some(number) = number {
                    watched.remove(&number);
                    connection.send(Frame::Demonitor { number });
                }
            }
            Signal::Down { from, monitor, reason } => {
                let watchers = &mut connection.state.lock().unwrap().watchers;
                let number = watchers.iter().find(|(_, entry)| entry.0 == monitor).map(|(number, _)| *number);
                if let Some(number) = number {
                    watchers.remove(&number);
                    connection.send(Frame::Down { from: from.serial(), number, reason });
                }
            }
            other => unreachable!("the contract has grown: {other:?}"),
        }
    }
}

impl Forwarder<Message> for There {
    fn try_send(&self, message: Message, _urgent: bool) -> Result<(), TrySendError<Message>> {
        let mut state = self.connection.state.lock().unwrap();
        if state.cut {
            drop(state);
            return Err(TrySendError::Closed(message));
        }
        let frame = match message {
            Message::Add(number) => Frame::Add { to: self.serial, number },
            Message::Total(resolver) => {
                let question = state.number();
                state.questions.insert(question, resolver);
                Frame::Total { to: self.serial, question }
            }
            _ => unreachable!("the other messages are for processes of this node"),
        };
        self.connection.send(frame);
        Ok(())
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn ended(&self) -> Option<ExitReason> {
        self.connection.state.lock().unwrap().cut.then_some(ExitReason::NoConnection)
    }
}

/// A backend with a thread for each job.
struct Threads(Arc<TaskList>);

impl Backend for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn mode(&self) -> Mode {
        Mode::Blocking
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.0
    }

    fn start(&self, job: Job) -> Result<(), SpawnError> {
        thread::spawn(move || job.run());
        Ok(())
    }

    fn resume(&self, _: Job, _: bool) {
        unreachable!("a job that blocks its thread does not come back");
    }
}

/// How each process of the tests is started.
fn builder() -> Builder<Message> {
    static THREADS: LazyLock<Arc<dyn Backend>> = LazyLock::new(|| Arc::new(Threads(TaskList::new())));
    Builder::new().on(&THREADS)
}

/// Starts a process that adds up, and does to others what it is told. What it hears of them goes to `news`.
fn start(news: Option<Sender<(Pid, ExitReason)>>) -> ProcessRef<Message> {
    let trapping = news.is_some();
    let body = async move |mut me: Process<Message>| {
        let mut total = 0;
        loop {
            match me.receive().await {
                Event::Message(Message::Add(number)) => total += number,
                Event::Message(Message::Total(reply)) => drop(reply.resolve(total)),
                Event::Message(Message::Link(other)) => me.link(&other),
                Event::Message(Message::Unlink(other)) => me.unlink(&other),
                Event::Message(Message::Monitor(other)) => drop(me.monitor(&other)),
                Event::Message(Message::End(reason)) => return reason,
                Event::Exit(exit) => drop(news.as_ref().map(|news| news.send((exit.from, exit.reason)))),
                Event::Down(down) => drop(news.as_ref().map(|news| news.send((down.from, down.reason)))),
                _ => {}
            }
        }
    };
    builder().trap_exit(trapping).spawn(body).unwrap()
}

/// How long word from the other node may take.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn messages_and_questions_go_to_a_process_elsewhere() {
    let (left, right) = connect(&NodeTable::new());
    let adder = start(None);
    let there = left.reference(right.expose(&adder));
    there.try_send(Message::Add(1)).unwrap();
    there.send(Message::Add(2)).wait().unwrap();
    assert_eq!(there.ask(Message::Total).wait().unwrap(), 3);
    assert_eq!(adder.ask(Message::Total).wait().unwrap(), 3);
    assert!(!there.is_closed() && !there.pid().is_local() && there.pid().serial() == adder.pid().serial());
    assert_eq!((there.len(), there.capacity()), (0, None), "what is not known");
    assert_eq!(there, left.reference(adder.pid().serial()));
    assert_ne!(there, adder);
    // A timer sends to it as to any.
    let _ = there.send_after(Duration::from_millis(1), Message::Add(4));
    while adder.ask(Message::Total).wait().unwrap() != 7 {
        thread::sleep(Duration::from_millis(1));
    }
    left.cut();
}

#[test]
fn a_question_to_a_process_that_ends_fails_with_its_reason() {
    let (left, right) = connect(&NodeTable::new());
    let adder = start(None);
    let there = left.reference(right.expose(&adder));
    adder.exit(ExitReason::other("enough"));
    adder.ended().wait();
    let failed = there.ask(Message::Total).wait();
    assert!(matches!(failed, Err(Failure::NoProcess(_))), "{failed:?}");
    left.cut();
}

#[test]
fn links_join_processes_of_two_nodes() {
    let (left, right) = connect(&NodeTable::new());
    let (sender, news) = channel();
    let (watcher, other) = (start(Some(sender)), start(None));
    let there = left.pid(right.expose(&other));
    left.expose(&watcher);
    watcher.try_send(Message::Link(there.clone())).unwrap();
    watcher.ask(Message::Total).wait().unwrap();
    // A question behind the link has come by when it is answered.
    left.reference(there.serial()).ask(Message::Total).wait().unwrap();
    other.try_send(Message::End(ExitReason::other("done"))).unwrap();
    assert_eq!(news.recv_timeout(SOON), Ok((there, ExitReason::other("done"))));
    // And the other way: this one traps nothing, and ends with its link.
    let (ending, last) = (start(None), start(None));
    let there = left.pid(right.expose(&last));
    left.expose(&ending);
    ending.try_send(Message::Link(there)).unwrap();
    ending.ask(Message::Total).wait().unwrap();
    ending.exit(ExitReason::other("over"));
    assert_eq!(last.ended().wait(), ExitReason::other("over"));
    left.cut();
}

#[test]
fn monitors_are_told_once_and_of_nobody() {
    let (left, right) = connect(&NodeTable::new());
    let (sender, news) = channel();
    let (watcher, other) = (start(Some(sender)), start(None));
    let (there, nobody) = (left.pid(right.expose(&other)), left.pid(u64::MAX));
    watcher.try_send(Message::Monitor(there.clone())).unwrap();
    watcher.try_send(Message::Monitor(nobody.clone())).unwrap();
    assert_eq!(news.recv_timeout(SOON), Ok((nobody, ExitReason::NoProcess)));
    let foreign = ExitReason::Foreign(Foreign::new("{shutdown,restart}".to_owned(), true));
    there.exit(foreign.clone());
    let (from, reason) = news.recv_timeout(SOON).unwrap();
    assert_eq!((from, reason.clone()), (there.clone(), foreign));
    assert!(reason.is_orderly() && reason.to_string() == "{shutdown,restart}");
    // Whoever is no process watches it, too.
    assert_eq!(there.ended().wait(), ExitReason::NoProcess);
    left.cut();
}

fn is_lost(answer: Result<u32, Failure>) -> bool {
    matches!(answer, Err(Failure::NoProcess(ExitReason::NoConnection)))
}

#[test]
fn a_cut_tells_links_monitors_and_questions() {
    let (left, right) = connect(&NodeTable::new());
    let (sender, news) = channel();
    let (watcher, other) = (start(Some(sender)), start(None));
    let there = left.reference(right.expose(&other));
    left.expose(&watcher);
    watcher.try_send(Message::Link(there.pid())).unwrap();
    watcher.try_send(Message::Monitor(there.pid())).unwrap();
    watcher.ask(Message::Total).wait().unwrap();
    there.ask(Message::Total).wait().unwrap();
    // The question is kept by the other side until the cut: its process does not get to it.
    let stuck = builder().spawn(async |me: Process<Message>| {
        twoply_core::time::sleep(SOON).await;
        drop(me);
    });
    let stuck = stuck.unwrap();
    let question = left.reference(right.expose(&stuck)).try_ask(Message::Total).unwrap();
    left.cut();
    assert!(is_lost(question.wait()));
    for _ in 0..2 {
        assert_eq!(news.recv_timeout(SOON), Ok((there.pid(), ExitReason::NoConnection)));
    }
    assert_eq!(other.ended().wait(), ExitReason::NoConnection, "the link ends it on its side");
    assert!(there.is_closed() && there.try_send(Message::Add(1)).is_err());
    assert!(is_lost(there.ask(Message::Total).wait()));
    // What comes later is told at once.
    watcher.try_send(Message::Link(there.pid())).unwrap();
    watcher.try_send(Message::Monitor(there.pid())).unwrap();
    for _ in 0..2 {
        assert_eq!(news.recv_timeout(SOON), Ok((there.pid(), ExitReason::NoConnection)));
    }
    assert_eq!(there.ended().wait(), ExitReason::NoConnection);
    stuck.exit(ExitReason::Kill);
}

#[test]
fn a_late_unlink_or_exit_signal_touches_no_later_link() {
    let nodes = NodeTable::new();
    let (left, _right) = connect(&nodes);
    let (sender, news) = channel();
    let watcher = start(Some(sender));
    let there = left.pid(7);
    let link = |epoch| remote::deliver(&watcher.pid(), Signal::Link { from: there.clone(), epoch });
    let unlink = |epoch| remote::deliver(&watcher.pid(), Signal::Unlink { from: there.clone(), epoch });
    let exit = |epoch| {
        let (reason, by) = (ExitReason::Shutdown, By::Link(epoch));
        remote::deliver(&watcher.pid(), Signal::Exit { from: there.clone(), reason, by });
    };
    let (early, late) = (Epoch::next(), Epoch::next());
    link(late);
    link(early);
    unlink(early);
    exit(early);
    watcher.ask(Message::Total).wait().unwrap();
    assert!(news.try_recv().is_err(), "an earlier link has ended");
    exit(late);
    assert_eq!(news.recv_timeout(SOON), Ok((there.clone(), ExitReason::Shutdown)), "the link has stayed");
    link(late);
    unlink(late);
    exit(late);
    watcher.try_send(Message::Unlink(there.clone())).unwrap();
    watcher.ask(Message::Total).wait().unwrap();
    assert!(news.try_recv().is_err(), "there was no link");
    left.cut();
}

/// Stands for a name that nobody has on the node of the peer.
struct Unknown;

impl Endpoint for Unknown {
    fn deliver(&self, to: &Pid, signal: Signal) {
        if let Signal::Monitor { from, monitor } = signal {
            remote::deliver(&from, Signal::Down { from: to.clone(), monitor, reason: ExitReason::NoProcess });
        }
    }
}

#[test]
fn a_monitor_by_name_is_told_with_the_name() {
    let node = NodeTable::new().node("peer", 1);
    let named = remote::pid(&node, 0, Arc::new(Unknown));
    let (sender, news) = channel();
    let process = builder().spawn_fn(move |mut me: Process<Message>| {
        let monitor = remote::monitor_name(&me, &named, "clerk");
        let Event::Down(down) = me.receive().wait() else { panic!("nothing else comes") };
        sender.send((down.monitor == monitor, down.name, remote::node(&down.from))).unwrap();
    });
    assert_eq!(process.unwrap().ended().wait(), ExitReason::Normal);
    assert_eq!(news.recv_timeout(SOON), Ok((true, Some("clerk".into()), Some(node))));
}
