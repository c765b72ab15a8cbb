//! A node of ours and one of Erlang's, with a line between them that breaks in all the ways that lines break,
//! and with either side stopped, killed and started again. After each, everybody has been told, once, nothing
//! is left, and the two connect again.

use std::io::{BufRead, BufReader, read_to_string, stdin};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid as Process, Signal, kill_process};
use twoply_core::Wait;
use twoply_core::actor::{self, Event, ExitReason, Group, ProcessRef};
use twoply_core::promise::Resolver;
use twoply_core::time::timeout;
use twoply_node::wire::{Atom, FromTerm, Pid, Term};
use twoply_node::{Builder, CallError, ConnectError, Event as NodeEvent, Node, Remote};
use twoply_tests::{ErlangNode, Namespace, Resources, Systems, eventually, laws, side_by_side, start_node};

use self::proxy::{Line, Lines, Proxy};

#[path = "node_faults/proxy.rs"]
mod proxy;

laws! {
    everywhere {
        a_reset_is_told_to_both_sides_and_the_line_heals,
        a_slow_line_changes_nothing,
        a_flipped_byte_ends_the_connection_alone,
        groups_agree_again_after_a_split,
    }
    two_workers {
        a_killed_peer_comes_back_as_another_one,
        a_node_that_is_stopped_for_a_while_goes_on,
    }
}

// Each of them takes as long as the ticktime.
side_by_side! {
    two_workers {
        a_line_that_is_silent_both_ways_is_noticed,
        a_line_that_is_silent_to_us_is_noticed,
        a_line_that_is_silent_to_the_peer_is_noticed,
        a_stopped_peer_is_given_up_and_comes_back,
        hosts_that_are_apart_for_a_while_find_together,
    }
}

const COOKIE: &str = "biscuit";
/// The ticktime of both sides, in seconds.
const TICK: u32 = 4;
/// How long word may take.
const SOON: Duration = Duration::from_secs(30);

/// An Erlang node, one of ours, and the line between them.
struct Setup<L = Proxy> {
    erlang: ErlangNode,
    node: Node,
    line: L,
}

/// What the process of ours is told to do.
#[derive(FromTerm)]
#[term(crate = twoply_node)]
enum Order {
    Watch(Pid),
    #[term(call)]
    Add(u32, Resolver<u32>),
    /// Is never answered.
    #[term(call)]
    Silence(Resolver<u32>),
}

/// Begins a node of ours.
fn ours(name: &str) -> Builder {
    Node::builder(name).cookie(COOKIE).tick_time(Duration::from_secs(TICK.into()))
}

impl Setup {
    fn start(on: &Systems) -> Option<Setup> {
        let mut erlang = ErlangNode::start(COOKIE, TICK)?;
        let line = Proxy::start(erlang.address());
        let node = start_node(on, ours("ours@localhost"), Some(&erlang));
        node.add_peer(erlang.name.as_str(), line.address);
        Some(Setup { erlang, node, line })
    }
}

impl Setup<Namespace> {
    /// Starts the Erlang node on a host of its own, as far as it can see.
    fn start_apart(on: &Systems) -> Option<Setup<Namespace>> {
        let line = Namespace::new()?;
        // Both listen on the same port, which is how Erlang finds nodes without a port mapper.
        let node = ours(&format!("ours@{}", line.here())).listen((line.here(), 0).into());
        let node = start_node(on, node.ports(20_000..=29_999), None);
        let port = node.local_addr().port();
        let erlang = ErlangNode::start_apart(COOKIE, TICK, &line, port)?;
        node.add_peer(erlang.name.as_str(), (line.there(), port).into());
        Some(Setup { erlang, node, line })
    }
}

impl<L> Setup<L> {
    fn connect(&self, on: &Systems) -> Remote {
        self.try_connect(on).unwrap()
    }

    fn try_connect(&self, on: &Systems) -> Result<Remote, ConnectError> {
        let (node, name) = (self.node.clone(), self.erlang.name.clone());
        on.here().spawn(async move { node.connect(&name).await }).wait().unwrap()
    }

