//! Peers that break the protocol, or strain it: whatever comes, the node goes on, and nothing is left. The
//! laws are the same inside TLS, where the peer is one that has shown its certificate.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::actor::{Event, ExitReason, Process};
use twoply_core::channel::TrySendError;
use twoply_node::wire::{Atom, Connector, Control, Limits, Own, Pid, Reference, Target, Term, ToTerm};
use twoply_node::{CallError, Event as NodeEvent, Node};
use twoply_tests::{Systems, eventually};

use super::reach::{self, ours};
use super::scripted::{Parcel, SOON, Scripted, parcel};

fn node(on: &Systems) -> Node {
    ours(on, Node::builder("ours@localhost"))
}

/// Connects a peer with this name.
pub(crate) fn peer_of(node: &Node, name: &str) -> Scripted {
    let [peer] = peers_of(node, [name]);
    peer
}

/// Connects peers with these names. All have dialed, which takes time inside TLS, before the first one is up:
/// it must not be silent for long.
fn peers_of<const N: usize>(node: &Node, names: [&str; N]) -> [Scripted; N] {
    let dialed = names.map(|name| (reach::dial(node.local_addr()), Scripted::own(name)));
    dialed.map(|(stream, own)| Scripted::through(stream, reach::HEAD, node.name(), own))
}

/// Returns a message of the handshake as it crosses.
fn packet(message: &[u8]) -> Vec<u8> {
    [head(message.len() as u32).as_slice(), message].concat()
}

/// Returns a length in front of such a message.
fn head(len: u32) -> Vec<u8> {
    len.to_be_bytes()[4 - reach::HEAD..].to_vec()
}

