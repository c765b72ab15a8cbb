//! A node that is not connected: what is done to it connects it, and waits for that in order.

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::actor::{Event, ExitReason, Process};
use twoply_core::channel::TrySendError;
use twoply_core::time::timeout;
use twoply_node::wire::{Binary, Pid, Term};
use twoply_node::{CallError, ConnectError, Event as NodeEvent, Node};
use twoply_tests::{ErlangNode, Systems, eventually, laws, start_node};

laws! {
    everywhere {
        the_first_message_connects_and_all_stay_in_order,
        what_cannot_be_connected_is_told_so,
        a_pid_outlives_its_connection,
        a_monitor_of_a_node_is_told_of_its_end_once,
        a_queue_has_an_end_and_those_behind_it_go_on,
        a_shutdown_writes_what_has_been_sent,
        a_shutdown_gives_up_what_is_being_connected,
        the_longest_times_are_for_ever,
        big_messages_that_connect_are_not_too_many,
    }
    two_workers {
        events_that_are_missed_are_counted,
        a_node_registers_again_with_a_port_mapper_that_comes_back,
    }
}

const COOKIE: &str = "biscuit";
const SOON: Duration = Duration::from_secs(30);

fn start(on: &Systems) -> Option<(ErlangNode, Node)> {
    let erlang = ErlangNode::start(COOKIE, 60)?;
    let node = start_node(on, Node::builder("ours@localhost").cookie(COOKIE), Some(&erlang));
    Some((erlang, node))
}

fn alone(on: &Systems) -> Node {
    start_node(on, Node::builder("alone@localhost").cookie(COOKIE), None)
}

/// Starts a process that does `begin` and tells the ends that it hears of.
fn watcher(
    on: &Systems,
    begin: impl FnOnce(&Process<()>) + Send + 'static,
) -> std::sync::mpsc::Receiver<String> {
    let (heard, hearing) = channel();
    let process = twoply_tests::builder(on).trap_exit(true).spawn(async move |mut me: Process<()>| {
        begin(&me);
        loop {
            let _ = match me.receive().await {
                Event::Down(down) => {
                    heard.send(format!("down {} {}", down.name.as_deref().unwrap_or("-"), down.reason))
                }
                Event::Exit(exit) => heard.send(format!("exit {}", exit.reason)),
                _ => return,
            };
        }
    });
    drop(process.unwrap());
    hearing
}

fn the_first_message_connects_and_all_stay_in_order(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    erlang.eval("register(shell, self()), register(server, spawn(fun() -> twoply_peer:answer(1) end))");
    let remote = node.remote(erlang.name.as_str());
    let shell = remote.process::<u32>("shell");
    assert!(node.nodes().is_empty());
    // Each goes behind the others, whether it finds a queue, the end of it or a connection.
    for round in 0..5u32 {
        for n in 0..200 {
            shell.send(200 * round + n).wait().unwrap();
        }
        let answer = remote.call::<u32>("server", &(twoply_node::wire::Atom::new("add").unwrap(), 1));
        assert_eq!(answer.wait().map(drop), Ok(()));
        let heard = format!(
            "[receive X -> X after 30000 -> timeout end || _ <- lists:seq(1, 200)] =:= lists:seq({}, {})",
            200 * round,
            200 * round + 199
        );
        assert_eq!(erlang.eval(&heard), "true");
        assert_eq!(node.nodes(), std::slice::from_ref(&erlang.name));
        assert!(node.disconnect(&erlang.name));
        eventually("it is disconnected", || erlang.eval("nodes(hidden)") == "[]");
    }
    assert!(!shell.is_closed());
}

fn big_messages_that_connect_are_not_too_many(on: &Systems) {
    // Two of these are more than may be queued for a connection at once.
    const LEN: usize = 70 << 20;
    let node = alone(on);
    let there = start_node(on, Node::builder("there@localhost").cookie(COOKIE), None);
    node.add_peer(there.name(), there.local_addr());
    let (heard, hearing) = channel();
    let process = twoply_tests::builder(on).spawn(async move |mut me: Process<(u32, Binary)>| {
        while let Event::Message((number, binary)) = me.receive().await {
            let _ = heard.send((number, binary.len()));
        }
    });
    there.register("big", &process.unwrap()).unwrap();
    let big = node.remote("there@localhost").process::<(u32, Binary)>("big");
    let sent = on.here().spawn(async move {
        let binary = Binary::from(vec![7; LEN]);
        for number in 0..3 {
            big.send((number, binary.clone())).await.map_err(drop)?;
        }
        Ok::<_, ()>(())
    });
    for number in 0..3 {
        assert_eq!(hearing.recv_timeout(SOON), Ok((number, LEN)));
    }
    assert_eq!(sent.wait().unwrap(), Ok(()));
}