    /// Has each side link, monitor and ask the other one; `break_it` is what then happens to the line. Ours
    /// is to be told of it once.
    fn goes_through(&mut self, on: &Systems, break_it: impl FnOnce(&mut Setup<L>)) {
        let remote = self.connect(on);
        let (process, heard) = watcher(on, &self.node, &remote);
        let begin = "Server = spawn(fun() -> twoply_peer:answer(1) end), register(server, Server), \
                     {watcher, Ours} ! {watch, Server}, M = monitor(process, {watcher, Ours}), \
                     Own = self(), spawn(fun() -> Own ! {asked, catch gen_server:call({watcher, Ours}, \
                     silence, infinity)} end)";
        self.erlang.eval(&format!("Ours = '{}', {begin}", self.node.name()));
        assert_eq!(heard.recv_timeout(SOON).unwrap(), "watches");
        assert_eq!(heard.recv_timeout(SOON).unwrap(), "is asked");
        let asked = remote.call::<u32>("server", &Atom::new("silence").unwrap());
        // All of it is known on the other side when this is answered.
        assert_eq!(remote.call::<u32>("server", &(Atom::new("add").unwrap(), 1u32)).wait(), Ok(2));
        eventually("the peer is linked", || {
            self.erlang.eval("element(2, process_info(Server, links))") != "[]"
        });

        break_it(self);

        assert_eq!(asked.wait(), Err(CallError::Ended(ExitReason::NoConnection)));
        let mut told = [heard.recv_timeout(SOON).unwrap(), heard.recv_timeout(SOON).unwrap()];
        told.sort();
        assert_eq!(told, ["down no connection", "exit no connection"]);
        assert!(self.node.nodes().is_empty() || self.node.connected(&self.erlang.name).is_some());
        eventually("nobody monitors it", || process.info().unwrap().monitored_by.is_empty());
        process.exit(ExitReason::Kill);
        process.ended().wait();
        assert_eq!(heard.try_iter().count(), 0, "it is told once");
    }

    /// What the Erlang node has been told, which has lost the connection as well.
    fn the_peer_was_told(&mut self) {
        let down = "receive {'DOWN', M, _, _, Why} -> Why after 30000 -> timeout end";
        assert_eq!(self.erlang.eval(down), "noconnection");
        let asked =
            self.erlang.eval("receive {asked, {'EXIT', {Reason, _}}} -> Reason after 30000 -> timeout end");
        assert!(asked.contains("nodedown") || asked == "noconnection", "{asked}");
        eventually("its server is told", || self.erlang.eval("is_process_alive(Server)") == "false");
        assert_eq!(self.erlang.eval("receive {'DOWN', M, _, _, _} -> twice after 0 -> once end"), "once");
        self.erlang.eval("f()");
    }

    /// Both sides ask again.
    fn works(&mut self, on: &Systems) {
        let remote = self.connect(on);
        let (process, heard) = watcher(on, &self.node, &remote);
        let ask = format!("gen_server:call({{watcher, '{}'}}, {{add, 6}})", self.node.name());
        assert_eq!(self.erlang.eval(&ask), "7");
        self.erlang.eval("register(adder, spawn(fun() -> twoply_peer:answer(10) end))");
        assert_eq!(remote.call::<u32>("adder", &(Atom::new("add").unwrap(), 5u32)).wait(), Ok(15));
        self.erlang.eval("exit(whereis(adder), kill)");
        process.exit(ExitReason::Kill);
        process.ended().wait();
        assert_eq!(heard.try_iter().count(), 0);
        assert_eq!(self.node.exposed(), 0);
    }

    /// Both sides have members of a group, and are split and meet again so often.
    fn groups_agree_again(
        &mut self,
        on: &Systems,
        times: usize,
        split: impl Fn(&mut Setup<L>),
        mend: impl Fn(&mut Setup<L>),
    ) {
        self.erlang.eval("{ok, _} = pg:start_link(books)");
        let (pg, group, readers) = (self.node.pg("books").unwrap(), Group::new(), Term::atom("readers"));
        pg.share(readers.clone(), &group);
        let agree = |setup: &mut Setup<L>, members: usize| {
            eventually("we know", || pg.pids(&readers).len() == members);
            let there = "length(pg:get_members(books, readers))";
            eventually("they know", || setup.erlang.eval(there) == members.to_string());
        };
        let mut members = Vec::new();
        for _ in 0..times {
            self.connect(on);
            // In the first round they may not have said a word yet.
            agree(self, 2 * members.len());
            split(self);
            eventually("we are alone", || self.node.nodes().is_empty());
            eventually("so is the peer", || self.erlang.eval("nodes(hidden)") == "[]");
            agree(self, members.len());
            let body = async |mut me: actor::Process<()>| drop(me.receive().await);
            members.push(twoply_tests::builder(on).spawn(body).unwrap());
            group.join(&members[members.len() - 1]);
            self.erlang.eval("pg:join(books, readers, spawn(fun() -> receive stop -> ok end end))");
            agree(self, members.len());
            mend(self);
        }
        // The peer may be connecting, too, by a line that was not there when it began.
        eventually("they find together", || self.try_connect(on).is_ok());
        agree(self, 2 * members.len());
    }

