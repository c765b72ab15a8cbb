%% One of two nodes, each in a process of the system's: it sends messages to a process of the other one, asks it, or
%% only has such processes. Arguments: what it does (0: nothing, 1: sends, 2: asks, 3: sends large binaries and asks
%% meanwhile), whom it does that to (0: a node that is not Erlang's, 1: one that is), the port at which that is found,
%% and the size of the binaries in MiB.
-module(bench_node).
-export([listen/1, run/2]).

%% Calls are counted by how long they took: half a microsecond to a bucket, and 10 where there is much else to do.
-define(BUCKETS, 20000).
-define(NS, 500).
-define(BESIDE_NS, 10000).

listen(_) ->
    register(sink, spawn_link(fun() -> sink(1) end)),
    register(server, spawn_link(fun server/0)),
    register(big, spawn_link(fun() -> big(1) end)),
    0.

run(_, [0 | _]) -> 0;
run(Ops, [1, Whom | _]) ->
    send({sink, node_of(Whom)}, Ops - 1),
    receive Count -> Count end;
run(Ops, [2, Whom | _]) ->
    Took = {counters:new(?BUCKETS, []), ?NS},
    Number = ask({server, node_of(Whom)}, Ops, 0, Took),
    {Number, counted(Took)};
run(Ops, [3, Whom, _, Size]) ->
    Took = {counters:new(?BUCKETS, []), ?BESIDE_NS},
    Asker = spawn_link(fun() -> ask({server, node_of(Whom)}, -1, 0, Took) end),
    send_big({big, node_of(Whom)}, Ops - 1, binary:copy(<<"x">>, Size bsl 20)),
    receive Count -> ok end,
    unlink(Asker),
    exit(Asker, kill),
    {Count, counted(Took)}.

%% How often a call took as long as each bucket says.
counted({Counters, Ns}) ->
    All = [{Bucket * Ns, counters:get(Counters, Bucket)} || Bucket <- lists:seq(1, ?BUCKETS)],
    [Both || {_, Count} = Both <- All, Count > 0].

node_of(0) -> 'ours@localhost';
node_of(1) -> 'there@localhost'.

send(Sink, 0) -> Sink ! {0, self()};
send(Sink, Left) ->
    Sink ! {Left, self()},
    send(Sink, Left - 1).

%% Answers the last message with how many there were.
sink(Count) ->
    receive
        {0, From} -> From ! Count, sink(1);
        {_, _} -> sink(Count + 1)
    end.

%% As sink/1, of messages with a binary.
big(Count) ->
    receive
        {0, From, _} -> From ! Count, big(1);
        {_, _, _} -> big(Count + 1)
    end.

send_big(Big, 0, Binary) -> Big ! {0, self(), Binary};
send_big(Big, Left, Binary) ->
    Big ! {Left, self(), Binary},
    send_big(Big, Left - 1, Binary).

ask(_, 0, Number, _) -> Number;
ask(Server, Left, Number, {Counters, Ns} = Took) ->
    Start = erlang:monotonic_time(nanosecond),
    Next = gen_server:call(Server, {next, Number}, infinity),
    Bucket = (erlang:monotonic_time(nanosecond) - Start) div Ns + 1,
    counters:add(Counters, min(Bucket, ?BUCKETS), 1),
    ask(Server, Left - 1, Next, Took).

server() ->
    receive {'$gen_call', From, {next, Number}} -> gen_server:reply(From, Number + 1) end,
    server().
