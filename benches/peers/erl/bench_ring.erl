%% Ring: processes that pass one message round. Arguments: how many.
-module(bench_ring).
-export([run/2]).

run(Ops, [Nodes]) ->
    Self = self(),
    %% Each knows the one that was made before it, so the numbers go down; the last made one closes the ring.
    First = spawn_link(fun() -> receive {next, Next} -> node(0, Next, Self) end end),
    Second = lists:foldl(fun(Index, Next) -> spawn_link(fun() -> node(Index, Next, Self) end) end,
                         First, lists:seq(Nodes - 1, 1, -1)),
    First ! {next, Second},
    First ! Ops + Nodes div 3,
    receive {done, Index} -> Index end.

node(Index, Next, Done) ->
    receive
        0 -> Done ! {done, Index};
        Left -> Next ! Left - 1
    end,
    node(Index, Next, Done).
