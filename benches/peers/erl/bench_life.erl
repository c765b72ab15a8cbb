%% Processes that get one message and end, in groups. Arguments: the size of a group.
-module(bench_life).
-export([run/2]).

run(Ops, [Group]) ->
    lists:sum([group(Group) || _ <- lists:seq(1, Ops div Group)]).

group(Size) ->
    Self = self(),
    [spawn(fun() -> receive go -> Self ! ended end end) ! go || _ <- lists:seq(1, Size)],
    length([receive ended -> ok end || _ <- lists:seq(1, Size)]).
