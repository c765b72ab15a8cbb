//! What a connection carries at once: big messages beside small ones, processes that do not keep up, and what
//! is more than is allowed.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::net::sockopt::set_socket_send_buffer_size;
use twoply_core::Wait;
use twoply_core::actor::{ExitReason, Process};
use twoply_core::channel::{SendError, TrySendError};
use twoply_core::promise::Resolver;
use twoply_core::time::timeout;
use twoply_node::wire::{
    Atom, Binary, Control, EncodeError, Flags, FromTerm, Limits, MAX_DEPTH, Own, Status, Target, Term,
    write_frame,
};
use twoply_node::{Builder, CallError, Event as NodeEvent, Node};
use twoply_tests::{ErlangNode, Systems, eventually, laws};

use self::scripted::{COOKIE, Parcel, SOON, Scripted, parcel};

// Not each suite needs all of it.
#[allow(dead_code)]
#[path = "node_faults/scripted.rs"]
mod scripted;

laws! {
    everywhere {
        a_big_message_delays_its_sender_alone,
        what_a_process_does_stays_in_order_behind_its_big_messages,
        what_is_asked_stays_in_order_with_what_is_sent,
        questions_wait_for_no_peer_that_reads_nothing,
        a_peer_without_fragments_gets_whole_frames,
        a_message_above_the_limit_is_handed_back,
        big_messages_arrive_whole_both_ways,
        a_deep_message_is_refused_before_the_stack_ends,
        the_buffers_of_a_connection_are_as_the_program_has_them,
    }
}

fn start(on: &Systems, builder: Builder) -> Node {
    on.here().spawn(builder.cookie(COOKIE).without_epmd().start()).wait().unwrap().unwrap()
}

fn node(on: &Systems) -> Node {
    start(on, Node::builder("ours@localhost"))
}

fn a_big_message_delays_its_sender_alone(on: &Systems) {
    let node = node(on);
    let mut peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let there = node.connected("peer@localhost").unwrap().process::<Parcel>("anybody");
    // The sockets hold less than that, so most of it is still queued.
    let big = 30 << 20;
    let first = there.clone();
    let (queued, is_queued) = channel();
    let own = async move {
        first.try_send(parcel(1, big)).map_err(drop)?;
        let _ = queued.send(());
        first.send(parcel(2, 0)).await.map_err(drop)
    };
    let own = on.here().spawn(own);
    // A question never waits, whatever is queued.
    let remote = node.connected("peer@localhost").unwrap();
    is_queued.recv_timeout(SOON).unwrap();
    // A small message of another task's does not wait either.
    there.try_send(parcel(9, 0)).map_err(drop).unwrap();
    let asked = remote.call::<u32>("anybody", &3u32);
    let mut order = Vec::new();
    while order.len() < 4 {
        let term = peer.hear_message::<Term>();
        let elements = term.as_tuple().unwrap();
        match elements {
            [_, from, Term::Integer(3)] => {
                order.push(3);
                let Some([_, tag]) = from.as_tuple() else { panic!("{from}") };
                let Term::Improper(list) = tag else { panic!("{tag}") };
                let Term::Reference(alias) = list.tail() else { panic!("{tag}") };
                let (from, to) = (Some(peer.pid(1)), Target::Alias((**alias).clone()));
                let answer = (tag.clone(), 33u32);
                peer.say(&Control::Send { from, to, urgent: false }, &answer);
            }
            [Term::Integer(number), Term::Binary(bytes)] => {
                assert_eq!(bytes.len(), if *number == 1 { big } else { 0 });
                order.push(*number);
            }
            _ => panic!("{term}"),
        }
    }
    assert_eq!(order, [9, 3, 1, 2]);
    assert_eq!(asked.wait(), Ok(33));
    assert_eq!(own.wait().unwrap(), Ok(()));
}

fn what_a_process_does_stays_in_order_behind_its_big_messages(on: &Systems) {
    let node = node(on);
    let mut peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let remote = node.connected("peer@localhost").unwrap();
    let (other, third) = (peer.pid(1), peer.pid(2));
    let (go, going) = channel();
    let ours = twoply_tests::builder(on).spawn(async move |me: Process<()>| {
        me.link(&remote.pid(&other));
        let there = remote.process_of::<Parcel>(&other);
        there.send(parcel(1, 8 << 20)).await.map_err(|_| "not sent")?;
        let _ = go.send(());
        remote.pid(&third).exit(ExitReason::other("nobody's business"));
        Err::<(), _>("done")
    });
    going.recv_timeout(SOON).unwrap();
    ours.unwrap().ended().wait();
    assert!(matches!(peer.hear(), Control::Link { .. }));
    // What goes to others passes it; the end that the same process is told does not.
    assert!(matches!(peer.hear(), Control::Exit { to, .. } if to.id == 2));
    assert!(matches!(peer.hear(), Control::Send { .. }));
    assert!(matches!(peer.hear(), Control::Exit { to, .. } if to.id == 1));
}

