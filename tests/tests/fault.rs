//! Faults of the surroundings: no threads, no stacks, no stack left, a fork, memory that must not grow.

use std::future::pending;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::promise::Failure;
use twoply_core::task::{self, Builder, SpawnError};
use twoply_core::time::sleep;
use twoply_core::{Wait, channel, threads};
use twoply_green::Green;
use twoply_native::Native;
use twoply_tests::{
    Gate, Kind, Memory, Resources, Signal, System, Systems, become_another_user, eventually, fork, laws,
    limit_memory, limit_processes, watch,
};

laws! {
    everywhere {
        a_child_of_a_fork_is_refused_or_served_but_never_hangs,
        the_parent_of_a_fork_goes_on,
        a_refusal_of_the_operating_system_is_an_error_or_costs_time,
        memory_does_not_grow_with_tasks_that_are_over,
        beyond_the_threads_that_a_process_should_have_nothing_aborts,
        what_the_address_space_cannot_hold_is_refused,
        what_the_limit_on_data_cannot_hold_is_refused,
        what_a_user_may_not_start_is_refused,
    }
    green { a_child_of_a_fork_is_refused }
    green { settings_that_nothing_can_satisfy_are_an_error }
    threads {
        without_threads_a_blocked_task_keeps_its_worker_and_nothing_is_lost,
        a_runtime_that_cannot_have_its_threads_is_not_built,
    }
    fibers {
        without_stacks_tasks_go_on,
        what_is_offloaded_beyond_the_limit_waits_for_its_turn,
        without_any_thread_offloading_is_an_error,
        a_stack_overflow_names_the_task_and_aborts,
        what_a_task_has_used_of_its_stack_is_told,
        a_stack_has_room_for_what_mainstream_libraries_need,
        a_task_without_a_stack_that_blocks_is_woken,
    }
    native {
        beyond_the_limit_of_threads_a_start_is_an_error,
        a_pool_has_no_threads_in_a_child_of_a_fork,
        a_stack_that_nothing_can_hold_is_an_error,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// Whether a task did not start because the system, or a limit, refused it a thread.
fn is_thread(failure: &Failure) -> bool {
    matches!(failure.not_started(), Some(SpawnError::Thread(_)))
}

fn a_child_of_a_fork_is_refused(on: &Systems) {
    on.here().spawn(async {}).wait().unwrap();
    let status = fork(|| {
        let refused = Builder::new().spawn_on(on.here().backend(), async {});
        u8::from(!matches!(refused, Err(SpawnError::Forked)))
    });
    assert_eq!(status, Some(0));
}

fn a_child_of_a_fork_is_refused_or_served_but_never_hangs(on: &Systems) {
    on.alone(|| {
        // An idle thread is at hand in the parent, and a blocked one.
        let blocked = on.here().spawn_fn(|| pending::<()>().wait());
        on.here().spawn_fn(|| sleep(Duration::from_millis(1)).wait()).wait().unwrap();
        thread::sleep(Duration::from_millis(10));
        let status = fork(|| match on.here().spawn_fn(|| 7).wait() {
            Ok(7) => 0,
            Err(failure) if matches!(failure.not_started(), Some(SpawnError::Forked)) => 0,
            Ok(_) => 1,
            Err(_) => 2,
        });
        assert_eq!(status, Some(0), "no status: the child hung");
        blocked.cancel();
    });
}

fn a_pool_has_no_threads_in_a_child_of_a_fork(_: &Systems) {
    let pool = threads::BlockingPool::new(threads::shared(), threads::PoolLimits::default());
    let gate = Gate::new();
    let opened = gate.opened();
    pool.execute(None, move || opened.wait()).unwrap();
    assert_eq!(pool.metrics().running, 1);
    assert_eq!(fork(|| u8::from(pool.metrics() != threads::PoolMetrics::default())), Some(0));
    gate.open();
}

fn the_parent_of_a_fork_goes_on(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.opened();
    let blocked = on.here().spawn_fn(move || opened.wait());
    eventually("it waits", || gate.waiting() >= 1);
    assert_eq!(fork(|| 3), Some(3));
    gate.open();
    blocked.wait().unwrap();
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
}

/// Blocks `number` tasks on `system`, wakes all of them from outside, and waits for them.
fn block_and_wake(system: &System, number: usize) {
    let gates: Vec<Gate> = (0..number).map(|_| Gate::new()).collect();
    let started = Signal::new();
    let tasks: Vec<_> = gates
        .iter()
        .enumerate()
        .map(|(n, gate)| {
            let (opened, started) = (gate.opened(), started.clone());
            system.spawn_fn(move || {
                started.add();
                opened.wait();
                n
            })
        })
        .collect();
    eventually("the first block", || started.count() >= 1);
    thread::sleep(Duration::from_millis(20));
    // One after the other, so that each wake-up finds those before it handled as far as they can be.
    for gate in &gates {
        gate.open();
        thread::sleep(Duration::from_millis(1));
    }
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.wait().unwrap(), n);
    }
}

