%% What a supervisor does with a child whose start function returns `ignore`: a line for each strategy and
%% each kind of child. `supervisor_otp.rs` has the same program for the supervisors here.
-module(ignore).
-behaviour(supervisor).
-export([main/1, init/1, start/1, loop/0]).

main(File) ->
    ets:new(log, [named_table, public, ordered_set]),
    ets:new(work, [named_table, public]),
    Lines = [line(Strategy, Restart)
             || Strategy <- [one_for_one, one_for_all, rest_for_one],
                Restart <- [permanent, transient, temporary]],
    ok = file:write_file(File, [Lines, dynamic()]).

line(Strategy, Restart) ->
    work(false),
    {ok, Sup} = supervisor:start_link(?MODULE, {Strategy, Restart}),
    First = [starts(), children(Sup)],
    Nothing = [restart(Sup), starts()],
    work(true),
    Again = [restart(Sup), starts(), children(Sup)],
    work(false),
    Stopped = [word(supervisor:terminate_child(Sup, idle)), children(Sup)],
    Before = pid(Sup, before),
    Before ! stop,
    await_other(Sup, Before),
    Ended = [starts(), children(Sup)],
    Deleted = [word(supervisor:delete_child(Sup, idle)), children(Sup)],
    stop(Sup),
    Parts = First ++ Nothing ++ Again ++ Stopped ++ Ended ++ Deleted,
    io_lib:format("~p ~p: ~s~n", [Strategy, Restart, lists:join("; ", Parts)]).

dynamic() ->
    work(false),
    {ok, Sup} = supervisor:start_link(?MODULE, dynamic),
    Started = started(supervisor:start_child(Sup, [])),
    Specs = proplists:get_value(workers, supervisor:count_children(Sup)),
    stop(Sup),
    io_lib:format("dynamic: ~s; ~p~n", [Started, Specs]).

stop(Sup) ->
    unlink(Sup),
    Monitor = monitor(process, Sup),
    exit(Sup, shutdown),
    receive {'DOWN', Monitor, _, _, _} -> starts() end.

init(dynamic) ->
    {ok, {#{strategy => simple_one_for_one}, [spec(idle, temporary)]}};
init({Strategy, Restart}) ->
    Children = [spec(before, permanent), spec(idle, Restart), spec('after', permanent)],
    {ok, {#{strategy => Strategy, intensity => 100, period => 60}, Children}}.

spec(Id, Restart) ->
    #{id => Id, start => {?MODULE, start, [Id]}, restart => Restart}.

start(Id) ->
    ets:insert(log, {erlang:unique_integer([monotonic]), Id}),
    case Id =:= idle andalso ets:lookup(work, there) =:= [{there, false}] of
        true -> ignore;
        false -> {ok, spawn_link(?MODULE, loop, [])}
    end.

loop() ->
    receive stop -> ok end.

work(There) ->
    ets:insert(work, {there, There}).

starts() ->
    Ids = [atom_to_list(Id) || {_, Id} <- ets:tab2list(log)],
    ets:delete_all_objects(log),
    lists:join(" ", Ids).

%% The order of `which_children` is the last one first.
children(Sup) ->
    Children = lists:reverse(supervisor:which_children(Sup)),
    lists:join(" ", [[atom_to_list(Id), case is_pid(Pid) of true -> "+"; false -> "-" end]
                     || {Id, Pid, _, _} <- Children]).

pid(Sup, Id) ->
    {Id, Pid, _, _} = lists:keyfind(Id, 1, supervisor:which_children(Sup)),
    Pid.

await_other(Sup, Pid) ->
    case pid(Sup, before) of
        Pid -> timer:sleep(1), await_other(Sup, Pid);
        _ -> ok
    end.

restart(Sup) ->
    started(supervisor:restart_child(Sup, idle)).

started({ok, undefined}) -> "nothing to do";
started({ok, Pid}) when is_pid(Pid) -> "started";
started({error, _}) -> "refused".

word(ok) -> "ok";
word({error, _}) -> "refused".
