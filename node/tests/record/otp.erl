%% What one Erlang node does to another one while its traffic is recorded.
-module(otp).
-export([main/1]).

main([Name]) ->
    Other = list_to_atom(Name),
    pong = net_adm:ping(Other),
    %% A process there that takes everything, started from here.
    Sleeper = spawn(Other, timer, sleep, [infinity]),
    link(Sleeper),
    unlink(Sleeper),
    Demonitored = monitor(process, Sleeper),
    demonitor(Demonitored),
    Watched = monitor(process, Sleeper),
    monitor(process, {nobody, Other}),
    receive {'DOWN', _, process, {nobody, Other}, noproc} -> ok end,
    %% Messages: the atoms of the second one are in the cache by then, and the third one has fragments.
    [Sleeper ! {hello, 'łódź', [1, 2, 3], #{key => <<"value">>}, 1.5, N} || N <- [1, 2]],
    Sleeper ! {big, binary:copy(<<7>>, 150000)},
    {nobody, Other} ! {'to nobody', make_ref(), self()},
    %% Questions, with aliases and by name.
    Other = erpc:call(Other, erlang, node, []),
    "ab" = rpc:call(Other, lists, append, ["a", "b"]),
    {badrpc, {'EXIT', {badarith, _}}} = rpc:call(Other, erlang, '/', [1, 0]),
    process_flag(trap_exit, true),
    link(Sleeper),
    exit(Sleeper, {shutdown, "asked to"}),
    receive {'EXIT', Sleeper, {shutdown, "asked to"}} -> ok end,
    receive {'DOWN', Watched, process, Sleeper, {shutdown, "asked to"}} -> ok end,
    %% One that dies of its own, and one that cannot be linked.
    {Failing, Ref} = spawn_monitor(Other, erlang, error, [on_purpose]),
    receive {'DOWN', Ref, process, Failing, {on_purpose, _}} -> ok end,
    link(Failing),
    receive {'EXIT', Failing, noproc} -> ok end,
    true = erlang:disconnect_node(Other),
    halt(0).
