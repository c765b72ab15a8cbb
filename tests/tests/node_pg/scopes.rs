//! Laws of the groups of a scope of Erlang's `pg`.

use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{ExitReason, Group, Process, ProcessRef};
use twoply_node::wire::Term;
use twoply_node::{Event, Node, Pg, PgError};
use twoply_tests::{ErlangNode, Systems, eventually};

use super::way::{erlang, ours};

fn start(on: &Systems, name: &str, erlang: Option<&ErlangNode>) -> Node {
    ours(on, Node::builder(name), erlang)
}

fn connect(on: &Systems, node: &Node, name: &str) {
    let (node, name) = (node.clone(), name.to_owned());
    on.here().spawn(async move { node.connect(&name).await.map(drop) }).wait().unwrap().unwrap();
}

fn readers() -> Term {
    Term::atom("readers")
}

/// Starts a process that tells what it hears, and ends by an empty message.
fn reader(on: &Systems, heard: &std::sync::mpsc::Sender<String>) -> ProcessRef<String> {
    let heard = heard.clone();
    let body = async move |mut me: Process<String>| {
        while let Some(text) = me.receive().await.message().filter(|text| !text.is_empty()) {
            heard.send(text).unwrap();
        }
    };
    twoply_tests::builder(on).spawn(body).unwrap()
}

fn count(pg: &Pg) -> usize {
    pg.pids(&readers()).len()
}

pub(crate) fn erlang_and_this_node_know_each_others_members(on: &Systems) {
    let Some(mut erlang) = erlang(60) else { return };
    erlang.eval("{ok, _} = pg:start_link(books), ok = pg:join(books, readers, self())");
    let node = start(on, "ours@localhost", Some(&erlang));
    let (pg, group) = (node.pg("books").unwrap(), Group::new());
    let (heard, hears) = std::sync::mpsc::channel();
    let first = reader(on, &heard);
    group.join(&first);
    pg.share(readers(), &group);
    let here = "length(pg:get_members(books, readers)) - length(pg:get_local_members(books, readers))";
    let ours = |erlang: &mut ErlangNode, n: u32| {
        eventually("they know our members", || erlang.eval(here) == n.to_string());
    };
    // Connected from either side; at the end of each connection the other's members are gone.
    for from_here in [true, false] {
        eventually("our own is known", || count(&pg) == 1);
        if from_here {
            connect(on, &node, &erlang.name);
        } else {
            assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pong");
        }
        eventually("we know their member", || count(&pg) == 2);
        ours(&mut erlang, 1);
        assert_eq!(pg.groups(), [readers()]);
        assert_eq!(pg.members::<String>(&readers()).len(), 2);
        // To everybody, from either side.
        for member in pg.members::<String>(&readers()) {
            member.send("tea".to_owned()).wait().unwrap();
        }
        assert_eq!(erlang.eval("receive <<\"tea\">> -> ok after 30000 -> none end"), "ok");
        erlang.eval("[Pid ! <<\"cake\">> || Pid <- pg:get_members(books, readers)]");
        assert_eq!(erlang.eval("receive <<\"cake\">> -> ok after 30000 -> none end"), "ok");
        assert_eq!([hears.recv().unwrap(), hears.recv().unwrap()], ["tea", "cake"]);
        // Who joins and leaves, and who ends.
        let second = reader(on, &heard);
        group.join(&second);
        ours(&mut erlang, 2);
        second.send(String::new()).wait().unwrap();
        ours(&mut erlang, 1);
        let third = reader(on, &heard);
        group.join(&third);
        ours(&mut erlang, 2);
        group.leave(&third.pid());
        ours(&mut erlang, 1);
        third.pid().exit(ExitReason::Kill);
        erlang.eval("O = spawn(fun() -> receive stop -> ok end end), pg:join(books, readers, [O, self()])");
        eventually("we know the new one; the one that is in it twice counts once", || count(&pg) == 3);
        erlang.eval("pg:leave(books, readers, self())");
        erlang.eval("O ! stop");
        eventually("it has ended; the other is in it once", || count(&pg) == 2);
        erlang.eval("f()");
        node.disconnect(&erlang.name);
        eventually("its members are gone", || count(&pg) == 1);
        ours(&mut erlang, 0);
    }
    // A scope that ends is left.
    connect(on, &node, &erlang.name);
    ours(&mut erlang, 1);
    drop(pg);
    ours(&mut erlang, 0);
    let again = node.pg("books");
    eventually("the name is free again", || again.is_ok() || node.pg("books").is_ok());
}

