%% Questions to a `gen_server` and their answers. Arguments: how many are asked before the first answer is waited for.
-module(bench_ask).
-behaviour(gen_server).
-export([run/2, init/1, handle_call/3, handle_cast/2]).

run(Ops, [Batch]) ->
    {ok, Server} = gen_server:start_link(?MODULE, [], []),
    Count = ask(Server, 0, Ops, Batch),
    gen_server:stop(Server),
    Count.

ask(_, Ops, Ops, _) ->
    Ops;
ask(Server, Number, Ops, 1) ->
    Answer = Number + 1,
    Answer = gen_server:call(Server, Number),
    ask(Server, Answer, Ops, 1);
ask(Server, Number, Ops, Batch) ->
    Numbers = lists:seq(Number, Number + Batch - 1),
    Questions = [{N, gen_server:send_request(Server, N)} || N <- Numbers],
    [begin Answer = N + 1, {reply, Answer} = gen_server:receive_response(Question, infinity) end
     || {N, Question} <- Questions],
    ask(Server, Number + Batch, Ops, Batch).

init(State) ->
    {ok, State}.

handle_call(Number, _, State) ->
    {reply, Number + 1, State}.

handle_cast(_, State) ->
    {noreply, State}.
