//! The counterparts of the calls that one knows from elsewhere.
//!
//! Everything that can wait is finished by `.await` or by [`.wait()`](crate::Wait::wait), whichever suits the
//! code around it; so there is one row where other libraries have a blocking call and an async one.
//!
//! # From tokio
//!
//! | tokio | here |
//! |---|---|
//! | `#[tokio::main]`, `#[tokio::test]` | `#[twoply::main]`, `#[twoply::test]`, with the feature `macros`; `backends(all)` runs a test once on each |
//! | `Runtime::block_on` | [`run`](crate::run), or [`Runtime`](crate::Runtime) and `.wait()` |
//! | `shutdown_timeout`, `shutdown_background` | [`Runtime::shutdown`](crate::Runtime::shutdown), dropping the runtime; [`shutdown`](crate::shutdown) for those of the process |
//! | `tokio::spawn` | [`spawn`](crate::spawn); dropping the handle detaches, in both |
//! | `Handle::current`, `Handle::spawn` | [`Spawner::current`](crate::Spawner::current), [`Runtime::spawner`](crate::Runtime::spawner) |
//! | `JoinHandle::abort` | [`Task::cancel`](crate::Task::cancel) |
//! | `is_finished`, `AbortHandle` | [`Task::is_finished`](crate::Task::is_finished), [`TaskRef`](crate::task::TaskRef) |
//! | `spawn_blocking` | [`spawn_fn`](crate::spawn_fn) for a task of straight-line code, [`offload`](crate::offload()) for a call in the middle of a function |
//! | `max_blocking_threads`, `blocking_queue_depth` | [`offload_limits`](crate::runtime::Builder::offload_limits), [`PoolMetrics`](crate::runtime::PoolMetrics) |
//! | `block_in_place` | nothing: code that waits by `.wait()` holds no worker up |
//! | `new_current_thread`, `LocalRuntime` | [`build_local`](crate::runtime::Builder::build_local) |
//! | `on_thread_start`, `on_thread_park`, `on_task_spawn` | the same names in [`Hooks`](crate::runtime::Hooks); [`around_threads`](crate::runtime::Builder::around_threads) is both ends in one |
//! | `thread_name`, `core_affinity` | [`name`](crate::runtime::Builder::name), [`worker_names`](crate::runtime::Builder::worker_names), [`pin_workers`](crate::runtime::Builder::pin_workers) |
//! | `RuntimeMetrics`, `enable_metrics_poll_time_histogram` | [`Runtime::metrics`](crate::Runtime::metrics), [`green_backend::Metrics`](crate::green_backend::Metrics), [`time_polls`](crate::runtime::Builder::time_polls), [`time_tasks`](crate::runtime::Builder::time_tasks) |
//! | `spawn_local`, `LocalSet` | [`LocalRuntime::spawn_local`](crate::runtime::LocalRuntime::spawn_local) on a runtime of one thread, [`spawn_pinned`](crate::spawn_pinned) on any |
//! | `task_local!` | [`task_local!`](crate::task_local!); children have the values that they [`inherit`](crate::task::inherit()) |
//! | `JoinSet` | [`TaskGroup`](crate::task::TaskGroup); [`scope`](crate::task::scope()) for tasks that borrow; `build_task` is [`spawn_with`](crate::task::TaskGroup::spawn_with) of either |
//! | `mpsc`, `oneshot`, `broadcast`, `watch` | [`channel::bounded`](crate::channel::bounded) and [`unbounded`](crate::channel::unbounded) with many receivers, [`oneshot`](crate::channel::oneshot()), [`broadcast`](crate::channel::broadcast()), [`watch`](crate::channel::watch()) |
//! | `Sender::reserve`, `Receiver::recv_many` | [`Sender::reserve`](crate::channel::Sender::reserve), [`Receiver::recv_many`](crate::channel::Receiver::recv_many) |
//! | `blocking_send`, `blocking_recv` | `send` and `recv`, finished by `.wait()` |
//! | `send_timeout` | [`Sending::timeout`](crate::channel::Sending::timeout), which hands the message back; any other operation has [`time::timeout`](crate::time::timeout()) |
//! | `WeakSender` | [`WeakSender`](crate::channel::WeakSender), of [`bounded`](crate::channel::bounded) and the other queues; [broadcast](crate::channel::broadcast::WeakSender) and [watch](crate::channel::watch::WeakSender) channels have theirs |
//! | `sync::Mutex`, `RwLock`, `Semaphore`, `Notify`, `Barrier`, `OnceCell` | the same names in [`sync`](crate::sync) |
//! | `MutexGuard::map`, `OwnedMappedMutexGuard` | [`MutexGuard::map`](crate::sync::MutexGuard::map) and that of each other guard, for a [`MappedGuard`](crate::sync::MappedGuard) |
//! | `CancellationToken` | [`sync::CancellationToken`](crate::sync::CancellationToken) |
//! | `select!` | [`select!`](crate::select!); [`race`](crate::future::race) and [`select_all`](crate::future::select_all()) without a macro |
//! | `join!`, `join_all` | [`join`](crate::future::join()), [`join_all`](crate::future::join_all()) |
//! | `try_join!` | none: [`join`](crate::future::join()) waits for all of them; a [`TaskGroup`](crate::task::TaskGroup) that is dropped by a `?` after [`join_next`](crate::task::TaskGroup::join_next) cancels the rest |
//! | `timeout`, `sleep`, `interval` | the same names in [`time`](crate::time); [`MissedTicks`](crate::time::MissedTicks) |
//! | `StreamExt::buffered`, `merge`, `throttle` | the methods of [`Stream`](crate::stream::Stream) |
//! | `StreamMap` | [`SelectAll`](crate::future::SelectAll) over a set that changes, whose keys say who was ready |
//! | `DelayQueue` | none: a timer for each item, by [`send_after`](crate::actor::ProcessRef::send_after), whose [`Timer`](crate::actor::Timer) cancels it, or by a [`sleep`](crate::time::sleep()) in a [`SelectAll`](crate::future::SelectAll) |
//! | `time::pause`, `time::advance` | none: the clock is the machine's, unless a simulator stands in for it ([`contract::world`](crate::contract::world)) |
//! | `io::stdin`, `stdout`, `stderr` | the same names in [`io`](crate::io) |
//! | `BufReader`, `BufWriter`, `AsyncBufReadExt::lines` | the same names in [`io`](crate::io), over futures-io's traits; a line has a limit, and `lines` is a [`Stream`](crate::stream::Stream) |
//! | `read_exact`, `write_all`, `read_to_end`, `take`, `chain` | functions of [`io`](crate::io), which go on where they were given up |
//! | `io::copy`, `io::copy_bidirectional` | [`io::copy`](crate::io::copy()), [`io::copy_bidirectional`](crate::io::copy_bidirectional()); between sockets [`net::copy_bidirectional`](crate::net::copy_bidirectional()), inside of the kernel |
//! | `io::duplex` | [`io::duplex`](crate::io::duplex()) |
//! | `fs::File`, `read_dir`, `OpenOptions` | the same names in [`fs`](crate::fs); `ReadDir` is a [`Source`](crate::channel::Source), nothing is buffered, and [`fs::replace`](crate::fs::replace()) is atomic |
//! | `process::Command`, `Child` | the same names in [`process`](crate::process) |
//! | `signal::ctrl_c`, `signal::unix::signal` | [`signal::ctrl_c`](crate::signal::ctrl_c()), [`signal::Signals`](crate::signal::Signals) |
//! | libraries that need tokio, such as reqwest, tokio-postgres or redis | `Builder::tokio`, or `tokio::compat` for a single future, with the feature `tokio` |
//! | `axum::serve`, `TokioExecutor`, `TokioTimer`, `TokioIo` | `hyper::serve`, `Executor`, `Timer`, `Io`, with the feature `hyper` |
//! | `futures::Stream`, `futures::Sink`, `tokio_stream`'s wrappers of receivers | `futures::AsStream`, `futures::AsSink`, with the feature `futures`; [`stream::poll_fn`](crate::stream::poll_fn) for one of theirs |
//! | `tokio_rustls`, `tokio_tungstenite` | rustls' `StreamOwned` or futures-rustls, tungstenite or async-tungstenite, as they are: each stream has the traits of std and of futures-io |
//! | `tonic::transport::Server`, `Endpoint::connect` | `hyper::serve` with tonic's `Routes`, `connect_with_connector(hyper::Connector::new())`, with the features `hyper` and `tokio` |
//! | `Instrument`, console-subscriber | `Builder::tracing`, or the hooks of `tracing::spans` and `tracing::console`, with the feature `tracing` |
//! | `on_before_task_poll`, `on_after_task_poll` | [`Hooks::around_polls`](crate::runtime::Hooks::around_polls) |
//! | tokio-metrics | `Runtime::record_metrics`, with the feature `metrics` |
//! | `AsyncFd` | [`io::Pollable`](crate::io::Pollable) |
//! | `net::UnixStream`, `UnixListener`, `UnixDatagram`, `UdpSocket` | the same names in [`net`](crate::net); a receive says how much was cut off ([`Received`](crate::net::Received)) |
//! | `TcpSocket`, `lookup_host` | [`net::TcpSocket`](crate::net::TcpSocket), [`net::lookup`](crate::net::lookup()); a connect tries a host's addresses side by side |
//! | `readable`, `try_read`, `try_io`, `poll_accept` | the same names; `async_io` is `with_io` |
//! | `TcpListenerStream` | [`net::Incoming`](crate::net::Incoming), which outlives a shortage of descriptors |
//! | `tokio_util::codec`: `Framed`, `LinesCodec`, `LengthDelimitedCodec` | [`port`](crate::port), whose [`Decoder`](crate::port::Decoder) and [`Encoder`](crate::port::Encoder) have the same shape |
//! | `linemux` | [`port::tail`](crate::port::tail()) |
//! | `UCred` | [`net::Credentials`](crate::net::Credentials) |
//! | `task::yield_now` | [`future::yield_now`](crate::future::yield_now()) |
//! | `unconstrained`, the module `coop` | none: the budget is each task's, and delays an answer by one turn at most ([`contract::coop`](crate::contract::coop)) |
//!
//! # From Go
//!
//! | Go | here |
//! |---|---|
//! | `go f()` | [`spawn_fn`](crate::spawn_fn) |
//! | `make(chan T)`, `make(chan T, n)` | [`channel::rendezvous`](crate::channel::rendezvous()), [`channel::bounded`](crate::channel::bounded) |
//! | `ch <- v`, `<-ch`, `for v := range ch` | [`send`](crate::channel::Sender::send), [`recv`](crate::channel::Receiver::recv), iteration over a [`Receiver`](crate::channel::Receiver), each with `.wait()` |
//! | `close(ch)` | the last sender is dropped |
//! | `select` with `default` | [`select!`](crate::select!) over what is ready, or `try_recv` |
//! | `reflect.Select` | [`future::SelectAll`](crate::future::SelectAll) |
//! | `sync.WaitGroup`, `errgroup` | [`TaskGroup`](crate::task::TaskGroup), [`scope`](crate::task::scope()) |
//! | `context.WithCancel`, `WithTimeout` | [`CancellationToken`](crate::sync::CancellationToken), [`time::timeout`](crate::time::timeout()) |
//! | `sync.Once`, `sync.Cond` | [`OnceCell`](crate::sync::OnceCell), [`Condvar`](crate::sync::Condvar) |
//! | `sync.Mutex`, `sync.RWMutex`, `semaphore.Weighted` | [`Mutex`](crate::sync::Mutex), [`RwLock`](crate::sync::RwLock), [`Semaphore`](crate::sync::Semaphore); atomics are those of std |
//! | `sync.Map`, `sync.Pool` | none: a map behind a lock, or a crate for concurrent maps, whose guards are not to be held across a wait |
//! | `time.After`, `time.NewTicker` | [`sleep`](crate::time::sleep()), [`interval`](crate::time::interval()): an arm of a `select!` is the sleep itself, or the interval's [`tick`](crate::time::Interval::tick) |
//! | `time.AfterFunc` | [`spawn`](crate::spawn) of a future that sleeps first; `Stop` is [`Task::cancel`](crate::Task::cancel) |
//! | `panic`, `recover` | a panic ends its task alone, and whoever waits for that gets [`Failure::Panicked`](crate::Failure::Panicked) |
//! | `bufio.Reader`, `bufio.Scanner`, `io.Copy`, `net.Pipe` | [`io::BufReader`](crate::io::BufReader), [`io::copy`](crate::io::copy()), [`io::duplex`](crate::io::duplex()) |
//! | `os.File`, `ReadAt`, `os.WriteFile` | [`fs::File`](crate::fs::File), [`read_at`](crate::fs::File::read_at), [`fs::write`](crate::fs::write()) |
//! | `exec.Command` | [`process::Command`](crate::process::Command) |
//! | `signal.Notify` | [`signal::Signals`](crate::signal::Signals) |
//! | `net.Dialer`, `net.Resolver` | [`net::TcpSocket`](crate::net::TcpSocket), [`net::set_resolver`](crate::net::set_resolver()) |
//! | `runtime.Gosched` | [`future::yield_now`](crate::future::yield_now()) |
//! | `runtime.NumGoroutine` | [`Runtime::metrics`](crate::Runtime::metrics), by kind; [`dump`](crate::dump) lists them |
//! | `GOMAXPROCS` | [`workers`](crate::runtime::Builder::workers); on native the threads are the operating system's to schedule |
//! | "all goroutines are asleep" | [`Failure::Deadlock`](crate::Failure::Deadlock), which names the tasks of the circle while others go on |
//! | `GODEBUG=schedtrace` | [`green_backend::Metrics`](crate::green_backend::Metrics), whose text form tells of each worker |
//! | the dump on `SIGQUIT` | [`dump_on_signal`](crate::dump_on_signal), [`dump`](crate::dump) |
//! | `runtime.LockOSThread` | [`native`](crate::native()), whose tasks have threads of their own |
//!
//! # From Erlang and Elixir
//!
//! | Erlang, Elixir | here |
//! |---|---|
//! | `spawn`, `spawn_link`, `spawn_monitor` | [`Builder`](crate::actor::Builder) |
//! | `Pid ! M`, `receive`, `receive .. after` | [`ProcessRef::send`](crate::actor::ProcessRef::send), [`Process::receive`](crate::actor::Process::receive) and its time limits |
//! | priority messages | [`ProcessRef::urgent`](crate::actor::ProcessRef::urgent); for more than two priorities a [`channel::priority`](crate::channel::priority) that is attached |
//! | selective receive | [`Process::receive_match`](crate::actor::Process::receive_match) |
//! | `link`, `monitor`, `process_flag(trap_exit, true)` | the methods of [`Process`](crate::actor::Process) |
//! | `exit(Reason)`, `{shutdown, Term}` | [`ExitReason`](crate::actor::ExitReason), [`ExitReason::shutdown_with`](crate::actor::ExitReason::shutdown_with) |
//! | `gen_server` | [`Actor`](crate::actor::Actor); `call` is [`ask`](crate::actor::ProcessRef::ask), `{continue, _}` is [`Context::continue_with`](crate::actor::Context::continue_with) |
//! | `GenServer.call` with a timeout, `GenServer.cast`, `handle_info` | [`time::timeout`](crate::time::timeout()) around [`ask`](crate::actor::ProcessRef::ask), [`send`](crate::actor::ProcessRef::send), an [attached](crate::actor::Context::attach) source |
//! | `gen_event` | [`Topic`](crate::actor::Topic), to which each handler subscribes as a process of its own |
//! | `hibernate` | none: a process that waits by `.await` is its future, without a stack or a heap to shrink |
//! | `gen_statem` | [`StateMachine`](crate::actor::StateMachine) |
//! | `{timeout, T, [{abs, true}]}` of a `gen_statem` | [`MachineContext::set_timeout_at`](crate::actor::MachineContext::set_timeout_at) and its kin |
//! | `supervisor`, `DynamicSupervisor` | [`supervisor`](crate::actor::supervisor) |
//! | `Task.Supervisor`, `PartitionSupervisor` | [`ChildSpec::task_once`](crate::actor::supervisor::ChildSpec::task_once), [`Supervisor::partitioned`](crate::actor::supervisor::Supervisor::partitioned) |
//! | `hd(get('$ancestors'))` | [`Process::supervisor`](crate::actor::Process::supervisor) |
//! | supervisor reports of `logger` | [`Supervisor::events`](crate::actor::supervisor::Supervisor::events), [`Supervisor::on_report`](crate::actor::supervisor::Supervisor::on_report) |
//! | `ignore`, `{error, max_children}` | [`supervisor::Ignore`](crate::actor::supervisor::Ignore), [`Supervisor::max_children`](crate::actor::supervisor::Supervisor::max_children) |
//! | `register`, `Registry`, `pg` | [`Registry`](crate::actor::Registry), [`Groups`](crate::actor::Groups) |
//! | `Registry` with `keys: :duplicate`, `listeners`, `{:via, _, _}` | [`Directory`](crate::actor::Directory), [`Registry::watch`](crate::actor::Registry::watch), [`Via`](crate::actor::Via) |
//! | `timer:exit_after`, `timer:kill_after` | [`ProcessRef::exit_after`](crate::actor::ProcessRef::exit_after), [`exit_at`](crate::actor::ProcessRef::exit_at), [`kill_after`](crate::actor::ProcessRef::kill_after) |
//! | the stack trace of a crash report | [`ExitReason::backtrace`](crate::actor::ExitReason::backtrace), [`task::keep_backtraces`](crate::task::keep_backtraces) |
//! | `timer:send_interval`, `timer:apply_interval` | [`ProcessRef::send_interval`](crate::actor::ProcessRef::send_interval), a task over the ticks of an [`interval`](crate::time::interval()) |
//! | `send_after`, `start_timer`, `cancel_timer` | [`ProcessRef::send_after`](crate::actor::ProcessRef::send_after), [`Process::start_timer`](crate::actor::Process::start_timer), [`Process::cancel_timer`](crate::actor::Process::cancel_timer) |
//! | `sys:get_state`, `sys:suspend`, `sys:resume` | [`ProcessRef::show_state`](crate::actor::ProcessRef::show_state), [`suspend`](crate::actor::ProcessRef::suspend), [`resume`](crate::actor::ProcessRef::resume) |
//! | `trace` of one process | [`ProcessRef::trace`](crate::actor::ProcessRef::trace) |
//! | `process_info`, `observer`, `i()` | [`ProcessRef::info`](crate::actor::ProcessRef::info), [`process_table`](crate::process_table()) |
//! | `open_port`, `gen_tcp` with `{active, N}`, `{packet, 4}`, `{packet, line}` | [`port`](crate::port), [`port::Active`](crate::port::Active), [`port::frames`](crate::port::frames), [`port::lines`](crate::port::lines) |
//! | `gen_tcp:controlling_process`, `port_connect` | [`PortRef::hand_over`](crate::port::PortRef::hand_over) |
//! | `poolboy`, `Phoenix.PubSub` | [`Pool`](crate::actor::Pool), as a child [`ChildSpec::pool`](crate::actor::supervisor::ChildSpec::pool); [`Topic`](crate::actor::Topic) |
//! | a `gen_server` that reconnects and queues meanwhile | [`ServiceRef`](crate::actor::ServiceRef) |
//! | `net_kernel:connect_node`, `gen_server:call({Name, Node}, _)` | `Node::connect`, and `ProcessRef::ask` of a `Remote::process`, or `Remote::call`, in `twoply::node`, with the feature `node` |
//! | `self()` in a message, `pid()` that comes in one | a `ProcessRef` or a `Pid` as a field |
//! | `{Name, Node} ! M`, which connects by itself | `Node::remote`, and `Remote::process` of that |
//! | `erpc`, `rpc` (`call`, `cast`, `multicall`), `spawn/4` on another node | `Node::call`, `Node::cast`, `Node::multicall`, `Remote::spawn`; what others may call: `Node::functions` |
//! | `-epmd_module`, libcluster's strategies | `node::Builder::resolver` |
//! | `inet_dist_listen_min`, `inet_dist_listen_max` | `node::Builder::ports` |
//! | `-dist_listen false` | `node::Builder::without_listener` |
//! | `-erl_epmd_port`, `-start_epmd false` | `node::Builder::without_epmd`, with `listen` and `peer` |
//! | `-proto_dist inet_tls` | `node::Builder::tls`, with the feature `node-tls` |
//! | `observer`, `etop` | `Functions::add_observer`, with the feature `node-observer`; another node looks |
//! | `pg:start_link`, `pg:join`, `pg:get_members` on several nodes | `Node::pg`, `Pg::share` of a [`Group`](crate::actor::Group), `Pg::members` |
//! | `erlang:monitor_node`, `net_kernel:monitor_nodes` | `Node::monitor_node`, `Node::events` |
//! | `Task.async_stream` | [`Stream::buffered`](crate::stream::Stream::buffered) |
//! | `Task.async`, `Task.await`, `Task.yield` | [`spawn`](crate::spawn), the [`Task`](crate::Task) itself, [`time::timeout`](crate::time::timeout()) around `&mut` of it; unlike there, a failure is a value and ends nobody |
//! | `Task.await_many`, `Task.yield_many` | [`join_all`](crate::future::join_all()), [`TaskGroup::join_next`](crate::task::TaskGroup::join_next) |
//! | `GenStage`, `Flow` | bounded channels and the methods of [`Stream`](crate::stream::Stream), where a full one holds its producer up |
//! | `ets`, `persistent_term` | none: values are shared by `Arc`, a table is a map behind a [`RwLock`](crate::sync::RwLock) |
//! | `Agent` | [`Active`](crate::actor::Active), [`Active::supervised`](crate::actor::Active::supervised) |
//!
//! # From kameo, ractor, actix and Akka
//!
//! | there | here |
//! |---|---|
//! | one `impl Message<M>` or `Handler<M>` a message | one enum of messages, one [`Actor::handle`](crate::actor::Actor::handle) |
//! | `#[messages]`, `#[derive(Actor)]` | the attribute `#[twoply::actor]` on an impl of methods, with the feature `macros` |
//! | `tell`, `cast`, `do_send` | [`send`](crate::actor::ProcessRef::send), [`try_send`](crate::actor::ProcessRef::try_send) |
//! | `ask`, `call` | [`ask`](crate::actor::ProcessRef::ask), whose answer is a future that many may share |
//! | `on_start`, `pre_start`, `started` | [`Actor::started`](crate::actor::Actor::started); [`Actor::start`](crate::actor::Actor::start) waits for it |
//! | `on_stop`, `post_stop`, `stopped` | [`Actor::stopped`](crate::actor::Actor::stopped) |
//! | `stop_gracefully`, `drain` | [`stop_gracefully`](crate::actor::ProcessRef::stop_gracefully), [`drain`](crate::actor::ProcessRef::drain) |
//! | `WeakActorRef` | [`WeakRef`](crate::actor::WeakRef) |
//! | `Recipient<M>` | [`ProcessRef<M>`](crate::actor::ProcessRef), which knows the type of the messages and not that of the actor |
//! | Akka's `PoisonPill`, `Kill` | [`stop_gracefully`](crate::actor::ProcessRef::stop_gracefully), [`exit`](crate::actor::ProcessRef::exit) with [`ExitReason::Kill`](crate::actor::ExitReason::Kill) |
//! | Akka's `watch` (DeathWatch), `Terminated` | [`Process::monitor`](crate::actor::Process::monitor), [`Down`](crate::actor::Down) |
//! | Akka's `stash`, `become` | [`StateMachine`](crate::actor::StateMachine) with [`Transition::postpone`](crate::actor::Transition::postpone); in a plain process [`receive_match`](crate::actor::Process::receive_match) |
//! | Akka's `Receptionist`, `ServiceKey` | [`Directory`](crate::actor::Directory), [`Groups`](crate::actor::Groups) |
//! | Akka's `EventStream`, `PubSub` | [`Topic`](crate::actor::Topic) |
//! | Akka's `Router` | [`Pool`](crate::actor::Pool) with a [`Routing`](crate::actor::Routing) |
//! | Akka's `BackoffSupervisor`, `maxNrOfRetries` | [`ChildSpec::backoff`](crate::actor::supervisor::ChildSpec::backoff), [`ChildSpec::restart_limit`](crate::actor::supervisor::ChildSpec::restart_limit) |
//! | `ActorPool`, factories | [`Pool`](crate::actor::Pool), and [`Pool::process`](crate::actor::Pool::process), which takes messages as any actor |
//! | `add_stream` | [`Context::attach`](crate::actor::Context::attach) |
//! | actix's `run_later`, `run_interval` | [`send_after`](crate::actor::ProcessRef::send_after), [`send_interval`](crate::actor::ProcessRef::send_interval), each with a message to oneself |
//! | actix's `SyncArbiter` | a [`Pool`](crate::actor::Pool) [on](crate::actor::PoolBuilder::on) the native backend, whose members may block |
//! | actix's `Arbiter` | [`spawn_pinned`](crate::spawn_pinned), or a [`LocalRuntime`](crate::runtime::LocalRuntime) of one's own |
