//! Laws of a node of ours and one of Erlang's: messages, questions, links, monitors, ends.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{Event, ExitReason, Process, ProcessRef};
use twoply_core::promise::Resolver;
use twoply_core::time::timeout;
use twoply_node::wire::{Atom, Binary, DecodeError, Decoder, FromTerm, Term, ToTerm};
use twoply_node::{CallError, ConnectError, Node, Remote};
use twoply_tests::{ErlangNode, Systems, eventually};

use super::way::{erlang, ours};

/// How long word from the other node may take.
const SOON: Duration = Duration::from_secs(30);

/// An Erlang node, and one of ours that has connected to it.
struct Pair {
    erlang: ErlangNode,
    node: Node,
    remote: Remote,
}

fn start(on: &Systems) -> Option<Pair> {
    let erlang = erlang(60)?;
    let node = node(on, &erlang);
    let (other, name) = (node.clone(), erlang.name.clone());
    let remote = on.here().spawn(async move { other.connect(&name).await }).wait().unwrap().unwrap();
    Some(Pair { erlang, node, remote })
}

/// A node of ours with the port mapper of an Erlang node. It does not tick, so that nothing of what is to be
/// written goes out with a tick only.
fn node(on: &Systems, erlang: &ErlangNode) -> Node {
    ours(on, Node::builder("ours@localhost").tick_time(Duration::from_secs(3600)), Some(erlang))
}

#[derive(Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
enum Order {
    Add(u32),
    Link(twoply_node::wire::Pid),
    Unlink(twoply_node::wire::Pid),
    Monitor(twoply_node::wire::Pid),
    Stop,
    Fail(String),
}

/// Starts a process that does as it is told, and tells what it hears.
fn obedient(on: &Systems, pair: &Pair) -> (ProcessRef<Order>, Receiver<String>) {
    let (heard, hearing) = channel();
    let remote = pair.remote.clone();
    let body = async move |mut me: Process<Order>| {
        loop {
            match me.receive().await {
                Event::Message(Order::Add(n)) => drop(heard.send(format!("add {n}"))),
                Event::Message(Order::Link(pid)) => {
                    me.link(&remote.pid(&pid));
                    let _ = heard.send("linked".to_owned());
                }
                Event::Message(Order::Unlink(pid)) => {
                    me.unlink(&remote.pid(&pid));
                    let _ = heard.send("unlinked".to_owned());
                }
                Event::Message(Order::Monitor(pid)) => {
                    me.monitor(&remote.pid(&pid));
                    let _ = heard.send("monitors".to_owned());
                }
                Event::Message(Order::Stop) => return Ok(()),
                Event::Message(Order::Fail(why)) => return Err(why),
                Event::Exit(exit) => drop(heard.send(format!("exit {}", exit.reason))),
                Event::Down(down) => drop(heard.send(format!("down {}", down.reason))),
                _ => {}
            }
        }
    };
    let process = twoply_tests::builder(on).trap_exit(true).spawn(body).unwrap();
    pair.node.register("obedient", &process).unwrap();
    (process, hearing)
}

pub(crate) fn two_nodes_meet_and_part(on: &Systems) {
    let Some(Pair { mut erlang, node, remote }) = start(on) else { return };
    let events = node.events();
    assert_eq!((node.nodes(), remote.name()), (vec![erlang.name.clone()], erlang.name.as_str()));
    assert_eq!(erlang.eval("nodes(hidden)"), "[ours@localhost]");
    assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pong");
    assert!(node.disconnect(&erlang.name));
    assert!(matches!(events.recv().wait(), Ok(event) if format!("{event:?}").starts_with("Down")));
    assert!(node.nodes().is_empty());
    // And the other way round: it finds us by the port mapper.
    eventually("the peer sees the end", || erlang.eval("nodes(hidden)") == "[]");
    assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pong");
    assert!(matches!(events.recv().wait(), Ok(event) if format!("{event:?}").starts_with("Up")));
    assert_eq!(node.nodes(), vec![erlang.name.clone()]);
    // Another cookie is refused on both sides, and nothing is left of it.
    let stranger = Node::builder("stranger@localhost").cookie("other").epmd(erlang.epmd_addr);
    let stranger = on.here().spawn(stranger.start()).wait().unwrap().unwrap();
    let name = erlang.name.clone();
    let met = on.here().spawn(async move { stranger.connect(&name).await.map(drop) }).wait().unwrap();
    assert!(met.is_err());
    assert_eq!(erlang.eval("erlang:set_cookie(wrong), net_kernel:disconnect(ours@localhost)"), "true");
    assert!(matches!(events.recv().wait(), Ok(event) if format!("{event:?}").starts_with("Down")));
    assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pang");
    assert!(matches!(events.recv().wait(), Ok(event) if format!("{event:?}").contains("cookies differ")));
    let gone = node.clone();
    let nobody = on.here().spawn(async move { gone.connect("nobody@localhost").await.map(drop) }).wait();
    assert!(matches!(nobody.unwrap(), Err(ConnectError::Unknown)));
    drop(node);
    eventually("the port mapper forgets us", || {
        erlang.eval("proplists:is_defined(\"ours\", element(2, erl_epmd:names()))") == "false"
    });
}