/// Hears a message or a question whose content is a parcel, and returns the number.
fn hear_number(peer: &mut Scripted) -> u32 {
    let term = peer.hear_message::<Term>();
    let parcel = match term.as_tuple().unwrap() {
        [_, _, parcel] => parcel.as_tuple().unwrap(),
        parcel => parcel,
    };
    let [Term::Integer(number), _] = parcel else { panic!("{term}") };
    u32::try_from(*number).unwrap()
}

fn what_is_asked_stays_in_order_with_what_is_sent(on: &Systems) {
    const EACH: u32 = 300;
    let node = node(on);
    let mut peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let senders: Vec<_> = (0..3)
        .map(|from| {
            let remote = node.connected("peer@localhost").unwrap();
            on.here().spawn(async move {
                let there = remote.process::<Parcel>("anybody");
                let mut asked = Vec::new();
                for number in 0..EACH {
                    // All of it is more than the sockets hold.
                    let parcel = parcel(from << 16 | number, 8 << 10);
                    if number % 3 == 0 {
                        asked.push(remote.call::<u32>("anybody", &parcel));
                    } else {
                        there.send(parcel).await.map_err(drop).unwrap();
                    }
                }
                asked
            })
        })
        .collect();
    let mut next = [0; 3];
    for _ in 0..3 * EACH {
        let number = hear_number(&mut peer);
        let (from, number) = (number as usize >> 16, number & 0xffff);
        assert_eq!(number, next[from]);
        next[from] += 1;
    }
    senders.into_iter().for_each(|sender| drop(sender.wait().unwrap()));
}

fn questions_wait_for_no_peer_that_reads_nothing(on: &Systems) {
    const ALL: u32 = 2_000;
    let node = node(on);
    let mut peer = Scripted::connect(&node, "peer@localhost");
    eventually("it is up", || node.nodes().len() == 1);
    let remote = node.connected("peer@localhost").unwrap();
    let (told, all_asked) = channel();
    let asking = on.here().spawn(async move {
        let asked: Vec<_> =
            (0..ALL).map(|number| remote.call::<u32>("anybody", &parcel(number, 8 << 10))).collect();
        let _ = told.send(asked.len());
        for asked in asked {
            assert!(matches!(asked.await, Err(CallError::Ended(ExitReason::NoConnection))));
        }
    });
    assert_eq!(all_asked.recv_timeout(SOON), Ok(ALL as usize));
    (0..ALL).for_each(|number| assert_eq!(hear_number(&mut peer), number));
    drop(peer);
    asking.wait().unwrap();
}

fn a_peer_without_fragments_gets_whole_frames(on: &Systems) {
    let node = node(on);
    for missing in [Flags::FRAGMENTS, Flags::DIST_HDR_ATOM_CACHE] {
        let own = Scripted::own("peer@localhost");
        let mut peer = Scripted::connect_as(&node, Own { flags: own.flags - missing, ..own });
        let agreed = || node.connected("peer@localhost").map(|remote| remote.agreed());
        eventually("it is up", || agreed().is_some_and(|agreed| !agreed.contains(missing)));
        let there = node.connected("peer@localhost").unwrap().process::<Parcel>("anybody");
        there.send(parcel(7, 1 << 20)).wait().unwrap();
        assert_eq!(peer.hear_message::<Parcel>(), parcel(7, 1 << 20));
        // What was heard may not have been seen to be written, and then there is no room yet.
        assert!(matches!(there.send(parcel(8, 16 << 20)).wait(), Err(SendError((8, _)))));
        drop(peer);
        eventually("it is down", || node.nodes().is_empty());
    }
}

#[derive(FromTerm)]
#[term(crate = twoply_node)]
enum Ask {
    /// Is answered with that many bytes.
    #[term(call)]
    Bytes(usize, Resolver<Binary>),
}