fn a_refusal_of_the_operating_system_is_an_error_or_costs_time(on: &Systems) {
    on.alone(|| {
        let system = on.kind().build();
        // What the process needs anyway is there: the I/O server, and the allocator's arenas.
        block_and_wake(&system, 2);
        thread::sleep(Duration::from_millis(20));
        limit_memory(Memory::Space, Some(1 << 20));
        if on.kind() == Kind::Native {
            let held: Vec<_> = (0..8).map(|_| system.spawn_fn(|| pending::<()>().wait())).collect();
            let refused: Vec<bool> = held
                .into_iter()
                .map(|task| {
                    if !task.is_finished() {
                        task.cancel();
                    }
                    matches!(task.wait(), Err(failure) if is_thread(&failure))
                })
                .collect();
            assert!(refused.contains(&true), "eight stacks in a mebibyte");
        } else {
            block_and_wake(&system, 8);
        }
        limit_memory(Memory::Space, None);
        block_and_wake(&system, 8);
        system.shutdown(SOON).unwrap();
    });
}

fn memory_does_not_grow_with_tasks_that_are_over(on: &Systems) {
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
    }
    on.alone(|| {
        let number = if on.kind().is_green() { 2000 } else { 100 };
        let round = || {
            let handles: Vec<_> = (0..number)
                .map(|n| match n % 20 {
                    0 => on.here().spawn_fn(|| pending::<()>().wait()).cancel_on_drop(),
                    _ => on.here().spawn(pending::<()>()).cancel_on_drop(),
                })
                .collect();
            drop(handles);
            eventually("none is left", || on.here().tasks() == 0);
        };
        (0..5).for_each(|_| round());
        let grown = || {
            let before = resident();
            (0..20).for_each(|_| round());
            resident().saturating_sub(before)
        };
        // A leak of 100 bytes a task would be 4 MB on the green systems, each time. More of them than ever
        // before may be alive at once by chance, whose memory is kept.
        let times: Vec<_> = (0..4).map(|_| grown()).take_while(|grown| *grown >= 2 << 20).collect();
        assert!(times.len() < 4, "{times:?} bytes more after {} tasks each", 20 * number);
    });
}

fn without_threads_a_blocked_task_keeps_its_worker_and_nothing_is_lost(on: &Systems) {
    let workers = on.kind().workers();
    // The workers, the watchdog, and one thread to spare.
    let limited = on.kind().green().max_threads(workers + 2).build().unwrap();
    let system = System::from(limited);
    block_and_wake(&system, 10);
    assert!(system.metrics().threads <= workers + 2);
    // A timer and a channel are enough to end such a wait, too.
    let sleepers: Vec<_> =
        (0..5).map(|_| system.spawn_fn(|| sleep(Duration::from_millis(5)).wait())).collect();
    sleepers.into_iter().for_each(|sleeper| sleeper.wait().unwrap());
    let (tx, rx) = channel::bounded(1);
    let receiver = system.spawn_fn(move || rx.iter().sum::<u32>());
    (1..=10).for_each(|n| tx.send(n).wait().unwrap());
    drop(tx);
    assert_eq!(receiver.wait().unwrap(), 55);
    system.shutdown(SOON).unwrap();
}

fn a_runtime_that_cannot_have_its_threads_is_not_built(on: &Systems) {
    let refused = on.kind().green().max_threads(on.kind().workers()).build();
    assert!(refused.is_err(), "there is no thread for the watchdog");
}

fn beyond_the_threads_that_a_process_should_have_nothing_aborts(on: &Systems) {
    on.alone(|| {
        // Half of it is for this library.
        limit_processes(260);
        assert_eq!(threads::process_limit(), 130);
        let system = on.kind().build();
        let gate = Gate::new();
        let tasks: Vec<_> = (0..400)
            .map(|_| {
                let opened = gate.opened();
                system.spawn_fn(move || opened.wait())
            })
            .collect();
        let expected = if on.kind().is_fibers() { 400 } else { 120 };
        eventually("as many wait as may", || gate.waiting() >= expected);
        assert!(Resources::now().threads_named("twoply") <= 130);
        if on.kind().is_green() && !on.kind().is_fibers() {
            eventually("that shows", || system.metrics().refusals > 0);
        }
        gate.open();
        let (done, refused): (Vec<_>, Vec<_>) = tasks.into_iter().map(Wait::wait).partition(Result::is_ok);
        match on.kind() {
            Kind::Native => assert_eq!((done.len(), refused.len()), (130, 270)),
            _ => assert_eq!((done.len(), refused.len()), (400, 0)),
        }
        assert!(refused.iter().all(|result| result.as_ref().is_err_and(is_thread)));
        system.shutdown(SOON).unwrap();
    });
}

