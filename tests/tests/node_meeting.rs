//! How nodes meet when something is in the way: both connect at once, many connect at a time, nobody proves
//! anything, and peers that this library is not made for, each of which is refused by an error of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{process, thread};

use twoply_core::Wait;
use twoply_core::actor::Process;
use twoply_core::promise::Resolver;
use twoply_node::wire::{
    Acceptor, Asked, Atom, Connector, Flags, FromTerm, HandshakeError, NameError, Own, Status, Term,
};
use twoply_node::{Builder, ConnectError, Event as NodeEvent, Node, StartError};
use twoply_tests::{ErlangNode, Resources, Systems, eventually, laws, side_by_side};

use self::crossed::{
    an_attempt_is_given_up_when_the_nodes_are_connected, what_the_greater_name_connects_goes_first,
    what_the_lesser_name_connects_gives_way, who_gives_way_to_what_fails_is_told_in_time,
};
use self::said::{
    what_is_no_answer_or_request_is_said_once_a_second, what_others_do_wrong_is_said_once_a_second,
};
use self::scripted::{COOKIE, SOON, Scripted};
use self::turns::{
    an_end_is_told_before_the_next_connection_is_made, end, pair,
    who_is_told_of_an_end_may_connect_again_at_once,
    who_waits_for_a_connection_while_it_hears_of_an_end_is_refused,
};
use self::twice::a_node_that_connects_twice_at_first_use_is_there_once;

#[path = "node_meeting/crossed.rs"]
mod crossed;
#[path = "node_meeting/said.rs"]
mod said;
// Not each suite needs all of it.
#[allow(dead_code)]
#[path = "node_faults/scripted.rs"]
mod scripted;
#[path = "node_meeting/turns.rs"]
mod turns;
#[path = "node_meeting/twice.rs"]
mod twice;

laws! {
    everywhere {
        names_and_modes_that_are_not_supported_are_refused,
        a_node_listens_on_the_ports_that_it_may,
        nodes_meet_by_addresses_of_ipv6,
        the_program_may_say_where_nodes_are,
        nodes_meet_without_a_port_mapper_on_either_side,
        a_node_that_takes_no_connections_makes_them,
        a_node_may_be_named_by_another,
        a_node_that_starts_again_at_once_is_another_one,
        a_peer_is_refused_for_what_it_lacks,
        an_unproved_caller_ends_no_connection,
        an_end_is_told_before_the_next_connection_is_made,
        who_is_told_of_an_end_may_connect_again_at_once,
        a_node_that_connects_twice_at_first_use_is_there_once,
        what_the_greater_name_connects_goes_first,
        what_the_lesser_name_connects_gives_way,
        an_attempt_is_given_up_when_the_nodes_are_connected,
    }
    two_workers {
        nodes_that_connect_at_once_many_times_agree,
        erlang_and_we_connect_at_once_many_times,
        wrong_cookies_leave_nothing,
        what_others_do_wrong_is_said_once_a_second,
        what_is_no_answer_or_request_is_said_once_a_second,
    }
    native {
        too_many_and_silent_callers_are_turned_away,
        a_visible_node_without_global_keeps_the_cluster_waiting,
    }
}

// The name is asked for again for 2 seconds, since it may be that of a node that has just died; and an end is
// waited for, for 7 seconds.
side_by_side! {
    everywhere {
        a_name_that_another_node_has_is_refused,
        who_waits_for_a_connection_while_it_hears_of_an_end_is_refused,
        who_gives_way_to_what_fails_is_told_in_time,
    }
}

/// The rounds of connecting at once, on each of two systems.
const ROUNDS: usize = 500;

/// The callers with a wrong cookie, on each of two systems.
const STRANGERS: usize = 1_000;

fn start(on: &Systems, builder: Builder) -> Result<Node, StartError> {
    on.here().spawn(builder.cookie(COOKIE).start()).wait().unwrap()
}

fn node(on: &Systems, name: &str) -> Node {
    start(on, Node::builder(name).without_epmd()).unwrap()
}

fn connect(on: &Systems, node: &Node, name: &str) -> Result<(), ConnectError> {
    let (node, name) = (node.clone(), name.to_owned());
    on.here().spawn(async move { node.connect(&name).await.map(drop) }).wait().unwrap()
}

