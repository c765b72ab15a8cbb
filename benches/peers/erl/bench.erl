%% The workloads in Erlang: `erl ... -s bench main -extra WORKLOAD ARGUMENTS...`, each a module of its own,
%% `bench_WORKLOAD`: names without a prefix may be those of the standard library.
%%
%% It says that it is there, and on what port it listens if it is a server. Each line on standard input is a number of
%% operations. They are done, and the answer is one line of JSON: the result, what this process has used so far, and how
%% often an operation took how many nanoseconds, if the workload returns that too. The end of the input is the end of the
%% program.
-module(bench).
-export([main/0]).

main() ->
    [Name | Rest] = init:get_plain_arguments(),
    Workload = list_to_atom("bench_" ++ Name),
    Args = [list_to_integer(Arg) || Arg <- Rest],
    {module, Workload} = code:ensure_loaded(Workload),
    %% A module that listens instead of running is a server.
    Port = case erlang:function_exported(Workload, listen, 1) of
        true -> Workload:listen(Args);
        false -> 0
    end,
    io:format("{\"port\":~b}~n", [Port]),
    obey(Workload, Args).

obey(Workload, Args) ->
    case io:get_line("") of
        eof ->
            halt(0);
        Line ->
            Ops = list_to_integer(string:trim(Line)),
            {Result, Latency} = case run(Workload, Ops, Args) of
                {_, _} = Both -> Both;
                Alone -> {Alone, []}
            end,
            Counts = lists:join(",", [io_lib:format("[~b,~b]", [Value, Count]) || {Value, Count} <- Latency]),
            io:format("{\"result\":~b,\"cpu_ns\":~b,\"peak_rss_kib\":~b,\"rss_kib\":~b,\"latency\":[~s]}~n",
                      [Result, cpu_time(), status("VmHWM"), status("VmRSS"), Counts]),
            obey(Workload, Args)
    end.

%% In a process of its own, so that what the last run left on the heap is gone.
run(Workload, Ops, Args) ->
    case erlang:function_exported(Workload, run, 2) of
        true ->
            {Pid, Monitor} = spawn_monitor(fun() -> exit({result, Workload:run(Ops, Args)}) end),
            receive
                {'DOWN', Monitor, process, Pid, {result, Result}} -> Result
            end;
        false ->
            0
    end.

%% User and system time of all threads, in nanoseconds, as the kernel counts them; none of the threads ever ends.
cpu_time() ->
    {ok, Threads} = file:list_dir("/proc/self/task"),
    lists:sum([cpu_time(Thread) || Thread <- Threads]).

cpu_time(Thread) ->
    {ok, Line} = file:read_file("/proc/self/task/" ++ Thread ++ "/schedstat"),
    binary_to_integer(hd(binary:split(Line, <<" ">>))).

%% A field of the kernel's account of this process, in KiB: VmHWM is the most memory that was resident, VmRSS what is
%% now.
status(Field) ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Number]} = re:run(Status, Field ++ ":\\s*(\\d+)", [{capture, all_but_first, binary}]),
    binary_to_integer(Number).
