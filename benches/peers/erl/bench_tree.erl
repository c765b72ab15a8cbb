%% Spawn tree: each process starts ten more until there are that many leaves, and adds up what they give.
%% Arguments: the leaves of one tree.
-module(bench_tree).
-export([run/2]).

run(Ops, [Leaves]) ->
    lists:sum([node(0, Leaves) || _ <- lists:seq(1, Ops div Leaves)]).

node(First, 1) ->
    First;
node(First, Leaves) ->
    Self = self(),
    Part = Leaves div 10,
    [spawn(fun() -> Self ! {sum, node(First + Child * Part, Part)} end) || Child <- lists:seq(0, 9)],
    lists:sum([receive {sum, Sum} -> Sum end || _ <- lists:seq(1, 10)]).
