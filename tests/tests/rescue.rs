//! Code that is stuck: it blocks a thread in something that is not this library's, or computes for long, on
//! every worker at once. What it need not hold up goes on, without a worker that is idle.

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use twoply_core::future::yield_now;
use twoply_core::net::TcpListener;
use twoply_core::task::{self, Task};
use twoply_core::time::sleep;
use twoply_core::{Wait, offload};
use twoply_tests::{Gate, Kind, Signal, System, Systems, eventually, laws};

laws! {
    green {
        code_that_blocks_holds_up_nothing_else,
        code_that_computes_holds_up_nothing_else,
        what_a_stuck_stack_was_beside_goes_on_when_it_comes_back,
        a_stuck_worker_shuts_down_with_the_others,
        stuck_code_is_named_though_its_worker_is_gone,
        a_handler_of_long_polls_that_blocks_holds_up_nothing,
        workers_go_home_again_and_again,
        polls_of_some_milliseconds_are_found_to_be_long,
        code_that_is_stuck_now_and_then_loses_nothing,
    }
    threads {
        a_lock_held_across_a_wait_does_not_stop_everything,
        a_lock_held_across_a_wait_needs_no_thread_beyond_the_limit,
        many_that_are_stuck_cost_a_thread_each_and_no_more,
        many_that_compute_are_not_all_begun_at_once,
    }
    fibers {
        a_lock_held_across_no_wait_does_not_stop_everything,
        a_destructor_that_waits_while_it_unwinds_holds_up_nothing_else,
        a_stack_that_cannot_be_left_is_woken_behind_others,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One task more than there are workers, each in `code` until it is told to stop by the flag. When they have
/// all begun, one worker at least has been taken from its thread.
struct Stuck {
    /// The tasks.
    tasks: Vec<Task<()>>,
    /// Ends the code.
    stop: Arc<AtomicBool>,
}

impl Stuck {
    fn begin(on: &Systems, code: fn(&AtomicBool)) -> Stuck {
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Signal::new());
        let tasks = (0..=on.kind().workers())
            .map(|_| {
                let (stop, begun) = (Arc::clone(&stop), begun.clone());
                on.here().spawn(async move {
                    begun.add();
                    code(&stop);
                })
            })
            .collect();
        eventually("all of them have begun", || begun.count() > on.kind().workers());
        Stuck { tasks, stop }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.into_iter().for_each(|task| task.wait().unwrap());
    }
}

fn block(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(100));
    }
}

fn compute(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

/// What waits for its turn on a runtime must have it, with every worker stuck in `code`: tasks from outside
/// and from inside, blocked code, timers, sockets and wake-ups.
fn others_go_on(on: &Systems, code: fn(&AtomicBool)) {
    let system = on.here();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let server = system.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        while stream.read(&mut byte).await.unwrap() > 0 {
            stream.write_all(&byte).await.unwrap();
        }
    });
    let mut client = StdStream::connect(address).unwrap();
    let mut ask = move || {
        let mut answer = [0];
        client.write_all(b"x").unwrap();
        client.read_exact(&mut answer).unwrap();
        answer
    };
    assert_eq!(&ask(), b"x");
    let gate = Gate::new();
    let waiting = system.spawn(gate.opened());
    // Of a worker that is going to be stuck, for all that anybody knows.
    let timer = system.spawn(sleep(Duration::from_millis(50)));
    eventually("it waits", || gate.waiting() > 0);
    let stuck = Stuck::begin(on, code);
    timer.wait().unwrap();
    for _ in 0..10 {
        assert_eq!(&ask(), b"x");
    }
    gate.open();
    waiting.wait().unwrap();
    let started = system.spawn(async {
        let blocked = twoply::spawn_fn(|| {
            sleep(Duration::from_millis(1)).wait();
            (0..10).for_each(|_| yield_now().wait());
            offload(|| 1).unwrap()
        });
        sleep(Duration::from_millis(1)).await;
        blocked.await.unwrap() + twoply::spawn(async { 2 }).await.unwrap()
    });
    assert_eq!(started.wait().unwrap(), 3);
    assert!(stuck.tasks.iter().all(|task| !task.is_finished()));
    let metrics = system.metrics();
    assert!(metrics.stuck > 0, "{metrics:?}");
    assert!(metrics.workers.iter().any(|worker| worker.rescues > 0), "{metrics:?}");
    stuck.end();
    drop(ask);
    server.wait().unwrap();
    eventually("nobody is stuck any more", || system.metrics().stuck == 0);
}

