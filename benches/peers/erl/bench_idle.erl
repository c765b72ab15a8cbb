%% The memory of a process that waits: how much more is resident with all of them than with none, for each.
%% A process waits in a loop that keeps eight numbers. Arguments: how many messages each of them gets.
-module(bench_idle).
-export([run/2]).

run(Count, [Messages]) ->
    erlang:garbage_collect(),
    Before = resident(),
    State = list_to_tuple(lists:seq(1, 8)),
    All = start(Count, Messages, State, []),
    After = resident(),
    [Pid ! stop || Pid <- All],
    (After - Before) * 1024 div Count.

start(0, _, _, All) ->
    All;
start(Left, Messages, State, All) ->
    Pid = spawn(fun() -> wait(State) end),
    [begin Pid ! {message, self()}, receive here -> ok end end || _ <- lists:seq(1, Messages)],
    start(Left - 1, Messages, State, [Pid | All]).

wait(State) ->
    receive
        {message, From} -> From ! here, wait(State);
        stop -> State
    end.

%% The memory that is resident now, in KiB.
resident() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Number]} = re:run(Status, "VmRSS:\\s*(\\d+)", [{capture, all_but_first, binary}]),
    binary_to_integer(Number).
