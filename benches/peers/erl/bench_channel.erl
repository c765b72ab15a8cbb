%% Producers that send as fast as they can to one mailbox. Arguments: producers, consumers (one), capacity (none).
-module(bench_channel).
-export([run/2]).

run(Ops, [Producers, 1, 0]) ->
    Self = self(),
    Share = Ops div Producers,
    [spawn_link(fun() -> produce(Self, 0, Share) end) || _ <- lists:seq(1, Producers)],
    consume(Producers * Share, 0).

produce(_, Share, Share) ->
    ok;
produce(To, Number, Share) ->
    To ! Number,
    produce(To, Number + 1, Share).

consume(0, Sum) ->
    Sum;
consume(Left, Sum) ->
    receive Number -> consume(Left - 1, Sum + Number) end.
