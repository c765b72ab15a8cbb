%% Runs random programs and says what is seen; see tests/src/differential.rs.
%%
%% Each process of a program is an interpreter: it carries out the operations that the driver tells it, and reports to
%% the driver. What the driver says to it goes through its mailbox, too, but is told apart by its tag ('$run', '$ping')
%% and received selectively, so that it disturbs nothing. Run it on one scheduler: then the signals of a dying process
%% are all delivered when its driver hears of the death.
-module(differential).
-export([main/2]).

%% Runs all programs of the file In, and writes their traces to the file Out.
main(In, Out) ->
    {ok, Programs} = file:consult(In),
    ok = file:write_file(Out, [run(Program) || Program <- Programs]).

run({program, Seed, Roots, Steps}) ->
    Self = self(),
    {Driver, Ref} = spawn_monitor(fun() -> Self ! {trace, self(), drive(Roots, Steps)} end),
    receive
        {trace, Driver, Lines} ->
            erlang:demonitor(Ref, [flush]),
            [io_lib:format("program ~b~n", [Seed]), Lines];
        {'DOWN', Ref, process, Driver, Reason} ->
            exit({program, Seed, Reason})
    end.

%% The driver. `procs` maps numbers to processes, `names` the reverse; `status` has idle or blocked for those who are
%% alive; `mons` maps the numbers of monitors to references, `refs` the reverse; `seen` is the trace, last things first.
drive(Roots, Steps) ->
    Empty = #{procs => #{}, names => #{}, status => #{}, mons => #{}, refs => #{}, seen => [], step => 0},
    Self = self(),
    Start = fun(Number, State) -> meet(Number, spawn(fun() -> interpret(Self) end), State) end,
    Started = lists:foldl(Start, Empty, lists:seq(0, Roots - 1)),
    #{seen := Seen, procs := Procs} = lists:foldl(fun step/2, Started, Steps),
    [exit(Pid, kill) || Pid <- maps:values(Procs)],
    lists:reverse(Seen).

