//! Laws of dumps: what tasks do and what they wait for, told to whoever looks.

use std::future::{pending, poll_fn};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

use twoply_core::actor::{Builder as ProcessBuilder, Process};
use twoply_core::future::{join, join_all, select, suspension, yield_now};
use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::sync::{Barrier, CancellationToken, Event, Mutex, Notify, Semaphore};
use twoply_core::task::{
    self, Builder, Dump, Task, TaskDump, TaskGroup, TaskId, TaskKind, TaskState, WaitingFor, observe,
};
use twoply_core::{Wait, channel, offload, promise, time};
use twoply_tests::{Gate, Systems, eventually, laws};

laws! {
    and_mixed {
        each_wait_says_what_it_is_for,
        a_blocked_stack_says_what_it_waits_for,
        all_waits_of_a_task_are_listed,
        who_owes_is_named,
        a_circle_is_told_though_somebody_looks,
    }
    everywhere {
        a_dump_changes_nothing_for_those_who_wait,
        a_wait_outside_of_any_task_misses_no_wake_up_while_somebody_looks,
        a_task_that_computes_is_running_and_holds_a_dump_up_no_longer_than_its_limit,
        dumps_meet,
        an_observation_knows_since_when,
        a_task_that_dumps_is_running,
        what_is_over_is_not_there,
        code_that_is_offloaded_is_waited_for,
    }
    native {
        a_read_that_blocks_in_the_kernel_is_told,
    }
    one_worker {
        what_is_behind_another_task_is_queued,
        who_yields_lets_others_run_though_somebody_looks,
    }
}

/// Longer than any test.
const LONG: Duration = Duration::from_secs(10_000);

/// A dump of both runtimes.
fn dump(on: &Systems) -> Dump {
    task::dump([on.here().spawner().clone(), on.there().spawner().clone()]).wait()
}

/// Dumps until the task with this number waits, and returns what is told of it.
fn once_waiting(on: &Systems, id: TaskId) -> TaskDump {
    let mut found = None;
    eventually("it waits", || {
        found = dump(on).task(id).filter(|task| task.state == TaskState::Waiting).cloned();
        found.is_some()
    });
    found.expect("it has been found")
}

/// What a future that is awaited as a task waits for.
fn waits_of<F>(on: &Systems, future: F) -> (Task<F::Output>, Vec<WaitingFor>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let task = on.there().spawn(future);
    let found = once_waiting(on, task.id());
    (task, found.waits)
}

fn each_wait_says_what_it_is_for(on: &Systems) {
    macro_rules! told {
        ($future:expr, $($pattern:tt)*) => {
            let (task, waits) = waits_of(on, $future);
            assert!(matches!(&waits[..], [$($pattern)*]), "{waits:?} is not {}", stringify!($($pattern)*));
            assert!(waits.iter().all(|waiting_for| !waiting_for.to_string().is_empty()));
            task.cancel();
        };
    }
    let (full, _room) = channel::bounded(1);
    full.try_send(1).unwrap();
    told!(async move { full.send(2).await }, WaitingFor::Room { .. });
    told!(async { Notify::new().notified().await }, WaitingFor::Signal { .. });
    told!(async { Event::new().wait().await }, WaitingFor::Signal { .. });
    told!(async { Barrier::new(2).wait().await }, WaitingFor::Signal { .. });
    told!(CancellationToken::new().cancelled_owned(), WaitingFor::Signal { .. });
    let (_tx, rx) = channel::bounded::<u32>(1);
    told!(async move { rx.recv().await }, WaitingFor::Message { .. });
    let (offer, _taker) = channel::rendezvous();
    told!(async move { offer.send(2).await }, WaitingFor::Room { .. });
    let (_giver, take) = channel::rendezvous::<u32>();
    told!(async move { take.recv().await }, WaitingFor::Message { .. });
    let (_once, message) = channel::oneshot::<u32>();
    told!(message, WaitingFor::Message { .. });
    let (_news, mut heard) = channel::broadcast::<u32>(1);
    told!(async move { heard.recv().await }, WaitingFor::Message { .. });
    let (_state, mut seen) = channel::watch(0);
    told!(async move { drop(seen.changed().await) }, WaitingFor::Change { .. });
    let mutex: &Mutex<u32> = Box::leak(Box::default());
    let _guard = mutex.lock().wait();
    told!(async { drop(mutex.lock().await) }, WaitingFor::Lock { .. });
    let semaphore: &Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    told!(async { drop(semaphore.acquire().await) }, WaitingFor::Lock { .. });
    let (promise, _resolver) = promise::pair::<u32>();
    told!(promise.clone().into_future(), WaitingFor::Promise { owner: None, .. });
    told!(async move { promise.map(|n| n + 1).await }, WaitingFor::Promise { .. });
    let idle = on.here().spawn(pending::<()>());
    let id = idle.id();
    let (task, waits) = waits_of(on, idle);
    assert!(matches!(&waits[..], [WaitingFor::Task(of)] if of.id() == id), "{waits:?}");
    task.cancel();
    let mut group = TaskGroup::on(on.here().backend().clone());
    group.spawn(pending::<()>()).unwrap();
    told!(async move { drop(group.join_next().await) }, WaitingFor::Tasks);
    told!(time::sleep(LONG), WaitingFor::Time(Some(_)));
    told!(async { time::interval_at(time::now() + LONG, LONG).tick().await }, WaitingFor::Time(Some(_)));
    let (mut point, _resumer) = suspension();
    told!(async move { point.suspend().await }, WaitingFor::Resumption);
    told!(pending::<()>(),);
}