fn a_message_above_the_limit_is_handed_back(on: &Systems) {
    let limits = Limits { message: 1 << 20, ..Limits::default() };
    let node = start(on, Node::builder("ours@localhost").limits(limits));
    let events = node.events();
    let other = start(on, Node::builder("other@localhost"));
    other.add_peer(node.name(), node.local_addr());
    let there = other.clone();
    let remote = on.here().spawn(async move { there.connect("ours@localhost").await }).wait();
    let remote = remote.unwrap().unwrap();
    let body = async |mut me: Process<Ask>| {
        while let Some(Ask::Bytes(len, answer)) = me.receive().await.message() {
            let _ = answer.resolve(vec![7; len].into());
        }
    };
    let asked = twoply_tests::builder(on).spawn(body).unwrap();
    node.register("asked", &asked).unwrap();
    let bytes = Atom::new("bytes").unwrap();
    let call = |len: usize| remote.call::<Term>("asked", &(bytes.clone(), len)).wait().unwrap();
    assert!(matches!(call(1_000_000), Term::Binary(bytes) if bytes.len() == 1_000_000));
    let refused = call(2_000_000).to_string();
    assert!(refused.starts_with("{error,{unwritable,<<\"the message has more than 1048576"), "{refused}");
    assert!(matches!(events.recv().wait(), Ok(NodeEvent::Up { .. })));
    let back = node.connected("other@localhost").unwrap();
    let sent = back.process::<Parcel>("anybody").try_send(parcel(1, 2 << 20));
    assert!(matches!(sent, Err(TrySendError::Closed((1, bytes))) if bytes.len() == 2 << 20));
    let asked = back.call::<u32>("anybody", &parcel(1, 2 << 20)).wait();
    assert_eq!(asked, Err(CallError::Question(EncodeError::TooLong { limit: 1 << 20 })));
    // The longest message that goes out is the longest one that comes in.
    let there = back.process::<Parcel>("asked");
    let too_long = (1 << 20) - 40..1 << 20;
    let too_long = too_long.into_iter().find(|len| there.send(parcel(1, *len)).wait().is_err()).unwrap();
    let to_us = remote.process::<Parcel>("asked");
    to_us.send(parcel(1, too_long - 1)).wait().unwrap();
    eventually("it has come", || node.dropped() == (0, 1));
    assert_eq!(node.nodes(), ["other@localhost"]);
    // The other side does not know our limit: what it sends ends the connection.
    to_us.send(parcel(1, too_long)).wait().unwrap();
    let NodeEvent::Down { why, .. } = events.recv().wait().unwrap() else { panic!("it is not up twice") };
    assert_eq!(why, "a message has more than 1048576 bytes");
}

/// A process that answers with what it is sent, and its length.
#[derive(FromTerm)]
#[term(crate = twoply_node)]
enum Echo {
    #[term(call)]
    Echo(Binary, Resolver<(usize, Binary)>),
}

fn big_messages_arrive_whole_both_ways(on: &Systems) {
    let Some(mut erlang) = ErlangNode::start(COOKIE, 60) else { return };
    let builder = Node::builder("ours@localhost").cookie(COOKIE).epmd(erlang.epmd_addr);
    let node = on.here().spawn(builder.start()).wait().unwrap().unwrap();
    let body = async |mut me: Process<Echo>| {
        while let Some(Echo::Echo(bytes, answer)) = me.receive().await.message() {
            let _ = answer.resolve((bytes.len(), bytes));
        }
    };
    node.register("echo", &twoply_tests::builder(on).spawn(body).unwrap()).unwrap();
    // Several at a time, in fragments that come by turns, and none that are just as long as a fragment.
    let calls = "Own = self(), \
        Lens = [0, 1, 65500, 65536, 65537, 131072, 200000, 1000000, 3000000], \
        Ask = fun(Len) -> spawn(fun() -> \
            Bytes = binary:copy(<<Len:32>>, Len div 4), \
            Size = byte_size(Bytes), \
            Own ! {Len, gen_server:call({echo, 'ours@localhost'}, {echo, Bytes}, 60000) =:= {Size, Bytes}} \
        end) end, \
        [Ask(Len) || Len <- Lens, _ <- lists:seq(1, 3)], \
        [receive {Len, Same} -> Same after 60000 -> timeout end || Len <- Lens, _ <- lists:seq(1, 3)]";
    let answers = erlang.eval(calls);
    assert_eq!(answers, format!("[{}]", vec!["true"; 27].join(",")));
}

/// A type that calls itself for each level, and takes much of the stack to do so.
#[derive(Debug, PartialEq, FromTerm)]
#[term(crate = twoply_node)]
enum Nest {
    Leaf(u32),
    Inside(Vec<Nest>),
    Wide {
        id: String,
        first: Option<String>,
        both: (String, u64),
        map: BTreeMap<String, Nest>,
        more: Vec<Nest>,
    },
}

