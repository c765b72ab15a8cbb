//! Laws of functions of an Erlang node that we call and start processes of, and of functions of ours that it
//! does.

use std::sync::mpsc::channel;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{Event, ExitReason, Pid, Process, ProcessRef};
use twoply_core::sync::Notify;
use twoply_core::time::timeout;
use twoply_node::wire::{Atom, Term};
use twoply_node::{Node, RegisterError, RpcError};
use twoply_tests::{ErlangNode, Gate, Systems, eventually};

use super::way::{erlang, ours};

const SOON: Duration = Duration::from_secs(30);

pub(crate) fn start(on: &Systems) -> Option<(ErlangNode, Node)> {
    let erlang = erlang(60)?;
    let node = ours(on, Node::builder("ours@localhost"), Some(&erlang));
    Some((erlang, node))
}

pub(crate) fn atom(text: &str) -> Atom {
    Atom::new(text).unwrap()
}

pub(crate) fn we_call_functions_of_erlang(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    let name = erlang.name.clone();
    // The first one connects.
    let sum = node.call::<u64>(&name, "lists", "sum", &(vec![1u64, 2, 3],));
    assert_eq!(sum.wait(), Ok(6));
    assert_eq!(node.call::<Atom>(&name, "erlang", "node", &()).wait(), Ok(atom(&name)));
    // Arguments that are small integers, and many calls at a time.
    let calls: Vec<_> = (0..100u64).map(|n| node.call::<u64>(&name, "erlang", "+", &(n, 1u8))).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait(), Ok(n as u64 + 1));
    }
    let bytes = vec![7u16; 100_000];
    assert_eq!(node.call::<Vec<u16>>(&name, "lists", "reverse", &(bytes.clone(),)).wait(), Ok(bytes));
    erlang.eval("register(shell, self())");
    node.cast(&name, "erlang", "send", &(atom("shell"), "hello")).unwrap();
    assert_eq!(erlang.eval("receive <<\"hello\">> -> heard after 30000 -> timeout end"), "heard");
    let (ours, there) = (node.clone(), name.clone());
    let all = on.here().spawn(async move {
        let nodes = [there.as_str(), "nobody@localhost", there.as_str()];
        ours.multicall::<u64>(&nodes, "erlang", "abs", &(-7i64,)).await
    });
    let lost = Err(RpcError::Ended(ExitReason::NoConnection));
    assert_eq!(all.wait().unwrap(), [Ok(7), lost, Ok(7)]);
}

pub(crate) fn a_call_that_has_no_result_says_why(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    let name = erlang.name.clone();
    let raised = |module: &str, function: &str, argument: &str| match node
        .call::<Term>(&name, module, function, &(atom(argument),))
        .wait()
    {
        Err(RpcError::Raised { class, reason }) => format!("{class} {reason}"),
        other => format!("{other:?}"),
    };
    assert_eq!(raised("nothing", "there", "x"), "error undef");
    assert_eq!(raised("erlang", "length", "x"), "error badarg");
    assert_eq!(raised("erlang", "throw", "ball"), "throw ball");
    assert_eq!(raised("erlang", "exit", "enough"), "exit enough");
    let wrong = node.call::<String>(&name, "erlang", "abs", &(1,)).wait();
    assert!(matches!(wrong, Err(RpcError::Result(_))), "{wrong:?}");
    let not_a_number = node.call::<f64>(&name, "erlang", "abs", &(f64::NAN,)).wait();
    assert!(matches!(not_a_number, Err(RpcError::Arguments(_))), "{not_a_number:?}");
    // Whoever is called is a process, which may be ended.
    let sleeps = node.call::<Term>(&name, "timer", "sleep", &(60_000,));
    let sleeper =
        "[P || P <- processes(), element(2, process_info(P, current_function)) =:= {timer, sleep, 1}]";
    eventually("it sleeps", || erlang.eval(sleeper) != "[]");
    erlang.eval(&format!("[exit(P, kill) || P <- {sleeper}]"));
    assert_eq!(sleeps.wait(), Err(RpcError::Ended(ExitReason::Killed)));
    // One that is given up leaves no monitor there.
    let sleeps = node.call::<Term>(&name, "timer", "sleep", &(60_000,));
    eventually("it sleeps", || erlang.eval(sleeper) != "[]");
    assert!(timeout(Duration::from_millis(20), sleeps).wait().is_err());
    let monitors = format!("[M || P <- {sleeper}, M <- element(2, process_info(P, monitored_by))]");
    eventually("nobody monitors it", || erlang.eval(&monitors) == "[]");
    let sleeps = node.call::<Term>(&name, "timer", "sleep", &(60_000,));
    assert!(node.disconnect(&name));
    assert_eq!(sleeps.wait(), Err(RpcError::Ended(ExitReason::NoConnection)));
}