fn code_that_blocks_holds_up_nothing_else(on: &Systems) {
    others_go_on(on, block);
}

fn code_that_computes_holds_up_nothing_else(on: &Systems) {
    others_go_on(on, compute);
}

/// A stack that was suspended on a thread which is stuck now cannot go on elsewhere, where stacks are fibers;
/// nothing is lost by that.
fn what_a_stuck_stack_was_beside_goes_on_when_it_comes_back(on: &Systems) {
    let (gate, done) = (Gate::new(), Signal::new());
    let suspended: Vec<_> = (0..20)
        .map(|_| {
            let (opened, done) = (gate.opened(), done.clone());
            on.here().spawn_fn(move || {
                opened.wait();
                done.add();
                (0..10).for_each(|_| yield_now().wait());
            })
        })
        .collect();
    eventually("they wait", || gate.waiting() == 20);
    let stuck = Stuck::begin(on, block);
    gate.open();
    on.here().spawn(sleep(Duration::from_millis(5))).wait().unwrap();
    if on.kind() == Kind::Fibers1 {
        assert_eq!(done.count(), 0, "a stack has changed threads");
    }
    stuck.end();
    suspended.into_iter().for_each(|task| task.wait().unwrap());
}

fn a_stuck_worker_shuts_down_with_the_others(on: &Systems) {
    let dropped = Signal::new();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let guard = Guard(dropped.clone());
            on.here().spawn(async move {
                let _guard = guard;
                sleep(Duration::from_secs(3600)).await;
            })
        })
        .collect();
    let stuck = Stuck::begin(on, block);
    let shutdown = on.here().shutdown(Duration::from_millis(300));
    assert!(shutdown.is_err(), "some are stuck");
    assert_eq!(dropped.count(), 20, "those that are not have ended by the deadline");
    stuck.stop.store(true, Ordering::Relaxed);
    waiting.into_iter().for_each(|task| assert!(task.wait().is_err()));
    // They ended by themselves.
    stuck.tasks.into_iter().for_each(|task| task.wait().unwrap());
}

/// Counts its end.
struct Guard(Signal);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.add();
    }
}

fn stuck_code_is_named_though_its_worker_is_gone(on: &Systems) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&reports);
    let builder = on.kind().green().on_long_poll(Duration::from_millis(50), move |poll| {
        let name = poll.task.as_ref().and_then(|task| task.name().map(str::to_owned));
        lock(&list).push((name, poll.held));
    });
    let system = System::from(builder.build().unwrap());
    let (stop, stopped) = mpsc::channel::<()>();
    let hog = task::Builder::new().name("in a C library").spawn_fn_on(system.backend(), move || {
        let _ = stopped.recv();
    });
    let hog = hog.unwrap();
    // What waits behind it has its worker taken away long before it is reported.
    while lock(&reports).is_empty() {
        let others: Vec<_> = (0..4).map(|_| system.spawn(sleep(Duration::from_millis(1)))).collect();
        others.into_iter().for_each(|task| task.wait().unwrap());
    }
    drop(stop);
    hog.wait().unwrap();
    let reports = std::mem::take(&mut *lock(&reports));
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].0.as_deref(), Some("in a C library"));
    assert!(reports[0].1 >= Duration::from_millis(50), "{reports:?}");
    assert_eq!(system.metrics().long_polls, 1);
    system.shutdown(Duration::from_secs(10)).unwrap();
}

fn a_handler_of_long_polls_that_blocks_holds_up_nothing(on: &Systems) {
    let (calls, (go_on, blocked)) = (Signal::new(), mpsc::channel::<()>());
    let (counted, blocked) = (calls.clone(), Mutex::new(blocked));
    let builder = on.kind().green().on_long_poll(Duration::from_millis(20), move |_| {
        counted.add();
        let _ = blocked.lock().unwrap_or_else(PoisonError::into_inner).recv();
    });
    let system = System::from(builder.build().unwrap());
    let called = calls.clone();
    let first = system.spawn_fn(move || eventually("the handler is called", || called.count() == 1));
    first.wait().unwrap();
    // Code that is stuck on every worker holds up nothing else, though the handler has not come back.
    let hogs: Vec<_> = (0..on.kind().workers())
        .map(|_| {
            let (stop, stopped) = mpsc::channel::<()>();
            let stuck = Gate::new();
            let is_stuck = stuck.clone();
            let hog = system.spawn_fn(move || {
                is_stuck.open();
                let _ = stopped.recv();
            });
            stuck.opened().wait();
            (hog, stop)
        })
        .collect();
    let others: Vec<_> = (0..8).map(|_| system.spawn(sleep(Duration::from_millis(1)))).collect();
    others.into_iter().for_each(|task| task.wait().unwrap());
    assert_eq!(calls.count(), 1, "one call at a time");
    drop(go_on);
    for (hog, stop) in hogs {
        drop(stop);
        hog.wait().unwrap();
    }
    system.shutdown(Duration::from_secs(10)).unwrap();
}