fn names_and_modes_that_are_not_supported_are_refused(on: &Systems) {
    let refused = |builder: Builder| start(on, builder.without_epmd()).map(drop).unwrap_err();
    assert!(matches!(refused(Node::builder("ours@localhost").hidden(false)), StartError::NotHidden));
    assert!(matches!(refused(Node::builder("ours")), StartError::Name(NameError::Form)));
    assert!(matches!(refused(Node::builder("a@b@c")), StartError::Name(NameError::Form)));
    assert!(matches!(refused(Node::builder("größe@localhost")), StartError::Name(NameError::NotAscii)));
    let long = format!("{}@localhost", "x".repeat(250));
    assert!(matches!(refused(Node::builder(long)), StartError::Name(NameError::TooLong)));
    let without = Node::builder("ours@localhost").without_epmd();
    let without = on.here().spawn(without.start()).wait().unwrap().map(drop);
    assert!(matches!(without, Err(StartError::Cookie)));
    let node = node(on, "ours@localhost");
    let refused = |name: &str| connect(on, &node, name).unwrap_err();
    assert!(matches!(refused("ours@localhost"), ConnectError::Itself));
    assert!(matches!(refused("peer"), ConnectError::Name(NameError::Form)));
    assert!(matches!(refused("péer@localhost"), ConnectError::Name(NameError::NotAscii)));
    assert!(matches!(refused("peer@long.example"), ConnectError::Name(NameError::LongAndShort)));
    assert!(matches!(refused("peer@localhost"), ConnectError::Unknown));
}

fn a_name_that_another_node_has_is_refused(on: &Systems) {
    let Some(erlang) = ErlangNode::start(COOKIE, 60) else { return };
    let taken = start(on, Node::builder(erlang.name.as_str()).epmd(erlang.epmd_addr)).map(drop);
    assert!(matches!(taken, Err(StartError::Taken)));
}

fn a_node_listens_on_the_ports_that_it_may(on: &Systems) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = taken.local_addr().unwrap().port();
    let last = first.saturating_add(100);
    let may = |name: &str, ports| start(on, Node::builder(name).without_epmd().ports(ports));
    let nodes = [may("one@localhost", first..=last).unwrap(), may("two@localhost", first..=last).unwrap()];
    let [one, two] = nodes.each_ref().map(|node| node.local_addr().port());
    assert!(first < one && first < two && one != two && one <= last && two <= last);
    nodes[0].add_peer("two@localhost", nodes[1].local_addr());
    connect(on, &nodes[0], "two@localhost").unwrap();
    let none = may("none@localhost", first..=first).map(drop);
    assert!(matches!(&none, Err(StartError::Io(error)) if error.kind() == ErrorKind::AddrInUse), "{none:?}");
}

fn nodes_meet_by_addresses_of_ipv6(on: &Systems) {
    let address: SocketAddr = "[::1]:0".parse().unwrap();
    if TcpListener::bind(address).is_err() {
        twoply_tests::skip("there is no IPv6 here");
        return;
    }
    let listens = |name: &str| start(on, Node::builder(name).without_epmd().listen(address)).unwrap();
    let nodes = ["one@localhost", "two@localhost"].map(listens);
    assert!(nodes[0].local_addr().is_ipv6());
    nodes[1].add_peer("one@localhost", nodes[0].local_addr());
    connect(on, &nodes[1], "one@localhost").unwrap();
    eventually("both are connected", || nodes[0].nodes() == ["two@localhost"]);
}

fn the_program_may_say_where_nodes_are(on: &Systems) {
    let there = node(on, "there@localhost");
    let address = there.local_addr();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let find = move |name: String| {
        let before = count.fetch_add(1, Relaxed);
        async move {
            match name.as_str() {
                "there@localhost" if before == 0 => panic!("it is not found yet"),
                "there@localhost" => Ok(Some(address)),
                "lost@localhost" => Err(std::io::Error::other("the list is lost")),
                _ => Ok(None),
            }
        }
    };
    let here = start(on, Node::builder("here@localhost").without_epmd().resolver(find)).unwrap();
    let other = here.clone();
    let panicked = on.here().spawn(async move { other.connect("there@localhost").await.map(drop) }).wait();
    assert!(panicked.is_err_and(|failure| failure.is_panic()));
    // Nothing is left of that attempt.
    connect(on, &here, "there@localhost").unwrap();
    let lost = connect(on, &here, "lost@localhost").unwrap_err();
    assert!(lost.to_string().contains("the list is lost"));
    assert!(matches!(connect(on, &here, "nobody@localhost"), Err(ConnectError::Unknown)));
    assert_eq!(asked.load(Relaxed), 4);
    // What has been told comes first.
    assert!(here.disconnect("there@localhost"));
    here.add_peer("there@localhost", address);
    eventually("they are connected again", || connect(on, &here, "there@localhost").is_ok());
    assert_eq!(asked.load(Relaxed), 4);
}