pub(crate) fn erlang_calls_functions_of_ours(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    let (cast, casts) = channel();
    let functions = node.functions();
    assert!(!functions.add("math", "sum", async |(numbers,): (Vec<u64>,)| numbers.into_iter().sum::<u64>()));
    functions.add("math", "add", async |(a, b): (u8, u8)| a.checked_add(b).ok_or("too much"));
    functions.add("math", "zero", async |(): ()| 0);
    functions.add("math", "crash", async |(): ()| -> u8 { panic!("a function panics, as this test wants") });
    functions.add("log", "line", move |(line,): (String,)| {
        let cast = cast.clone();
        async move { drop(cast.send(line)) }
    });
    let mut eval = |expression: &str| erlang.eval(expression);
    assert_eq!(eval("erpc:call(ours@localhost, math, sum, [[1, 2, 3]])"), "6");
    assert_eq!(eval("rpc:call(ours@localhost, math, add, [1, 2])"), "{ok,3}");
    assert_eq!(eval("rpc:call(ours@localhost, math, add, [200, 200])"), "{error,<<\"too much\">>}");
    assert_eq!(eval("erpc:call(ours@localhost, math, zero, [])"), "0");
    // Processes are arguments and results.
    functions.add("pid", "same", async |(pid,): (Pid,)| pid);
    functions.add("pid", "told", async |(process,): (ProcessRef<Atom>,)| {
        process.send(atom("word")).await.map_err(|error| error.to_string())
    });
    assert_eq!(eval("self() =:= erpc:call(ours@localhost, pid, same, [self()])"), "true");
    assert_eq!(
        eval("self() =:= gen_server:call({rex, ours@localhost}, {call, pid, same, [self()], self()})"),
        "true"
    );
    assert_eq!(
        eval("{erpc:call(ours@localhost, pid, told, [self()]), receive word -> heard end}"),
        "{ok,heard}"
    );
    assert!(functions.remove("pid", "same", 1) && functions.remove("pid", "told", 1));
    assert_eq!(
        eval("erpc:multicall([ours@localhost, node()], erlang, abs, [-1])").matches("undef").count(),
        1
    );
    assert_eq!(eval("rpc:multicall([ours@localhost], math, sum, [[5, 500]])"), "{[505],[]}");
    let request = "erpc:receive_response(erpc:send_request(ours@localhost, math, add, [7, 7]))";
    assert_eq!(eval(request), "{ok,14}");
    eval("rpc:cast(ours@localhost, log, line, [<<\"one\">>])");
    assert_eq!(casts.recv_timeout(SOON), Ok("one".to_owned()));
    eval("erpc:cast(ours@localhost, log, line, [<<\"two\">>])");
    assert_eq!(casts.recv_timeout(SOON), Ok("two".to_owned()));
    // What is not there is `undef`, as by a node without the module.
    let undefined = eval("rpc:call(ours@localhost, lists, sum, [[1]])");
    assert!(undefined.starts_with("{badrpc,{'EXIT',{undef,[{lists,sum,[[1]],[]}"), "{undefined}");
    let undefined = eval("catch erpc:call(ours@localhost, math, sum, [])");
    assert!(undefined.contains("undef,[{math,sum,[],[]}"), "{undefined}");
    let unread = eval("rpc:call(ours@localhost, math, sum, [[1, x]])");
    assert!(unread.contains("{undecodable,<<\"[0]") && unread.contains("an atom instead"), "{unread}");
    // Nothing can be started for this, and it is answered nevertheless.
    let request = "{call, erpc, execute_call, [a, b, c, d], group_leader()}";
    let refused = eval(&format!("gen_server:call({{rex, ours@localhost}}, {request}, 10000)"));
    assert!(refused.starts_with("{badrpc,"), "{refused}");
    let crashed = eval("catch erpc:call(ours@localhost, math, crash, [])");
    assert!(crashed.contains("{signal,{panic,<<\"a function panics"), "{crashed}");
    assert!(functions.remove("math", "zero", 0) && !functions.remove("math", "zero", 0));
    assert!(eval("catch erpc:call(ours@localhost, math, zero, [])").contains("undef"));
    assert_eq!(functions.names(), ["log:line/1", "math:add/2", "math:crash/0", "math:sum/1"]);
    eventually("all have ended", || functions.running() == 0);
    assert_eq!(node.dropped(), (0, 0));
}