%% Gets to know a new process.
meet(Number, Pid, State = #{procs := Procs, names := Names, status := Status}) ->
    monitor(process, Pid),
    State#{procs := Procs#{Number => Pid}, names := Names#{Pid => Number}, status := Status#{Number => idle}}.

step({Actor, Ops}, State = #{procs := Procs, status := Status, step := Step}) ->
    Next = case Status of
        #{Actor := idle} ->
            case resolve_all(Ops, Actor, State) of
                unknown -> State;
                Resolved ->
                    maps:get(Actor, Procs) ! {'$run', Resolved},
                    {_, Acted} = ping([Actor], State),
                    settle(Acted)
            end;
        _ -> State
    end,
    Next#{step := Step + 1}.

%% The operations with processes and references in place of numbers; `unknown` if there is one that never was.
resolve_all(Ops, Actor, State) ->
    try [resolve(Op, Actor, State) || Op <- Ops] catch throw:unknown -> unknown end.

resolve({link, P}, _, S) -> {link, pid(P, S)};
resolve({unlink, P}, _, S) -> {unlink, pid(P, S)};
resolve({monitor, M, P}, _, S) -> {monitor, M, pid(P, S)};
resolve({exit, P, Reason}, _, S) -> {exit, pid(P, S), Reason};
resolve({send, P, K}, _, S) -> {send, pid(P, S), K};
resolve({demonitor, M}, A, S) -> {demonitor, ref(M, A, S)};
resolve({flush, M}, A, S) -> {flush, ref(M, A, S)};
resolve({take, {down, M}, Waits}, A, S) -> {take, {down, ref(M, A, S)}, Waits};
resolve(Op, _, _) -> Op.

pid(P, #{procs := Procs}) ->
    case Procs of #{P := Pid} -> Pid; _ -> throw(unknown) end.

ref(M, Actor, #{mons := Mons}) ->
    case Mons of #{M := {Actor, Ref}} -> Ref; _ -> throw(unknown) end.

%% The actor has done its part. Waits until all effects have settled: until all who live have answered in a round in
%% which nobody died.
settle(State = #{status := Status}) ->
    case ping(maps:keys(Status), State) of
        {true, Next} -> settle(Next);
        {false, Next} -> Next
    end.

%% Pings some processes, and waits until each has answered or died. Says whether anybody died.
ping(Some, State = #{procs := Procs}) ->
    Round = make_ref(),
    [maps:get(P, Procs) ! {'$ping', Round} || P <- Some],
    answers(Some, Round, false, State).

answers([], _, Died, State) -> {Died, State};
answers(Open, Round, Died, State = #{names := Names}) ->
    receive
        {pong, Round, Pid, How} ->
            #{status := Status} = State,
            P = maps:get(Pid, Names),
            answers(lists:delete(P, Open), Round, Died, State#{status := Status#{P := How}});
        {report, Pid, Report} ->
            answers(Open, Round, Died, report(maps:get(Pid, Names), Report, State));
        {'DOWN', _, process, Pid, Reason} ->
            P = maps:get(Pid, Names),
            #{status := Status} = Saw = see(P, ["died ", reason(Reason)], State),
            answers(lists:delete(P, Open), Round, true, Saw#{status := maps:remove(P, Status)})
    end.

report(_, {spawned, Number, Pid}, State) -> meet(Number, Pid, State);
report(P, {monitored, M, Ref}, State = #{mons := Mons, refs := Refs}) ->
    State#{mons := Mons#{M => {P, Ref}}, refs := Refs#{Ref => M}};
report(P, empty, State) -> see(P, "empty", State);
report(P, {was, Was}, State) -> see(P, ["was ", atom_to_list(Was)], State);
report(P, {m, K}, State) -> see(P, io_lib:format("message ~b", [K]), State);
report(P, {'EXIT', From, Reason}, State = #{names := Names}) ->
    see(P, io_lib:format("exit ~b ~s", [maps:get(From, Names), reason(Reason)]), State);
report(P, {'DOWN', Ref, process, From, Reason}, State = #{names := Names, refs := Refs}) ->
    Numbers = [maps:get(Ref, Refs), maps:get(From, Names), reason(Reason)],
    see(P, io_lib:format("down ~b ~b ~s", Numbers), State).

see(P, What, State = #{seen := Seen, step := Step}) ->
    State#{seen := [io_lib:format("~b ~b ~s~n", [Step, P, What]) | Seen]}.

reason(Reason) when is_atom(Reason) -> atom_to_list(Reason).

%% A process of the program.
interpret(Driver) ->
    receive
        {'$run', Ops} -> [do(Op, Driver) || Op <- Ops];
        {'$ping', Round} -> Driver ! {pong, Round, self(), idle}
    end,
    interpret(Driver).

do({spawn, Number, none}, Driver) -> report(Driver, {spawned, Number, spawn(fun() -> interpret(Driver) end)});
do({spawn, Number, link}, Driver) -> report(Driver, {spawned, Number, spawn_link(fun() -> interpret(Driver) end)});
do({spawn, Number, {monitor, M}}, Driver) ->
    {Pid, Ref} = spawn_monitor(fun() -> interpret(Driver) end),
    report(Driver, {spawned, Number, Pid}),
    report(Driver, {monitored, M, Ref});
do({link, Pid}, _) ->
    %% Who links to the dead without trapping exits gets an exception here, and ends of it.
    try link(Pid) catch error:noproc -> exit(noproc) end;
do({unlink, Pid}, _) -> unlink(Pid);
do({monitor, M, Pid}, Driver) -> report(Driver, {monitored, M, monitor(process, Pid)});
do({demonitor, Ref}, _) -> demonitor(Ref);
do({flush, Ref}, _) -> demonitor(Ref, [flush]);
do({trap, On}, Driver) -> report(Driver, {was, process_flag(trap_exit, On)});
do({exit, Pid, Reason}, _) -> exit(Pid, Reason);
do({leave, Reason}, _) -> exit(Reason);
do({raise, Reason}, _) -> exit(Reason);
do({send, Pid, K}, _) -> Pid ! {m, K};
do({take, Pattern, true}, Driver) -> report(Driver, take(Pattern, infinity, Driver));
do({take, Pattern, false}, Driver) -> report(Driver, take(Pattern, 0, Driver)).

report(Driver, Report) -> Driver ! {report, self(), Report}.

%% Who waits answers pings from within the receive.
take(Pattern, After, Driver) ->
    Taken = case Pattern of
        any ->
            receive
                {'$ping', _} = Ping when After > 0 -> Ping;
                {m, _} = Event -> Event;
                {'EXIT', _, _} = Event -> Event;
                {'DOWN', _, _, _, _} = Event -> Event
            after After -> empty
            end;
        {message, K} ->
            receive {'$ping', _} = Ping when After > 0 -> Ping; {m, K} = Event -> Event after After -> empty end;
        signal ->
            receive
                {'$ping', _} = Ping when After > 0 -> Ping;
                {'EXIT', _, _} = Event -> Event;
                {'DOWN', _, _, _, _} = Event -> Event
            after After -> empty
            end;
        {down, Ref} ->
            receive {'$ping', _} = Ping when After > 0 -> Ping; {'DOWN', Ref, _, _, _} = Event -> Event after After -> empty end
    end,
    case Taken of
        {'$ping', Round} ->
            Driver ! {pong, Round, self(), blocked},
            take(Pattern, After, Driver);
        _ -> Taken
    end.
