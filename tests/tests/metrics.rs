//! The counters of a runtime: that they count what has happened, and nothing that nobody has asked for.
#![cfg(all(feature = "native", feature = "green"))]

use std::future::pending;
use std::time::{Duration, Instant};

use twoply::actor::{self, Process};
use twoply::future::yield_now;
use twoply::green_backend::{Green, Histogram, LocalRuntime, Metrics};
use twoply::runtime;
use twoply::task;
use twoply::time::sleep;
use twoply::{Backend, Runtime, Spawner, Wait, channel};
use twoply_tests::{Systems, eventually, fiber_promise, laws};

laws! {
    everywhere {
        tasks_are_counted_by_kind,
        tasks_are_timed_by_kind,
        threads_are_counted,
    }
    green {
        polls_and_parks_are_counted,
        nothing_is_timed_unless_it_is_asked_for,
        each_poll_is_timed,
        wake_ups_are_followed,
    }
    one_worker {
        a_worker_whose_searches_find_nothing_sleeps_at_once,
        a_long_poll_is_told_from_short_ones,
        a_wake_up_behind_a_long_poll_is_late,
        a_runtime_of_one_thread_is_timed,
    }
    fibers {
        blocked_fibers_are_counted,
    }
}

const SOON: Duration = Duration::from_secs(10);

fn timed(on: &Systems) -> Green {
    on.kind().green().time_polls().build().expect("there are threads")
}

/// The sum over all workers.
fn sum(metrics: &Metrics, times: fn(&twoply::green_backend::Times) -> &Histogram) -> Histogram {
    let mut all = metrics.workers.iter().map(|worker| times(worker.times.as_ref().expect("it is timed")));
    let mut sum = all.next().expect("there is a worker").clone();
    all.for_each(|more| sum.add(more));
    sum
}

fn polls(metrics: &Metrics) -> Histogram {
    sum(metrics, |times| &times.polls)
}

fn delays(metrics: &Metrics) -> Histogram {
    sum(metrics, |times| &times.wake_delays)
}

/// Tasks that wake each other.
fn ping_pong(spawner: &Spawner, times: u32) {
    let (there, receives) = channel::bounded(1);
    let (back, received) = channel::bounded(1);
    let pong = spawner.spawn(async move {
        while let Ok(number) = receives.recv().await {
            back.send(number).await.unwrap();
        }
    });
    let ping = spawner.spawn(async move {
        for number in 0..times {
            there.send(number).await.unwrap();
            assert_eq!(received.recv().await, Ok(number));
        }
    });
    ping.wait().unwrap();
    pong.wait().unwrap();
}

fn compute_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {}
}

/// The settings of a runtime of this kind.
fn settings(on: &Systems) -> runtime::Builder {
    let backend = match (on.kind().is_green(), on.kind().is_fibers()) {
        (true, true) => Backend::Fibers,
        (true, false) => Backend::Green,
        _ => Backend::Native,
    };
    Runtime::builder().backend(backend).fibers(fiber_promise())
}

fn tasks_are_timed_by_kind(on: &Systems) {
    const LONG: Duration = Duration::from_millis(10);
    let runtime = settings(on).time_tasks().build().unwrap();
    assert_eq!(runtime.task_times().unwrap().to_string(), "");
    let yields = || async {
        for _ in 0..9 {
            yield_now().await;
        }
    };
    let futures: Vec<_> = (0..3).map(|_| runtime.spawn(yields())).collect();
    let closures: Vec<_> = (0..2)
        .map(|_| {
            runtime.spawn_fn(|| {
                compute_for(LONG);
                sleep(Duration::from_micros(100)).wait();
            })
        })
        .collect();
    let process = actor::Builder::new().on(runtime.spawner().backend());
    let (tell, begun) = channel::oneshot();
    let body = async move |mut me: Process<()>| {
        tell.send(()).unwrap();
        drop(me.receive().await);
    };
    let process = process.spawn(body).unwrap();
    begun.wait().unwrap();
    futures.into_iter().chain(closures).for_each(|task| task.wait().unwrap());
    runtime.shutdown(SOON).unwrap();
    drop(process);
    // A task that is a thread is one poll, whatever it is made of.
    let polls = if on.kind().is_green() { 30 } else { 3 };
    eventually("all polls are over", || {
        let times = runtime.task_times().unwrap();
        let counts = [&times.futures, &times.closures].map(|kind| kind.polls.count());
        counts == [polls, 2] && times.processes.polls.count() >= 1
    });
    let times = runtime.task_times().unwrap();
    let started = [&times.futures, &times.closures, &times.processes].map(|kind| kind.start_delays.count());
    assert_eq!(started, [3, 2, 1]);
    assert!(times.closures.busy >= 2 * LONG && times.closures.polls.percentile(1.0) >= Some(LONG));
    assert_eq!(times.to_string().lines().count(), 3, "{times}");

    let untimed = settings(on).build().unwrap();
    untimed.spawn(yields()).wait().unwrap();
    assert!(untimed.task_times().is_none());
    untimed.shutdown(SOON).unwrap();
}

