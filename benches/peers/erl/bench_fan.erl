%% Jobs go out to several workers, in turn, and their results come in to one mailbox. Arguments: workers, capacity
%% (of no use here: mailboxes have none).
-module(bench_fan).
-export([run/2]).

run(Ops, [Workers, _]) ->
    Self = self(),
    Pids = [spawn_link(fun() -> work(Self) end) || _ <- lists:seq(1, Workers)],
    spawn_link(fun() -> deal(0, Ops, Pids, Pids) end),
    gather(Ops, 0).

deal(Ops, Ops, _, _) ->
    ok;
deal(Job, Ops, [], All) ->
    deal(Job, Ops, All, All);
deal(Job, Ops, [Worker | Rest], All) ->
    Worker ! Job,
    deal(Job + 1, Ops, Rest, All).

work(To) ->
    receive Job -> To ! 2 * Job end,
    work(To).

gather(0, Sum) ->
    Sum;
gather(Left, Sum) ->
    receive Result -> gather(Left - 1, Sum + Result) end.