pub(crate) fn what_breaks_the_protocol_ends_the_connection_and_nothing_else(on: &Systems) {
    let node = node(on);
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
        let mut peer = peer_of(&node, "peer@localhost");
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

pub(crate) fn a_node_that_comes_again_ends_its_old_connection(on: &Systems) {
    let node = node(on);
    let mut first = peer_of(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let remote = node.connected("peer@localhost").unwrap();
    let asked = remote.call::<u32>("nobody answers", &1);
    let second = peer_of(&node, "peer@localhost");
    assert_eq!(asked.wait(), Err(CallError::Ended(ExitReason::NoConnection)));
    first.rest();
    eventually("the new one is up", || node.nodes() == ["peer@localhost"]);
    drop(second);
    eventually("and down", || node.nodes().is_empty());
}

pub(crate) fn strangers_are_refused_and_leave_nothing(on: &Systems) {
    let node = node(on);
    let events = node.events();
    let hello = |name: &str| {
        let own = Own { cookie: "other".into(), ..Scripted::own(name) };
        packet(&Connector::new(own, "ours@localhost", 1).1)
    };
    let mut reply = vec![b'r'];
    reply.extend([7; 20]);
    let wrong_cookie = [hello("peer@localhost"), packet(&reply)].concat();
    let cases = [
        ([head(u32::MAX).as_slice(), &[0]].concat(), "makes no sense"),
        (packet(&[]), "malformed"),
        (packet(&[b'N', 1]), "malformed"),
        (hello("nobody"), "name@host"),
        (hello("peer@long.example"), "long"),
        (hello("ours@localhost"), "connecting to this node itself"),
        (wrong_cookie, "cookies differ"),
    ];
    for _ in 0..20 {
        for (bytes, why) in &cases {
            let mut stream = reach::dial(node.local_addr());
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
    reach::dial(node.local_addr()).write_all(&[0]).unwrap();
    assert!(matches!(events.recv().wait().unwrap(), NodeEvent::Refused { .. }));
    let _peer = peer_of(&node, "peer@localhost");
    eventually("it is up", || node.nodes() == ["peer@localhost"]);
}

pub(crate) fn what_a_peer_invents_is_forgotten(on: &Systems) {
    let node = node(on);
    let process = twoply_tests::builder(on).spawn(async |mut me: Process<Term>| drop(me.receive().await));
    let process = process.unwrap();
    let pid = node.expose(&process).unwrap();
    let mut peer = peer_of(&node, "peer@localhost");
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

pub(crate) fn a_silent_peer_is_given_up_and_one_that_ticks_is_not(on: &Systems) {
    let node = ours(on, Node::builder("ours@localhost").tick_time(Duration::from_secs(2)));
    let events = node.events();
    let mut peer = peer_of(&node, "peer@localhost");
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

pub(crate) fn a_peer_that_reads_slowly_holds_up_who_sends_to_it(on: &Systems) {
    let node = node(on);
    let mut peer = peer_of(&node, "peer@localhost");
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
pub(crate) fn a_link_that_crosses_an_unlink_is_none(on: &Systems) {
    let node = node(on);
    let mut peer = peer_of(&node, "peer@localhost");
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

pub(crate) fn a_process_that_does_not_keep_up_stops_its_own_peer_alone(on: &Systems) {
    let limits = Limits { waiting: 1 << 20, ..Limits::default() };
    // Longer than the peer may be silent: the clock of that stands still while nothing is read.
    let builder = Node::builder("ours@localhost").limits(limits);
    let node = ours(on, builder.stall_time(Duration::from_millis(1500)).tick_time(Duration::from_secs(1)));
    let stuck = twoply_tests::builder(on).capacity(1).spawn(async |_me: Process<Parcel>| {
        std::future::pending::<()>().await;
    });
    let stuck = stuck.unwrap();
    node.register("stuck", &stuck).unwrap();
    let (seen, told) = channel();
    let quick = twoply_tests::builder(on).spawn(async move |mut me: Process<Parcel>| {
        while let Some((number, _)) = me.receive().await.message() {
            let _ = seen.send(number);
        }
    });
    node.register("quick", &quick.unwrap()).unwrap();
    let events = node.events();
    let [mut peer, mut other] = peers_of(&node, ["peer@localhost", "other@localhost"]);
    for _ in 0..2 {
        assert!(matches!(events.recv().wait(), Ok(NodeEvent::Up { .. })));
    }
    let to = |name: &str| Target::Name(Atom::new(name).unwrap());
    let say = |peer: &mut Scripted, name: &str, parcel: Parcel| {
        let from = Some(peer.pid(1));
        peer.say(&Control::Send { from, to: to(name), urgent: false }, &parcel);
    };
    // Up to the limit it holds up nobody; after that, those of its own peer.
    for number in 0..5 {
        say(&mut peer, "stuck", parcel(number, 100_000));
    }
    say(&mut peer, "quick", parcel(1, 0));
    assert_eq!(told.recv_timeout(SOON), Ok(1));
    other.stream.write_all(&[0; 4]).unwrap();
    for number in 5..15 {
        say(&mut peer, "stuck", parcel(number, 100_000));
    }
    say(&mut peer, "quick", parcel(2, 0));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1_200) {
        other.stream.write_all(&[0; 4]).unwrap();
        say(&mut other, "quick", parcel(3, 0));
        assert_eq!(told.recv_timeout(SOON), Ok(3));
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut name_and_why = None;
    while name_and_why.is_none() {
        if let NodeEvent::Down { name, why } = events.recv().wait().unwrap() {
            // The other one has said all that it had to.
            name_and_why = (name == "peer@localhost").then_some(why);
        }
    }
    let why = name_and_why.unwrap();
    assert_eq!(why, format!("{} does not receive what it sends", stuck.pid()));
    stuck.exit(ExitReason::Kill);
}

pub(crate) fn a_peer_that_sends_no_whole_frame_is_given_up(on: &Systems) {
    let node = ours(on, Node::builder("ours@localhost").tick_time(Duration::from_millis(600)));
    let events = node.events();
    let mut peer = peer_of(&node, "peer@localhost");
    assert!(matches!(events.recv().wait(), Ok(NodeEvent::Up { .. })));
    peer.stream.write_all(&[0, 1, 0, 0, 131]).unwrap();
    // A byte now and then is no sign of life.
    let trickle = std::thread::spawn(move || {
        while peer.stream.write_all(&[1]).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        peer.rest();
    });
    let NodeEvent::Down { why, .. } = events.recv().wait().unwrap() else { panic!("it is not up twice") };
    assert_eq!(why, "nothing was heard of it");
    trickle.join().unwrap();
}

pub(crate) fn a_stream_of_small_messages_may_pause_at_any_time(on: &Systems) {
    let node = node(on);
    let mut peer = peer_of(&node, "peer@localhost");
    // Each message is a segment.
    peer.stream.set_nodelay(true).unwrap();
    let (tell, told) = channel();
    let counts = twoply_tests::builder(on).spawn(async move |mut me: Process<u32>| {
        while let Some(number) = me.receive().await.message() {
            let _ = tell.send(number);
        }
    });
    node.register("counts", &counts.unwrap()).unwrap();
    let (from, to) = (Some(peer.pid(1)), Target::Name(Atom::new("counts").unwrap()));
    let send = Control::Send { from, to, urgent: false };
    for round in 0..20 {
        // The last ones of a stream come alone, or at once and are more than a read takes; and there is one
        // behind a pause.
        for (alone, at_once) in [(2_000 + round, round % 2 * 700), (1, 0)] {
            (0..alone).for_each(|number| peer.say(&send, &number));
            let burst: Vec<u32> = (alone..alone + at_once).collect();
            peer.say_at_once(&send, burst.iter().map(|number| number as &dyn ToTerm));
            for number in 0..alone + at_once {
                assert_eq!(told.recv_timeout(SOON), Ok(number));
            }
        }
    }
}