    /// Ends the connection, and waits until both have seen that.
    fn part(&mut self) {
        self.node.disconnect(&self.erlang.name);
        eventually("we are alone", || self.node.nodes().is_empty());
        eventually("so is the peer", || self.erlang.eval("nodes(hidden)") == "[]");
    }
}

/// Starts a process that does as it is told, and tells what it hears.
fn watcher(on: &Systems, node: &Node, remote: &Remote) -> (ProcessRef<Order>, Receiver<String>) {
    let (hear, heard) = channel();
    let remote = remote.clone();
    let body = async move |mut me: actor::Process<Order>| {
        let mut unanswered = Vec::new();
        loop {
            let _ = hear.send(match me.receive().await {
                Event::Message(Order::Watch(pid)) => {
                    me.link(&remote.pid(&pid));
                    me.monitor(&remote.pid(&pid));
                    "watches".to_owned()
                }
                Event::Message(Order::Add(n, answer)) => {
                    let _ = answer.resolve(n + 1);
                    continue;
                }
                Event::Message(Order::Silence(answer)) => {
                    unanswered.push(answer);
                    "is asked".to_owned()
                }
                Event::Exit(exit) => format!("exit {}", exit.reason),
                Event::Down(down) => format!("down {}", down.reason),
                _ => return,
            });
        }
    };
    let process = twoply_tests::builder(on).trap_exit(true).spawn(body).unwrap();
    node.register("watcher", &process).unwrap();
    (process, heard)
}

fn a_reset_is_told_to_both_sides_and_the_line_heals(on: &Systems) {
    on.alone(|| {
        let Some(mut setup) = Setup::start(on) else { return };
        setup.works(on);
        setup.part();
        let (tasks, before) = (on.here().tasks(), Resources::now());
        for _ in 0..3 {
            setup.goes_through(on, |setup| setup.line.reset());
            setup.the_peer_was_told();
            setup.works(on);
            setup.part();
        }
        setup.line.reset();
        before.assert_descriptors_restored();
        eventually("no task is left", || on.here().tasks() <= tasks);
        assert_eq!(setup.node.exposed(), 0);
    });
}

fn a_slow_line_changes_nothing(on: &Systems) {
    let Some(mut setup) = Setup::start(on) else { return };
    for line in [Line::Bytes, Line::Slow] {
        setup.line.set((line, line));
        setup.works(on);
        setup.works(on);
        setup.part();
    }
}

fn a_flipped_byte_ends_the_connection_alone(on: &Systems) {
    let Some(mut setup) = Setup::start(on) else { return };
    // The first byte of a frame is the highest of its length.
    setup.goes_through(on, |setup| {
        setup.line.set((Line::Pass, Line::Flip));
        setup.erlang.eval("{nobody, 'ours@localhost'} ! flipped");
    });
    setup.the_peer_was_told();
    setup.works(on);
}

/// Both sides of a split go on with the members that they have, others join meanwhile, and when they connect
/// each knows all again.
fn groups_agree_again_after_a_split(on: &Systems) {
    let Some(mut setup) = Setup::start(on) else { return };
    // Erlang's scope answers one that it has just lost, and would connect to it by a line of its own.
    setup.erlang.eval("ok = application:set_env(kernel, dist_auto_connect, never)");
    setup.groups_agree_again(on, 5, |setup| setup.line.reset(), |_| ());
}

/// A line on which packets are lost, without a word: nobody is told but by the time that nothing comes.
fn hosts_that_are_apart_for_a_while_find_together(on: &Systems) {
    let Some(mut setup) = Setup::start_apart(on) else { return };
    let events = setup.node.events();
    setup.goes_through(on, |setup| setup.line.cut());
    assert!(matches!(events.recv().wait(), Ok(NodeEvent::Up { .. })));
    let end = events.recv().wait();
    assert!(matches!(&end, Ok(NodeEvent::Down { why, .. }) if why == "nothing was heard of it"), "{end:?}");
    setup.the_peer_was_told();
    setup.line.mend();
    setup.works(on);
    setup.part();
    setup.groups_agree_again(on, 1, |setup| setup.line.cut(), |setup| setup.line.mend());
}

