//! Nodes of ours among themselves, and with peers that break the protocol: whatever comes, the node goes on,
//! and nothing is left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{Event, ExitReason, Pid as ActorPid, Process};
use twoply_core::channel::TrySendError;
use twoply_core::promise::Resolver;
use twoply_node::wire::{Atom, Connector, Control, FromTerm, Own, Pid, Reference, Target, Term, ToTerm};
use twoply_node::{Builder, CallError, Event as NodeEvent, Node};
use twoply_tests::{Systems, eventually, laws, side_by_side};

use self::scripted::{COOKIE, SOON, Scripted};

#[path = "node_faults/scripted.rs"]
mod scripted;

laws! {
    everywhere {
        two_nodes_that_connect_at_once_have_one_connection,
        nobody_waits_for_a_process_that_asks_back,
        a_slow_process_loses_nothing_and_holds_nobody_up,
        what_breaks_the_protocol_ends_the_connection_and_nothing_else,
        a_node_that_comes_again_ends_its_old_connection,
        a_link_that_crosses_an_unlink_is_none,
        a_peer_that_reads_slowly_holds_up_who_sends_to_it,
    }
    two_workers {
        strangers_are_refused_and_leave_nothing,
        what_a_peer_invents_is_forgotten,
        a_pid_of_ours_that_comes_back_is_nobody_there,
        a_pid_of_ours_that_comes_back_late_is_still_that_pid,
    }
}

side_by_side! {
    everywhere { a_silent_peer_is_given_up_and_one_that_ticks_is_not }
}

fn start(on: &Systems, builder: Builder) -> Node {
    on.here().spawn(builder.cookie(COOKIE).without_epmd().start()).wait().unwrap().unwrap()
}

fn node(on: &Systems, name: &str) -> Node {
    start(on, Node::builder(name))
}

/// Two nodes that know each other's address.
fn two(on: &Systems) -> (Node, Node) {
    let (one, two) = (node(on, "one@localhost"), node(on, "two@localhost"));
    one.add_peer(two.name(), two.local_addr());
    two.add_peer(one.name(), one.local_addr());
    (one, two)
}

#[derive(ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct Number(u64);

fn two_nodes_that_connect_at_once_have_one_connection(on: &Systems) {
    for _ in 0..20 {
        let (one, two) = two(on);
        let (a, b) = (one.clone(), two.clone());
        let first = on.here().spawn(async move { a.connect("two@localhost").await.map(drop) });
        let second = on.here().spawn(async move { b.connect("one@localhost").await.map(drop) });
        first.wait().unwrap().unwrap();
        second.wait().unwrap().unwrap();
        assert_eq!((one.nodes(), two.nodes()), (vec!["two@localhost".into()], vec!["one@localhost".into()]));
        // It is the same for both: what is told goes through.
        let (seen, told) = channel();
        let process = twoply_tests::builder(on).spawn(async move |mut me: Process<Number>| {
            let _ = seen.send(me.receive().await.message().map(|Number(n)| n));
        });
        two.register("there", &process.unwrap()).unwrap();
        let there = one.connected("two@localhost").unwrap().process::<Number>("there");
        there.send(Number(7)).wait().unwrap();
        assert_eq!(told.recv_timeout(SOON), Ok(Some(7)));
    }
}

#[derive(FromTerm)]
#[term(crate = twoply_node)]
enum Ask {
    /// Asks the other side, and answers one more than that does.
    #[term(call)]
    Back(u32, Resolver<u32>),
}

