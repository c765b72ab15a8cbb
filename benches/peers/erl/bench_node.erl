%% One of two nodes, each in a process of the system's: it sends messages to a process of the other one, asks it, or
%% only has such processes. Arguments: what it does (0: nothing, 1: sends, 2: asks), and whom it does that to (0: a
%% node of twoply's, 1: one of Erlang's).
-module(bench_node).
-export([listen/1, run/2]).

listen(_) ->
    register(sink, spawn_link(fun() -> sink(1) end)),
    register(server, spawn_link(fun server/0)),
    0.

run(_, [0, _]) -> 0;
run(Ops, [1, Whom]) ->
    send({sink, node_of(Whom)}, Ops - 1),
    receive Count -> Count end;
run(Ops, [2, Whom]) -> ask({server, node_of(Whom)}, Ops, 0).

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

ask(_, 0, Number) -> Number;
ask(Server, Left, Number) -> ask(Server, Left - 1, gen_server:call(Server, {next, Number})).

server() ->
    receive {'$gen_call', From, {next, Number}} -> gen_server:reply(From, Number + 1) end,
    server().