fn what_the_address_space_cannot_hold_is_refused(on: &Systems) {
    what_memory_cannot_hold_is_refused(on, Memory::Space);
}

fn what_the_limit_on_data_cannot_hold_is_refused(on: &Systems) {
    what_memory_cannot_hold_is_refused(on, Memory::Data);
}

fn what_memory_cannot_hold_is_refused(on: &Systems, memory: Memory) {
    on.alone(|| {
        // What the process needs anyway is there: the I/O server, and the allocator's arenas.
        block_and_wake(&on.kind().build(), 2);
        // Each leaves something else of the memory when no more stacks fit, at times next to nothing.
        for bytes in (0..128).map(|n| n * (16 << 10)) {
            let build = || match on.kind() {
                Kind::Native => Ok(System::from(Native::builder().stack_size((2 << 20) + bytes).build())),
                kind if kind.is_fibers() => kind.green().build().map(System::from),
                kind => kind.green().stack_size((2 << 20) + bytes).build().map(System::from),
            };
            // What holds the stacks of fibers is 64 MiB at a time.
            let more = if on.kind().is_fibers() { (72 << 20) + bytes } else { 16 << 20 };
            limit_memory(memory, Some(more as u64));
            let system = build().unwrap();
            let gate = Gate::new();
            let tasks: Vec<_> = (0..40)
                .map(|_| {
                    let opened = gate.opened();
                    system.spawn_fn(move || opened.wait())
                })
                .collect();
            gate.open();
            let refused: Vec<_> = tasks.into_iter().filter_map(|task| task.wait().err()).collect();
            assert!(refused.iter().all(is_thread), "{refused:?}");
            assert_eq!(refused.is_empty(), on.kind().is_green(), "{} of 40, {bytes} more", refused.len());
            // There is room again, also where the C library keeps the stacks of threads that have ended.
            let blocks = || sleep(Duration::from_millis(1)).wait();
            eventually("a task runs", || system.spawn_fn(blocks).wait().is_ok());
            system.shutdown(SOON).unwrap();
            eventually("another system is built, and runs a task", || {
                build().is_ok_and(|system| system.spawn_fn(blocks).wait().is_ok())
            });
            limit_memory(memory, None);
        }
    });
}

fn what_a_user_may_not_start_is_refused(on: &Systems) {
    async fn echo(stream: TcpStream) {
        let mut byte = [0];
        if stream.read_exact(&mut byte).await.is_ok() {
            let _ = stream.write_all(&byte).await;
        }
    }
    /// Whether a connection is served; it is closed where nothing can serve it.
    fn is_served(address: SocketAddr) -> bool {
        let served = || -> io::Result<usize> {
            let mut stream = std::net::TcpStream::connect(address)?;
            stream.set_read_timeout(Some(SOON))?;
            stream.write_all(b"?")?;
            stream.read(&mut [0])
        };
        match served() {
            Ok(bytes) => bytes == 1,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                false
            }
        }
    }
    on.alone(|| {
        if !become_another_user() {
            return;
        }
        let system = on.kind().build();
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let address = listener.local_addr().unwrap();
        // It holds no stack of a green worker, which would stand still where another has none.
        let server = system.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(task::spawn(echo(stream)));
            }
        });
        let all = Resources::now().threads.values().sum::<usize>() as u64;
        let mut refusals = 0;
        for more in (0..10).chain([1000]) {
            limit_processes(all + more);
            let served = (0..4).filter(|_| is_served(address)).count();
            let next = on.kind().try_build();
            let gate = Gate::new();
            let tasks: Vec<_> = (0..16)
                .map(|n| {
                    let opened = gate.opened();
                    system.spawn_fn(move || {
                        if n % 2 == 1 {
                            return twoply_core::offload(|| opened.wait());
                        }
                        opened.wait();
                        Ok(())
                    })
                })
                .collect();
            sleep(Duration::from_millis(1)).wait();
            gate.open();
            let refused = tasks.into_iter().map(Wait::wait).filter(|ended| match ended {
                Ok(Ok(())) => false,
                Ok(Err(error)) => matches!(error, SpawnError::Thread(_)) || panic!("{error}"),
                Err(failure) => is_thread(failure) || panic!("{failure}"),
            });
            let refused = refused.count();
            if more == 1000 {
                assert_eq!((refused, served, next.is_ok()), (0, 4, true), "there is room again");
            }
            refusals += refused + usize::from(next.is_err());
        }
        assert!(refusals > 0, "nothing was refused");
        server.cancel();
        system.shutdown(SOON).unwrap();
    });
}

