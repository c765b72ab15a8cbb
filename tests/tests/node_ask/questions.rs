//! Laws of questions to processes of another node by `ProcessRef::ask`, and of processes in messages.

use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::actor::{Event, ExitReason, Pid, Process, ProcessRef};
use twoply_core::future::join_all;
use twoply_core::promise::{Failure, Resolver};
use twoply_node::Node;
use twoply_node::wire::{FromTerm, ToTerm, to_bytes};
use twoply_tests::{ErlangNode, Systems, eventually};

use super::way::{erlang, ours};

/// So that what is given up is forgotten within a second.
const TICK: Duration = Duration::from_secs(2);

fn start(on: &Systems, name: &str, erlang: Option<&ErlangNode>) -> Node {
    ours(on, Node::builder(name).tick_time(TICK), erlang)
}

#[derive(ToTerm)]
#[term(crate = twoply_node)]
enum Adder {
    #[term(call)]
    Add(i64, Resolver<i64>),
    #[term(call)]
    Crash(Resolver<i64>),
    #[term(call)]
    Silence(Resolver<i64>),
}

/// Makes failures comparable, by what they say.
fn said<T>(answer: Result<T, Failure>) -> Result<T, String> {
    answer.map_err(|failure| failure.to_string())
}

/// The monitors of the peer's process `server`.
const MONITORED: &str = "element(2, process_info(whereis(server), monitored_by))";

pub(crate) fn a_gen_server_is_asked_by_its_reference(on: &Systems) {
    let Some(mut erlang) = erlang(2) else { return };
    erlang.eval("register(server, spawn(fun() -> twoply_peer:answer(1) end))");
    let node = start(on, "ours@localhost", Some(&erlang));
    // The first question connects.
    let server = node.remote(erlang.name.as_str()).process::<Adder>("server");
    assert_eq!(said(server.ask(|reply| Adder::Add(5, reply)).wait()), Ok(6));
    for n in 0..100 {
        assert_eq!(said(server.ask(|reply| Adder::Add(1, reply)).wait()), Ok(7 + n));
    }
    // Many at once, from a process of this system.
    let asked = server.clone();
    let many = on.here().spawn(async move {
        let answers: Vec<_> =
            (0..100).map(|_| asked.try_ask(|reply| Adder::Add(0, reply)).map_err(drop).unwrap()).collect();
        for answer in answers {
            assert_eq!(said(answer.await), Ok(106));
        }
    });
    many.wait().unwrap();
    // By its pid, which a plain question has brought.
    erlang.eval("register(shell, self())");
    let remote = node.connected(&erlang.name).unwrap();
    let told = remote.call::<ProcessRef<Adder>>("shell", &1);
    erlang.eval("receive {'$gen_call', From, 1} -> gen:reply(From, whereis(server)) end");
    let by_pid = told.wait().unwrap();
    assert!(!by_pid.pid().is_local());
    assert_eq!(said(by_pid.ask(|reply| Adder::Add(1, reply)).wait()), Ok(107));
    eventually("no monitor is left", || erlang.eval(MONITORED) == "[]");
    // An answer of another type, and no process at all.
    let dropped = node.dropped().1;
    let shell = node.remote(erlang.name.as_str()).process::<Adder>("shell");
    let answer = shell.try_ask(|reply| Adder::Add(1, reply)).map_err(drop).unwrap();
    erlang.eval("receive {'$gen_call', Other, {add, 1}} -> gen:reply(Other, none) end");
    assert_eq!(said(answer.wait()), Err(Failure::Broken.to_string()));
    assert_eq!(node.dropped().1, dropped + 1);
    let nobody = node.remote(erlang.name.as_str()).process::<Adder>("nobody");
    let none = nobody.ask(|reply| Adder::Add(1, reply)).wait();
    assert_eq!(said(none), Err(Failure::NoProcess(ExitReason::NoProcess).to_string()));
    let ended = server.ask(Adder::Crash).wait();
    assert!(
        matches!(&ended, Err(Failure::NoProcess(why)) if why.to_string() == "{crashed,true}"),
        "{ended:?}"
    );
    // A question means nothing where it goes to no node.
    let local = twoply_tests::builder(on).spawn(async |mut me: Process<Adder>| {
        let Some(question) = me.receive().await.message() else { return };
        assert!(to_bytes(&question).is_err());
    });
    assert!(local.unwrap().ask(|reply| Adder::Add(1, reply)).wait().is_err());
}