fn a_blocked_stack_says_what_it_waits_for(on: &Systems) {
    let (tx, rx) = channel::bounded::<u32>(1);
    let task = on.there().spawn_fn(move || rx.recv().wait());
    let found = once_waiting(on, task.id());
    assert!(found.blocks_stack, "{found}");
    assert_eq!(found.kind, TaskKind::Closure);
    assert!(matches!(found.waits[..], [WaitingFor::Message { .. }]), "{found}");
    // A wait inside a poll: what the future around it waits for does not count.
    let (inner, held) = promise::pair::<u32>();
    let nested = on.there().spawn(async move {
        let blocking = async move { inner.wait() };
        join((time::sleep(LONG), blocking)).await
    });
    let found = once_waiting(on, nested.id());
    assert!(found.blocks_stack, "{found}");
    assert!(matches!(found.waits[..], [WaitingFor::Promise { .. }]), "{found}");
    nested.cancel();
    drop(held);
    tx.send(7).wait().unwrap();
    assert_eq!(task.wait().unwrap(), Ok(7));
}

fn all_waits_of_a_task_are_listed(on: &Systems) {
    let (_tx, rx) = channel::bounded::<u32>(1);
    let (promise, _resolver) = promise::pair::<u32>();
    let either = async move { drop(select((rx.recv(), promise)).await) };
    let (task, waits) = waits_of(on, either);
    let of = |kind: fn(&WaitingFor) -> bool| waits.iter().filter(|waiting_for| kind(waiting_for)).count();
    assert_eq!(waits.len(), 2, "{waits:?}");
    assert_eq!(of(|w| matches!(w, WaitingFor::Message { .. })), 1);
    assert_eq!(of(|w| matches!(w, WaitingFor::Promise { .. })), 1);
    task.cancel();
    let (_tx, rx) = channel::bounded::<u32>(1);
    let limited = async move { _ = time::timeout(LONG, rx.recv()).await };
    let (task, waits) = waits_of(on, limited);
    assert!(matches!(waits[..], [WaitingFor::Message { .. }, WaitingFor::Time(Some(_))]), "{waits:?}");
    task.cancel();
    // Of many, those that have not been woken are told, too; and no more than a reader can take in.
    let several = |n: usize| {
        let all = (0..n).map(|_| promise::pair::<u32>());
        let (promises, resolvers): (Vec<_>, Vec<_>) = all.unzip();
        let task =
            on.there().spawn(async move { join_all(promises.into_iter().map(async |p| p.await)).await });
        (task, resolvers)
    };
    let (task, mut resolvers) = several(4);
    once_waiting(on, task.id());
    resolvers.pop().unwrap().resolve(1).unwrap();
    eventually("three are left", || dump(on).task(task.id()).is_some_and(|task| task.waits.len() == 3));
    drop(resolvers);
    let (task, _resolvers) = several(100);
    let found = once_waiting(on, task.id());
    assert!(found.has_more_waits && found.waits.len() <= 16, "{found}");
}