fn what_is_offloaded_beyond_the_limit_waits_for_its_turn(on: &Systems) {
    // The workers, the watchdog, and two threads for what is offloaded.
    let most = on.kind().workers() + 3;
    let limited = on.kind().green().max_threads(most).build().unwrap();
    let system = System::from(limited);
    let (begun, hold) = (Signal::new(), Arc::new(Mutex::new(())));
    let held = hold.lock().unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (begun, hold) = (begun.clone(), Arc::clone(&hold));
            system.spawn_fn(move || {
                twoply_core::offload(|| {
                    begun.add();
                    drop(hold.lock());
                    n
                })
            })
        })
        .collect();
    eventually("two run and the others wait", || {
        let offloaded = system.metrics().offloaded;
        (offloaded.running, offloaded.queued) == (2, 18) && offloaded.is_saturated()
    });
    eventually("the two have begun", || begun.count() == 2);
    assert!(system.metrics().threads <= most);
    // The workers are free.
    system.spawn_fn(|| sleep(Duration::from_millis(1)).wait()).wait().unwrap();
    drop(held);
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.wait().unwrap().unwrap(), n);
    }
    system.shutdown(SOON).unwrap();
}

fn without_any_thread_offloading_is_an_error(on: &Systems) {
    let limited = on.kind().green().max_threads(on.kind().workers() + 1).build().unwrap();
    let system = System::from(limited);
    let refused = system.spawn_fn(|| twoply_core::offload(|| ())).wait().unwrap();
    assert!(matches!(refused, Err(SpawnError::Thread(_))), "{refused:?}");
    assert_eq!(system.spawn_fn(|| 1).wait().unwrap(), 1);
    system.shutdown(SOON).unwrap();
}

fn settings_that_nothing_can_satisfy_are_an_error(on: &Systems) {
    let green = || on.kind().green();
    for builder in
        [green().workers(usize::MAX), green().workers(threads::process_limit()), green().max_threads(0)]
    {
        assert_eq!(builder.build().unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    }
    for bytes in [usize::MAX, usize::MAX / 2, usize::MAX / 256] {
        assert_eq!(green().stack_size(bytes).build().is_ok(), !on.kind().is_fibers(), "{bytes}");
    }
}

fn a_stack_that_nothing_can_hold_is_an_error(on: &Systems) {
    for bytes in [usize::MAX, usize::MAX - 4096, isize::MAX as usize, 1 << 50] {
        let started = Builder::new().stack_size(bytes).spawn_fn_on(on.here().backend(), || ());
        assert!(matches!(started, Err(SpawnError::Thread(_))), "{bytes}");
        let native = Native::builder().stack_size(bytes).build();
        assert!(native.spawner().spawn_fn(|| ()).wait().is_err_and(|failure| is_thread(&failure)), "{bytes}");
    }
    assert_eq!(on.here().spawn_fn(|| 1).wait().unwrap(), 1);
}

fn without_stacks_tasks_go_on(on: &Systems) {
    let limited = on.kind().green().max_stacks(3).build().unwrap();
    let system = System::from(limited);
    block_and_wake(&system, 10);
    // What does not block needs none of those that are taken.
    let gate = Gate::new();
    let blocked: Vec<_> = (0..2)
        .map(|_| {
            let opened = gate.opened();
            system.spawn_fn(move || opened.wait())
        })
        .collect();
    eventually("both wait", || gate.waiting() >= 2);
    for n in 0..20 {
        assert_eq!(system.spawn(async move { n }).wait().unwrap(), n);
    }
    gate.open();
    blocked.into_iter().for_each(|task| task.wait().unwrap());
    block_and_wake(&system, 10);
    system.shutdown(SOON).unwrap();
}

fn a_task_without_a_stack_that_blocks_is_woken(on: &Systems) {
    let limited = on.kind().green().max_stacks(1).build().unwrap();
    let system = System::from(limited);
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            system.spawn_fn(move || {
                sleep(Duration::from_millis(3)).wait();
                n
            })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.wait().unwrap(), n);
    }
    system.shutdown(SOON).unwrap();
}