pub(crate) fn a_question_that_is_given_up_is_forgotten(on: &Systems) {
    let Some(mut erlang) = erlang(2) else { return };
    erlang.eval("register(server, spawn(fun() -> twoply_peer:answer(1) end)), register(shell, self())");
    let node = start(on, "ours@localhost", Some(&erlang));
    let server = node.remote(erlang.name.as_str()).process::<Adder>("server");
    let soon = Duration::from_millis(20);
    assert_eq!(said(server.ask(Adder::Silence).timeout(soon).wait()), Err(Failure::TimedOut.to_string()));
    // More than are looked through at once.
    let many: Vec<_> = (0..500).map(|_| server.try_ask(Adder::Silence).map_err(drop).unwrap()).collect();
    drop(many);
    eventually("their monitors are taken back", || erlang.eval(MONITORED) == "[]");
    // A late answer is nobody's, and does not become that of a later question.
    let shell = node.remote(erlang.name.as_str()).process::<Adder>("shell");
    assert_eq!(said(shell.ask(Adder::Silence).timeout(soon).wait()), Err(Failure::TimedOut.to_string()));
    let next = shell.try_ask(|reply| Adder::Add(2, reply)).map_err(drop).unwrap();
    erlang.eval("receive {'$gen_call', Late, silence} -> gen:reply(Late, 1) end");
    erlang.eval("receive {'$gen_call', Next, {add, 2}} -> gen:reply(Next, 2) end");
    assert_eq!(said(next.wait()), Ok(2));
    assert_eq!(said(server.ask(|reply| Adder::Add(0, reply)).wait()), Ok(1));
}

pub(crate) fn the_end_of_the_connection_answers_what_is_asked(on: &Systems) {
    let Some(mut erlang) = erlang(2) else { return };
    erlang.eval("register(server, spawn(fun() -> twoply_peer:answer(1) end))");
    let node = start(on, "ours@localhost", Some(&erlang));
    let lost = Err(Failure::NoProcess(ExitReason::NoConnection).to_string());
    for name in [erlang.name.clone(), "nobody@localhost".to_owned()] {
        let server = node.remote(name.as_str()).process::<Adder>("server");
        let asked: Vec<_> = (0..50).map(|_| server.try_ask(Adder::Silence).map_err(drop).unwrap()).collect();
        eventually("they are connected, or cannot be", || {
            name == "nobody@localhost" || node.disconnect(&name)
        });
        for answer in asked {
            assert_eq!(said(answer.wait()), lost);
        }
    }
}

#[derive(ToTerm, FromTerm)]
#[term(crate = twoply_node)]
enum Talk {
    Hello(ProcessRef<Talk>),
    Watch(Pid),
    Text(String),
}

pub(crate) fn processes_go_out_and_come_back(on: &Systems) {
    let Some(mut erlang) = erlang(60) else { return };
    erlang.eval("register(shell, self())");
    let node = start(on, "ours@localhost", Some(&erlang));
    let (heard, hearing) = std::sync::mpsc::channel();
    let shell = node.remote(erlang.name.as_str()).process::<Talk>("shell");
    let other = shell.clone();
    let body = async move |mut me: Process<Talk>| {
        let own = me.me();
        other.send(Talk::Hello(own.clone())).await.unwrap();
        loop {
            match me.receive().await {
                Event::Message(Talk::Hello(process)) if process.pid() == own.pid() => {
                    // What has come back is this process, as it is.
                    assert!(process.pid().is_local());
                    process.send(Talk::Text("to myself".to_owned())).await.unwrap();
                }
                Event::Message(Talk::Hello(process)) => {
                    process.send(Talk::Text("hello".to_owned())).await.unwrap();
                }
                Event::Message(Talk::Watch(pid)) => {
                    me.monitor(&pid);
                    other.send(Talk::Text("it is watched".to_owned())).await.unwrap();
                    heard.send(format!("watches {}", pid.is_local())).unwrap();
                }
                Event::Message(Talk::Text(text)) => heard.send(text).unwrap(),
                Event::Down(down) => heard.send(format!("down {}", down.reason)).unwrap(),
                _ => {}
            }
        }
    };
    let process = twoply_tests::builder(on).spawn(body).unwrap();
    let hears = |said: &str| assert_eq!(hearing.recv_timeout(Duration::from_secs(30)).unwrap(), said);
    erlang.eval("Ours = receive {hello, Pid} -> Pid end, Ours ! {text, <<\"hi\">>}");
    hears("hi");
    erlang.eval("Ours ! {hello, Ours}");
    hears("to myself");
    assert_eq!(
        erlang.eval("Ours ! {hello, self()}, receive {text, T} -> T after 30000 -> none end"),
        "<<\"hello\">>"
    );
    erlang.eval("Other = spawn(fun() -> receive {stop, Why} -> exit(Why) end end), Ours ! {watch, Other}");
    hears("watches false");
    erlang.eval("receive {text, <<\"it is watched\">>} -> Other ! {stop, calm} end");
    hears("down calm");
    // A bare pid can be watched and ended, and not written to.
    let quiet =
        twoply_tests::builder(on).spawn(async |mut me: Process<Talk>| drop(me.receive().await)).unwrap();
    shell.send(Talk::Watch(quiet.pid())).wait().unwrap();
    let unknown = node.dropped().0;
    erlang.eval("Quiet = receive {watch, Q} -> Q end, Ref = monitor(process, Quiet), Quiet ! {text, <<>>}");
    eventually("the message is nobody's", || node.dropped().0 == unknown + 1);
    quiet.pid().exit(ExitReason::Shutdown);
    assert_eq!(erlang.eval("receive {'DOWN', Ref, _, _, Why} -> Why after 30000 -> none end"), "shutdown");
    // What stands for a name has no pid, so that message is handed back.
    assert!(shell.send(Talk::Hello(shell.clone())).wait().is_err());
    process.pid().exit(ExitReason::Kill);
}