fn workers_go_home_again_and_again(on: &Systems) {
    let turns = if on.kind().is_fibers() { 30 } else { 10 };
    let rounds = Arc::new(AtomicUsize::new(0));
    // Stacks that must go on between any two of the times that their thread is stuck.
    let stacks: Vec<_> = (0..4)
        .map(|_| {
            let rounds = Arc::clone(&rounds);
            on.here().spawn_fn(move || {
                while rounds.load(Ordering::Relaxed) < turns {
                    sleep(Duration::from_millis(1)).wait();
                }
            })
        })
        .collect();
    for _ in 0..turns {
        let stuck: Vec<_> = (0..on.kind().workers())
            .map(|_| on.here().spawn(async { thread::sleep(Duration::from_millis(6)) }))
            .collect();
        on.here().spawn(sleep(Duration::from_millis(1))).wait().unwrap();
        stuck.into_iter().for_each(|task| task.wait().unwrap());
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    stacks.into_iter().for_each(|task| task.wait().unwrap());
}

/// Polls one after the other, each shorter than the time between two looks at workers that are not stuck: any
/// look sees another one.
fn polls_of_some_milliseconds_are_found_to_be_long(on: &Systems) {
    let stop = Arc::new(AtomicBool::new(false));
    // Behind each poll another one waits.
    let tasks: Vec<_> = (0..2 * on.kind().workers())
        .map(|_| {
            let stop = Arc::clone(&stop);
            on.here().spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(4));
                    yield_now().await;
                }
            })
        })
        .collect();
    let is_rescued = || on.here().metrics().workers.iter().any(|worker| worker.rescues > 0);
    eventually("a worker is taken away", is_rescued);
    stop.store(true, Ordering::Relaxed);
    tasks.into_iter().for_each(|task| task.wait().unwrap());
}

/// Everything at once: tasks that wake each other, block, yield and are stuck, for a while.
fn code_that_is_stuck_now_and_then_loses_nothing(on: &Systems) {
    const TASKS: u64 = 60;
    const STEPS: u64 = 30;
    let (tx, rx) = twoply_core::channel::bounded(4);
    let tasks: Vec<_> = (0..TASKS)
        .map(|n| {
            let tx = tx.clone();
            let step = move |step: u64| {
                if (n * 31 + step * 17).is_multiple_of(97) {
                    thread::sleep(Duration::from_millis(3 + step % 3));
                }
            };
            match n % 2 {
                0 => on.here().spawn(async move {
                    for i in 0..STEPS {
                        step(i);
                        tx.send(n).await.unwrap();
                        yield_now().await;
                    }
                }),
                _ => on.here().spawn_fn(move || {
                    for i in 0..STEPS {
                        step(i);
                        tx.send(n).wait().unwrap();
                        if i % 8 == 0 {
                            sleep(Duration::from_micros(100)).wait();
                        }
                    }
                }),
            }
        })
        .collect();
    drop(tx);
    let sum = on.here().spawn(async move {
        let mut sum = 0;
        while let Ok(n) = rx.recv().await {
            sum += n;
        }
        sum
    });
    assert_eq!(sum.wait().unwrap(), STEPS * TASKS * (TASKS - 1) / 2);
    tasks.into_iter().for_each(|task| task.wait().unwrap());
}

/// Tasks that take turns in a lock of std's, and wait with it in hand.
fn take_turns(system: &System, tasks: usize, wait: impl Fn() + Copy + Send + 'static) {
    let turns = Arc::new(Mutex::new(0));
    let all: Vec<_> = (0..tasks)
        .map(|_| {
            let turns = Arc::clone(&turns);
            system.spawn_fn(move || {
                let mut turns = lock(&turns);
                wait();
                *turns += 1;
            })
        })
        .collect();
    all.into_iter().for_each(|task| task.wait().unwrap());
    assert_eq!(*lock(&turns), tasks);
}