fn a_deep_message_is_refused_before_the_stack_ends(on: &Systems) {
    let node = node(on);
    let (heard, hearing) = channel();
    let process = twoply_tests::builder(on).spawn(async move |mut me: Process<Nest>| {
        while let Some(Nest::Leaf(number)) = me.receive().await.message() {
            let _ = heard.send(number);
        }
    });
    node.register("nest", &process.unwrap()).unwrap();
    let mut peer = Scripted::connect(&node, "peer@localhost");
    let leaf = |number: i64| Term::Tuple(vec![Term::atom("leaf"), number.into()]);
    let inside = |term| Term::Tuple(vec![Term::atom("inside"), Term::List(vec![term])]);
    // Each of these is two levels, and one is around all.
    for (number, depth) in (0..).zip([MAX_DEPTH / 2 - 2, MAX_DEPTH / 4, MAX_DEPTH / 8]) {
        let (from, to) = (Some(peer.pid(1)), Target::Name(Atom::new("nest").unwrap()));
        let deep = (0..depth).fold(leaf(0), |term, _| inside(term));
        let wrong = Term::Tuple(vec![Term::atom("inside"), Term::List(vec![deep, Term::atom("else")])]);
        peer.say_at_once(&Control::Send { from, to, urgent: false }, [&wrong as _, &leaf(number) as _]);
        assert_eq!(hearing.recv_timeout(SOON), Ok(number as u32), "the reader goes on");
    }
}

/// Connects a node of ours and a peer.
type Meet = fn(&Systems, &Node) -> Scripted;

fn we_are_connected_to(_: &Systems, node: &Node) -> Scripted {
    Scripted::connect(node, "peer@localhost")
}

fn we_connect(on: &Systems, node: &Node) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    node.add_peer("peer@localhost", listener.local_addr().unwrap());
    let connecting = node.clone();
    drop(on.here().spawn(async move { connecting.connect("peer@localhost").await.map(drop) }));
    let (stream, _) = listener.accept().unwrap();
    Scripted::accept(stream, Scripted::own("peer@localhost"), Status::Ok).unwrap()
}

/// The time for which what is full takes nothing.
const FULL: Duration = Duration::from_millis(300);

/// Returns how many bytes a node takes for a peer that reads nothing, up to `enough`, until it takes none for
/// that `long`.
fn taken(on: &Systems, meet: Meet, builder: Builder, long: Duration, enough: usize) -> usize {
    let node = start(on, builder);
    let peer = meet(on, &node);
    eventually("it is up", || node.nodes().len() == 1);
    let there = node.connected("peer@localhost").unwrap().process::<Parcel>("anybody");
    let len = 32 << 10;
    let taking = on.here().spawn(async move {
        let mut taken = 0;
        while taken < enough && matches!(timeout(long, there.send(parcel(1, len))).await, Ok(Ok(()))) {
            taken += len;
        }
        taken
    });
    let taken = taking.wait().unwrap();
    drop(peer);
    taken
}

/// As [`taken`], of the bytes that come to a node which does not read them.
fn written(on: &Systems, meet: Meet, builder: Builder, long: Duration, enough: usize) -> usize {
    // The first message that waits for its process is too much.
    let limits = Limits { waiting: 0, ..Limits::default() };
    let node = start(on, builder.limits(limits));
    let stuck = async |_me: Process<Parcel>| std::future::pending::<()>().await;
    let stuck = twoply_tests::builder(on).capacity(1).spawn(stuck).unwrap();
    node.register("stuck", &stuck).unwrap();
    let mut peer = meet(on, &node);
    set_socket_send_buffer_size(&peer.stream, 4 << 10).unwrap();
    peer.stream.set_write_timeout(Some(long)).unwrap();
    let control = peer.send_to("stuck");
    let mut frame = Vec::new();
    write_frame(peer.peer.agreed, &control, &mut frame, |out| out.value(&parcel(1, 1_000))).unwrap();
    let mut written = 0;
    while written < enough
        && let Ok(len) = peer.stream.write(&frame[written % frame.len()..])
    {
        written += len;
    }
    stuck.exit(ExitReason::Kill);
    written
}

fn the_buffers_of_a_connection_are_as_the_program_has_them(on: &Systems) {
    let node = || Node::builder("ours@localhost");
    for meet in [we_are_connected_to as Meet, we_connect] {
        // A megabyte of it is in the node itself.
        let (few, many) = (2 << 20, 3 << 20);
        assert!(taken(on, meet, node().unsent_limit(4 << 10), FULL, few) < few);
        assert!(taken(on, meet, node().unsent_limit(u32::MAX), SOON, many) >= many);
        let (few, many) = (200 << 10, 300 << 10);
        assert!(written(on, meet, node().unread_limit(4 << 10), FULL, few) < few);
        assert!(written(on, meet, node().unread_limit(200 << 10), SOON, many) >= many);
    }
}