fn a_stack_overflow_names_the_task_and_aborts(on: &Systems) {
    fn deep(n: u64) -> u64 {
        let frame = std::hint::black_box([n; 64]);
        if n == u64::MAX { 0 } else { deep(n + 1) + frame[(n % 64) as usize] }
    }
    let output = on.in_child(|| {
        let started = Builder::new().name("bottomless").spawn_fn_on(on.here().backend(), || deep(0));
        let _ = started.unwrap().wait();
    });
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("bottomless") && message.contains("overflow"), "{message}");
    assert!(message.contains("256 KiB") && message.contains("`stack_size`"), "{message}");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{}", output.status);
}

/// Uses `bytes` of the stack below `top` and a little more, and waits down there. Returns how many calls that
/// took.
fn use_stack(top: usize, bytes: usize) -> usize {
    let frame = std::hint::black_box([1_u8; 256]);
    if top - frame.as_ptr().addr() > bytes {
        twoply_core::future::yield_now().wait();
        return 1;
    }
    use_stack(top, bytes) + usize::from(frame[bytes % 256])
}

/// As [`use_stack`], from here on.
fn use_stack_here(bytes: usize) -> usize {
    let here = 0_u8;
    use_stack(std::ptr::from_ref(&here).addr(), bytes)
}

fn what_a_task_has_used_of_its_stack_is_told(on: &Systems) {
    type Told = Arc<Mutex<Vec<(Option<String>, usize, usize)>>>;
    let told = Told::default();
    let tell = Arc::clone(&told);
    let measuring = on.kind().green().on_stack_use(move |stack| {
        tell.lock().unwrap().push((stack.task.name().map(str::to_owned), stack.used, stack.size));
        panic_without_a_word();
    });
    let system = System::from(measuring.build().unwrap());
    // The same stacks are used again, by tasks that use more and less of them.
    for bytes in [1_000, 100_000, 10_000, 150_000, 1_000] {
        let task = Builder::new().name(bytes.to_string());
        task.spawn_fn_on(system.backend(), move || use_stack_here(bytes)).unwrap().wait().unwrap();
    }
    eventually("all is told", || told.lock().unwrap().len() == 5);
    for (name, used, size) in told.lock().unwrap().iter() {
        let bytes: usize = name.as_ref().unwrap().parse().unwrap();
        assert_eq!(*size, 256 * 1024);
        // The rest is what a wait takes, in a build without optimisation, and what belongs to the runtime.
        assert!(*used >= bytes && *used <= bytes + 32 * 1024, "{used} of {bytes}");
    }
    system.shutdown(SOON).unwrap();
}

/// A handler's panic, which the hook of the process would report.
fn panic_without_a_word() {
    std::panic::resume_unwind(Box::new("expected"));
}

fn a_stack_has_room_for_what_mainstream_libraries_need(on: &Systems) {
    let tasks: Vec<_> = (0..20).map(|_| on.here().spawn_fn(|| use_stack_here(192 * 1024))).collect();
    for task in tasks {
        assert!(task.wait().unwrap() > 1);
    }
}

fn beyond_the_limit_of_threads_a_start_is_an_error(_: &Systems) {
    let native = Native::builder().max_threads(2).build();
    let gate = Gate::new();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let opened = gate.opened();
            native.spawner().spawn_fn(move || opened.wait())
        })
        .collect();
    eventually("both wait", || gate.waiting() >= 2);
    let dropped = Signal::new();
    let guard = dropped.on_drop();
    let refused = native.spawner().spawn_fn(move || drop(guard));
    assert_eq!(dropped.count(), 1, "a task that does not start is dropped");
    assert!(matches!(refused.wait(), Err(failure) if is_thread(&failure)));
    let refused = Builder::new().spawn_on(native.spawner().backend(), async {});
    assert!(matches!(refused, Err(SpawnError::Thread(_))));
    gate.open();
    held.into_iter().for_each(|task| task.wait().unwrap());
    eventually("a thread is free", || native.threads().1 > 0);
    assert_eq!(native.spawner().spawn_fn(|| 3).wait().unwrap(), 3);
    native.shutdown(SOON).unwrap();
}

#[test]
fn the_defaults_of_both_backends_work_together() {
    watch("the_defaults_of_both_backends_work_together", || {
        let (green, native) = (Green::new().unwrap(), Native::new());
        let task = green.spawner().spawn(async { 1 });
        assert_eq!(native.spawner().spawn_fn(move || task.wait().unwrap() + 1).wait().unwrap(), 2);
        green.shutdown(SOON).unwrap();
        native.shutdown(SOON).unwrap();
    });
}
