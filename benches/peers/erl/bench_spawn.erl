%% Spawn and finish: processes that end at once, in batches. Arguments: the size of a batch.
-module(bench_spawn).
-export([run/2]).

run(Ops, [Batch]) ->
    lists:sum([batch(Batch) || _ <- lists:seq(1, Ops div Batch)]).

batch(Size) ->
    Self = self(),
    [spawn(fun() -> Self ! {number, Number} end) || Number <- lists:seq(0, Size - 1)],
    lists:sum([receive {number, Number} -> Number end || _ <- lists:seq(1, Size)]).
