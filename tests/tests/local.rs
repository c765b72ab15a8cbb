//! A runtime on one thread and no other.
#![cfg(all(feature = "native", feature = "green"))]

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use twoply::channel;
use twoply::future::{join_all, yield_now};
use twoply::net::{TcpListener, TcpStream};
use twoply::runtime::LocalRuntime;
use twoply::task::{self, SpawnError};
use twoply::time::{sleep, timeout};
use twoply::{Backend, Failure, Runtime, Wait, offload};
use twoply_tests::{
    Gate, Kind, Resources, Signal, Systems, assert_has_waited, exit_and_wait, fiber_promise, laws,
};

laws! {
    // One worker on a thread's stack, and one on fibers.
    one_worker {
        tasks_have_no_thread_but_the_one_that_waits,
        nothing_runs_while_nobody_waits,
        other_threads_start_and_wake_tasks,
        the_main_task_may_block_and_leaves_the_thread_to_others,
        a_task_that_blocks_is_woken_by_time_and_by_other_threads,
        a_busy_runtime_keeps_its_timers,
        a_runtime_does_not_run_inside_itself,
        another_runtime_may_run_inside_a_task,
        dropping_it_ends_its_tasks_there_and_then,
        a_shutdown_ends_what_it_can_until_its_deadline,
        local_futures_stay_at_home,
        a_panic_that_passes_by_ends_the_runtime,
        a_cancelled_main_task_unwinds_from_its_wait,
        the_child_of_a_fork_is_told,
        what_runs_at_an_exit_below_it_may_wait,
        what_runs_at_an_exit_of_the_thread_that_runs_it_may_wait,
    }
    fibers {
        tasks_that_block_wait_for_each_other,
        a_destructor_that_waits_is_waited_for,
    }
    native {
        native_tasks_cannot_share_a_thread,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// Starts a task that waits for ever, and whose end is counted.
fn spawn_for_ever(runtime: &LocalRuntime, guards: &Signal) {
    let guard = guards.on_drop();
    let wait = async move {
        let _guard = guard;
        pending::<()>().await;
    };
    runtime.spawn(wait).detach();
}

fn local(kind: Kind) -> LocalRuntime {
    let backend = if kind.is_fibers() { Backend::Fibers } else { Backend::Green };
    Runtime::builder().backend(backend).fibers(fiber_promise()).build_local().expect("there are descriptors")
}

fn tasks_have_no_thread_but_the_one_that_waits(on: &Systems) {
    on.alone(|| {
        let before = Resources::now().threads;
        let runtime = local(on.kind());
        let home = thread::current().id();
        let work = async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = task::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let mut byte = [0];
                while stream.read(&mut byte).await.unwrap() > 0 {
                    assert_eq!(thread::current().id(), home);
                    stream.write_all(&byte).await.unwrap();
                }
            });
            let client = TcpStream::connect(address).await.unwrap();
            for _ in 0..10 {
                client.write_all(b"x").await.unwrap();
                assert_eq!(client.read(&mut [0]).await.unwrap(), 1);
                join_all((0..3).map(|_| sleep(Duration::from_micros(100)))).await;
            }
            drop(client);
            server.await.unwrap();
            assert_eq!(offload(|| thread::current().id()).unwrap(), home);
            Resources::now().threads
        };
        assert_eq!(runtime.block_on(runtime.spawn(work)).unwrap().unwrap(), before);
        assert_eq!(runtime.metrics().threads, 0);
        runtime.spawn(pending::<()>()).detach();
        runtime.shutdown(SOON).unwrap();
        drop(runtime);
        assert_eq!(Resources::now().threads, before);
    });
}

fn nothing_runs_while_nobody_waits(on: &Systems) {
    let runtime = local(on.kind());
    let signal = Signal::new();
    let counted = signal.clone();
    let task = runtime.spawn(async move {
        counted.add();
        yield_now().await;
        counted.add();
    });
    assert_eq!(signal.count(), 0);
    runtime.block_on(poll_fn(|_| Poll::Ready(()))).unwrap();
    assert_eq!(signal.count(), 0, "a future that is ready runs nothing");
    runtime.block_on(task).unwrap().unwrap();
    assert_eq!(signal.count(), 2);
}

fn other_threads_start_and_wake_tasks(on: &Systems) {
    let runtime = local(on.kind());
    let spawner = runtime.spawner().clone();
    let home = thread::current().id();
    let other = thread::spawn(move || {
        (0..50).all(|n| {
            let (tx, rx) = channel::bounded(1);
            let task = spawner.spawn(async move { (rx.recv().await, thread::current().id()) });
            tx.send(n).wait().unwrap();
            task.wait().unwrap() == (Ok(n), home)
        })
    });
    let (done, is_done) = channel::bounded(1);
    let joined = thread::spawn(move || done.send(other.join().unwrap()).wait());
    assert_eq!(runtime.block_on(is_done.recv()).unwrap(), Ok(true));
    joined.join().unwrap().unwrap();
}