pub(crate) fn erlang_starts_processes_of_ours(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    let functions = node.functions();
    functions.add_process("counter", "start", async |mut me: Process<Term>, (mut left,): (u8,)| {
        while left > 0 && me.receive().await.message().is_some() {
            left -= 1;
        }
        if left == 0 { Ok(()) } else { Err("no message") }
    });
    functions.add("math", "zero", async |(): ()| 0);
    let mut eval = |expression: &str| erlang.eval(expression);
    let down = |monitor: &str| {
        format!(
            "receive {{'DOWN', {monitor}, process, _, Why{monitor}}} -> Why{monitor} after 30000 -> timeout end"
        )
    };
    // A process that takes messages by its pid.
    eval("{P, A} = erlang:spawn_monitor(fun() -> ok end), receive {'DOWN', A, _, _, _} -> ok end");
    eval("B = spawn_request(ours@localhost, counter, start, [2], [monitor, {reply_tag, started}])");
    eval("Pid = receive {started, B, ok, Started} -> Started after 30000 -> timeout end");
    assert_eq!(eval("node(Pid)"), "ours@localhost");
    assert_eq!(eval("Pid ! one, Pid ! two, ok"), "ok");
    assert_eq!(eval(&down("B")), "normal");
    // One that is linked and ended.
    eval("Linked = spawn_link(ours@localhost, counter, start, [1]), exit(Linked, enough)");
    assert_eq!(eval("receive {'EXIT', Linked, Why} -> Why after 30000 -> timeout end"), "enough");
    // One of ours is not there, gets wrong arguments, or does something else: it ends, and nothing else does.
    eval("{_, C} = spawn_opt(ours@localhost, nothing, there, [x], [monitor])");
    assert_eq!(eval(&down("C")), "{undef,[{nothing,there,[x],[]}]}");
    eval("{_, D} = spawn_opt(ours@localhost, counter, start, [x], [monitor])");
    assert!(eval(&down("D")).starts_with("{{undecodable,<<\"[0]: there is an atom"));
    eval("{_, E} = spawn_opt(ours@localhost, math, zero, [], [monitor])");
    assert_eq!(eval(&down("E")), "normal");
    eval("F = spawn_request(ours@localhost, math, zero, [], [{priority, high}])");
    let refused = "receive {spawn_reply, F, error, Bad} -> Bad after 30000 -> timeout end";
    assert_eq!(eval(refused), "badopt");
    assert!(eval("catch erpc:call(ours@localhost, counter, start, [1])").contains("undef"));
    // Nobody who is left waits for us.
    eval("{Last, G} = spawn_opt(ours@localhost, counter, start, [1], [monitor])");
    assert_eq!(functions.running(), 1);
    assert_eq!(eval("exit(Last, kill), ok"), "ok");
    assert_eq!(eval(&down("G")), "killed");
    eventually("all have ended", || functions.running() == 0 && node.exposed() == 0);
}

pub(crate) fn we_start_processes_of_erlang(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    let remote = node.remote(erlang.name.as_str());
    erlang.eval("register(shell, self())");
    let (heard, hearing) = channel();
    let watcher = twoply_tests::builder(on).spawn(async move |mut me: Process<()>| {
        let pid = remote.spawn("timer", "sleep", &(60_000,)).await.unwrap();
        me.monitor(&pid);
        me.exit(&pid, ExitReason::other("wake up"));
        // A function that is not there is no error: the process ends at once, or has.
        let nobody = remote.spawn("nothing", "there", &()).await.unwrap();
        me.monitor(&nobody);
        remote.spawn("erlang", "send", &(atom("shell"), 7)).await.unwrap();
        for _ in 0..2 {
            if let Event::Down(down) = me.receive().await {
                let _ = heard.send(down.reason.to_string());
            }
        }
    });
    let told = [hearing.recv_timeout(SOON).unwrap(), hearing.recv_timeout(SOON).unwrap()];
    let gone = |why: &String| why.contains("no such process") || why.contains("undef");
    assert!(told.iter().any(|why| why == "wake up") && told.iter().any(gone), "{told:?}");
    assert_eq!(erlang.eval("receive 7 -> heard after 30000 -> timeout end"), "heard");
    watcher.unwrap().ended().wait();
    let nobody = node.remote("nobody@localhost").spawn("timer", "sleep", &(1,)).wait();
    assert_eq!(nobody, Err(RpcError::Ended(ExitReason::NoConnection)));
}