fn who_owes_is_named(on: &Systems) {
    let (promise, resolver) = promise::pair::<u32>();
    let worker = Builder::new().name("worker").spawn_on(on.here().backend(), pending::<()>()).unwrap();
    resolver.set_owner(&worker.task());
    let (client, waits) = waits_of(on, promise.into_future());
    assert_eq!(waits[0].owner().and_then(|owner| owner.name()), Some("worker"), "{waits:?}");
    assert!(waits[0].to_string().contains("worker"), "{}", waits[0]);
    drop(resolver);
    assert!(client.wait().unwrap().is_err());
    // A process owes the answers to what it is asked.
    let body = async |mut me: Process<promise::Resolver<u32>>| {
        let _question = me.receive().await;
        pending::<()>().await;
    };
    let process = ProcessBuilder::new().name("oracle").on(on.here().backend()).spawn(body).unwrap();
    let (asked, _) = waits_of(on, async move { process.ask(|reply| reply).await });
    eventually("the process has begun", || {
        let found = once_waiting(on, asked.id());
        found.waits[0].owner().is_some_and(|owner| owner.name() == Some("oracle"))
    });
    // So is the task that has a lock.
    let mutex = Arc::new(Mutex::new(0));
    let lock = Arc::clone(&mutex);
    let holder = on.here().spawn(async move {
        let _guard = lock.lock().await;
        pending::<()>().await;
    });
    once_waiting(on, holder.id());
    let (wanting, waits) = waits_of(on, async move { drop(mutex.lock().await) });
    assert!(
        matches!(&waits[..], [WaitingFor::Lock { holders, .. }] if holders[..] == [holder.id()]),
        "{waits:?}"
    );
    assert!(waits[0].to_string().ends_with(&format!("task {}", holder.id())), "{}", waits[0]);
    wanting.cancel();
    holder.cancel();
    asked.cancel();
    let found = dump(on);
    let found = found.tasks().iter().find(|task| task.task.name() == Some("oracle")).expect("it lives");
    assert_eq!(found.kind, TaskKind::Process);
    assert!(found.task.spawned_at().is_some());
}

/// The wait is begun anew for those who look, which forgets the wake-ups so far: so it has to be polled.
fn a_wait_outside_of_any_task_misses_no_wake_up_while_somebody_looks(_: &Systems) {
    let _observation = observe();
    let mut polls = 0;
    let second = poll_fn(|_| {
        polls += 1;
        if polls == 1 { Poll::Pending } else { Poll::Ready(()) }
    });
    second.wait();
}

fn a_dump_changes_nothing_for_those_who_wait(on: &Systems) {
    let (tx, rx) = channel::bounded::<u32>(1);
    let sum = on.here().spawn(async move { rx.recv().await.unwrap() + rx.recv().await.unwrap() });
    let (promise, resolver) = promise::pair::<u32>();
    let blocked = on.here().spawn_fn(move || promise.wait().unwrap());
    let all = on
        .here()
        .spawn(join_all((0..20).map(|n| async move { time::sleep(Duration::from_millis(n)).await })));
    for _ in 0..5 {
        once_waiting(on, sum.id());
        once_waiting(on, blocked.id());
    }
    tx.send(1).wait().unwrap();
    dump(on);
    tx.send(2).wait().unwrap();
    resolver.resolve(3).unwrap();
    assert_eq!(sum.wait().unwrap() + blocked.wait().unwrap(), 6);
    assert_eq!(all.wait().unwrap().len(), 20);
}

fn a_task_that_computes_is_running_and_holds_a_dump_up_no_longer_than_its_limit(on: &Systems) {
    let (begun, has_begun) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    // Blocks in something that is not of this library.
    let busy = on.here().spawn_fn(move || {
        begun.send(()).unwrap();
        let _ = stopped.recv();
    });
    has_begun.recv().unwrap();
    let found = on.here().spawner().dump().limit(Duration::from_millis(20)).wait();
    // It may not be listed: it has neither a name nor waited.
    let listed = found.task(busy.id()).map(|task| task.state);
    assert!(listed.is_none_or(|state| state == TaskState::Running), "{found}");
    assert!(listed.is_some() || found.unlisted() == 1, "{found}");
    drop(stop);
    busy.wait().unwrap();
}

fn what_is_behind_another_task_is_queued(on: &Systems) {
    let (begun, has_begun) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    let gate = Gate::new();
    let behind = on.here().spawn(gate.opened());
    once_waiting(on, behind.id());
    // Computes, so that nobody else goes on with its worker.
    let busy = Builder::new().name("busy").spawn_fn_on(on.here().backend(), move || {
        begun.send(()).unwrap();
        while let Err(mpsc::TryRecvError::Empty) = stopped.try_recv() {
            std::hint::spin_loop();
        }
    });
    let busy = busy.unwrap();
    has_begun.recv().unwrap();
    let found = on.here().spawner().dump().limit(Duration::ZERO).wait();
    assert_eq!(found.task(busy.id()).unwrap().state, TaskState::Running, "{found}");
    let state = found.task(behind.id()).unwrap().state;
    assert!(state == TaskState::Queued || state == TaskState::Waiting, "{found}");
    drop(stop);
    busy.wait().unwrap();
    gate.open();
    behind.wait().unwrap();
}

fn who_yields_lets_others_run_though_somebody_looks(on: &Systems) {
    let _observation = observe();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let both = on.here().spawn({
        let order = Arc::clone(&order);
        async move {
            [0, 1].map(|own| {
                let order = Arc::clone(&order);
                task::spawn(async move {
                    for _ in 0..20 {
                        order.lock().unwrap().push(own);
                        yield_now().await;
                    }
                })
            })
        }
    });
    for task in both.wait().unwrap() {
        task.wait().unwrap();
    }
    let order = order.lock().unwrap();
    assert!(order.windows(2).all(|pair| pair[0] != pair[1]), "{order:?}");
}

