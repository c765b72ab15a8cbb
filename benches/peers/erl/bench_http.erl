%% An HTTP server: one process for each connection, with the parser of the runtime system.
-module(bench_http).
-export([listen/1]).

-define(HELLO, <<"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!">>).
-define(NOT_FOUND, <<"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n">>).

listen([]) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {packet, http_bin}, {active, false},
                                        {nodelay, true}, {backlog, 4096}]),
    {ok, Port} = inet:port(Listener),
    persistent_term:put(rounds, calibrate()),
    %% As many as servers of this language have: each waits for its turn among the processes of all connections.
    [spawn(fun() -> accept(Listener) end) || _ <- lists:seq(1, 10)],
    Port.

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Talker = spawn(fun() -> receive go -> talk(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Talker),
    Talker ! go,
    accept(Listener).

talk(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, {http_request, 'GET', {abs_path, Path}, _}} ->
            skip_headers(Socket),
            ok = gen_tcp:send(Socket, respond(Path)),
            talk(Socket);
        {error, _} ->
            gen_tcp:close(Socket)
    end.

skip_headers(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, http_eoh} -> ok;
        {ok, {http_header, _, _, _, _}} -> skip_headers(Socket)
    end.

respond(<<"/">>) -> ?HELLO;
respond(<<"/work">>) -> spin(persistent_term:get(rounds)), ?HELLO;
respond(_) -> ?NOT_FOUND.

spin(0) -> ok;
spin(Rounds) -> spin(Rounds - 1).

%% How many rounds take 5 ms in the best of some tries. A process has no CPU clock of its own.
calibrate() ->
    Rounds = 1000000,
    Best = lists:min([element(1, timer:tc(fun() -> spin(Rounds) end)) || _ <- lists:seq(1, 10)]),
    Rounds * 5000 div max(Best, 1).
