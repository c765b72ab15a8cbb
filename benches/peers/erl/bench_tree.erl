%% Spawn tree: each process starts ten more until there are that many leaves, and adds up what they give.
-module(bench_tree).
-export([run/2]).

run(Leaves, []) ->
    node(0, Leaves).

node(First, 1) ->
    First;
node(First, Leaves) ->
    Self = self(),
    Part = Leaves div 10,
    [spawn(fun() -> Self ! {sum, node(First + Child * Part, Part)} end) || Child <- lists:seq(0, 9)],
    lists:sum([receive {sum, Sum} -> Sum end || _ <- lists:seq(1, 10)]).
