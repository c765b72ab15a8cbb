//! Scheduling: nobody is starved, work moves to whoever is idle, and an idle runtime does nothing.

use std::collections::{HashMap, HashSet};
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use twoply_core::future::yield_now;
use twoply_core::task::{Builder, Task};
use twoply_core::time::sleep;
use twoply_core::{Wait, channel};
use twoply_green::Metrics;
use twoply_tests::{Gate, Signal, System, Systems, eventually, laws};

laws! {
    one_worker {
        tasks_that_wake_each_other_do_not_starve_a_third,
        stacks_that_wake_each_other_do_not_starve_a_third,
        a_task_that_is_always_ready_gives_way,
        code_that_is_always_ready_gives_way,
        a_task_that_wakes_itself_gives_way,
        yielding_tasks_take_turns,
        more_events_than_the_queue_holds_are_handled_in_turn,
        blocked_and_suspended_tasks_take_turns,
        tasks_beyond_the_queue_take_turns_with_stacks,
        wakes_from_outside_cost_no_notification_while_the_worker_is_busy,
    }
    two_workers {
        a_long_poll_holds_up_neither_its_queue_nor_what_it_woke,
        a_long_poll_is_helped_by_a_worker_that_is_always_busy,
        a_long_poll_does_not_hold_up_timers,
        a_long_poll_is_named,
        a_long_poll_that_has_no_name_and_never_waited_is_known_by_its_number,
        a_handler_of_long_polls_that_panics_is_called_again,
        idle_workers_steal,
        stacks_that_block_one_after_the_other_are_spread,
        code_that_does_not_block_stays_with_its_worker,
        what_one_task_starts_runs_on_all_workers,
    }
    everywhere {
        an_idle_runtime_does_nothing,
        many_yields_of_many_tasks_all_happen,
    }
    green {
        a_burst_from_outside_costs_few_notifications,
        tasks_that_wait_cost_no_polls,
    }
}

/// Runs new tasks, from inside and from outside, and a timer, while `busy` tasks go on for ever; then ends
/// those.
fn others_run(on: &Systems, busy: Vec<Task<()>>) {
    let outside = on.here().spawn(async {
        let inside = twoply::spawn(async {
            for _ in 0..100 {
                yield_now().await;
            }
            1
        });
        let code = twoply::spawn_fn(|| {
            (0..20).for_each(|_| yield_now().wait());
            2
        });
        sleep(Duration::from_millis(1)).await;
        inside.await.unwrap() + code.await.unwrap()
    });
    assert_eq!(outside.wait().unwrap(), 3);
    assert!(busy.iter().all(|task| !task.is_finished()));
    busy.iter().for_each(Task::cancel);
    for task in busy {
        let _ = task.wait();
    }
}

fn tasks_that_wake_each_other_do_not_starve_a_third(on: &Systems) {
    let (ping, pings) = channel::bounded(1);
    let (pong, pongs) = channel::bounded(1);
    let one =
        on.here().spawn(async move { while ping.send(()).await.is_ok() && pongs.recv().await.is_ok() {} });
    let other =
        on.here().spawn(async move { while pings.recv().await.is_ok() && pong.send(()).await.is_ok() {} });
    others_run(on, vec![one, other]);
}

fn stacks_that_wake_each_other_do_not_starve_a_third(on: &Systems) {
    let (ping, pings) = channel::rendezvous();
    let (pong, pongs) = channel::rendezvous();
    let one =
        on.here().spawn_fn(move || while ping.send(()).wait().is_ok() && pongs.recv().wait().is_ok() {});
    let other =
        on.here().spawn_fn(move || while pings.recv().wait().is_ok() && pong.send(()).wait().is_ok() {});
    others_run(on, vec![one, other]);
}

fn a_task_that_is_always_ready_gives_way(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    tx.send(()).wait().unwrap();
    let ready = on.here().spawn(async move { while rx.recv().await.is_ok() && tx.send(()).await.is_ok() {} });
    others_run(on, vec![ready]);
}

fn code_that_is_always_ready_gives_way(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    tx.send(()).wait().unwrap();
    let ready = on.here().spawn_fn(move || while rx.recv().wait().is_ok() && tx.send(()).wait().is_ok() {});
    others_run(on, vec![ready]);
}