fn tasks_are_counted_by_kind(on: &Systems) {
    let runtime = settings(on).build().unwrap();
    let named = |name| task::Builder::new().name(name);
    let backend = runtime.spawner().backend();
    let futures: Vec<_> =
        (0..3).map(|_| named("future").spawn_on(backend, pending::<()>()).unwrap()).collect();
    let closures: Vec<_> =
        (0..2).map(|_| named("closure").spawn_fn_on(backend, || pending::<()>().wait()).unwrap()).collect();
    let process = actor::Builder::new().on(backend).name("process");
    let process = process.spawn(async |mut me: Process<()>| drop(me.receive().await)).unwrap();
    let metrics = runtime.metrics();
    let kinds = metrics.kinds;
    assert_eq!((kinds.futures, kinds.closures, kinds.processes, kinds.unlisted), (3, 2, 1, 0));
    assert_eq!(metrics.tasks, 6);
    let told = metrics.to_string();
    assert!(told.starts_with("6 tasks (3 futures, 2 closures, 1 processes, 0 not listed) on "), "{told}");
    runtime.shutdown(SOON).unwrap();
    assert_eq!(runtime.metrics().kinds, Default::default());
    drop((futures, closures, process));
}

fn threads_are_counted(on: &Systems) {
    let runtime = match on.kind().is_green() {
        true => Runtime::from(on.kind().green().build().unwrap()),
        false => Runtime::new(Backend::Native).unwrap(),
    };
    runtime.spawn_fn(|| sleep(Duration::from_millis(1)).wait()).wait().unwrap();
    let metrics = runtime.metrics();
    assert!(metrics.threads >= 1 && metrics.idle_threads <= metrics.threads, "{metrics}");
    if !on.kind().is_fibers() {
        eventually("a thread is idle", || runtime.metrics().idle_threads >= 1);
    }
    runtime.shutdown(SOON).unwrap();
    assert_eq!((runtime.metrics().threads, runtime.metrics().idle_threads), (0, 0));
}

fn polls_and_parks_are_counted(on: &Systems) {
    let green = on.kind().green().build().unwrap();
    let count = |metrics: &Metrics| metrics.workers.iter().map(|worker| worker.polls).sum::<u64>();
    let before = count(&green.metrics());
    let yields = async {
        for _ in 0..99 {
            yield_now().await;
        }
    };
    green.spawner().spawn(yields).wait().unwrap();
    assert!(count(&green.metrics()) - before >= 100);
    eventually("all workers park", || green.metrics().workers.iter().all(|worker| worker.sleeps >= 1));
    let told = green.metrics().to_string();
    assert_eq!(told.lines().count(), 1 + on.kind().workers(), "{told}");
    assert!(told.contains("worker 0: 0 queued, "), "{told}");
}

/// Each message comes when the worker sleeps. So no search finds anything, and most are left out: a sleep
/// asks the kernel for events once, and a search before it once at least.
fn a_worker_whose_searches_find_nothing_sleeps_at_once(on: &Systems) {
    let green = on.kind().green().build().unwrap();
    let (messages, arrive) = channel::unbounded();
    let reader = green.spawner().spawn(async move { while arrive.recv().await.is_ok() {} });
    let counts = || {
        let worker = &green.metrics().workers[0];
        (worker.sleeps, worker.reactor.waits)
    };
    eventually("the worker sleeps", || counts().0 > 0);
    let before = counts();
    for _ in 0..300 {
        let (sleeps, _) = counts();
        messages.send(()).wait().unwrap();
        eventually("the worker sleeps again", || counts().0 > sleeps);
    }
    let after = counts();
    let (sleeps, waits) = (after.0 - before.0, after.1 - before.1);
    assert!(waits < 2 * sleeps, "the kernel was asked {waits} times in {sleeps} sleeps");
    drop(messages);
    reader.wait().unwrap();
}

