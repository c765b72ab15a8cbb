%% Items of TCP connections that all arrive in the mailbox of one process, which counts them: `{packet, 4}` or
%% `{packet, line}` with `{active, N}`. Arguments: 1 for frames, 0 for lines. The sender is whoever has started this.
-module(bench_ports).
-export([listen/1, run/2]).

%% The number of items that a socket gives before it is asked for more.
-define(ACTIVE, 100).

listen([Kind]) ->
    Packet = case Kind of 1 -> 4; 0 -> line end,
    Options = [binary, {packet, Packet}, {active, false}, {ip, {127, 0, 0, 1}}, {backlog, 1024}],
    {ok, Listener} = gen_tcp:listen(0, Options),
    Owner = spawn(fun() -> count(0, none) end),
    register(?MODULE, Owner),
    Acceptor = spawn(fun() -> receive go -> accept(Listener, Owner) end end),
    ok = gen_tcp:controlling_process(Listener, Acceptor),
    Acceptor ! go,
    {ok, Port} = inet:port(Listener),
    Port.

run(Ops, _) ->
    ?MODULE ! {goal, Ops, self()},
    receive done -> Ops end.

accept(Listener, Owner) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    ok = gen_tcp:controlling_process(Socket, Owner),
    ok = inet:setopts(Socket, [{active, ?ACTIVE}]),
    accept(Listener, Owner).

%% Items may overtake the word of how many there will be.
count(0, From) when is_pid(From) ->
    From ! done,
    count(0, none);
count(Left, From) ->
    receive
        {tcp, _, _} -> count(Left - 1, From);
        {tcp_passive, Socket} -> inet:setopts(Socket, [{active, ?ACTIVE}]), count(Left, From);
        {tcp_closed, _} -> count(Left, From);
        {goal, Ops, Asker} -> count(Left + Ops, Asker)
    end.