/// What the queue cannot hold waits elsewhere; new events must not fill the queue before that has had its
/// turn.
fn more_events_than_the_queue_holds_are_handled_in_turn(on: &Systems) {
    const TASKS: usize = 2_000;
    const TURNS: usize = 50;
    let (turns, all) = (Arc::new([const { AtomicU64::new(0) }; TASKS]), Signal::new());
    let tasks: Vec<_> = (0..TASKS)
        .map(|n| {
            let (turns, all) = (Arc::clone(&turns), all.clone());
            on.here().spawn(async move {
                loop {
                    sleep(Duration::from_micros(1)).await;
                    turns[n].fetch_add(1, Ordering::Relaxed);
                    all.add();
                }
            })
        })
        .collect();
    eventually("they have had many turns", || all.count() >= TASKS * TURNS);
    let fewest = turns.iter().map(|turns| turns.load(Ordering::Relaxed)).min();
    tasks.iter().for_each(Task::cancel);
    assert!(fewest > Some(TURNS as u64 / 4), "{fewest:?} turns, of {TURNS} for each");
}

fn a_task_that_wakes_itself_gives_way(on: &Systems) {
    let restless = poll_fn(|cx| -> Poll<()> {
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    others_run(on, vec![on.here().spawn(restless)]);
}

/// Starts `number` tasks that count and yield until they have done so `rounds` times, and returns how far the
/// fastest was ever ahead of the slowest.
fn farthest_ahead(on: &Systems, rounds: u64, kinds: &[bool]) -> u64 {
    let counts: Arc<Vec<AtomicU64>> = Arc::new(kinds.iter().map(|_| AtomicU64::new(0)).collect());
    let (ahead, start) = (Arc::new(AtomicU64::new(0)), Gate::new());
    let step = |own: usize, counts: &[AtomicU64], ahead: &AtomicU64| {
        let mine = counts[own].fetch_add(1, Ordering::Relaxed) + 1;
        let least = counts.iter().map(|count| count.load(Ordering::Relaxed)).min().unwrap_or(0);
        ahead.fetch_max(mine - least, Ordering::Relaxed);
    };
    let tasks: Vec<Task<()>> = kinds
        .iter()
        .enumerate()
        .map(|(own, &blocks)| {
            let (counts, ahead, opened) = (Arc::clone(&counts), Arc::clone(&ahead), start.opened());
            match blocks {
                false => on.here().spawn(async move {
                    opened.await;
                    for _ in 0..rounds {
                        step(own, &counts, &ahead);
                        yield_now().await;
                    }
                }),
                true => on.here().spawn_fn(move || {
                    opened.wait();
                    for _ in 0..rounds {
                        step(own, &counts, &ahead);
                        yield_now().wait();
                    }
                }),
            }
        })
        .collect();
    eventually("all wait", || start.waiting() >= kinds.len());
    // From a task, or the first could be done before the last has been woken.
    let opener = start.clone();
    on.here().spawn(async move { opener.open() }).wait().unwrap();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    ahead.load(Ordering::Relaxed)
}

fn yielding_tasks_take_turns(on: &Systems) {
    let ahead = farthest_ahead(on, 1000, &[false; 10]);
    assert!(ahead <= 4, "one was {ahead} turns ahead of another");
}

fn tasks_beyond_the_queue_take_turns_with_stacks(on: &Systems) {
    // More than a queue holds.
    const TASKS: usize = 2000;
    let (done, stop) = (Signal::new(), Arc::new(AtomicBool::new(false)));
    // As many of these go on one after the other, and none ever ends by itself.
    let stacks: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            on.here().spawn_fn(move || {
                let mut turns = 0;
                while !stop.load(Ordering::Relaxed) {
                    yield_now().wait();
                    turns += 1;
                }
                turns
            })
        })
        .collect();
    let signal = done.clone();
    let starter = on.here().spawn(async move {
        for _ in 0..TASKS {
            let (signal, stop) = (signal.clone(), Arc::clone(&stop));
            let task = async move {
                signal.add();
                if signal.count() == TASKS {
                    stop.store(true, Ordering::Relaxed);
                }
            };
            twoply::spawn(task).detach();
        }
    });
    starter.wait().unwrap();
    let turns: usize = stacks.into_iter().map(|stack| stack.wait().unwrap()).sum();
    if on.kind().is_fibers() {
        assert!(turns < 10 * TASKS, "{turns} turns of four stacks while {TASKS} tasks waited");
    }
}