fn nothing_is_timed_unless_it_is_asked_for(on: &Systems) {
    let green = on.kind().green().build().unwrap();
    ping_pong(green.spawner(), 10);
    assert!(green.metrics().workers.iter().all(|worker| worker.times.is_none()));
}

fn each_poll_is_timed(on: &Systems) {
    let green = timed(on);
    ping_pong(green.spawner(), 100);
    eventually("all polls are over", || {
        let metrics = green.metrics();
        let begun = metrics.workers.iter().map(|worker| worker.polls).sum::<u64>();
        begun >= 200 && polls(&metrics).count() == begun
    });
    let metrics = green.metrics();
    let busy = metrics.workers.iter().map(|worker| worker.times.as_ref().unwrap().busy).sum::<Duration>();
    let longest = polls(&metrics).percentile(100.0).unwrap();
    assert!(busy > Duration::ZERO && busy <= longest * u32::try_from(polls(&metrics).count()).unwrap());
    let told = metrics.to_string();
    assert!(told.contains("busy for") && told.contains("99 % < "), "{told}");
}

fn wake_ups_are_followed(on: &Systems) {
    let green = timed(on);
    let mut before = 0;
    for _ in 0..3 {
        // One after the other: whatever has become of one that was followed, the next is.
        ping_pong(green.spawner(), 20);
        let (tx, rx) = channel::rendezvous();
        let blocking = green.spawner().spawn_fn(move || rx.recv().wait());
        green.spawner().spawn_fn(move || tx.send(1).wait()).wait().unwrap().unwrap();
        assert_eq!(blocking.wait().unwrap(), Ok(1));
        let cancelled = green.spawner().spawn_fn(|| pending::<()>().wait());
        green.spawner().spawn(sleep(Duration::from_micros(100))).wait().unwrap();
        cancelled.cancel();
        cancelled.wait().unwrap_err();
        let count = delays(&green.metrics()).count();
        assert!(count > before, "{count}");
        before = count;
    }
}

fn a_long_poll_is_told_from_short_ones(on: &Systems) {
    let green = timed(on);
    ping_pong(green.spawner(), 100);
    // A worker that is not wanted is not taken away.
    green.spawner().spawn_fn(|| compute_for(Duration::from_millis(10))).wait().unwrap();
    eventually("its poll is over", || {
        polls(&green.metrics()).percentile(100.0) >= Some(Duration::from_millis(8))
    });
    assert!(polls(&green.metrics()).percentile(20.0) < Some(Duration::from_millis(8)));
}

fn a_wake_up_behind_a_long_poll_is_late(on: &Systems) {
    let green = timed(on);
    let long = async {
        let behind = task::spawn(async {});
        compute_for(Duration::from_millis(10));
        behind.await
    };
    green.spawner().spawn(long).wait().unwrap().unwrap();
    let longest = delays(&green.metrics()).percentile(100.0);
    assert!(longest >= Some(Duration::from_millis(1)), "{}", green.metrics());
}

fn a_runtime_of_one_thread_is_timed(on: &Systems) {
    let runtime: LocalRuntime = on.kind().green().time_polls().build_local().unwrap();
    let inside = runtime.spawner().clone();
    runtime.run(move || ping_pong(&inside, 50)).unwrap();
    let metrics = runtime.metrics();
    assert!(polls(&metrics).count() >= 100 && delays(&metrics).count() >= 1, "{metrics}");
    assert_eq!((metrics.threads, metrics.workers.len()), (0, 1));
}

fn blocked_fibers_are_counted(on: &Systems) {
    let green = on.kind().green().build().unwrap();
    let blocked: Vec<_> = (0..5).map(|_| green.spawner().spawn_fn(|| pending::<()>().wait())).collect();
    eventually("they block", || green.metrics().blocked_fibers == 5);
    blocked.iter().for_each(|task| task.cancel());
    for task in blocked {
        task.wait().unwrap_err();
    }
    eventually("they are over", || green.metrics().blocked_fibers == 0);
}