pub(crate) fn messages_go_both_ways(on: &Systems) {
    let Some(mut pair) = start(on) else { return };
    let (process, hearing) = obedient(on, &pair);
    assert_eq!(
        pair.erlang.eval("[{obedient, ours@localhost} ! {add, N} || N <- lists:seq(1, 1000)], ok"),
        "ok"
    );
    for n in 1..=1000 {
        assert_eq!(hearing.recv_timeout(SOON).unwrap(), format!("add {n}"));
    }
    let pid = pair.node.expose(&process).unwrap();
    // By the pid, which has to be told first.
    pair.erlang.eval("register(shell, self())");
    let shell = pair.remote.process::<(String, twoply_node::wire::Pid)>("shell");
    shell.send(("here".to_owned(), pid)).wait().unwrap();
    let own = "receive {<<\"here\">>, Pid} -> Pid ! {add, 7}, node(Pid) after 30000 -> timeout end";
    assert_eq!(pair.erlang.eval(own), "ours@localhost");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "add 7");
    // A thousand in order, and a large one.
    let counter = pair.remote.process::<(u32, Vec<u8>)>("shell");
    for n in 0..1000 {
        counter.send((n, vec![7; 10])).wait().unwrap();
    }
    counter.send((1000, vec![7; 300_000])).wait().unwrap();
    let all = "[receive {N, L} -> length(L) after 30000 -> timeout end || N <- lists:seq(0, 1000)], \
               lists:sum([receive {N, _} -> 1 after 0 -> 0 end || N <- [1, 2]])";
    assert_eq!(pair.erlang.eval(all), "0");
    let large = "{obedient, ours@localhost} ! {fail, binary:copy(<<\"x\">>, 3000000)}, ok";
    assert_eq!(pair.erlang.eval(large), "ok");
    assert!(matches!(process.ended().wait(), ExitReason::Failed(why) if why.to_string().len() == 3_000_000));
    eventually("the name is free", || pair.node.unregister("obedient") || pair.node.exposed() == 0);
}

pub(crate) fn atoms_are_the_same_at_the_other_node(on: &Systems) {
    const MESSAGES: usize = 100;
    type Message = (Vec<Atom>, Vec<String>, Binary);
    let Some(mut pair) = start(on) else { return };
    pair.erlang.eval("register(checks, self())");
    // Some messages name more atoms than a frame can tell, and all of them more than a peer remembers. Big
    // ones go out in fragments, by turns with those of the other sender.
    let senders = [1, 2].map(|seed| {
        let checks = pair.remote.process::<Message>("checks");
        on.here().spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            for number in 0..MESSAGES {
                let count = random.usize(..if number % 10 == 0 { 600 } else { 10 });
                let texts: Vec<_> = (0..count).map(|_| text_of_atom(random.usize(..8_000))).collect();
                let atoms = texts.iter().map(|text| Atom::new(text.as_str()).unwrap()).collect();
                let len = if number % 7 == 0 { 200_000 } else { 3 };
                checks.send((atoms, texts, vec![7; len].into())).await.unwrap();
            }
        })
    });
    for sender in senders {
        sender.wait().unwrap();
    }
    let check = format!(
        "Check = fun Check(0, Same) -> Same; Check(Left, Same) -> receive {{Atoms, Texts, _}} -> \
         case [atom_to_binary(Atom) || Atom <- Atoms] of Texts -> Check(Left - 1, Same + 1); \
         Others -> Check(Left - 1, Same) end after 30000 -> timeout end end, Check({}, 0)",
        2 * MESSAGES
    );
    assert_eq!(pair.erlang.eval(&check), (2 * MESSAGES).to_string());
}

/// Returns the text of one of many atoms; a few are as long as one can be.
fn text_of_atom(number: usize) -> String {
    let text = format!("atom{number}");
    match number % 50 {
        0 => format!("{text}{}", "𝄞".repeat(255 - text.len())),
        1 => text + &"x".repeat(200),
        2 => String::new(),
        _ => text,
    }
}

