%% An Erlang node that does what it is told over a socket, with packets of four bytes: each packet is an expression
%% as text, and the answer is its value as text. Names that begin with a letter in upper case are bound to what the
%% expressions before have given them.
-module(twoply_peer).
-export([main/1, answer/1]).

main([Host, Port]) ->
    {ok, Socket} = gen_tcp:connect(Host, list_to_integer(Port),
                                   [binary, {packet, 4}, {active, false}, {nodelay, true}]),
    process_flag(trap_exit, true),
    loop(Socket, erl_eval:new_bindings()).

loop(Socket, Bindings) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Text} ->
            {Value, New} = eval(unicode:characters_to_list(Text), Bindings),
            ok = gen_tcp:send(Socket, unicode:characters_to_binary(io_lib:format("~0tp", [Value]))),
            loop(Socket, New);
        {error, closed} -> halt(0)
    end.

%% As in the shell, f() forgets all names.
eval("f().", _) -> {ok, erl_eval:new_bindings()};
eval(Text, Bindings) ->
    try
        {ok, Tokens, _} = erl_scan:string(Text),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, New} = erl_eval:exprs(Expressions, Bindings),
        {Value, New}
    catch Class:Reason -> {{Class, Reason}, Bindings}
    end.

%% A server in one function: answers calls, until it is told to stop.
answer(State) ->
    receive
        {'$gen_call', From, {add, N}} -> gen:reply(From, State + N), answer(State + N);
        {'$gen_call', From, crash} -> exit({crashed, From =/= undefined});
        {'$gen_call', _, silence} -> answer(State);
        {stop, Reason} -> exit(Reason)
    end.