pub(crate) fn a_process_is_linked_from_its_first_moment(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    let remote = node.remote(erlang.name.as_str());
    let (heard, hearing) = channel();
    let parent = twoply_tests::builder(on).trap_exit(true).spawn(async move |mut me: Process<()>| {
        // It ends before its pid is here, and is heard of nevertheless: by its own reason.
        for _ in 0..20 {
            let child = remote.spawn_link(&me, "erlang", "exit", &(atom("enough"),)).await.unwrap();
            let Event::Exit(exit) = me.receive().await else { panic!("nothing else comes") };
            assert_eq!((exit.from, exit.reason.to_string().as_str()), (child, "enough"));
        }
        // Nobody waits for the pid of this one, and it is linked all the same.
        drop(remote.spawn_link(&me, "timer", "sleep", &(60_000,)));
        let child = remote.spawn_link(&me, "timer", "sleep", &(60_001,)).await.unwrap();
        let _ = heard.send(());
        me.receive().await;
        me.unlink(&child);
        ExitReason::other("done")
    });
    hearing.recv_timeout(SOON).unwrap();
    let sleepers =
        "[P || P <- processes(), element(2, process_info(P, current_function)) =:= {timer, sleep, 1}]";
    let count = format!("length({sleepers})");
    eventually("both sleep", || erlang.eval(&count) == "2");
    let parent = parent.unwrap();
    parent.exit(ExitReason::other("go on"));
    parent.ended().wait();
    // The one that is linked ends with its parent.
    eventually("one is left", || erlang.eval(&count) == "1");
    erlang.eval(&format!("[exit(P, kill) || P <- {sleepers}]"));
}

pub(crate) fn a_process_is_monitored_from_its_first_moment(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    let remote = node.remote(erlang.name.as_str());
    let (heard, hearing) = channel();
    let goes_on = Gate::new();
    let gate = goes_on.clone();
    let parent = twoply_tests::builder(on).spawn(async move |mut me: Process<()>| {
        let ends = async |me: &mut Process<()>| match me.receive().await {
            Event::Down(down) => (down.from, down.monitor, down.name, down.reason.to_string()),
            other => panic!("nothing else comes: {other:?}"),
        };
        // It ends before its pid is here, and is heard of nevertheless: by its own reason.
        for _ in 0..20 {
            let started = remote.spawn_monitor(&me, "erlang", "exit", &(atom("enough"),)).await;
            let (child, monitor) = started.unwrap();
            assert_eq!(ends(&mut me).await, (child, monitor, None, "enough".to_owned()));
        }
        let (child, monitor) = remote.spawn_monitor(&me, "nothing", "there", &()).await.unwrap();
        let (from, of, _, why) = ends(&mut me).await;
        assert_eq!((from, of, why.starts_with("{undef,")), (child, monitor, true), "{why}");
        // One that is taken back, and one that is lost with the connection.
        let (_, monitor) = remote.spawn_monitor(&me, "timer", "sleep", &(60_000,)).await.unwrap();
        assert!(me.demonitor(monitor) && !me.demonitor(monitor));
        let (child, monitor) = remote.spawn_monitor(&me, "timer", "sleep", &(60_001,)).await.unwrap();
        let _ = heard.send(());
        let why = ExitReason::NoConnection.to_string();
        assert_eq!(ends(&mut me).await, (child, monitor, None, why));
        // Nothing is started, and nothing is told.
        let nobody = node.remote("nobody@localhost").spawn_monitor(&me, "timer", "sleep", &(1,)).await;
        assert_eq!(nobody, Err(RpcError::Ended(ExitReason::NoConnection)));
        let unwritable = remote.spawn_monitor(&me, "erlang", "abs", &(f64::NAN,)).await;
        assert!(matches!(unwritable, Err(RpcError::Arguments(_))));
        let _ = heard.send(());
        gate.opened().await;
    });
    let parent = parent.unwrap();
    hearing.recv_timeout(SOON).unwrap();
    let monitors = "lists:sort([length(element(2, process_info(P, monitored_by))) || P <- processes(), \
                    element(2, process_info(P, current_function)) =:= {timer, sleep, 1}])";
    eventually("one of two is monitored", || erlang.eval(monitors) == "[0,1]");
    assert_eq!(erlang.eval("disconnect_node(ours@localhost)"), "true");
    hearing.recv_timeout(SOON).unwrap();
    assert_eq!(parent.info().unwrap().monitors, []);
    goes_on.open();
    assert_eq!(parent.ended().wait(), ExitReason::Normal);
}