fn nodes_meet_without_a_port_mapper_on_either_side(on: &Systems) {
    // Each on an address of its own, with the same port: that is how Erlang finds nodes then. It is none that
    // the system gives to others, and who has it on the one address may have it on the other one.
    let mut without = Vec::new();
    let (ours, there) = loop {
        let builder = Node::builder("ours@127.0.0.2").listen(([127, 0, 0, 2], 0).into()).without_epmd();
        let ours = start(on, builder.ports(20_000..=29_999)).unwrap();
        let there = SocketAddr::from(([127, 0, 0, 1], ours.local_addr().port()));
        if TcpListener::bind(there).is_ok() {
            break (ours, there);
        }
        without.push(ours);
    };
    let Some(mut erlang) = ErlangNode::start_without_epmd(COOKIE, there) else { return };
    ours.add_peer(erlang.name.as_str(), there);
    connect(on, &ours, &erlang.name).unwrap();
    assert_eq!(ours.nodes(), [erlang.name.as_str()]);
    assert_eq!(erlang.eval("nodes(hidden)"), "['ours@127.0.0.2']");
    assert!(ours.disconnect(&erlang.name));
    eventually("it sees the end", || erlang.eval("nodes(hidden)") == "[]");
    eventually("so do we", || ours.nodes().is_empty());
    assert_eq!(erlang.eval("net_adm:ping('ours@127.0.0.2')"), "pong");
    assert_eq!(ours.nodes(), [erlang.name.as_str()]);
}

fn a_node_that_takes_no_connections_makes_them(on: &Systems) {
    let Some(mut erlang) = ErlangNode::start(COOKIE, 60) else { return };
    let builder = Node::builder("ours@localhost").epmd(erlang.epmd_addr).without_listener();
    let ours = start(on, builder).unwrap();
    assert_eq!(ours.local_addr().port(), 0);
    assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pang");
    assert_eq!(erlang.eval("proplists:is_defined(\"ours\", element(2, erl_epmd:names()))"), "false");
    // It asks the port mapper where others are, and is a node like any once it has called.
    connect(on, &ours, &erlang.name).unwrap();
    assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pong");
    assert_eq!(erlang.eval("nodes(hidden)"), "[ours@localhost]");
}

fn a_node_may_be_named_by_another(on: &Systems) {
    let Some(mut erlang) = ErlangNode::start(COOKIE, 60) else { return };
    let named = |builder: Builder| start(on, builder.epmd(erlang.epmd_addr));
    let nodes = [(); 2].map(|()| named(Node::named_by("localhost", erlang.name.as_str())).unwrap());
    let long = named(Node::named_by("long.example", erlang.name.as_str())).map(drop);
    assert!(matches!(long, Err(StartError::Name(NameError::LongAndShort))));
    let lost = named(Node::named_by("localhost", "nobody@localhost")).map(drop);
    assert!(matches!(lost, Err(StartError::Naming(ConnectError::Unknown))));
    let [one, two] = &nodes;
    assert!(one.name().ends_with("@localhost") && one.name() != two.name() && one.creation() != 0);
    for node in &nodes {
        assert_eq!(node.nodes(), [erlang.name.as_str()]);
        assert_eq!(erlang.eval(&format!("lists:member('{}', nodes(hidden))", node.name())), "true");
        assert_eq!(erlang.eval(&format!("net_adm:ping('{}')", node.name())), "pong");
        // Pids and references are of the name.
        assert_eq!(node.call::<u64>(&erlang.name, "erlang", "abs", &(-7,)).wait(), Ok(7));
    }
    // The name may be somebody else's when the connection has ended.
    assert!(one.disconnect(&erlang.name));
    eventually("it is over", || matches!(connect(on, one, &erlang.name), Err(ConnectError::Closed)));
    assert_eq!(two.call::<u64>(&erlang.name, "erlang", "abs", &(-7,)).wait(), Ok(7));
    // A node of ours gives no names.
    let ours = node(on, "ours@localhost");
    let named = Node::named_by("localhost", "ours@localhost").without_epmd();
    let refused = start(on, named.peer("ours@localhost", ours.local_addr())).map(drop).unwrap_err();
    let StartError::Naming(ConnectError::Handshake(error)) = refused else { panic!("{refused}") };
    assert_eq!(error, HandshakeError::NotAllowed);
}