/// Two processes with a mailbox of one message ask each other across the line, each inside of a question: an
/// answer must never stand behind a question that waits for room.
fn nobody_waits_for_a_process_that_asks_back(on: &Systems) {
    let (one, two) = two(on);
    let other = one.clone();
    on.here().spawn(async move { other.connect("two@localhost").await.map(drop) }).wait().unwrap().unwrap();
    eventually("both are connected", || two.connected("one@localhost").is_some());
    for (node, peer) in [(&one, "two@localhost"), (&two, "one@localhost")] {
        let remote = node.connected(peer).unwrap();
        let spawner = on.here().spawner().clone();
        let body = async move |mut me: Process<Ask>| {
            while let Some(Ask::Back(depth, answer)) = me.receive().await.message() {
                let remote = remote.clone();
                // Each question is answered by a task of its own, so that the process receives meanwhile.
                drop(spawner.spawn(async move {
                    let below = match depth {
                        0 => Ok(0),
                        depth => remote.call::<u32>("asker", &(back(), depth - 1)).await,
                    };
                    let _ = answer.resolve(below.unwrap_or(1_000_000) + 1);
                }));
            }
        };
        node.register("asker", &twoply_tests::builder(on).capacity(1).spawn(body).unwrap()).unwrap();
    }
    let there = one.connected("two@localhost").unwrap();
    let asked: Vec<_> = (0..100).map(|_| there.call::<u32>("asker", &(back(), 10))).collect();
    for answer in asked {
        assert_eq!(answer.wait(), Ok(11));
    }
}

fn back() -> Atom {
    Atom::new("back").unwrap()
}

fn a_slow_process_loses_nothing_and_holds_nobody_up(on: &Systems) {
    let (one, two) = two(on);
    let other = one.clone();
    on.here().spawn(async move { other.connect("two@localhost").await.map(drop) }).wait().unwrap().unwrap();
    let (go, going) = twoply_core::channel::unbounded::<()>();
    let (seen, told) = channel();
    let slow =
        twoply_tests::builder(on).capacity(2).trap_exit(true).spawn(async move |mut me: Process<Number>| {
            let _ = going.recv().await;
            loop {
                match me.receive().await {
                    Event::Message(Number(n)) => drop(seen.send(n)),
                    Event::Exit(exit) => {
                        assert_eq!(exit.reason, ExitReason::other("behind"));
                        return;
                    }
                    _ => {}
                }
            }
        });
    let slow = slow.unwrap();
    two.register("slow", &slow).unwrap();
    let (quick_seen, quick_told) = channel();
    let quick = twoply_tests::builder(on).spawn(async move |mut me: Process<Number>| {
        let _ = quick_seen.send(me.receive().await.message().map(|Number(n)| n));
    });
    two.register("quick", &quick.unwrap()).unwrap();
    let remote = one.connected("two@localhost").unwrap();
    let there = remote.process::<Number>("slow");
    for n in 0..1_000 {
        there.send(Number(n)).wait().unwrap();
    }
    // A signal of the same sender stays behind its messages.
    let pid = two.expose(&slow).unwrap();
    remote.pid(&pid).exit(ExitReason::other("behind"));
    remote.process::<Number>("quick").send(Number(7)).wait().unwrap();
    assert_eq!(quick_told.recv_timeout(SOON), Ok(Some(7)), "it does not stand behind the others");
    go.try_send(()).unwrap();
    for n in 0..1_000 {
        assert_eq!(told.recv_timeout(SOON), Ok(n));
    }
    assert_eq!(slow.ended().wait(), ExitReason::Normal);
}