pub(crate) fn a_scope_that_erlang_starts_later_is_found(on: &Systems) {
    let Some(mut erlang) = erlang(60) else { return };
    let node = start(on, "ours@localhost", Some(&erlang));
    let pg = node.pg("books").unwrap();
    connect(on, &node, &erlang.name);
    erlang.eval("timer:sleep(100), {ok, _} = pg:start_link(books), ok = pg:join(books, readers, self())");
    eventually("it is found", || count(&pg) == 1);
    // And one that ends is forgotten.
    erlang.eval("unlink(whereis(books)), exit(whereis(books), kill)");
    eventually("it is forgotten", || count(&pg) == 0);
    // What is none of its messages is dropped, and what nobody has said who it is from.
    erlang.eval(
        "{books, ours@localhost} ! nonsense, {books, ours@localhost} ! {join, self(), readers, self()}",
    );
    erlang.eval("{books, ours@localhost} ! {discover, self(), \"a version\"}");
    assert_eq!(erlang.eval("receive {'$gen_cast', {sync, _, L}} -> L after 30000 -> none end"), "[]");
    assert_eq!(count(&pg), 0);
}

pub(crate) fn a_scope_among_nodes_of_ours(on: &Systems) {
    let nodes = ["one", "two", "three"].map(|name| start(on, &format!("{name}@localhost"), None));
    let scopes = nodes.each_ref().map(|node| node.pg("pg").unwrap());
    assert!(matches!(nodes[0].pg("pg"), Err(PgError::Name(_))));
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        nodes[from].add_peer(nodes[to].name(), nodes[to].local_addr());
        connect(on, &nodes[from], nodes[to].name());
    }
    let (heard, hears) = std::sync::mpsc::channel();
    let groups = scopes.each_ref().map(|scope| {
        let group = Group::new();
        scope.share(readers(), &group);
        for _ in 0..10 {
            group.join(&reader(on, &heard));
        }
        group
    });
    for scope in &scopes {
        eventually("all know all", || count(scope) == 30);
    }
    for member in scopes[0].members::<String>(&readers()) {
        member.send("tea".to_owned()).wait().unwrap();
    }
    for _ in 0..30 {
        assert_eq!(hears.recv_timeout(Duration::from_secs(30)).unwrap(), "tea");
    }
    let [one, two, three] = scopes;
    drop(three);
    eventually("the one that has left is forgotten", || count(&one) == 20 && count(&two) == 20);
    let within = Duration::from_secs(10);
    let last = nodes[1].clone();
    assert!(on.here().spawn(async move { last.shutdown(within).await }).wait().unwrap());
    eventually("the one that is shut down is forgotten", || count(&one) == 10);
    groups.iter().flat_map(Group::members).for_each(|member| drop(member.try_send(String::new())));
    eventually("all have ended", || count(&one) == 0);
}

/// A scope that hears of a peer whose connection has ended meanwhile makes no other one.
pub(crate) fn a_scope_connects_nobody(on: &Systems) {
    let nodes = ["one", "two"].map(|name| start(on, &format!("{name}@localhost"), None));
    for (from, to) in [(0, 1), (1, 0)] {
        nodes[from].add_peer(nodes[to].name(), nodes[to].local_addr());
    }
    let scopes = nodes.each_ref().map(|node| node.pg("pg").unwrap());
    let events = nodes.each_ref().map(Node::events);
    for round in 0..100 {
        connect(on, &nodes[0], nodes[1].name());
        for events in &events {
            assert!(matches!(events.recv().wait(), Ok(Event::Up { .. })));
        }
        // By now they have said all, something or nothing.
        (0..round % 10).for_each(|_| std::thread::yield_now());
        nodes[round % 2].disconnect(nodes[1 - round % 2].name());
        for events in &events {
            assert!(matches!(events.recv().wait(), Ok(Event::Down { .. })));
        }
    }
    assert!(events.iter().all(|events| events.try_recv().is_err()));
    // What they have heard keeps them from nothing.
    connect(on, &nodes[0], nodes[1].name());
    let (heard, _hears) = std::sync::mpsc::channel();
    let groups = scopes.each_ref().map(|scope| {
        let (group, member) = (Group::new(), reader(on, &heard));
        group.join(&member);
        scope.share(readers(), &group);
        (group, member)
    });
    for scope in &scopes {
        eventually("both know both", || count(scope) == 2);
    }
    groups.iter().for_each(|(_, member)| member.send(String::new()).wait().unwrap());
}
