%% Answers questions about terms, over a socket with packets of four bytes.
-module(terms).
-export([main/1]).

main([Port]) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, list_to_integer(atom_to_list(Port)),
                                   [binary, {packet, 4}, {active, false}, {nodelay, true}]),
    loop(Socket, list_to_tuple(corpus())),
    halt(0).

loop(Socket, Corpus) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Question} ->
            ok = gen_tcp:send(Socket, answer(Question, Corpus)),
            loop(Socket, Corpus);
        {error, closed} -> ok
    end.

%% The same term, written with these options.
answer(<<"again", Number, Bytes/binary>>, _) ->
    try term_to_binary(binary_to_term(Bytes), options(Number)) catch error:badarg -> <<>> end;
%% The terms of the corpus, and how many there are.
answer(<<"size">>, Corpus) -> <<(tuple_size(Corpus)):32>>;
answer(<<"term", Number, Index:32>>, Corpus) -> term_to_binary(element(Index + 1, Corpus), options(Number));
%% Whether these bytes are that term.
answer(<<"same", Index:32, Bytes/binary>>, Corpus) ->
    case catch binary_to_term(Bytes) =:= element(Index + 1, Corpus) of
        true -> <<"yes">>;
        _ -> <<"no">>
    end;
answer(<<"text", Index:32>>, Corpus) ->
    unicode:characters_to_binary(io_lib:format("~0tp", [element(Index + 1, Corpus)])).

options(0) -> [];
options(1) -> [compressed];
options(2) -> [{compressed, 9}];
options(3) -> [{minor_version, 0}];
options(4) -> [{minor_version, 1}];
options(5) -> [{minor_version, 2}];
options(6) -> [deterministic].

corpus() ->
    X = {captured, [1, 2, 3]},
    [ok, '', 'with space', 'ö', 'łódź', list_to_atom(lists:duplicate(255, $x)),
     list_to_atom(lists:duplicate(255, 16#1d11e)),
     0, 1, -1, 255, 256, -128, 1 bsl 27, -(1 bsl 27), 1 bsl 31, -(1 bsl 31), (1 bsl 31) - 1, 1 bsl 59, -(1 bsl 59),
     1 bsl 63, -(1 bsl 63), (1 bsl 63) - 1, 1 bsl 64, 1 bsl 2039, -(1 bsl 2040), 1 bsl 5000,
     1.0, -1.5, 1.0e300, 5.0e-324, 1.7976931348623157e308,
     [], [[]], [a | b], [1, 2 | {}], "text", lists:seq(1, 300), lists:duplicate(65535, $a), lists:duplicate(65536, $a),
     [-1], [256, 1], {}, {1}, list_to_tuple(lists:seq(1, 255)), list_to_tuple(lists:seq(1, 256)),
     <<>>, <<"bytes">>, <<0:1>>, <<5:3>>, <<1, 2, 3:7>>, binary:copy(<<"x">>, 100000),
     #{}, #{a => 1, "b" => [2], 3 => #{4.0 => 5}, 3.0 => x}, maps:from_list([{N, N} || N <- lists:seq(1, 100)]),
     self(), hd(erlang:ports()), make_ref(), alias(), spawn(fun() -> ok end),
     fun lists:map/2, fun erlang:'+'/2, fun() -> X end, fun(Y) -> {X, Y, self()} end,
     {ok, #{pid => self(), refs => [make_ref(), make_ref()]}, <<"mixed">>, [{key, 1.5}, 'a b' | tail]}].