fn blocked_and_suspended_tasks_take_turns(on: &Systems) {
    if on.kind().is_fibers() {
        let ahead = farthest_ahead(on, 500, &[false, true, false, true]);
        assert!(ahead <= 12, "one was {ahead} turns ahead of another");
    } else {
        // Stacks are threads here: who of them runs is the operating system's to say.
        farthest_ahead(on, 200, &[false, true, false, true]);
    }
}

/// A task that keeps its worker busy until it is told to stop.
fn hog(on: &System) -> (Task<()>, Arc<AtomicBool>) {
    let (stop, running) = (Arc::new(AtomicBool::new(false)), Gate::new());
    let (stopped, began) = (Arc::clone(&stop), running.clone());
    let task = on.spawn(async move {
        began.open();
        while !stopped.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    eventually("it runs", || running.is_open());
    (task, stop)
}

fn notifies(metrics: &Metrics) -> u64 {
    metrics.workers.iter().map(|worker| worker.reactor.notifies).sum()
}

fn wakes_from_outside_cost_no_notification_while_the_worker_is_busy(on: &Systems) {
    // There is no further thread to which the watchdog could give the worker: on that one it would run dry,
    // and sleep.
    let limited = on.kind().green().max_threads(on.kind().workers() + 1).build().unwrap();
    let system = System::from(limited);
    let gates: Vec<Gate> = (0..500).map(|_| Gate::new()).collect();
    let tasks: Vec<_> = gates.iter().map(|gate| system.spawn(gate.opened())).collect();
    eventually("all wait", || gates.iter().all(|gate| gate.waiting() > 0));
    let (busy, stop) = hog(&system);
    let before = notifies(&system.metrics());
    gates.iter().for_each(Gate::open);
    let spawned: Vec<_> = (0..500).map(|_| system.spawn(async {})).collect();
    let after = notifies(&system.metrics());
    stop.store(true, Ordering::Relaxed);
    assert_eq!(after - before, 0, "a thousand wake-ups of a worker that is awake");
    busy.wait().unwrap();
    tasks.into_iter().chain(spawned).for_each(|task| task.wait().unwrap());
    system.shutdown(Duration::from_secs(10)).unwrap();
}

fn a_burst_from_outside_costs_few_notifications(on: &Systems) {
    const BURST: u64 = 1000;
    let before = on.here().metrics();
    let tasks: Vec<_> = (0..BURST).map(|_| on.here().spawn(async {})).collect();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    let after = on.here().metrics();
    let paid = notifies(&after) - notifies(&before);
    // A worker may run dry between two spawns and sleep; what it may not do is to pay for each.
    assert!(paid < BURST / 2, "{paid} notifications for {BURST} tasks");
}

fn a_long_poll_holds_up_neither_its_queue_nor_what_it_woke(on: &Systems) {
    let (done, gate) = (Signal::new(), Gate::new());
    let (signal, opened) = (done.clone(), gate.opened());
    let woken = on.here().spawn(async move {
        opened.await;
        signal.add();
    });
    eventually("it waits", || gate.waiting() >= 1);
    let signal = done.clone();
    let hog = on.here().spawn(async move {
        for _ in 0..20 {
            let signal = signal.clone();
            twoply::spawn(async move { signal.add() }).detach();
        }
        // What is woken last is what this worker would run next.
        gate.open();
        let start = Instant::now();
        while signal.count() < 21 {
            assert!(start.elapsed() < Duration::from_secs(10), "{} of 21 ran beside the hog", signal.count());
            std::hint::spin_loop();
        }
    });
    hog.wait().unwrap();
    woken.wait().unwrap();
}

fn a_long_poll_is_helped_by_a_worker_that_is_always_busy(on: &Systems) {
    let (done, stop) = (Signal::new(), Arc::new(AtomicBool::new(false)));
    // Neither asleep nor ever idle: it is not woken for the hog's work, and has no reason to steal.
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            on.here().spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    yield_now().await;
                }
            })
        })
        .collect();
    let hog = on.here().spawn(async move {
        for _ in 0..20 {
            let signal = done.clone();
            twoply::spawn(async move { signal.add() }).detach();
        }
        let start = Instant::now();
        while done.count() < 20 {
            assert!(start.elapsed() < Duration::from_secs(10), "{} of 20 ran beside the hog", done.count());
            std::hint::spin_loop();
        }
    });
    let helped = hog.wait();
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|busy| busy.wait().unwrap());
    helped.unwrap();
}

