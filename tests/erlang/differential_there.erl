%% The processes of random programs that run on an Erlang node, while others of the same program, and the driver, run
%% on one of twoply's; see tests/src/differential/across.rs. What goes on here is as in differential.erl, but each
%% process knows its number, and keeps its monitors by theirs.
-module(differential_there).
-export([start/0]).

start() -> register(differential, spawn(fun host/0)).

host() ->
    receive
        {start, Number, Driver} -> Driver ! spawned(Number, begin_process(Number, Driver, spawn));
        {clear, Round, Driver} ->
            nobody_dies(),
            Driver ! {clear, Round}
    end,
    host().

%% Waits until all who are about to end have ended: then all that they have told others is on its way.
nobody_dies() ->
    case lists:all(fun is_process_alive/1, processes()) of
        true -> ok;
        false -> erlang:yield(), nobody_dies()
    end.

%% The pid is there once for each of what it is read as.
spawned(Number, Pid) -> {spawned, Number, Pid, Pid, Pid}.

begin_process(Number, Driver, How) -> erlang:How(fun() -> interpret(Number, Driver) end).

interpret(Number, Driver) ->
    receive
        {run, Ops} -> [do(Op, Number, Driver) || Op <- Ops];
        {ping, Round} -> Driver ! {pong, Number, Round, false}
    end,
    interpret(Number, Driver).

do({spawn, New, none}, _, Driver) -> Driver ! spawned(New, begin_process(New, Driver, spawn));
do({spawn, New, link}, _, Driver) -> Driver ! spawned(New, begin_process(New, Driver, spawn_link));
do({spawn, New, {monitor, M}}, Number, Driver) ->
    {Pid, Ref} = begin_process(New, Driver, spawn_monitor),
    Driver ! spawned(New, Pid),
    monitored(M, Ref, Number, Driver);
do({link, Pid}, _, _) ->
    try link(Pid) catch error:noproc -> exit(noproc) end;
do({unlink, Pid}, _, _) -> unlink(Pid);
do({monitor, M, Pid}, Number, Driver) -> monitored(M, monitor(process, Pid), Number, Driver);
do({demonitor, M}, _, _) -> demonitor(get(M));
do({flush, M}, _, _) -> demonitor(get(M), [flush]);
do({trap, On}, Number, Driver) -> Driver ! {was, Number, process_flag(trap_exit, On)};
do({exit, Pid, Reason}, _, _) -> exit(Pid, Reason);
do({leave, Reason}, _, _) -> exit(Reason);
do({send, Pid, K}, _, _) -> Pid ! {m, K};
do({take, Pattern, true}, Number, Driver) -> report(take(Pattern, infinity, Number, Driver), Number, Driver);
do({take, Pattern, false}, Number, Driver) -> report(take(Pattern, 0, Number, Driver), Number, Driver).

monitored(M, Ref, Number, Driver) ->
    put(M, Ref),
    put(Ref, M),
    Driver ! {monitored, Number, M}.

report(empty, Number, Driver) -> Driver ! {empty, Number};
report({m, K}, Number, Driver) -> Driver ! {message, Number, K};
report({'EXIT', From, Reason}, Number, Driver) -> Driver ! {exit, Number, From, Reason};
report({'DOWN', Ref, process, From, Reason}, Number, Driver) -> Driver ! {down, Number, get(Ref), From, Reason}.

%% Who waits answers pings from within the receive.
take(Pattern, After, Number, Driver) ->
    case take(Pattern, After) of
        {ping, Round} ->
            Driver ! {pong, Number, Round, true},
            take(Pattern, After, Number, Driver);
        Taken -> Taken
    end.

take(any, After) ->
    receive
        {ping, _} = Ping when After > 0 -> Ping;
        {m, _} = Event -> Event;
        {'EXIT', _, _} = Event -> Event;
        {'DOWN', _, _, _, _} = Event -> Event
    after After -> empty
    end;
take({message, K}, After) ->
    receive {ping, _} = Ping when After > 0 -> Ping; {m, K} = Event -> Event after After -> empty end;
take(signal, After) ->
    receive
        {ping, _} = Ping when After > 0 -> Ping;
        {'EXIT', _, _} = Event -> Event;
        {'DOWN', _, _, _, _} = Event -> Event
    after After -> empty
    end;
take({down, M}, After) ->
    Ref = get(M),
    receive {ping, _} = Ping when After > 0 -> Ping; {'DOWN', Ref, _, _, _} = Event -> Event after After -> empty end.