#[derive(ToTerm, FromTerm)]
#[term(crate = twoply_node)]
enum Counter {
    #[term(call)]
    Next(Resolver<u64>),
    /// It is answered by whoever gets the resolver.
    Delegated(ProcessRef<Answer>, Resolver<u64>),
}

#[derive(ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct Answer(u64, Resolver<u64>);

pub(crate) fn two_nodes_of_ours_ask_each_other(on: &Systems) {
    let nodes = ["one@localhost", "two@localhost"].map(|name| start(on, name, None));
    nodes[0].add_peer(nodes[1].name(), nodes[1].local_addr());
    let counter = twoply_tests::builder(on).spawn(async |mut me: Process<Counter>| {
        for count in 1.. {
            match me.receive().await.message() {
                Some(Counter::Next(reply)) => drop(reply.resolve(count)),
                Some(Counter::Delegated(to, reply)) => to.send(Answer(count, reply)).await.unwrap(),
                None => return,
            }
        }
    });
    nodes[1].register("counter", &counter.unwrap()).unwrap();
    let there = nodes[0].remote("two@localhost").process::<Counter>("counter");
    for count in 1..=50 {
        assert_eq!(said(there.ask(Counter::Next).wait()), Ok(count));
    }
    let helper = twoply_tests::builder(on).spawn(async |mut me: Process<Answer>| {
        while let Some(Answer(count, reply)) = me.receive().await.message() {
            let _ = reply.resolve(count + 1000);
        }
    });
    let helper = helper.unwrap();
    assert_eq!(said(there.ask(|reply| Counter::Delegated(helper.clone(), reply)).wait()), Ok(1051));
    // Who drops the question is found out, as here.
    helper.pid().exit(ExitReason::Kill);
    helper.ended().wait();
    let asked = there.ask(|reply| Counter::Delegated(helper.clone(), reply)).timeout(Duration::from_secs(20));
    assert_eq!(said(asked.wait()), Err(Failure::Broken.to_string()));
}

/// Nothing else goes out by which it would be told: no node ticks meanwhile.
pub(crate) fn many_questions_are_soon_known_to_be_over(on: &Systems) {
    let builder = |name| Node::builder(name).tick_time(Duration::from_secs(36_000));
    let nodes = ["one@localhost", "two@localhost"].map(|name| ours(on, builder(name), None));
    nodes[0].add_peer(nodes[1].name(), nodes[1].local_addr());
    let counter = twoply_tests::builder(on).spawn(async |mut me: Process<Counter>| {
        while let Some(Counter::Next(reply)) = me.receive().await.message() {
            let _ = reply.resolve(1);
        }
    });
    let counter = counter.unwrap();
    nodes[1].register("counter", &counter).unwrap();
    let there = nodes[0].remote("two@localhost").process::<Counter>("counter");
    for questions in [1, 100, 1_000] {
        let answers = join_all((0..questions).map(|_| there.ask(Counter::Next))).wait();
        assert!(answers.into_iter().all(|answer| said(answer) == Ok(1)));
        let answered = Instant::now();
        eventually("they are known to be over", || counter.info().unwrap().monitored_by.is_empty());
        assert!(answered.elapsed() < Duration::from_secs(5), "{questions}: {:?}", answered.elapsed());
    }
}

#[derive(ToTerm, FromTerm)]
#[term(crate = twoply_node)]
enum Story {
    #[term(call)]
    Tell(Resolver<String>),
}

pub(crate) fn a_long_answer_comes_before_the_end_of_who_gives_it(on: &Systems) {
    let nodes = ["one@localhost", "two@localhost"].map(|name| start(on, name, None));
    nodes[0].add_peer(nodes[1].name(), nodes[1].local_addr());
    let teller = twoply_tests::builder(on).spawn(async |mut me: Process<Story>| {
        if let Some(Story::Tell(reply)) = me.receive().await.message() {
            let _ = reply.resolve("once ".repeat(4 << 20));
        }
    });
    nodes[1].register("teller", &teller.unwrap()).unwrap();
    let there = nodes[0].remote("two@localhost").process::<Story>("teller");
    assert_eq!(said(there.ask(Story::Tell).wait()).map(|story| story.len()), Ok(20 << 20));
}