pub(crate) fn the_names_of_the_system_answer(on: &Systems) {
    let Some((mut erlang, node)) = start(on) else { return };
    node.functions().add("math", "sum", async |(numbers,): (Vec<u64>,)| numbers.into_iter().sum::<u64>());
    node.functions().add("math", "crash", async |(): ()| -> u8 { panic!("it panics, as this test wants") });
    let woken = std::sync::Arc::new(Notify::new());
    let wake = std::sync::Arc::clone(&woken);
    node.functions().add("log", "wake", move |(): ()| {
        wake.notify_one();
        async {}
    });
    let process = twoply_tests::builder(on).spawn(async |mut me: Process<u8>| drop(me.receive().await));
    let process = process.unwrap();
    for name in ["rex", "net_kernel"] {
        assert_eq!(node.register(name, &process), Err(RegisterError::Taken));
    }
    node.register("number", &process).unwrap();
    let mut eval = |expression: &str| erlang.eval(expression);
    let rex = |request: &str| format!("catch gen_server:call({{rex, ours@localhost}}, {request})");
    assert_eq!(eval("net_adm:ping(ours@localhost)"), "pong");
    assert_eq!(eval(&rex("{call, math, sum, [[1, 2]], self()}")), "3");
    assert_eq!(eval("rpc:block_call(ours@localhost, math, sum, [[1, 2]])"), "3");
    assert_eq!(
        eval(&rex("{call, lists, sum, [[1]], self()}")),
        "{badrpc,{'EXIT',{undef,[{lists,sum,[[1]],[]}]}}}"
    );
    assert_eq!(eval(&rex("{call, math, crash, [], self()}")), "{badrpc,{'EXIT',killed}}");
    eval("gen_server:cast({rex, ours@localhost}, {cast, log, wake, [], self()})");
    assert!(timeout(SOON, woken.notified()).wait().is_ok());
    eval("{rex, ours@localhost} ! {self(), features_request}");
    let features = "receive {features_reply, Node, Features} -> {Node, Features} after 30000 -> timeout end";
    assert_eq!(eval(features), "{ours@localhost,[erpc]}");
    // A monitor of them lasts as long as the node does.
    assert_eq!(
        eval(
            "M = monitor(process, {rex, ours@localhost}), receive {'DOWN', M, _, _, _} -> x after 20 -> y end"
        ),
        "y"
    );
    // What `sys` asks is answered, by the program or at once.
    let state = eval("catch sys:get_state({number, ours@localhost})");
    assert!(state.contains("not_supported"), "{state}");
    node.on_system(|pid, request| {
        assert!(pid.is_local());
        request.is_atom("get_state").then(|| Term::atom("open"))
    });
    assert_eq!(eval("sys:get_state({number, ours@localhost})"), "open");
    let status = eval("catch sys:get_status({number, ours@localhost})");
    assert!(status.contains("not_supported"), "{status}");
    // What is not understood is told with the place in it.
    let (told, hearing) = channel();
    node.on_undecodable(move |pid, message, error| {
        let _ = told.send((pid.clone(), message.to_term().unwrap().to_string(), error.to_string()));
    });
    eval("{number, ours@localhost} ! 1000");
    let (pid, message, error) = hearing.recv_timeout(SOON).unwrap();
    assert_eq!((pid, message.as_str()), (process.pid(), "1000"));
    assert!(!error.is_empty());
    assert_eq!(node.dropped(), (0, 1));
}
