//! Laws of processes that another node is asked to start, where that is a scripted one.

use twoply_core::Wait;
use twoply_core::actor::{Event, ExitReason, Process};
use twoply_node::wire::{Control, ExitBy, Flags, Own, SpawnRequest, Target, Term};
use twoply_node::{Node, Remote, RpcError};
use twoply_tests::{Systems, eventually, start_node};

use super::functions::atom;
use super::scripted::{COOKIE, Scripted};

/// A node and a scripted peer that has agreed on these flags.
fn scripted(on: &Systems, flags: Flags) -> (Node, Scripted, Remote) {
    let node = start_node(on, Node::builder("ours@localhost").cookie(COOKIE), None);
    let own = Own { flags, ..Scripted::own("peer@localhost") };
    let peer = Scripted::connect_as(&node, own);
    eventually("it is connected", || node.connected("peer@localhost").is_some());
    let remote = node.connected("peer@localhost").unwrap();
    (node, peer, remote)
}

/// Returns the next request to start a process.
fn hear_request(peer: &mut Scripted, option: &str) -> SpawnRequest {
    let Control::SpawnRequest(request) = peer.hear() else { panic!("nothing else is asked") };
    assert_eq!(request.options, Term::List(vec![Term::atom(option)]));
    *request
}

pub(crate) fn a_parent_may_have_ended_before_the_answer(on: &Systems) {
    // Reasons are in the control messages.
    let (_node, mut peer, remote) = scripted(on, Flags::OFFERED - Flags::EXIT_PAYLOAD);
    let parent = twoply_tests::builder(on).spawn(async move |me: Process<()>| {
        drop(remote.spawn_link(&me, "timer", "sleep", &(1,)));
        drop(remote.spawn_monitor(&me, "timer", "sleep", &(1,)));
    });
    assert_eq!(parent.unwrap().ended().wait(), ExitReason::Normal);
    let [linked, monitored] = ["link", "monitor"].map(|option| hear_request(&mut peer, option));
    let SpawnRequest { reference, from: parent, .. } = linked;
    let child = peer.pid(7);
    let (to, result) = (parent.clone(), Ok(child.clone()));
    peer.say(&Control::SpawnReply { reference, to, linked: true, monitored: false, result }, &());
    let reason = Some(Term::atom("noproc"));
    let exit = Control::Exit { from: parent.clone(), to: child, by: ExitBy::Link, reason };
    assert_eq!(peer.hear(), exit);
    let SpawnRequest { reference, from, .. } = monitored;
    assert_eq!(from, parent);
    let child = peer.pid(8);
    let (to, result) = (parent.clone(), Ok(child.clone()));
    let taken_back = Control::Demonitor { from, to: Target::Pid(child), reference: reference.clone() };
    peer.say(&Control::SpawnReply { reference, to, linked: false, monitored: true, result }, &());
    assert_eq!(peer.hear(), taken_back);
}

pub(crate) fn a_peer_may_say_that_it_has_tied_nothing(on: &Systems) {
    let (_node, mut peer, remote) = scripted(on, Flags::OFFERED);
    let parent = twoply_tests::builder(on).trap_exit(true).spawn(async move |mut me: Process<()>| {
        let linked = remote.spawn_link(&me, "timer", "sleep", &(1,)).await;
        assert!(linked.is_ok() && me.me().info().unwrap().links.is_empty());
        let (_, monitor) = remote.spawn_monitor(&me, "timer", "sleep", &(1,)).await.unwrap();
        assert!(me.me().info().unwrap().monitors.is_empty() && !me.demonitor(monitor));
        let refused = remote.spawn_monitor(&me, "timer", "sleep", &(1,)).await;
        assert_eq!(refused, Err(RpcError::Refused(atom("badopt"))));
        assert!(me.me().info().unwrap().monitors.is_empty());
        // What the peer has said of their ends was nothing to it.
        let Event::Exit(exit) = me.receive().await else { panic!("nothing else comes") };
        exit.reason
    });
    let answer = |peer: &mut Scripted, option, result| {
        let SpawnRequest { reference, from: to, .. } = hear_request(peer, option);
        let of = (reference.clone(), to.clone());
        peer.say(&Control::SpawnReply { reference, to, linked: false, monitored: false, result }, &());
        of
    };
    let (linked, monitored, other) = (peer.pid(7), peer.pid(8), peer.pid(9));
    let (_, to) = answer(&mut peer, "link", Ok(linked.clone()));
    peer.say(&Control::Exit { from: linked, to, by: ExitBy::Link, reason: None }, &"not linked");
    let (reference, to) = answer(&mut peer, "monitor", Ok(monitored.clone()));
    let from = Target::Pid(monitored);
    peer.say(&Control::Down { from, to: to.clone(), reference, reason: None }, &"not monitored");
    answer(&mut peer, "monitor", Err(atom("badopt")));
    peer.say(&Control::Exit { from: other, to, by: ExitBy::Request, reason: None }, &"done");
    assert_eq!(parent.unwrap().ended().wait().to_string(), "done");
}

pub(crate) fn a_start_that_is_lost_is_told_once(on: &Systems) {
    let (_node, mut peer, remote) = scripted(on, Flags::OFFERED);
    let parent = twoply_tests::builder(on).spawn(async move |mut me: Process<u8>| {
        let lost = remote.spawn_monitor(&me, "timer", "sleep", &(1,)).await;
        assert_eq!(lost, Err(RpcError::Ended(ExitReason::NoConnection)));
        assert!(me.me().info().unwrap().monitors.is_empty());
        // No monitor has told of it before.
        me.me().send(7).await.unwrap();
        assert!(matches!(me.receive().await, Event::Message(7)));
    });
    hear_request(&mut peer, "monitor");
    drop(peer);
    assert_eq!(parent.unwrap().ended().wait(), ExitReason::Normal);
}

pub(crate) fn a_peer_that_starts_no_processes_is_not_asked(on: &Systems) {
    let (_node, mut peer, remote) = scripted(on, Flags::OFFERED - Flags::SPAWN);
    let parent = twoply_tests::builder(on).spawn(async move |me: Process<()>| {
        let not_supported = RpcError::Refused(atom("notsup"));
        assert_eq!(remote.spawn("timer", "sleep", &(1,)).await, Err(not_supported.clone()));
        assert_eq!(remote.spawn_link(&me, "timer", "sleep", &(1,)).await, Err(not_supported.clone()));
        assert_eq!(remote.spawn_monitor(&me, "timer", "sleep", &(1,)).await, Err(not_supported));
        let info = me.me().info().unwrap();
        assert!(info.links.is_empty() && info.monitors.is_empty());
        remote.process::<u8>("anybody").send(7).await.unwrap();
    });
    assert_eq!(parent.unwrap().ended().wait(), ExitReason::Normal);
    // It has been asked for nothing before that.
    assert!(matches!(peer.hear(), Control::Send { .. }));
}
