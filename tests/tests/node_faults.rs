//! Nodes of ours among themselves, and with peers that break the protocol: whatever comes, the node goes on,
//! and nothing is left.

use std::sync::mpsc::channel;

use twoply_core::Wait;
use twoply_core::actor::{Event, ExitReason, Pid as ActorPid, Process};
use twoply_core::channel::TrySendError;
use twoply_core::promise::Resolver;
use twoply_node::Node;
use twoply_node::wire::{Atom, FromTerm, Pid, ToTerm};
use twoply_tests::{Heap, Systems, eventually, laws, side_by_side};

use self::hostile::{
    a_link_that_crosses_an_unlink_is_none, a_node_that_comes_again_ends_its_old_connection,
    a_peer_that_reads_slowly_holds_up_who_sends_to_it, a_peer_that_sends_no_whole_frame_is_given_up,
    a_process_that_does_not_keep_up_stops_its_own_peer_alone,
    a_silent_peer_is_given_up_and_one_that_ticks_is_not, a_stream_of_small_messages_may_pause_at_any_time,
    strangers_are_refused_and_leave_nothing, what_a_peer_invents_is_forgotten,
    what_breaks_the_protocol_ends_the_connection_and_nothing_else,
};
use self::memory::{
    a_connection_that_has_ended_keeps_no_memory, a_hostile_peer_takes_little_memory,
    who_does_not_keep_up_takes_little_memory,
};
use self::scripted::{SOON, Scripted};

#[path = "node_memory/bombs.rs"]
mod bombs;
#[path = "node_faults/hostile.rs"]
mod hostile;
#[path = "node_faults/memory.rs"]
mod memory;
#[path = "node_faults/reach.rs"]
mod reach;
// Not each suite needs all of it.
#[allow(dead_code)]
#[path = "node_faults/scripted.rs"]
mod scripted;

#[global_allocator]
static HEAP: Heap = Heap::new();

laws! {
    everywhere {
        two_nodes_that_connect_at_once_have_one_connection,
        nobody_waits_for_a_process_that_asks_back,
        a_slow_process_loses_nothing_and_holds_nobody_up,
        what_breaks_the_protocol_ends_the_connection_and_nothing_else,
        a_node_that_comes_again_ends_its_old_connection,
        a_link_that_crosses_an_unlink_is_none,
        a_peer_that_reads_slowly_holds_up_who_sends_to_it,
        a_process_that_does_not_keep_up_stops_its_own_peer_alone,
        a_peer_that_sends_no_whole_frame_is_given_up,
        a_stream_of_small_messages_may_pause_at_any_time,
        a_hostile_peer_takes_little_memory,
        who_does_not_keep_up_takes_little_memory,
        a_connection_that_has_ended_keeps_no_memory,
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

fn node(on: &Systems, name: &str) -> Node {
    reach::ours(on, Node::builder(name))
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
