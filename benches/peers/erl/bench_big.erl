%% Each of many processes writes to all others and answers all of them, round after round. Arguments: how many.
-module(bench_big).
-export([run/2]).

run(Ops, [Actors]) ->
    Self = self(),
    Messages = 2 * (Actors - 1),
    Rounds = Ops div (Messages * Actors),
    All = [spawn_link(fun() -> receive {all, All} -> start(Self, Rounds, All -- [self()]) end end)
           || _ <- lists:seq(1, Actors)],
    [Pid ! {all, All} || Pid <- All],
    Done = lists:sum([receive {done, Count} -> Count end || _ <- All]),
    [Pid ! stop || Pid <- All],
    Done * Messages.

start(Parent, Rounds, Others) ->
    round(Parent, 0, Rounds, Others).

round(Parent, Rounds, Rounds, Others) ->
    Parent ! {done, Rounds},
    answer(Others);
round(Parent, Done, Rounds, Others) ->
    [Other ! {ping, self()} || Other <- Others],
    wait(length(Others)),
    round(Parent, Done + 1, Rounds, Others).

wait(0) ->
    ok;
wait(Left) ->
    receive
        {ping, From} -> From ! pong, wait(Left);
        pong -> wait(Left - 1)
    end.

answer(Others) ->
    receive
        {ping, From} -> From ! pong, answer(Others);
        stop -> ok
    end.
