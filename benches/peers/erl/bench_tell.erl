%% Messages from one process to another, which counts them; after each group it says that they are there.
%% Arguments: the size of a group.
-module(bench_tell).
-export([run/2]).

run(Ops, [Group]) ->
    Self = self(),
    Counter = spawn_link(fun() -> count(Self, 0) end),
    send(Counter, Ops, Group),
    Counter ! stop,
    receive {count, Count} -> Count end.

send(_, 0, _) ->
    ok;
send(Counter, Left, Group) ->
    burst(Counter, Group - 1),
    Counter ! {last, self()},
    receive next -> send(Counter, Left - Group, Group) end.

burst(_, 0) ->
    ok;
burst(Counter, Left) ->
    Counter ! message,
    burst(Counter, Left - 1).

count(Parent, Count) ->
    receive
        message -> count(Parent, Count + 1);
        {last, From} -> From ! next, count(Parent, Count + 1);
        stop -> Parent ! {count, Count}
    end.