pub(crate) fn a_question_is_answered_as_by_gen_server(on: &Systems) {
    let Some(mut pair) = start(on) else { return };
    pair.erlang.eval("register(server, Server = spawn(fun() -> twoply_peer:answer(1) end))");
    let add = |n: u32| (twoply_node::wire::Atom::new("add").unwrap(), n);
    assert_eq!(pair.remote.call::<u32>("server", &add(2)).wait(), Ok(3));
    assert_eq!(pair.remote.call::<u32>("server", &add(4)).wait(), Ok(7));
    eventually("no monitor is left of them", || {
        pair.erlang.eval("element(2, process_info(Server, monitored_by))") == "[]"
    });
    let wrong = pair.remote.call::<String>("server", &add(0)).wait();
    assert!(matches!(wrong, Err(CallError::Answer(_))), "{wrong:?}");
    let nobody = pair.remote.call::<u32>("nobody", &add(1)).wait();
    assert_eq!(nobody, Err(CallError::Ended(ExitReason::NoProcess)));
    let silent = pair.remote.call::<u32>("server", &Term::atom("silence"));
    assert!(timeout(Duration::from_millis(20), silent).wait().is_err());
    let crash = pair.remote.call::<u32>("server", &Term::atom("crash")).wait();
    let Err(CallError::Ended(reason)) = crash else { panic!("{crash:?}") };
    assert_eq!(reason.to_string(), "{crashed,true}");
    pair.erlang.eval("register(server2, spawn(fun() -> twoply_peer:answer(1) end))");
    let silent = pair.remote.call::<u32>("server2", &Term::atom("silence"));
    assert!(pair.node.disconnect(&pair.erlang.name));
    assert_eq!(silent.wait(), Err(CallError::Ended(ExitReason::NoConnection)));
    let late = pair.remote.call::<u32>("server2", &add(1)).wait();
    assert_eq!(late, Err(CallError::Ended(ExitReason::NoConnection)));
}

/// Has the Erlang node start a process that waits for its end, and tell ours of it by an order.
fn told(pair: &mut Pair, hearing: &Receiver<String>, order: &str, answer: &str) {
    pair.erlang.eval("Other = spawn(fun() -> twoply_peer:answer(0) end)");
    pair.erlang.eval(&format!("{{obedient, ours@localhost}} ! {{{order}, Other}}"));
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), answer);
    // The frame about it goes another way than what the test says.
    let what = if order == "link" { "links" } else { "monitored_by" };
    let know = format!("element(2, process_info(Other, {what})) =/= []");
    eventually("the peer knows", || pair.erlang.eval(&know) == "true");
}

pub(crate) fn links_end_both_sides(on: &Systems) {
    let Some(mut pair) = start(on) else { return };
    let (process, hearing) = obedient(on, &pair);
    // We link, they end.
    told(&mut pair, &hearing, "link", "linked");
    pair.erlang.eval("Other ! {stop, {shutdown, done}}");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "exit {shutdown,done}");
    // Unlinked, nothing comes.
    let fresh = "Second = spawn(fun() -> twoply_peer:answer(0) end), {obedient, ours@localhost} ! {link, Second}, \
                 {obedient, ours@localhost} ! {unlink, Second}, {obedient, ours@localhost} ! {link, Second}";
    pair.erlang.eval(fresh);
    for answer in ["linked", "unlinked", "linked"] {
        assert_eq!(hearing.recv_timeout(SOON).unwrap(), answer);
    }
    pair.erlang.eval("{obedient, ours@localhost} ! {unlink, Second}");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "unlinked");
    eventually("the peer has no link", || {
        pair.erlang.eval("element(2, process_info(Second, links))") == "[]"
    });
    // They link, we end; and nobody is there after that.
    let pid = pair.node.expose(&process).unwrap();
    pair.erlang.eval("register(shell, self())");
    pair.remote.process::<twoply_node::wire::Pid>("shell").send(pid).wait().unwrap();
    assert_eq!(pair.erlang.eval("Pid = receive P when is_pid(P) -> P end, link(Pid)"), "true");
    assert_eq!(pair.erlang.eval("Pid ! {add, 1}, ok"), "ok");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "add 1");
    process.try_send(Order::Fail("over".to_owned())).unwrap();
    let heard = "receive {'EXIT', Pid, Why} -> Why after 30000 -> timeout end";
    assert_eq!(pair.erlang.eval(heard), "{error,<<\"over\">>}");
    assert_eq!(pair.erlang.eval(&format!("link(Pid), {}", heard.replace("Why", "Late"))), "noproc");
}

