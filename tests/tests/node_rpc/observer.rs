//! The law of what Erlang's `observer` is told. Its requests are made as OTP 25's does.

use std::sync::mpsc::channel;

use twoply_core::Wait;
use twoply_core::actor::{Builder, ExitReason, Process};
use twoply_node::Node;
use twoply_node::wire::{Limits, Term};
use twoply_tests::{Gate, Systems, eventually};

use super::functions::start;
use super::way::{erlang, ours};

/// Has the list of processes told to the one that evaluates this, as `Processes`: name, reductions, queue and
/// state of each.
const LIST: &str = "
    Lister = spawn_link(ours@localhost, observer_backend, procs_info, [self()]),
    All = receive {procs_info, Lister, Infos} -> Infos; {'EXIT', Lister, Early} -> exit(Early) end,
    Ended = receive {'EXIT', Lister, Why} -> Why after 30000 -> timeout end,
    Processes = lists:sort([{Name, Reductions, Queue, State} ||
        {etop_proc_info, Pid, 0, Reductions, Name, 0, State, Queue} <- All, node(Pid) =:= ours@localhost]),
    {Processes, Ended}";

pub(crate) fn an_observer_lists_what_is_exposed(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    let (begun, begins) = channel();
    let gate = Gate::default();
    let opens = gate.clone();
    let busy = Builder::<Term>::new().capacity(2).on(on.here().backend());
    let busy = busy.spawn(async move |mut me: Process<Term>| {
        let _ = me.receive().await;
        begun.send(()).unwrap();
        opens.opened().await;
    });
    let busy = busy.unwrap();
    node.register("till", &busy).unwrap();
    let clerk = Builder::<Term>::new().name("clerk").on(on.here().backend());
    let clerk = clerk.spawn(async |mut me: Process<Term>| drop(me.receive().await)).unwrap();
    node.expose(&clerk).unwrap();

    // Nothing is told before the program has said so.
    let asked = "rpc:call(ours@localhost, observer_backend, sys_info, [])";
    assert!(erlang.eval(asked).starts_with("{badrpc,{'EXIT',{undef"));
    node.functions().add_observer();
    let exported = "erpc:call(ours@localhost, erlang, function_exported, [observer_backend,";
    assert_eq!(erlang.eval(&format!("{exported} procs_info, 1])")), "true");
    assert_eq!(erlang.eval(&format!("{exported} fetch_stats, 2])")), "false");
    let property = |key: &str| format!("proplists:get_value({key}, {asked})");
    node.functions()
        .add_process("shop", "wait", async |mut me: Process<Term>, (): ()| drop(me.receive().await));
    erlang.eval("persistent_term:put(waits, spawn(ours@localhost, shop, wait, []))");
    eventually("three are there", || erlang.eval(&property("process_count")) == "3");
    assert_eq!(erlang.eval(&property("otp_release")), "\"twoply\"");
    assert_eq!(erlang.eval(&format!("is_integer({})", property("uptime"))), "true");

    erlang.eval("{till, ours@localhost} ! first");
    begins.recv().unwrap();
    // Two are in the mailbox, and two wait for room in it.
    erlang.eval("[{till, ours@localhost} ! N || N <- [1, 2, 3, 4]]");
    // Only names that an observer can sort: the clerk's is none for others.
    let list = "{[{till,1,4,running},{undefined,0,0,receiving},{{shop,wait,0},0,0,receiving}],normal}";
    eventually("both receive", || {
        erlang.eval("f()");
        erlang.eval(LIST) == list
    });
    erlang.eval("f()");
    let top = "
        Lister = spawn_link(ours@localhost, observer_backend, etop_collect, [self()]),
        Top = receive {Lister, Info} -> Info after 30000 -> timeout end,
        Ended = receive {'EXIT', Lister, Why} -> Why after 30000 -> timeout end,
        {etop_info, {_, _, _}, 3, undefined, undefined, 0, [], undefined, All} = Top,
        {lists:sort([element(5, Process) || Process <- All]), Ended}";
    assert_eq!(erlang.eval(top), "{[till,undefined,{shop,wait,0}],normal}");
    let charts = "
        Charts = spawn_link(ours@localhost, observer_backend, fetch_stats, [self(), 1000]),
        receive {'EXIT', Charts, {undef, _}} -> undef after 30000 -> timeout end";
    assert_eq!(erlang.eval(charts), "undef");

    // A name that was taken back stays with the next one that has it.
    node.register("desk", &busy).unwrap();
    assert!(node.unregister("desk"));
    node.register("desk", &clerk).unwrap();
    gate.open();
    assert_eq!(busy.ended().wait(), ExitReason::Normal);
    assert!(!node.unregister("till") && node.unregister("desk"));
    erlang.eval("persistent_term:get(waits) ! go");
    clerk.pid().exit(ExitReason::Shutdown);
    eventually("nobody is left", || erlang.eval(&property("process_count")) == "0");
}

/// Asks for the list by one of the functions of `observer_backend`, and returns how many processes were told
/// of, how many different ones, and why the lister has ended.
fn list(function: &str) -> String {
    format!(
        "(fun() ->
            Lister = spawn_link(ours@localhost, observer_backend, {function}, [self()]),
            All = fun Next(Told) -> receive
                {{procs_info, Lister, Infos}} -> Next(Infos ++ Told);
                {{Lister, Info}} -> Next(element(9, Info) ++ Told);
                {{'EXIT', Lister, Why}} -> {{length(Told), length(lists:usort(Told)), Why}}
            end end,
            All([])
        end)()"
    )
}

pub(crate) fn an_observer_lists_many_processes_some_at_a_time(on: &Systems) {
    const MANY: usize = 4_001;
    let Some(mut erlang) = erlang(60) else { return };
    // All of them are not one message, but a part of them is.
    let limits = Limits { message: 120 << 10, ..Limits::default() };
    let node = ours(on, Node::builder("ours@localhost").limits(limits), Some(&erlang));
    node.functions().add_observer();
    let gate = Gate::default();
    let clerk = || {
        let opens = gate.clone();
        let clerk = Builder::<Term>::new().on(on.here().backend());
        clerk.spawn(async move |_: Process<Term>| opens.opened().await).unwrap()
    };
    let clerks: Vec<_> = (0..MANY).map(|_| clerk()).collect();
    clerks.iter().for_each(|clerk| _ = node.expose(clerk).unwrap());
    assert_eq!(erlang.eval(&list("procs_info")), format!("{{{MANY},{MANY},normal}}"));
    let why = erlang.eval(&list("etop_collect"));
    assert!(why.starts_with("{0,0,") && why.contains("longer than a message"), "{why}");
    gate.open();
}
