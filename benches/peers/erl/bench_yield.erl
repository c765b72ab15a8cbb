%% Yield: processes that do nothing but give way to each other. Arguments: how many.
-module(bench_yield).
-export([run/2]).

run(Ops, [Tasks]) ->
    Self = self(),
    [spawn_link(fun() -> Self ! {done, yielder(Ops div Tasks, 0)} end) || _ <- lists:seq(1, Tasks)],
    lists:sum([receive {done, Count} -> Count end || _ <- lists:seq(1, Tasks)]).

yielder(Wanted, Wanted) ->
    Wanted;
yielder(Wanted, Done) ->
    erlang:yield(),
    yielder(Wanted, Done + 1).