fn what_cannot_be_connected_is_told_so(on: &Systems) {
    let node = alone(on);
    let nobody = node.remote("nobody@localhost");
    let call = nobody.call::<u32>("server", &Term::atom("hello"));
    assert_eq!(call.wait(), Err(CallError::Ended(ExitReason::NoConnection)));
    // A message is dropped, as one that is under way when a connection ends.
    nobody.process::<u32>("server").send(1).wait().unwrap();
    let (remote, watching) = (nobody.clone(), node.clone());
    let hearing = watcher(on, move |me| {
        remote.monitor(me, "server");
        let pid = Pid {
            node: twoply_node::wire::Atom::new("nobody@localhost").unwrap(),
            id: 7,
            serial: 0,
            creation: 1,
        };
        me.link(&remote.pid(&pid));
        watching.monitor_node(me, "nobody@localhost");
    });
    let mut told: Vec<_> = (0..3).map(|_| hearing.recv_timeout(SOON).unwrap()).collect();
    told.sort();
    let down = |name| format!("down {name} no connection");
    assert_eq!(told, [down("nobody@localhost"), down("server"), "exit no connection".to_owned()]);
    assert!(node.nodes().is_empty());
}

fn a_pid_outlives_its_connection(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    erlang.eval("register(shell, self()), Other = spawn(fun() -> twoply_peer:answer(0) end)");
    let other = node.remote(erlang.name.as_str()).call::<Pid>("shell", &0);
    erlang.eval("receive {'$gen_call', From, 0} -> gen:reply(From, Other) end");
    let other = other.wait().unwrap();
    let remote = node.connected(&erlang.name).unwrap();
    let (pid, of_a_reference) = (remote.pid(&other), remote.process_of::<u32>(&other).pid());
    assert!(node.disconnect(&erlang.name));
    eventually("it is disconnected", || erlang.eval("nodes(hidden)") == "[]");
    let hearing = watcher(on, move |me| {
        me.monitor(&pid);
        me.link(&of_a_reference);
    });
    eventually("it is linked", || erlang.eval("element(2, process_info(Other, links))") != "[]");
    erlang.eval("Other ! {stop, enough}");
    let mut told = [hearing.recv_timeout(SOON).unwrap(), hearing.recv_timeout(SOON).unwrap()];
    told.sort();
    assert_eq!(told, ["down - enough", "exit enough"]);
    // Of an incarnation that has never been, nobody is there.
    let stranger = node.remote(erlang.name.as_str()).pid(&Pid { creation: 7, ..other });
    let hearing = watcher(on, move |me| _ = me.monitor(&stranger));
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "down - no such process");
}

fn a_monitor_of_a_node_is_told_of_its_end_once(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    erlang.eval("register(shell, self())");
    let (watching, name) = (node.clone(), erlang.name.clone());
    let hearing = watcher(on, move |me| {
        watching.monitor_node(me, &name);
        let taken_back = watching.monitor_node(me, &name);
        assert!(me.demonitor(taken_back));
    });
    eventually("it is connected", || !node.nodes().is_empty());
    let remote = node.connected(&erlang.name).unwrap();
    assert!(hearing.try_recv().is_err());
    erlang.kill();
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), format!("down {} no connection", erlang.name));
    eventually("the connection is closed", || remote.process::<u32>("shell").is_closed());
    assert!(hearing.recv_timeout(Duration::from_millis(20)).is_err(), "it is told once");
}

fn a_queue_has_an_end_and_those_behind_it_go_on(on: &Systems) {
    let node = alone(on);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    node.add_peer("silent@localhost", silent.local_addr().unwrap());
    let there = node.remote("silent@localhost").process::<Vec<u8>>("server");
    let mut sent = 0;
    let full = loop {
        match there.try_send(vec![200; 10_000]) {
            Ok(()) => sent += 1,
            Err(full) => break full,
        }
    };
    assert!(matches!(full, TrySendError::Full(_)) && (20..200).contains(&sent), "{sent}");
    let waiting = there.send(vec![200; 10_000]);
    assert!(timeout(Duration::from_millis(20), there.send(Vec::new())).wait().is_err());
    // A question that is given up is not sent.
    drop(node.remote("silent@localhost").call::<u32>("server", &1));
    let asked = node.remote("silent@localhost").call::<u32>("server", &1);
    drop(silent.accept().unwrap());
    // The attempt has failed; what waited for room may make another one, which fails at once.
    drop(silent);
    waiting.wait().unwrap();
    assert_eq!(asked.wait(), Err(CallError::Ended(ExitReason::NoConnection)));
}