pub(crate) fn monitors_are_told_of_both_sides(on: &Systems) {
    let Some(mut pair) = start(on) else { return };
    let (process, hearing) = obedient(on, &pair);
    told(&mut pair, &hearing, "monitor", "monitors");
    pair.erlang.eval("Other ! {stop, kaboom}");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "down kaboom");
    let down = |reference: &str| {
        format!(
            "receive {{'DOWN', {reference}, process, Who{reference}, Why{reference}}} -> \
                 {{Who{reference}, Why{reference}}} after 30000 -> timeout end"
        )
    };
    let named = format!("A = monitor(process, {{nobody, ours@localhost}}), {}", down("A"));
    assert_eq!(pair.erlang.eval(&named), "{{nobody,ours@localhost},noproc}");
    pair.erlang.eval(
        "B = monitor(process, {obedient, ours@localhost}), C = monitor(process, {obedient, ours@localhost})",
    );
    assert_eq!(pair.erlang.eval("demonitor(C), {obedient, ours@localhost} ! {add, 1}, ok"), "ok");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "add 1");
    process.try_send(Order::Stop).unwrap();
    assert_eq!(pair.erlang.eval(&down("B")), "{{obedient,ours@localhost},normal}");
    assert_eq!(pair.erlang.eval("receive {'DOWN', C, _, _, _} -> told after 0 -> nothing end"), "nothing");
    // By name, and of somebody who is not there.
    let (seen, told) = channel();
    let remote = pair.remote.clone();
    let watcher = twoply_tests::builder(on).spawn(async move |mut me: Process<()>| {
        remote.monitor(&me, "nobody");
        if let Event::Down(down) = me.receive().await {
            let _ = seen.send((down.name.clone(), down.reason.clone()));
        }
    });
    assert_eq!(told.recv_timeout(SOON).unwrap(), (Some("nobody".into()), ExitReason::NoProcess));
    watcher.unwrap().ended().wait();
}

pub(crate) fn the_end_of_a_connection_is_told_once(on: &Systems) {
    let Some(mut pair) = start(on) else { return };
    let (process, hearing) = obedient(on, &pair);
    told(&mut pair, &hearing, "link", "linked");
    told(&mut pair, &hearing, "monitor", "monitors");
    let shell = pair.remote.process::<Order>("shell");
    pair.erlang.eval("M = monitor(process, {obedient, ours@localhost})");
    pair.erlang.kill();
    let mut told = [hearing.recv_timeout(SOON).unwrap(), hearing.recv_timeout(SOON).unwrap()];
    told.sort();
    assert_eq!(told, ["down no connection", "exit no connection"]);
    assert!(pair.node.nodes().is_empty());
    assert!(shell.is_closed() && shell.send(Order::Stop).wait().is_err());
    eventually("the peer's monitor is taken back", || process.info().unwrap().monitored_by.is_empty());
    process.try_send(Order::Add(1)).unwrap();
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "add 1", "and nothing else has come");
}

/// A type that panics when it is read.
struct Fragile;

impl<'a> FromTerm<'a> for Fragile {
    fn from_term(_: &mut Decoder<'a>) -> Result<Fragile, DecodeError> {
        panic!("a type of the program's panics, as this test wants")
    }
}

pub(crate) fn what_is_not_understood_is_counted_and_answered(on: &Systems) {
    let Some(mut pair) = start(on) else { return };
    let (_process, hearing) = obedient(on, &pair);
    let asked = "catch gen_server:call({obedient, ours@localhost}, {what, 1})";
    let answer = pair.erlang.eval(asked);
    assert!(answer.starts_with("{error,{undecodable,<<\"no variant is $gen_call"), "{answer}");
    pair.erlang.eval("{obedient, ours@localhost} ! nonsense, {nobody, ours@localhost} ! nonsense");
    pair.erlang.eval("{obedient, ours@localhost} ! {add, 1}");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "add 1");
    assert_eq!(pair.node.dropped(), (1, 2));
    let fragile = twoply_tests::builder(on).spawn(async |mut me: Process<Fragile>| drop(me.receive().await));
    pair.node.register("fragile", &fragile.unwrap()).unwrap();
    pair.erlang.eval("{fragile, ours@localhost} ! 1, {obedient, ours@localhost} ! {add, 2}");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "add 2", "the connection goes on");
    assert_eq!(pair.node.dropped(), (1, 3));
}