fn a_long_poll_does_not_hold_up_timers(on: &Systems) {
    let done = Signal::new();
    let sleepers: Vec<_> = (0..32)
        .map(|_| {
            let signal = done.clone();
            on.here().spawn(async move {
                yield_now().await;
                sleep(Duration::from_millis(20)).await;
                signal.add();
            })
        })
        .collect();
    let hog = on.here().spawn(async move {
        let start = Instant::now();
        while done.count() < 32 {
            assert!(start.elapsed() < Duration::from_secs(10), "{} of 32 woke beside the hog", done.count());
            std::hint::spin_loop();
        }
    });
    hog.wait().unwrap();
    sleepers.into_iter().for_each(|sleeper| sleeper.wait().unwrap());
}

/// Which thread each of `tasks` begins on. They are started by one task, each when the one before has begun,
/// and block until the end if `block` says so.
fn where_they_begin(on: &Systems, tasks: usize, block: bool) -> Vec<usize> {
    let gate = Gate::new();
    let opener = gate.clone();
    let threads = on.here().spawn_fn(move || {
        let mut threads: HashMap<_, usize> = HashMap::new();
        // What the worker of this task holds already.
        let others = |_| {
            let opened = gate.opened();
            twoply::spawn_fn(move || opened.wait()).detach();
        };
        (0..20).for_each(others);
        eventually("they are blocked", || {
            yield_now().wait();
            gate.waiting() >= 20
        });
        for _ in 0..tasks {
            let (tx, rx) = channel::oneshot::channel();
            let opened = gate.opened();
            let code = move || {
                tx.send(thread::current().id()).unwrap();
                if block {
                    opened.wait();
                }
            };
            twoply::spawn_fn(code).detach();
            *threads.entry(rx.wait().unwrap()).or_default() += 1;
        }
        threads.into_values().collect()
    });
    let threads = threads.wait().unwrap();
    opener.open();
    threads
}

fn stacks_that_block_one_after_the_other_are_spread(on: &Systems) {
    if on.kind().is_fibers() {
        // Those that were there before may all be on one worker.
        let threads = where_they_begin(on, 100, true);
        assert!(threads.len() == 2 && threads.iter().all(|&tasks| tasks >= 20), "they began on {threads:?}");
    }
}

fn code_that_does_not_block_stays_with_its_worker(on: &Systems) {
    if on.kind().is_fibers() {
        let threads = where_they_begin(on, 10_000, false);
        assert!(threads.iter().any(|&tasks| tasks > 9_000), "they began on {threads:?}");
    }
}

fn a_long_poll_is_named(on: &Systems) {
    // Longer than a worker may stand still in a short poll.
    const LIMIT: Duration = Duration::from_millis(500);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&reports);
    let builder = on.kind().green().on_long_poll(LIMIT, move |poll| {
        let name = poll.task.as_ref().and_then(|task| task.name().map(str::to_owned));
        list.lock().unwrap().push((name, poll.held));
    });
    let system = System::from(builder.build().unwrap());
    let greedy = Builder::new().name("greedy").spawn_on(system.backend(), async {
        thread::sleep(LIMIT * 3);
    });
    let modest = Builder::new().name("modest").spawn_fn_on(system.backend(), || {
        // It takes long, too, but waits.
        sleep(LIMIT * 2).wait();
    });
    greedy.unwrap().wait().unwrap();
    modest.unwrap().wait().unwrap();
    eventually("the hog is reported", || !reports.lock().unwrap().is_empty());
    system.shutdown(Duration::from_secs(10)).unwrap();
    let reports = reports.lock().unwrap();
    let names: Vec<_> = reports.iter().map(|(name, _)| name.as_deref()).collect();
    assert_eq!(names, [Some("greedy")], "one report for one hog");
    assert!(reports[0].1 >= LIMIT);
    assert_eq!(system.metrics().long_polls, 1);
}

fn a_long_poll_that_has_no_name_and_never_waited_is_known_by_its_number(on: &Systems) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&reports);
    let builder = on.kind().green().on_long_poll(Duration::from_millis(20), move |poll| {
        list.lock().unwrap().push((poll.id, poll.to_string()));
    });
    let system = System::from(builder.build().unwrap());
    let reported = Arc::clone(&reports);
    let hog = system.spawn(async move {
        eventually("it is reported", || !reported.lock().unwrap().is_empty());
    });
    let id = hog.id();
    hog.wait().unwrap();
    system.shutdown(Duration::from_secs(10)).unwrap();
    let reports = reports.lock().unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].0, id);
    assert!(reports[0].1.starts_with(&format!("task {id} has held worker ")), "{}", reports[0].1);
}