fn what_breaks_the_protocol_ends_the_connection_and_nothing_else(on: &Systems) {
    let node = node(on, "ours@localhost");
    let events = node.events();
    let wrong: [&[u8]; 7] = [
        &[0, 0, 0, 1, 0],
        &[255, 255, 255, 255],
        &[0, 0, 0, 3, 131, 68, 9],
        &[0, 0, 0, 5, 131, 68, 0, 97, 1],
        &[0, 0, 0, 7, 131, 68, 0, 104, 1, 97, 99],
        &[0, 0, 0, 3, 112, 131, 106],
        &[0, 0, 0, 18, 131, 70, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
    ];
    for bytes in wrong {
        let (seen, told) = channel();
        let process = twoply_tests::builder(on).trap_exit(true).spawn(async move |mut me: Process<()>| {
            if let Event::Exit(exit) = me.receive().await {
                let _ = seen.send(exit.reason.clone());
            }
        });
        let process = process.unwrap();
        let pid = node.expose(&process).unwrap();
        let mut peer = Scripted::connect(&node, "peer@localhost");
        let from = peer.pid(1);
        peer.say(&Control::Link { from, to: pid }, &());
        peer.stream.write_all(bytes).unwrap();
        assert_eq!(told.recv_timeout(SOON), Ok(ExitReason::NoConnection));
        peer.rest();
        process.ended().wait();
    }
    let told: Vec<NodeEvent> = (0..2 * wrong.len()).map(|_| events.recv().wait().unwrap()).collect();
    assert!(
        told.iter().all(|event| matches!(event, NodeEvent::Up { .. } | NodeEvent::Down { .. })),
        "{told:?}"
    );
    assert!(node.nodes().is_empty() && node.exposed() == 0);
}

fn a_node_that_comes_again_ends_its_old_connection(on: &Systems) {
    let node = node(on, "ours@localhost");
    let mut first = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let remote = node.connected("peer@localhost").unwrap();
    let asked = remote.call::<u32>("nobody answers", &1);
    let second = Scripted::connect(&node, "peer@localhost");
    assert_eq!(asked.wait(), Err(CallError::Ended(ExitReason::NoConnection)));
    first.rest();
    eventually("the new one is up", || node.nodes() == ["peer@localhost"]);
    drop(second);
    eventually("and down", || node.nodes().is_empty());
}

fn strangers_are_refused_and_leave_nothing(on: &Systems) {
    let node = node(on, "ours@localhost");
    let events = node.events();
    let hello = |name: &str| {
        let (_, hello) =
            Connector::new(Own { cookie: "other".into(), ..Scripted::own(name) }, "ours@localhost", 1);
        [&(hello.len() as u16).to_be_bytes(), hello.as_slice()].concat()
    };
    let mut reply = vec![0, 21, b'r'];
    reply.extend([7; 20]);
    let wrong_cookie = [hello("peer@localhost"), reply].concat();
    let cases = [
        (vec![255, 255, 0], "makes no sense"),
        (vec![0, 0], "malformed"),
        (vec![0, 2, b'N', 1], "malformed"),
        (hello("nobody"), "name@host"),
        (hello("peer@long.example"), "long"),
        (hello("ours@localhost"), "connecting to this node itself"),
        (wrong_cookie, "cookies differ"),
    ];
    for _ in 0..20 {
        for (bytes, why) in &cases {
            let mut stream = TcpStream::connect(node.local_addr()).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            stream.write_all(bytes).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            let event = events.recv().wait().unwrap();
            assert!(
                matches!(&event, NodeEvent::Refused { why: told, .. } if told.contains(why)),
                "{event:?}"
            );
        }
    }
    // One that hangs up in the middle of it, and a node that knows the cookie after all of that.
    TcpStream::connect(node.local_addr()).unwrap().write_all(&[0]).unwrap();
    assert!(matches!(events.recv().wait().unwrap(), NodeEvent::Refused { .. }));
    let _peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes() == ["peer@localhost"]);
}

fn what_a_peer_invents_is_forgotten(on: &Systems) {
    let node = node(on, "ours@localhost");
    let process = twoply_tests::builder(on).spawn(async |mut me: Process<Term>| drop(me.receive().await));
    let process = process.unwrap();
    let pid = node.expose(&process).unwrap();
    let mut peer = Scripted::connect(&node, "peer@localhost");
    for number in 0..2_000u32 {
        let from = Pid { node: Atom::new(format!("n{number}@localhost")).unwrap(), ..peer.pid(number) };
        let reference = Reference::new(from.node.clone(), 1, &[number]).unwrap();
        peer.say(&Control::Link { from: from.clone(), to: pid.clone() }, &());
        peer.say(&Control::Monitor { from, to: Target::Pid(pid.clone()), reference }, &());
    }
    eventually("they have come", || process.info().unwrap().monitored_by.len() == 2_000);
    drop(peer);
    // The links end the process, which does not trap that.
    assert_eq!(process.ended().wait(), ExitReason::NoConnection);
    eventually("nothing is left", || node.exposed() == 0 && node.nodes().is_empty());
}