fn a_line_that_is_silent_both_ways_is_noticed(on: &Systems) {
    a_silent_line_is_noticed(on, (Line::Silent, Line::Silent));
}

fn a_line_that_is_silent_to_us_is_noticed(on: &Systems) {
    a_silent_line_is_noticed(on, (Line::Pass, Line::Silent));
}

fn a_line_that_is_silent_to_the_peer_is_noticed(on: &Systems) {
    a_silent_line_is_noticed(on, (Line::Silent, Line::Pass));
}

fn a_silent_line_is_noticed(on: &Systems, lines: Lines) {
    let Some(mut setup) = Setup::start(on) else { return };
    setup.goes_through(on, |setup| setup.line.set(lines));
    setup.the_peer_was_told();
    setup.line.reset();
    setup.line.set((Line::Pass, Line::Pass));
    setup.works(on);
}

fn signal(process: u32, signal: Signal) {
    let process = Process::from_raw(process as i32).unwrap();
    kill_process(process, signal).unwrap();
}

fn a_stopped_peer_is_given_up_and_comes_back(on: &Systems) {
    let Some(mut setup) = Setup::start(on) else { return };
    let process = setup.erlang.process();
    setup.goes_through(on, |_| signal(process, Signal::STOP));
    signal(process, Signal::CONT);
    setup.the_peer_was_told();
    setup.works(on);
}

/// Returns the pid of the process of the Erlang node that does what the tests say.
fn shell(setup: &mut Setup, remote: &Remote) -> Pid {
    setup.erlang.eval("register(shell, self())");
    let asked = remote.call("shell", &0u32);
    setup.erlang.eval("receive {'$gen_call', From, 0} -> gen:reply(From, self()) end");
    setup.erlang.eval("f()");
    asked.wait().unwrap()
}

fn a_killed_peer_comes_back_as_another_one(on: &Systems) {
    let Some(mut setup) = Setup::start(on) else { return };
    let remote = setup.connect(on);
    let old = shell(&mut setup, &remote);
    setup.goes_through(on, |setup| {
        setup.erlang.restart(COOKIE, TICK);
        setup.line = Proxy::start(setup.erlang.address());
        setup.node.add_peer(setup.erlang.name.as_str(), setup.line.address);
    });
    // A pid of the node that was is nobody, even where a process has its number again.
    let again = setup.connect(on);
    let new = shell(&mut setup, &again);
    assert_eq!((&old.node, again.pid(&old)), (&new.node, remote.pid(&old)));
    assert_ne!(again.pid(&old), again.pid(&new));
    let nobody = again.call_pid::<u32>(&old, &(Atom::new("add").unwrap(), 1u32)).wait();
    assert!(matches!(nobody, Err(CallError::Ended(_))), "{nobody:?}");
    setup.works(on);
}

/// The child has the nodes and is stopped for less than the peer's patience, and for longer than its own.
fn a_node_that_is_stopped_for_a_while_goes_on(on: &Systems) {
    let mut child = on.child(|| {
        // It writes at least once a second.
        let often = ["-kernel", "net_tickintensity", "16"].map(str::to_owned).to_vec();
        let Some(mut erlang) = ErlangNode::start_with(COOKIE, 8, often) else { return println!("skipped") };
        let builder = Node::builder("ours@localhost").cookie(COOKIE).epmd(erlang.epmd_addr);
        let builder = builder.tick_time(Duration::from_secs(3));
        let node = on.here().spawn(builder.start()).wait().unwrap().unwrap();
        let (other, name) = (node.clone(), erlang.name.clone());
        on.here().spawn(async move { other.connect(&name).await.map(drop) }).wait().unwrap().unwrap();
        let events = node.events();
        println!("connected");
        // The stop comes in here, and ends before the input does.
        read_to_string(stdin()).unwrap();
        // A node that did not first read what has come would give the peer up at once.
        let event = timeout(Duration::from_secs(1), events.recv()).wait();
        assert!(event.is_err(), "{event:?}");
        assert_eq!(erlang.eval("net_adm:ping('ours@localhost')"), "pong");
        assert!(events.try_recv().is_err());
        assert!(matches!(node.connected(&erlang.name), Some(remote) if remote.name() == erlang.name));
    });
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("connected")));
    if started.is_some() {
        signal(child.id(), Signal::STOP);
        thread::sleep(Duration::from_millis(3_500));
        signal(child.id(), Signal::CONT);
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