#[derive(FromTerm)]
#[term(crate = twoply_node)]
enum Question {
    #[term(call)]
    Sum(Vec<u64>, Resolver<Result<u64, String>>),
    #[term(call)]
    Drop(Resolver<u64>),
    #[term(call)]
    Die { reply: Resolver<u64> },
    #[term(cast)]
    Start(u64),
}

pub(crate) fn erlang_asks_as_it_asks_a_gen_server(on: &Systems) {
    let Some(mut pair) = start(on) else { return };
    let body = async |mut me: Process<Question>| {
        let mut start = 0u64;
        loop {
            match me.receive().await.message() {
                Some(Question::Sum(numbers, answer)) => {
                    let sum = numbers.iter().try_fold(start, |sum, n| sum.checked_add(*n));
                    let _ = answer.resolve(sum.ok_or_else(|| "too much".to_owned()));
                }
                Some(Question::Drop(answer)) => drop(answer),
                Some(Question::Die { reply }) => {
                    drop(reply);
                    return Err("enough");
                }
                Some(Question::Start(number)) => start = number,
                None => return Ok(()),
            }
        }
    };
    let process = twoply_tests::builder(on).spawn(body).unwrap();
    pair.node.register("adder", &process).unwrap();
    let mut call = |request: &str| {
        pair.erlang.eval(&format!("catch gen_server:call({{adder, ours@localhost}}, {request})"))
    };
    assert_eq!(call("{sum, [1, 2, 3]}"), "{ok,6}");
    assert_eq!(call("{sum, \"abc\"}"), "{ok,294}", "a string is a list");
    assert_eq!(call("{sum, [16#ffffffffffffffff, 1]}"), "{error,<<\"too much\">>}");
    assert!(call("{sum, [1, x]}").contains("[1]: there is an atom instead of an integer"));
    assert_eq!(call("drop"), "{error,broken}");
    assert!(call("die").starts_with("{'EXIT',{{error,<<\"enough\">>},{gen_server,call"));
    assert!(call("drop").starts_with("{'EXIT',{noproc,"));
    let again = twoply_tests::builder(on).spawn(body).unwrap();
    pair.node.register("adder", &again).unwrap();
    pair.erlang.eval("gen_server:cast({adder, ours@localhost}, {start, 10})");
    assert_eq!(pair.erlang.eval("gen_server:call({adder, ours@localhost}, {sum, [1]})"), "{ok,11}");
}

pub(crate) fn after_a_storm_of_links_both_sides_agree(on: &Systems) {
    storm(on, 5_000);
}

pub(crate) fn after_a_hundred_thousand_links_both_sides_agree(on: &Systems) {
    storm(on, 50_000);
}

/// Each side links and unlinks the same pair so often, and does so again with another end.
fn storm(on: &Systems, times: u32) {
    let Some(mut pair) = start(on) else { return };
    let (process, hearing) = obedient(on, &pair);
    let pid = pair.node.expose(&process).unwrap();
    pair.erlang.eval("register(shell, self())");
    pair.remote.process::<twoply_node::wire::Pid>("shell").send(pid).wait().unwrap();
    pair.erlang.eval("Pid = receive P when is_pid(P) -> P end, process_flag(trap_exit, true)");
    let other = pair.remote.call::<twoply_node::wire::Pid>("shell", &0);
    pair.erlang.eval("receive {'$gen_call', From, 0} -> gen:reply(From, self()) end");
    let other = other.wait().unwrap();
    for last in ["link", "unlink"] {
        let rounds = format!("[begin link(Pid), unlink(Pid) end || _ <- lists:seq(1, {times})], {last}(Pid)");
        pair.erlang.begin(&rounds);
        for _ in 0..times {
            process.send(Order::Link(other.clone())).wait().unwrap();
            process.send(Order::Unlink(other.clone())).wait().unwrap();
        }
        pair.erlang.end();
        for _ in 0..2 * times {
            hearing.recv_timeout(SOON).unwrap();
        }
        let agree = || {
            let ours = !process.info().unwrap().links.is_empty();
            let theirs = "[P || P <- element(2, process_info(self(), links)), is_pid(P), node(P) =/= node()]";
            ours == (pair.erlang.eval(theirs) != "[]")
        };
        eventually("both have the link or neither has", agree);
    }
    // And a link that is made now is one.
    told(&mut pair, &hearing, "link", "linked");
    pair.erlang.eval("Other ! {stop, calm}");
    assert_eq!(hearing.recv_timeout(SOON).unwrap(), "exit calm");
}