fn a_silent_peer_is_given_up_and_one_that_ticks_is_not(on: &Systems) {
    let node = start(on, Node::builder("ours@localhost").tick_time(Duration::from_secs(2)));
    let events = node.events();
    let mut peer = Scripted::connect(&node, "peer@localhost");
    assert!(matches!(events.recv().wait(), Ok(NodeEvent::Up { .. })));
    // For longer than a peer may be silent, each tick is answered by one.
    for _ in 0..6 {
        let mut tick = [1; 4];
        peer.stream.read_exact(&mut tick).unwrap();
        assert_eq!(tick, [0; 4]);
        peer.stream.write_all(&tick).unwrap();
    }
    assert_eq!(node.nodes(), ["peer@localhost"]);
    let NodeEvent::Down { why, .. } = events.recv().wait().unwrap() else { panic!("it is not up twice") };
    assert_eq!(why, "nothing was heard of it");
    assert!(peer.rest().iter().all(|byte| *byte == 0), "there was nothing but ticks");
}

fn a_peer_that_reads_slowly_holds_up_who_sends_to_it(on: &Systems) {
    let node = node(on, "ours@localhost");
    let mut peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let there = node.connected("peer@localhost").unwrap().process::<(u32, String)>("anybody");
    // Each goes out in two fragments.
    let text = "x".repeat(100_000);
    let mut sent = 0;
    let refused = loop {
        match there.try_send((sent, text.clone())) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
        assert!(sent < 1_000, "100 MB are queued for a peer that reads nothing");
    };
    assert!(matches!(refused, TrySendError::Full((number, _)) if number == sent), "it is handed back");
    let (last, message) = (there.clone(), (sent, text.clone()));
    let waiting = on.here().spawn(async move { last.send(message).await.map_err(drop) });
    // What is read now is all that was sent. The last one is another task's, and may pass the others.
    let mut numbers: Vec<u32> = (0..=sent).map(|_| peer.hear_message::<(u32, String)>().0).collect();
    numbers.retain(|number| *number != sent);
    assert!(numbers.iter().copied().eq(0..sent), "{numbers:?}");
    assert_eq!(waiting.wait().unwrap(), Ok(()));
    drop(peer);
    eventually("its end is seen", || there.is_closed());
    assert!(matches!(there.try_send((0, text)), Err(TrySendError::Closed(_))));
}

/// Links and unlinks the peer's process, as it is told.
enum Bond {
    Link(Pid),
    Unlink(Pid),
}

/// A link that the peer has made before it has heard of an unlink is over on both sides; one that comes after
/// it has confirmed the unlink is a link.
fn a_link_that_crosses_an_unlink_is_none(on: &Systems) {
    let node = node(on, "ours@localhost");
    let mut peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let remote = node.connected("peer@localhost").unwrap();
    let process = twoply_tests::builder(on).trap_exit(true).spawn(async move |mut me: Process<Bond>| {
        loop {
            match me.receive().await {
                Event::Message(Bond::Link(pid)) => me.link(&remote.pid(&pid)),
                Event::Message(Bond::Unlink(pid)) => me.unlink(&remote.pid(&pid)),
                _ => return,
            }
        }
    });
    let process = process.unwrap();
    let (there, links) = (peer.pid(1), || process.info().unwrap().links.len());
    process.try_send(Bond::Link(there.clone())).unwrap();
    let Control::Link { from: here, to } = peer.hear() else { panic!("it links") };
    assert_eq!(to, there);
    process.try_send(Bond::Unlink(there.clone())).unwrap();
    let Control::Unlink { id: Some(id), .. } = peer.hear() else { panic!("it unlinks") };
    let link = Control::Link { from: there.clone(), to: here.clone() };
    peer.say(&link, &());
    // What comes behind it has been handled when it is answered.
    let answered = |peer: &mut Scripted| {
        let (from, id) = (there.clone(), 77);
        peer.say(&Control::Unlink { id: Some(id), from: Pid { id: 2, ..from }, to: here.clone() }, &());
        let answer = peer.hear();
        assert!(matches!(answer, Control::UnlinkAck { id: 77, .. }), "{answer:?}");
    };
    answered(&mut peer);
    assert_eq!(links(), 0, "it has crossed the unlink");
    peer.say(&Control::UnlinkAck { id: id + 1, from: there.clone(), to: here.clone() }, &());
    peer.say(&link, &());
    answered(&mut peer);
    assert_eq!(links(), 0, "another number confirms nothing");
    peer.say(&Control::UnlinkAck { id, from: there.clone(), to: here.clone() }, &());
    peer.say(&link, &());
    answered(&mut peer);
    assert_eq!(links(), 1);
    // The peer unlinks, and its number comes back whatever there is.
    peer.say(&Control::Unlink { id: Some(5), from: there.clone(), to: here.clone() }, &());
    assert!(matches!(peer.hear(), Control::UnlinkAck { id: 5, .. }));
    answered(&mut peer);
    assert_eq!(links(), 0);
    // Linked again by both; then its end is told, and no process is there any more.
    process.try_send(Bond::Link(there.clone())).unwrap();
    assert!(matches!(peer.hear(), Control::Link { .. }));
    process.exit(ExitReason::Kill);
    assert!(matches!(peer.hear(), Control::Exit { .. }));
    peer.say(&link, &());
    assert!(matches!(peer.hear(), Control::Exit { from, .. } if from == here));
}