fn the_main_task_may_block_and_leaves_the_thread_to_others(on: &Systems) {
    let runtime = local(on.kind());
    let ended = Signal::new();
    let counted = ended.clone();
    let home = thread::current().id();
    let main = move || {
        assert_eq!(thread::current().id(), home);
        let own = task::current().expect("it is a task").id();
        let (tx, rx) = channel::rendezvous();
        let echo = task::spawn(async move {
            let mut sum = 0;
            while let Ok(number) = rx.recv().await {
                sum += number;
            }
            assert_ne!(task::current().map(|task| task.id()), Some(own));
            sum
        });
        (1..=10).for_each(|number| tx.send(number).wait().unwrap());
        sleep(Duration::from_millis(1)).wait();
        drop(tx);
        // It is left to itself, and waited for all the same.
        task::spawn(async move {
            sleep(Duration::from_millis(2)).await;
            counted.add();
        })
        .detach();
        echo.wait().unwrap()
    };
    assert_eq!(runtime.run(main).unwrap(), 55);
    assert_eq!(ended.count(), 1);
    let failed: Result<(), Failure> = runtime.run(|| panic!("expected: the main task"));
    assert!(matches!(failed, Err(Failure::Panicked(_))));
}

fn a_task_that_blocks_is_woken_by_time_and_by_other_threads(on: &Systems) {
    let runtime = local(on.kind());
    let (tx, rx) = channel::bounded(1);
    let task = runtime.spawner().spawn_fn(move || {
        sleep(Duration::from_millis(1)).wait();
        rx.recv().wait()
    });
    let other = thread::spawn(move || tx.send(3).wait());
    assert_eq!(runtime.block_on(task).unwrap().unwrap(), Ok(3));
    other.join().unwrap().unwrap();
    let pinned = runtime.spawner().spawn_pinned(|| async { *Rc::new(4) });
    assert_eq!(runtime.block_on(pinned).unwrap().unwrap(), 4);
}

fn a_busy_runtime_keeps_its_timers(on: &Systems) {
    let runtime = local(on.kind());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let busy = runtime.spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            yield_now().await;
        }
    });
    let timer = runtime.spawn(async move {
        sleep(Duration::from_millis(1)).await;
        stop.store(true, Ordering::Relaxed);
    });
    runtime.block_on(async { (busy.await.unwrap(), timer.await.unwrap()) }).unwrap();
    // And those of the stack that waits, however often it yields itself.
    let spinning = async {
        loop {
            yield_now().await;
        }
    };
    assert!(runtime.block_on(timeout(Duration::from_millis(1), spinning)).unwrap().is_err());
}

fn a_runtime_does_not_run_inside_itself(on: &Systems) {
    let runtime = Rc::new(local(on.kind()));
    let inside = Rc::clone(&runtime);
    let refusals = move || {
        let refused = inside.block_on(async {}).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        let refused = inside.run(|| ()).unwrap_err();
        assert!(matches!(refused.not_started(), Some(SpawnError::Thread(_))), "{refused}");
        assert_eq!(inside.shutdown(SOON).unwrap_err().kind(), ErrorKind::Deadlock);
    };
    runtime.block_on(async { refusals() }).unwrap();
    let task = runtime.spawn_local(async move { refusals() });
    runtime.block_on(task).unwrap().unwrap();
    assert_eq!(runtime.block_on(async { 1 }).unwrap(), 1, "nothing has been done");
}

fn another_runtime_may_run_inside_a_task(on: &Systems) {
    let ask = |runtime: &LocalRuntime| {
        let task = runtime.spawn(async {
            sleep(Duration::from_millis(1)).await;
            task::current().map(|task| task.id())
        });
        assert!(runtime.block_on(task).unwrap().unwrap().is_some());
    };
    let (outer, inner) = (local(on.kind()), Rc::new(local(on.kind())));
    let within = Rc::clone(&inner);
    let task = outer.spawn_local(async move { ask(&within) });
    outer.block_on(task).unwrap().unwrap();
    outer.block_on(async { ask(&inner) }).unwrap();
    let kind = on.kind();
    for spawner in [twoply::native(), on.here().spawner().clone()] {
        spawner.spawn_fn(move || ask(&local(kind))).wait().unwrap();
    }
}