fn a_shutdown_writes_what_has_been_sent(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    erlang.eval("register(shell, self())");
    let shell = node.remote(erlang.name.as_str()).process::<(u32, Vec<u8>)>("shell");
    for n in 0..500 {
        shell.send((n, vec![200; 3_000])).wait().unwrap();
    }
    let (watching, name) = (node.clone(), erlang.name.clone());
    let hearing = watcher(on, move |me| _ = watching.monitor_node(me, &name));
    eventually("it is connected", || !node.nodes().is_empty());
    let ours = node.clone();
    assert!(on.here().spawn(async move { ours.shutdown(SOON).await }).wait().unwrap());
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), format!("down {} no connection", erlang.name));
    let all = "[receive {N, L} -> length(L) after 30000 -> timeout end || N <- lists:seq(0, 499)], ok";
    assert_eq!(erlang.eval(all), "ok");
    assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pang");
    let late = node.remote(erlang.name.as_str()).call::<u32>("shell", &1);
    assert_eq!(late.wait(), Err(CallError::Ended(ExitReason::NoConnection)));
}

fn a_shutdown_gives_up_what_is_being_connected(on: &Systems) {
    let node = alone(on);
    // Nobody answers there, for as long as an attempt lasts.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    node.add_peer("silent@localhost", silent.local_addr().unwrap());
    let begun = Instant::now();
    let asked = node.remote("silent@localhost").call::<u32>("server", &1);
    let connecting = node.clone();
    let connecting = on.here().spawn(async move { connecting.connect("silent@localhost").await.map(drop) });
    let _attempt = silent.accept().unwrap();
    assert!(node.shutdown(SOON).wait());
    assert_eq!(asked.wait(), Err(CallError::Ended(ExitReason::NoConnection)));
    assert!(matches!(connecting.wait().unwrap(), Err(ConnectError::Closed)));
    assert!(begun.elapsed() < Duration::from_secs(5), "that would be the attempt's own end");
}

fn the_longest_times_are_for_ever(on: &Systems) {
    let builder =
        |name| Node::builder(name).cookie(COOKIE).tick_time(Duration::MAX).stall_time(Duration::MAX);
    let (ours, theirs) = (builder("ours@localhost"), builder("theirs@localhost"));
    let (ours, theirs) = (start_node(on, ours, None), start_node(on, theirs, None));
    ours.add_peer(theirs.name(), theirs.local_addr());
    let (heard, hearing) = channel();
    let process = twoply_tests::builder(on).spawn(async move |mut me: Process<u32>| {
        let _ = heard.send(me.receive().await.message());
    });
    theirs.register("server", &process.unwrap()).unwrap();
    ours.remote(theirs.name()).process::<u32>("server").send(7).wait().unwrap();
    assert_eq!(hearing.recv_timeout(SOON), Ok(Some(7)));
    assert!(ours.shutdown(Duration::MAX).wait() && theirs.shutdown(Duration::MAX).wait());
}

fn a_node_registers_again_with_a_port_mapper_that_comes_back(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    let creation = node.creation();
    let known = "proplists:is_defined(\"ours\", element(2, erl_epmd:names()))";
    assert_eq!(erlang.eval(known), "true");
    erlang.restart_epmd();
    eventually("it is registered again", || erlang.eval(known) == "true");
    assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pong");
    assert_eq!(node.creation(), creation);
    drop(node);
    eventually("it is forgotten", || erlang.eval(known) == "false");
}

fn events_that_are_missed_are_counted(on: &Systems) {
    let node = alone(on);
    let events = node.events();
    let refused = || drop(std::net::TcpStream::connect(node.local_addr()).unwrap());
    for _ in 0..300 {
        refused();
    }
    eventually("there is no room for more", || events.len() == 256);
    for _ in 0..256 {
        assert!(matches!(events.recv().wait(), Ok(NodeEvent::Refused { name: None, .. })));
    }
    let mut count = 0;
    // What comes next says how many there have been without it.
    while count < 45 {
        refused();
        match events.recv().wait() {
            Ok(NodeEvent::Missed(missed)) => count += missed,
            Ok(NodeEvent::Refused { .. }) => count += 1,
            event => panic!("{event:?}"),
        }
    }
}