fn a_handler_of_long_polls_that_panics_is_called_again(on: &Systems) {
    let calls = Signal::new();
    let counted = calls.clone();
    let builder = on.kind().green().on_long_poll(Duration::from_millis(20), move |_| {
        counted.add();
        panic!("expected: a handler that panics");
    });
    let system = System::from(builder.build().unwrap());
    for hogs in 1..=2 {
        let reported = calls.clone();
        let hog = system.spawn(async move {
            eventually("the hog is reported", || reported.count() == hogs);
        });
        hog.wait().unwrap();
    }
    system.shutdown(Duration::from_secs(10)).unwrap();
}

/// Keeps a worker busy for a while.
fn work() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(200) {
        std::hint::spin_loop();
    }
}

fn idle_workers_steal(on: &Systems) {
    let parent = on.here().spawn(async {
        let children: Vec<_> = (0..200).map(|_| twoply::spawn(async { work() })).collect();
        for child in children {
            child.await.unwrap();
        }
    });
    parent.wait().unwrap();
    let steals: u64 = on.here().metrics().workers.iter().map(|worker| worker.steals).sum();
    assert!(steals > 0, "one worker did everything");
}

fn what_one_task_starts_runs_on_all_workers(on: &Systems) {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let list = Arc::clone(&threads);
    let parent = on.here().spawn(async move {
        let start = |_| {
            let list = Arc::clone(&list);
            twoply::spawn(async move {
                work();
                list.lock().unwrap().insert(thread::current().id());
            })
        };
        let children: Vec<_> = (0..200).map(start).collect();
        for child in children {
            child.await.unwrap();
        }
    });
    parent.wait().unwrap();
    assert!(threads.lock().unwrap().len() >= 2);
}

fn many_yields_of_many_tasks_all_happen(on: &Systems) {
    let (tasks, yields) = if on.kind().is_green() { (2000, 20) } else { (50, 20) };
    let total = Signal::new();
    let start = |n| {
        let total = total.clone();
        match n % 2 {
            0 => on.here().spawn(async move {
                for _ in 0..yields {
                    total.add();
                    yield_now().await;
                }
            }),
            _ if n % 50 != 1 => on.here().spawn(async move { (0..yields).for_each(|_| _ = total.add()) }),
            _ => on.here().spawn_fn(move || {
                for _ in 0..yields {
                    total.add();
                    yield_now().wait();
                }
            }),
        }
    };
    let all: Vec<_> = (0..tasks).map(start).collect();
    all.into_iter().for_each(|task| task.wait().unwrap());
    assert_eq!(total.count(), tasks * yields);
}

fn tasks_that_wait_cost_no_polls(on: &Systems) {
    let gate = Gate::new();
    let tasks: Vec<_> = (0..100).map(|_| on.here().spawn(gate.opened())).collect();
    let polls = || on.here().metrics().workers.iter().map(|worker| worker.polls).sum::<u64>();
    eventually("all wait", || gate.waiting() >= 100);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(polls(), 100);
    gate.open();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    assert_eq!(polls(), 200, "one poll to wait, one to end");
}

/// What this process has used of its processors.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn an_idle_runtime_does_nothing(on: &Systems) {
    on.alone(|| {
        let system = on.here();
        let waiting = [system.spawn(pending::<()>()), system.spawn_fn(|| pending::<()>().wait())];
        let later = [
            system.spawn(sleep(Duration::from_secs(3600))),
            system.spawn_fn(|| sleep(Duration::from_secs(3600)).wait()),
        ];
        system.spawn(sleep(Duration::from_millis(5))).wait().unwrap();
        // Time for the watchdog and for searches to calm down.
        thread::sleep(Duration::from_millis(400));
        let steps = || {
            let metrics = on.kind().is_green().then(|| system.metrics());
            let all = metrics.iter().flat_map(|metrics| &metrics.workers);
            all.map(|worker| worker.polls + worker.sleeps + worker.reactor.waits).sum::<u64>()
        };
        let (before, used) = (steps(), processor_time());
        thread::sleep(Duration::from_secs(1));
        let (after, used) = (steps() - before, processor_time() - used);
        assert!(after <= 4, "{after} polls, sleeps and waits in a second without work");
        assert!(used < Duration::from_millis(30), "{used:?} of processor time in a second without work");
        waiting.iter().chain(&later).for_each(Task::cancel);
        system.shutdown(Duration::from_secs(10)).unwrap();
    });
}