fn dropping_it_ends_its_tasks_there_and_then(on: &Systems) {
    let runtime = local(on.kind());
    let spawner = runtime.spawner().clone();
    let guards = Signal::new();
    let queued = (0..3).map(|_| guards.on_drop()).collect::<Vec<_>>();
    let waiting = (0..3).map(|_| {
        let guard = guards.on_drop();
        runtime.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        })
    });
    let waiting: Vec<_> = waiting.collect();
    runtime.block_on(sleep(Duration::from_millis(1))).unwrap();
    let never_run = runtime.spawn(async move { drop(queued) });
    if on.kind().is_fibers() {
        let guard = guards.on_drop();
        runtime
            .spawner()
            .spawn_fn(move || {
                let _guard = guard;
                pending::<()>().wait();
            })
            .detach();
        runtime.block_on(sleep(Duration::from_millis(1))).unwrap();
    }
    drop(runtime);
    assert_eq!(guards.count(), if on.kind().is_fibers() { 7 } else { 6 });
    assert_eq!(spawner.tasks().len(), 0);
    drop(never_run);
    assert!(waiting.into_iter().all(|task| task.wait().is_err_and(|failure| failure.is_cancelled())));
    let refused = spawner.spawn(async {}).wait().unwrap_err();
    assert!(matches!(refused.not_started(), Some(SpawnError::ShutDown)), "{refused}");
}