/// The next life begins before the peer has seen the end of the last one.
fn a_node_that_starts_again_at_once_is_another_one(on: &Systems) {
    let Some(mut erlang) = ErlangNode::start(COOKIE, 60) else { return };
    let (name, address) = (erlang.name.clone(), erlang.address());
    let life = |number: u64| {
        let builder = Node::builder("ours@localhost").without_epmd().peer(name.as_str(), address);
        let node = start(on, builder).unwrap();
        let process = twoply_tests::builder(on).spawn(async move |mut me: Process<Asks>| {
            while let Some(Asks::Life(answer)) = me.receive().await.message() {
                let _ = answer.resolve(number);
            }
        });
        let process = process.unwrap();
        node.register("process", &process).unwrap();
        connect(on, &node, &name).unwrap();
        (node, process)
    };
    let mut lives = vec![life(0)];
    for number in 1..=20 {
        let (last, process) = lives.pop().unwrap();
        let pid = last.expose(&process).unwrap();
        let there = last.remote(name.as_str());
        let call = |erlang: &mut ErlangNode| erlang.eval("gen_server:call({process, ours@localhost}, life)");
        assert_eq!(call(&mut erlang), (number - 1).to_string());
        assert_eq!(there.rpc::<u64>("erlang", "abs", &(1,)).wait(), Ok(1));
        erlang.eval(&format!("M{number} = monitor(process, {{process, ours@localhost}})"));
        let sent = there.rpc::<Term>("persistent_term", "put", &(Atom::new("pid").unwrap(), pid));
        sent.wait().unwrap();
        drop(there);
        // Each second one is still connected when the next one comes.
        let last = (number % 2 == 0).then_some(last);
        lives.push(life(number));
        let down = format!(
            "receive {{'DOWN', M{number}, process, _, W{number}}} -> W{number} after 30000 -> no end"
        );
        assert_eq!(erlang.eval(&down), "noconnection");
        // A pid of the last life is nobody in this one.
        let old = "catch gen_server:call(persistent_term:get(pid), life)";
        let old = erlang.eval(old);
        assert!(old.contains("noproc") || old.contains("noconnection"), "{old}");
        assert_eq!(call(&mut erlang), number.to_string());
        drop(last);
    }
}

#[derive(FromTerm)]
#[term(crate = twoply_node)]
enum Asks {
    #[term(call)]
    Life(Resolver<u64>),
}

/// Says a message of the handshake.
fn say(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat())
}

/// Returns the next message of the handshake.
fn hear(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// Takes one connection as this node, as far as it goes.
fn accept_as(own: Own) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(SOON))?;
        let mut acceptor = Acceptor::new(own, 7);
        loop {
            match acceptor.message(&hear(&mut stream)?) {
                Ok(Asked::Status { .. }) => {
                    for message in acceptor.answer(Status::Ok) {
                        say(&mut stream, &message)?;
                    }
                }
                Ok(Asked::Send(message) | Asked::Done { last: message, .. }) => say(&mut stream, &message)?,
                _ => return Ok(()),
            }
        }
    });
    address
}

