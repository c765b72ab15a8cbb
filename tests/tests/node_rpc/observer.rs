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

/// Asks for applications as the page of them does, and returns what it is told, and whether it is always told
/// by the same process.
const APPLICATIONS: &str = "
    Start = fun() -> rpc:call(ours@localhost, appmon_info, start_link2, [self(), self(), []]) end,
    {ok, Tells} = Start(),
    Ask = fun(What, Which, Wanted) -> gen_server:cast(Tells, {self(), What, Which, Wanted, []}) end,
    Ask(app_ctrl, ours@localhost, false),
    Ask(app_ctrl, ours@localhost, true),
    Tells ! nothing,
    Ask(app, kernel, true),
    Told = [receive {delivery, Tells, What, Which, All} -> {What, Which, All} after 30000 -> timeout end
        || _ <- [1, 2]],
    Same = Start() =:= {ok, Tells},
    exit(Tells, kill),
    End = monitor(process, Tells),
    receive {'DOWN', End, _, _, _} -> ok end,
    {ok, Other} = Start(),
    {Told, Same, Other =/= Tells}";

pub(crate) fn no_page_of_an_observer_ends_it(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    node.functions().add_observer();
    let here = || Builder::<Term>::new().capacity(4).on(on.here().backend());
    let body = async |mut me: Process<Term>| drop(me.receive().await);
    let friend = here().spawn(body).unwrap();
    node.expose(&friend).unwrap();
    let unknown = here().spawn(body).unwrap();
    let (tells, told) = channel();
    let (gate, others) = (Gate::default(), [friend.pid(), unknown.pid()]);
    let opens = gate.clone();
    let till = here().spawn(async move |me: Process<Term>| {
        me.trap_exit(true);
        for other in &others {
            me.link(other);
            me.monitor(other);
        }
        tells.send(()).unwrap();
        opens.opened().await;
    });
    let till = till.unwrap();
    node.register("till", &till).unwrap();
    told.recv().unwrap();

    let call = |module: &str, function: &str, arguments: &str| {
        format!("rpc:call(ours@localhost, {module}, {function}, {arguments})")
    };
    // The page of allocators divides by zero if it is told of none.
    let allocators =
        format!("proplists:get_value(alloc_info, {})", call("observer_backend", "sys_info", "[]"));
    assert_eq!(erlang.eval(&allocators), "[{none,false}]");
    // Those of ports, sockets and tables take only lists.
    for function in ["get_port_list", "get_socket_list", "socket_info"] {
        assert_eq!(erlang.eval(&call("observer_backend", function, "[]")), "[]");
    }
    let tables = call("observer_backend", "get_table_list", "[ets, [{sys_hidden, true}]]");
    assert_eq!(erlang.eval(&tables), "[]");
    let applications = "{[{app_ctrl,ours@localhost,[]},{app,kernel,{[],[],[],[]}}],true,true}";
    assert_eq!(erlang.eval(APPLICATIONS), applications);
    // It is still the same where the program says once more that it may be looked at.
    node.functions().add_observer();
    assert_eq!(erlang.eval("Start() =:= {ok, Other}"), "true");

    // The window of a process.
    erlang.eval(
        "spawn(ours@localhost, observer_backend, etop_collect, [self()]),
        Shown = receive {_, Top} -> element(9, Top) after 30000 -> [] end,
        persistent_term:put(shown, lists:sort([element(2, Process) || Process <- Shown]))",
    );
    let friend_is =
        "Friend = hd(persistent_term:get(shown)), Till = lists:last(persistent_term:get(shown)), ";
    let info = |of: &str, items: &str| {
        format!("begin {friend_is} {} end", call("erlang", "process_info", &format!("[{of}, {items}]")))
    };
    let mut eval = |text: &str| {
        erlang.eval("f()");
        erlang.eval(text)
    };
    assert_eq!(eval(&info("Till", "registered_name")), "{registered_name,till}");
    assert_eq!(eval(&info("Friend", "registered_name")), "[]");
    for item in ["messages", "dictionary", "current_stacktrace"] {
        assert_eq!(eval(&info("Till", item)), format!("{{{item},[]}}"));
    }
    let some = "[trap_exit, registered_name, memory, current_function, status, message_queue_len, binary]";
    let has = "[{trap_exit,true},{registered_name,till},{current_function,{twoply,running,0}},{status,running},\
               {message_queue_len,0},{binary,[]}]";
    assert_eq!(eval(&info("Till", some)), has);
    // Each once, however often it is asked for.
    let many = format!("element(2, lists:unzip({}))", info("Till", "lists:duplicate(100000, dictionary)"));
    assert_eq!(eval(&many), "[[]]");
    // Others are not told of a process that they do not know.
    let relations = info("Till", "[links, monitors, monitored_by]");
    let knows = "[{links, [Friend]}, {monitors, [{process, Friend}]}, {monitored_by, []}]";
    assert_eq!(eval(&format!("{friend_is} {knows} =:= {relations}")), "true");
    assert_eq!(eval(&info("Friend", "monitored_by")), eval(&format!("{friend_is} {{monitored_by, [Till]}}")));
    let behaviour = format!("{friend_is} {}", call("proc_lib", "translate_initial_call", "[Till]"));
    assert_eq!(eval(&behaviour), "{proc_lib,init_p,5}");
    assert_eq!(eval(&call("erlang", "system_info", "[wordsize]")), "8");
    gate.open();
    assert_eq!(till.ended().wait(), ExitReason::Normal);
    assert_eq!(eval(&info("Till", "registered_name")), "undefined");
    assert_eq!(eval(&info("self()", "registered_name")), "undefined");
    friend.pid().exit(ExitReason::Shutdown);
    unknown.pid().exit(ExitReason::Shutdown);
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