fn a_circle_is_told_though_somebody_looks(on: &Systems) {
    let _observation = observe();
    let ((one, owed_by_here), (other, owed_by_there)) = (promise::pair::<u32>(), promise::pair::<u32>());
    let here = on.here().spawn(async move {
        owed_by_here.set_current_owner();
        let waited = other.await;
        _ = owed_by_here.resolve(1);
        waited.is_err_and(|failure| matches!(failure, promise::Failure::Deadlock(_)))
    });
    let there = on.there().spawn_fn(move || {
        owed_by_there.set_current_owner();
        let waited = one.wait();
        _ = owed_by_there.resolve(1);
        waited.is_err_and(|failure| matches!(failure, promise::Failure::Deadlock(_)))
    });
    let told = [here.wait().unwrap(), there.wait().unwrap()];
    assert_eq!(told.iter().filter(|told| **told).count(), 1, "one of the two is told");
}

fn dumps_meet(on: &Systems) {
    let idle = on.here().spawn(pending::<()>());
    once_waiting(on, idle.id());
    let id = idle.id();
    let dumpers: Vec<_> = (0..4)
        .map(|n| {
            let spawner = on.here().spawner().clone();
            let sees_it_wait =
                move |found: &Dump| found.task(id).is_some_and(|t| t.state == TaskState::Waiting);
            match n % 2 {
                0 => on.here().spawn(async move {
                    for _ in 0..100 {
                        let found = spawner.dump().limit(LONG).await;
                        assert!(sees_it_wait(&found), "{found}");
                    }
                }),
                _ => on.here().spawn_fn(move || {
                    for _ in 0..100 {
                        let found = spawner.dump().limit(LONG).wait();
                        assert!(sees_it_wait(&found), "{found}");
                    }
                }),
            }
        })
        .collect();
    for dumper in dumpers {
        dumper.wait().unwrap();
    }
    idle.cancel();
}

fn an_observation_knows_since_when(on: &Systems) {
    let _observation = observe();
    let before = time::now();
    let gate = Gate::new();
    let seen = on.here().spawn(gate.opened());
    let blocked = on.here().spawn_fn({
        let gate = gate.clone();
        move || gate.opened().wait()
    });
    for task in [&seen, &blocked] {
        eventually("it waits, since it began to", || {
            let found = once_waiting(on, task.id());
            found.waiting_since.is_some_and(|since| since >= before)
        });
        let first = once_waiting(on, task.id()).waiting_since;
        assert_eq!(once_waiting(on, task.id()).waiting_since, first, "a dump is no other wait");
    }
    gate.open();
    seen.wait().unwrap();
    blocked.wait().unwrap();
}

fn a_task_that_dumps_is_running(on: &Systems) {
    let spawner = on.here().spawner().clone();
    let task = on.here().spawn(async move {
        yield_now().await;
        let id = task::current().unwrap().id();
        spawner.dump().await.task(id).map(|own| own.state)
    });
    assert_eq!(task.wait().unwrap(), Some(TaskState::Running));
}

fn what_is_over_is_not_there(on: &Systems) {
    let task = on.here().spawn(async { yield_now().await });
    let id = task.id();
    task.wait().unwrap();
    eventually("it has left", || dump(on).task(id).is_none());
}

fn code_that_is_offloaded_is_waited_for(on: &Systems) {
    let (begun, has_begun) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    let task = on.here().spawn_fn(move || {
        yield_now().wait();
        offload(move || {
            begun.send(()).unwrap();
            let _ = stopped.recv();
        })
    });
    has_begun.recv().unwrap();
    if on.here().kind().is_fibers() {
        let found = once_waiting(on, task.id());
        assert!(matches!(found.waits[..], [WaitingFor::Offload { .. }]), "{found}");
    } else {
        let found = on.here().spawner().dump().limit(Duration::from_millis(20)).wait();
        assert!(found.task(task.id()).is_none_or(|task| task.state != TaskState::Waiting), "{found}");
    }
    drop(stop);
    task.wait().unwrap().unwrap();
}

fn a_read_that_blocks_in_the_kernel_is_told(on: &Systems) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let mut here = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    let (there, _) = listener.accept().wait().unwrap();
    let task = on.here().spawn_fn(move || std::io::Read::read(&mut here, &mut [0; 4]));
    let found = once_waiting(on, task.id());
    assert!(matches!(found.waits[..], [WaitingFor::Read { fd: Some(_) }]), "{found}");
    // The call has been interrupted for it, and made again.
    assert!(!task.is_finished());
    drop(there);
    assert_eq!(task.wait().unwrap().unwrap(), 0);
}
