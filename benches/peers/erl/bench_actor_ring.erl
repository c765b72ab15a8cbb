%% A message that goes around a ring of processes. Arguments: how many there are.
-module(bench_actor_ring).
-export([run/2]).

run(Ops, [Actors]) ->
    Self = self(),
    First = spawn_link(fun() -> receive {next, Next} -> link_loop(Self, Next) end end),
    Last = lists:foldl(
        fun(_, Next) -> spawn_link(fun() -> link_loop(Self, Next) end) end, First, lists:seq(2, Actors)),
    First ! {next, Last},
    First ! {ping, Ops, Ops},
    receive {done, Hops} -> Hops end.

link_loop(Parent, Next) ->
    receive
        {ping, 0, Hops} -> Parent ! {done, Hops}, Next ! stop;
        {ping, Left, Hops} -> Next ! {ping, Left - 1, Hops}, link_loop(Parent, Next);
        stop -> Next ! stop
    end.