fn a_lock_held_across_a_wait_does_not_stop_everything(on: &Systems) {
    take_turns(on.here(), 10, || sleep(Duration::from_millis(2)).wait());
    take_turns(on.here(), 10, || twoply::spawn(async { yield_now().await }).wait().unwrap());
}

fn a_lock_held_across_a_wait_needs_no_thread_beyond_the_limit(on: &Systems) {
    let threads = on.kind().workers() + 3;
    let system = System::from(on.kind().green().max_threads(threads).build().unwrap());
    take_turns(&system, 20, || sleep(Duration::from_millis(2)).wait());
    assert!(system.metrics().threads <= threads);
    system.shutdown(Duration::from_secs(10)).unwrap();
}

fn a_lock_held_across_no_wait_does_not_stop_everything(on: &Systems) {
    let timer = on.here().spawn(sleep(Duration::from_millis(10)));
    take_turns(on.here(), 6, || thread::sleep(Duration::from_millis(20)));
    timer.wait().unwrap();
}

fn many_that_are_stuck_cost_a_thread_each_and_no_more(on: &Systems) {
    const MANY: usize = 30;
    let builder = on.kind().green().thread_keep_alive(Duration::from_millis(50));
    let system = System::from(builder.build().unwrap());
    let idle = on.kind().workers() + 1;
    let (stop, begun) = (Arc::new(AtomicBool::new(false)), Signal::new());
    let tasks: Vec<_> = (0..MANY)
        .map(|_| {
            let (stop, begun) = (Arc::clone(&stop), begun.clone());
            system.spawn(async move {
                begun.add();
                block(&stop);
            })
        })
        .collect();
    eventually("all of them have begun", || begun.count() == MANY);
    let metrics = system.metrics();
    // One for the next worker may be idle yet.
    assert!(metrics.threads <= MANY + idle + 1, "{metrics:?}");
    assert!(metrics.stuck <= MANY, "{metrics:?}");
    stop.store(true, Ordering::Relaxed);
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    eventually("their threads are gone", || system.metrics().threads == idle);
    assert_eq!(system.metrics().stuck, 0);
    system.shutdown(Duration::from_secs(10)).unwrap();
}

fn many_that_compute_are_not_all_begun_at_once(on: &Systems) {
    const MANY: usize = 100;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..MANY)
        .map(|_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            on.here().spawn(async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let mut number = 1_u64;
                for _ in 0..3_000_000 {
                    number = std::hint::black_box(number.wrapping_mul(3));
                }
                running.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    let most = most.load(Ordering::SeqCst);
    assert!(most < MANY / 2, "{most} of {MANY} computed at the same time");
}

fn a_destructor_that_waits_while_it_unwinds_holds_up_nothing_else(on: &Systems) {
    /// Waits for another task of the runtime.
    struct Waits(Option<Task<()>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.take().into_iter().for_each(|task| task.wait().unwrap());
        }
    }
    let wait = |future: Box<dyn Future<Output = ()> + Send + Unpin>| {
        on.here().spawn_fn(move || {
            let _waits = Waits(Some(twoply::spawn(future)));
            panic!("expected: it unwinds");
        })
    };
    let unwinding: Vec<_> = (0..=on.kind().workers())
        .map(|_| wait(Box::new(Box::pin(async { sleep(Duration::from_millis(5)).await }))))
        .collect();
    unwinding.into_iter().for_each(|task| assert!(task.wait().is_err()));
}

/// A stack that waits while it unwinds keeps its thread, so others that belong there wait behind it; its own
/// wake-up must not wait behind theirs.
fn a_stack_that_cannot_be_left_is_woken_behind_others(on: &Systems) {
    /// Waits for a gate.
    struct Waits(Gate);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.opened().wait();
        }
    }
    let (first, second) = (Gate::new(), Gate::new());
    let others: Vec<_> = (0..8)
        .map(|_| {
            let opened = first.opened();
            on.here().spawn_fn(move || opened.wait())
        })
        .collect();
    eventually("they wait", || first.waiting() == 8);
    let unwinding: Vec<_> = (0..on.kind().workers())
        .map(|_| {
            let waits = Waits(second.clone());
            on.here().spawn_fn(move || {
                let _waits = waits;
                panic!("expected: it unwinds");
            })
        })
        .collect();
    eventually("they unwind", || second.waiting() > 0);
    first.open();
    // Time for them to sleep again, with the others' wake-ups where their own will come.
    thread::sleep(Duration::from_millis(5));
    second.open();
    unwinding.into_iter().for_each(|task| assert!(task.wait().is_err()));
    others.into_iter().for_each(|task| task.wait().unwrap());
}