fn a_peer_is_refused_for_what_it_lacks(on: &Systems) {
    let node = node(on, "ours@localhost");
    let events = node.events();
    let own = Scripted::own("peer@localhost");
    // OTP 23 and before; a node that wants a name; one that lacks what OTP 25 demands.
    for missing in [Flags::V4_NC, Flags::HANDSHAKE_23 | Flags::MANDATORY_25_DIGEST, Flags::BIG_CREATION] {
        let digest = Flags::MANDATORY_25_DIGEST;
        let own = Own { flags: own.flags - missing - digest, ..own.clone() };
        let lacks = Flags::MANDATORY - own.flags;
        node.add_peer("peer@localhost", accept_as(own.clone()));
        let error = connect(on, &node, "peer@localhost").unwrap_err();
        let ConnectError::Handshake(error) = error else { panic!("{error}") };
        assert_eq!(error, HandshakeError::Missing(lacks));
        // And as the one that calls, which is told.
        let (_, hello) = Connector::new(own, "ours@localhost", 9);
        let mut stream = TcpStream::connect(node.local_addr()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        say(&mut stream, &hello).unwrap();
        assert_eq!(hear(&mut stream).unwrap(), b"snot_allowed");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        let NodeEvent::Refused { why, .. } = events.recv().wait().unwrap() else { panic!("it is refused") };
        assert_eq!(why, format!("the peer lacks {lacks}"));
    }
    let nameless = Own { flags: own.flags | Flags::NAME_ME, ..own };
    let (_, hello) = Connector::new(nameless, "ours@localhost", 9);
    let mut stream = TcpStream::connect(node.local_addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    say(&mut stream, &hello).unwrap();
    assert_eq!(hear(&mut stream).unwrap(), b"snot_allowed");
    let NodeEvent::Refused { why, .. } = events.recv().wait().unwrap() else { panic!("it is refused") };
    assert_eq!(why, "the peer has no name of its own");
    assert!(node.nodes().is_empty());
}

/// Goes through a handshake with this cookie, and returns the answer to the name.
fn call(node: &Node, name: &str, cookie: &str) -> Vec<u8> {
    let own = Own { cookie: cookie.to_owned(), ..Scripted::own(name) };
    let (mut connector, hello) = Connector::new(own, node.name(), 99);
    let mut stream = TcpStream::connect(node.local_addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    say(&mut stream, &hello).unwrap();
    let status = hear(&mut stream).unwrap();
    if status == b"salive" {
        say(&mut stream, b"strue").unwrap();
        connector.message(b"sok").unwrap();
    } else {
        connector.message(&status).unwrap();
    }
    let challenge = hear(&mut stream).unwrap();
    if let Ok(twoply_node::wire::Progress::Send(reply)) = connector.message(&challenge) {
        say(&mut stream, &reply).unwrap();
    }
    // It is closed without another word.
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    status
}

fn an_unproved_caller_ends_no_connection(on: &Systems) {
    let node = node(on, "ours@localhost");
    let events = node.events();
    let mut peer = Scripted::connect(&node, "peer@localhost");
    assert!(matches!(events.recv().wait(), Ok(NodeEvent::Up { .. })));
    assert_eq!(call(&node, "peer@localhost", "guessed"), b"salive");
    assert!(
        matches!(events.recv().wait(), Ok(NodeEvent::Refused { why, .. }) if why == "the cookies differ")
    );
    // It is the connection that it was.
    let remote = node.connected("peer@localhost").unwrap();
    let asked = remote.call::<u32>("anybody", &1u32);
    let _question: twoply_node::wire::Term = peer.hear_message();
    drop(peer);
    assert!(asked.wait().is_err());
}

fn wrong_cookies_leave_nothing(on: &Systems) {
    on.alone(|| {
        let node = node(on, "ours@localhost");
        // What is made once is made.
        call(&node, "stranger0@localhost", "guessed");
        let (tasks, before) = (on.here().tasks(), Resources::now());
        for number in 0..STRANGERS {
            assert_eq!(call(&node, &format!("stranger{number}@localhost"), "guessed"), b"sok");
        }
        before.assert_descriptors_restored();
        eventually("no task is left", || on.here().tasks() <= tasks);
        assert!(node.nodes().is_empty() && node.exposed() == 0);
        let mut peer = Scripted::connect(&node, "peer@localhost");
        eventually("it is up", || node.nodes().len() == 1);
        assert!(node.shutdown(SOON).wait());
        peer.rest();
    });
}

fn nodes_that_connect_at_once_many_times_agree(on: &Systems) {
    let (nodes, mut told) = pair(on);
    let [one, two] = &nodes;
    for round in 0..ROUNDS {
        let (a, b) = (one.clone(), two.clone());
        let first = on.here().spawn(async move { a.connect("two@localhost").await.map(drop) });
        let second = on.here().spawn(async move { b.connect("one@localhost").await.map(drop) });
        first.wait().unwrap().unwrap();
        second.wait().unwrap().unwrap();
        let end =
            if round % 2 == 0 { one.disconnect("two@localhost") } else { two.disconnect("one@localhost") };
        assert!(end);
        eventually("both see the end", || one.nodes().is_empty() && two.nodes().is_empty());
        told.iter_mut().for_each(|told| _ = told.look());
    }
    end(nodes, &mut told);
}

fn erlang_and_we_connect_at_once_many_times(on: &Systems) {
    let Some(mut erlang) = ErlangNode::start(COOKIE, 60) else { return };
    // Either name is the greater one, half of the time.
    for name in ["aours@localhost", "zours@localhost"] {
        let node = start(on, Node::builder(name).epmd(erlang.epmd_addr)).unwrap();
        for _ in 0..ROUNDS / 2 {
            erlang.begin(&format!("net_kernel:connect_node('{name}')"));
            let connected = connect(on, &node, &erlang.name);
            assert_eq!(erlang.end(), "true");
            connected.unwrap();
            assert_eq!(erlang.eval("nodes(hidden)"), format!("[{}]", name));
            assert_eq!(node.nodes(), [erlang.name.as_str()]);
            assert!(node.disconnect(&erlang.name));
            eventually("it sees the end", || erlang.eval("nodes(hidden)") == "[]");
            eventually("so do we", || node.nodes().is_empty());
        }
    }
}

fn too_many_and_silent_callers_are_turned_away(on: &Systems) {
    let node = node(on, "ours@localhost");
    let events = node.events();
    let begun = Instant::now();
    let mut silent: Vec<_> = (0..128).map(|_| TcpStream::connect(node.local_addr()).unwrap()).collect();
    // They have been taken by now, or are before this one.
    let mut late = TcpStream::connect(node.local_addr()).unwrap();
    late.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(late.read(&mut [0]).unwrap_or(0), 0);
    let NodeEvent::Refused { why, .. } = events.recv().wait().unwrap() else { panic!("it is refused") };
    assert_eq!(why, "too many are connecting");
    // Those who say nothing are given up after a while; half a message is nothing.
    silent[0].write_all(&[0, 20, b'N']).unwrap();
    for stream in &mut silent {
        stream.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
    assert!(begun.elapsed() > Duration::from_secs(5));
    let _peer = Scripted::connect(&node, "peer@localhost");
    eventually("others are welcome again", || node.nodes() == ["peer@localhost"]);
}

/// The reason for which no node of ours is visible: here a peer says that it is one, to a cluster of two, and
/// takes no part in the protocol of `global`.
fn a_visible_node_without_global_keeps_the_cluster_waiting(_: &Systems) {
    let Some(mut erlang) = ErlangNode::start(COOKIE, 60) else { return };
    let second = format!(
        "{{ok, _, Second}} = peer:start(#{{name => second{}, host => \"localhost\", \
         connection => standard_io, args => [\"-setcookie\", \"{COOKIE}\"]}}), net_adm:ping(Second)",
        process::id(),
    );
    assert_eq!(erlang.eval(&second), "pong");
    let (address, name) = (erlang.address(), erlang.name.clone());
    let connect =
        |own: &str, flags| Scripted::connect_to(&name, address, Own { flags, ..Scripted::own(own) });
    let begin = "Own = self(), spawn(fun() -> Own ! {synced, global:sync()} end)";
    let synced = "(fun() -> receive {synced, Answer} -> Answer after 30000 -> none end end)()";
    // A hidden one is none of its business.
    let _hidden = connect("hidden@localhost", Flags::OFFERED);
    eventually("they are connected", || erlang.eval("length(nodes(hidden))") == "1");
    erlang.eval(begin);
    assert_eq!(erlang.eval(synced), "ok");
    // One that is visible is waited for until it is gone, though names are registered without it.
    let visible = connect("visible@localhost", Flags::OFFERED | Flags::PUBLISHED);
    eventually("it is met", || erlang.eval("lists:member('visible@localhost', nodes())") == "true");
    let waits = "lists:keymember('visible@localhost', 1, element(5, sys:get_state(global_name_server)))";
    eventually("it is waited for", || erlang.eval(waits) == "true");
    erlang.eval(begin);
    assert_eq!(erlang.eval("global:register_name(shop, self())"), "yes");
    assert_eq!(erlang.eval("receive {synced, _} -> synced after 0 -> waits end"), "waits");
    drop(visible);
    assert_eq!(erlang.eval(synced), "ok");
}