/// A peer may say that a process of ours is one of its own. Nobody falls for it.
fn a_pid_of_ours_that_comes_back_is_nobody_there(on: &Systems) {
    let node = node(on, "ours@localhost");
    let peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let remote = node.connected("peer@localhost").unwrap();
    let ours =
        twoply_tests::builder(on).spawn(async |mut me: Process<u32>| drop(me.receive().await)).unwrap();
    let pid = node.expose(&ours).unwrap();
    let there = remote.process_of::<u32>(&pid);
    assert!(matches!(there.try_send(7), Err(TrySendError::Closed(7))));
    assert_eq!(there.ended().wait(), ExitReason::NoProcess);
    let (seen, told) = channel();
    let watcher = twoply_tests::builder(on).trap_exit(true).spawn(async move |mut me: Process<()>| {
        me.monitor(&there.pid());
        me.link(&there.pid());
        for _ in 0..2 {
            match me.receive().await {
                Event::Down(down) => drop(seen.send(down.reason.clone())),
                Event::Exit(exit) => drop(seen.send(exit.reason.clone())),
                _ => {}
            }
        }
    });
    watcher.unwrap().ended().wait();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [ExitReason::NoProcess, ExitReason::NoProcess]);
    // By its pid it can be linked and ended, as ever.
    remote.pid(&pid).exit(ExitReason::Kill);
    assert_eq!(ours.ended().wait(), ExitReason::Killed);
    drop(peer);
}

fn a_pid_of_ours_that_comes_back_late_is_still_that_pid(on: &Systems) {
    let node = node(on, "ours@localhost");
    let _peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let remote = node.connected("peer@localhost").unwrap();
    let spawn = || twoply_tests::builder(on).spawn(async |mut me: Process<u32>| drop(me.receive().await));
    let (ours, private) = (spawn().unwrap(), spawn().unwrap());
    let sent = node.expose(&ours).unwrap();
    assert_eq!(remote.pid(&sent), ours.pid());
    ours.pid().exit(ExitReason::Kill);
    ours.ended().wait();
    let back = remote.pid(&sent);
    assert_eq!((&back, back.is_alive_here()), (&ours.pid(), false));
    assert_eq!(node.exposed(), 0);
    // One that went out when its process was over, in a message.
    let late = spawn().unwrap();
    late.pid().exit(ExitReason::Kill);
    late.ended().wait();
    remote.process::<ActorPid>("anybody").try_send(late.pid()).unwrap();
    let pid_of = |pid: &ActorPid| Pid { id: pid.serial() as u32, ..sent.clone() };
    assert_eq!(remote.pid(&pid_of(&late.pid())), late.pid());
    // A number that the peer has guessed is that of nobody, although a process has it.
    assert_eq!(remote.pid(&pid_of(&private.pid())), ActorPid::nobody());
    private.pid().exit(ExitReason::Kill);
    private.ended().wait();
    assert_eq!(remote.pid(&pid_of(&private.pid())), ActorPid::nobody());
    let (seen, told) = channel();
    let watcher = twoply_tests::builder(on).spawn(async move |mut me: Process<()>| {
        me.monitor(&back);
        if let Event::Down(down) = me.receive().await {
            let _ = seen.send((down.from == back, down.reason.clone()));
        }
    });
    watcher.unwrap().ended().wait();
    assert_eq!(told.try_recv(), Ok((true, ExitReason::NoProcess)));
}