fn a_shutdown_ends_what_it_can_until_its_deadline(on: &Systems) {
    let runtime = local(on.kind());
    let guards = Signal::new();
    spawn_for_ever(&runtime, &guards);
    let release = Gate::new();
    let opened = release.opened();
    let stubborn = task::Builder::new().name("stubborn");
    if on.kind().is_fibers() {
        let code = move || {
            let mut opened = opened;
            while let Err(cancelled) = catch_unwind(AssertUnwindSafe(|| (&mut opened).wait())) {
                assert!(task::is_cancellation(&*cancelled));
            }
        };
        stubborn.spawn_fn_on(runtime.spawner().backend(), code).unwrap().detach();
        runtime.block_on(sleep(Duration::from_millis(1))).unwrap();
        let late = runtime.shutdown(Duration::from_millis(5)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(late.to_string().contains("stubborn"), "{late}");
        assert_eq!(guards.count(), 1);
        release.open();
        return;
    }
    runtime.block_on(sleep(Duration::from_millis(1))).unwrap();
    runtime.shutdown(SOON).unwrap();
    runtime.shutdown(SOON).expect("there is nothing left to end");
    assert_eq!(guards.count(), 1);
    assert_eq!(runtime.block_on(async {}).unwrap_err().kind(), ErrorKind::NotConnected);
    assert!(runtime.run(|| ()).is_err());
    assert!(runtime.spawn_local(async {}).wait().unwrap_err().not_started().is_some());
}

/// Says where it is dropped.
struct Home {
    said: mpsc::Sender<bool>,
    thread: thread::ThreadId,
    /// Keeps this from being `Send`.
    _local: Rc<()>,
}

impl Home {
    fn new(said: &mpsc::Sender<bool>) -> Home {
        Home { said: said.clone(), thread: thread::current().id(), _local: Rc::default() }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.said.send(thread::current().id() == self.thread);
    }
}

fn local_futures_stay_at_home(on: &Systems) {
    let (said, heard) = mpsc::channel();
    let runtime = local(on.kind());
    let (tx, rx) = channel::bounded(1);
    let value = Home::new(&said);
    let answers = runtime.spawn_local(async move {
        let got = rx.recv().await;
        drop(value);
        got
    });
    let value = Home::new(&said);
    let cancelled = runtime.spawn_local(async move {
        let _value = value;
        pending::<()>().await;
    });
    let value = Home::new(&said);
    let left = runtime.spawn_local(async move {
        let _value = value;
        pending::<()>().await;
    });
    runtime.block_on(sleep(Duration::from_millis(1))).unwrap();
    let others = thread::spawn(move || {
        tx.send(5).wait().unwrap();
        cancelled.cancel();
        (answers.wait().unwrap(), cancelled.wait().unwrap_err().is_cancelled(), left)
    });
    let spin = async {
        while !others.is_finished() {
            sleep(Duration::from_micros(100)).await
        }
    };
    runtime.block_on(spin).unwrap();
    let (answer, is_cancelled, left) = others.join().unwrap();
    assert_eq!((answer, is_cancelled), (Ok(5), true));
    drop(runtime);
    assert!(left.wait().unwrap_err().is_cancelled());
    drop(said);
    assert_eq!(heard.iter().collect::<Vec<_>>(), [true; 3]);
}

fn a_panic_that_passes_by_ends_the_runtime(on: &Systems) {
    let guards = Signal::new();
    let spawner = RefCell::new(None);
    let passed = catch_unwind(AssertUnwindSafe(|| {
        let runtime = local(on.kind());
        *spawner.borrow_mut() = Some(runtime.spawner().clone());
        spawn_for_ever(&runtime, &guards);
        runtime.block_on(sleep(Duration::from_millis(1))).unwrap();
        runtime.block_on(async { panic!("expected: it passes by") }).unwrap();
    }));
    assert!(passed.is_err());
    assert_eq!(guards.count(), 1);
    assert_eq!(spawner.take().unwrap().tasks().len(), 0);
}

fn a_cancelled_main_task_unwinds_from_its_wait(on: &Systems) {
    let runtime = local(on.kind());
    let cleaned = Signal::new();
    let guard = cleaned.on_drop();
    let failed = runtime.run(move || {
        let _guard = guard;
        let own = task::current().expect("it is a task");
        task::spawn(async move {
            yield_now().await;
            own.cancel();
        })
        .detach();
        pending::<()>().wait();
    });
    assert!(failed.unwrap_err().is_cancelled());
    assert_eq!(cleaned.count(), 1);
}

fn the_child_of_a_fork_is_told(on: &Systems) {
    on.alone(|| {
        let runtime = local(on.kind());
        runtime.block_on(sleep(Duration::from_millis(1))).unwrap();
        let status = twoply_tests::fork(|| {
            let refused = runtime.block_on(async {}).unwrap_err();
            u8::from(!refused.to_string().contains("forked"))
        });
        assert_eq!(status, Some(0));
        assert_eq!(runtime.block_on(async { 1 }).unwrap(), 1);
    });
}

fn tasks_that_block_wait_for_each_other(on: &Systems) {
    let runtime = local(on.kind());
    let count = Arc::new(AtomicUsize::new(0));
    let home = thread::current().id();
    let tasks = (0..10).map(|_| {
        let ((there_tx, there_rx), (back_tx, back_rx)) = (channel::rendezvous(), channel::rendezvous());
        let counted = Arc::clone(&count);
        let ping = runtime.spawner().spawn_fn(move || {
            for n in 0..20 {
                there_tx.send(n).wait().unwrap();
                assert_eq!(back_rx.recv().wait(), Ok(n));
                assert_eq!(thread::current().id(), home);
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let pong = runtime.spawner().spawn_fn(move || {
            while let Ok(n) = there_rx.recv().wait() {
                back_tx.send(n).wait().unwrap();
            }
        });
        [ping, pong]
    });
    let tasks: Vec<_> = tasks.flatten().collect();
    for task in tasks {
        runtime.block_on(task).unwrap().unwrap();
    }
    assert_eq!(count.load(Ordering::Relaxed), 200);
    assert_eq!(runtime.metrics().threads, 0);
}

fn a_destructor_that_waits_is_waited_for(on: &Systems) {
    struct Naps(Signal);
    impl Drop for Naps {
        fn drop(&mut self) {
            sleep(Duration::from_millis(2)).wait();
            self.0.add();
        }
    }
    let runtime = local(on.kind());
    let signal = Signal::new();
    let naps = Naps(signal.clone());
    runtime
        .spawn(async move {
            let _naps = naps;
            pending::<()>().await;
        })
        .detach();
    runtime.block_on(sleep(Duration::from_millis(1))).unwrap();
    drop(runtime);
    assert_eq!(signal.count(), 1);
}

fn native_tasks_cannot_share_a_thread(_: &Systems) {
    let refused = Runtime::builder().backend(Backend::Native).build_local().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let refused = Runtime::builder().backend(Backend::Fibers).build_local().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

/// The thread does not go on with the runtime, whose values are gone with those of the task that it is in.
fn what_runs_at_an_exit_below_it_may_wait(on: &Systems) {
    let kind = on.kind();
    let output = on.in_child(|| {
        let in_a_task = move || {
            let runtime = local(kind);
            let (tx, rx) = channel::bounded(1);
            let last = move || {
                tx.try_send(()).unwrap();
                exit_and_wait()
            };
            runtime.spawner().spawn_fn(|| poll_fn(move |_| -> Poll<()> { last() }).wait()).detach();
            // It is ready while the end waits, and must not be told.
            let _ = runtime.block_on(rx.recv());
            process::exit(8);
        };
        let _ = twoply::native().spawn_fn(in_a_task).wait();
    });
    assert_has_waited(&output);
}

fn what_runs_at_an_exit_of_the_thread_that_runs_it_may_wait(on: &Systems) {
    let output = on.in_child(|| {
        let runtime = local(on.kind());
        let exit = async {
            // The thread has run the runtime once.
            sleep(Duration::from_millis(1)).await;
            exit_and_wait()
        };
        let _: Result<(), _> = runtime.block_on(exit);
    });
    assert_has_waited(&output);
}
