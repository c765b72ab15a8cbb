//! Active values: any value as an actor, as in the Io language. The first laws are that language's.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use twoply_core::actor::{Active, Builder, Event, ExitReason, Process};
use twoply_core::promise::{Answer, Failure, Promise, Transparent};
use twoply_core::{Wait, channel, future, task, time};
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        any_value_is_an_actor_from_its_first_closure_on_and_costs_no_task_before,
        closures_are_run_first_come_first_served,
        a_call_returns_a_promise_at_once_and_its_arguments_are_the_senders,
        a_tell_returns_at_once_and_has_no_result,
        touching_a_promise_waits_and_then_it_is_the_result_for_all_who_wait,
        a_closure_that_panics_tells_all_who_wait_and_the_actor_goes_on,
        waiting_in_a_cycle_is_detected_and_named,
        the_value_is_dropped_after_the_last_handle_and_the_last_closure,
    }
    everywhere {
        coroutines_yield_pause_and_are_resumed,
        waiting_for_oneself_is_a_deadlock,
        a_cycle_of_three_is_a_deadlock,
        an_asynchronous_closure_awaits_with_the_value_in_its_hands,
        an_actor_may_end_with_a_panic,
        a_full_mailbox_refuses_calls,
        whoever_waits_for_an_actor_that_is_killed_is_told,
        an_exit_signal_takes_its_turn,
        an_active_value_can_be_monitored,
        what_cannot_be_started_says_so,
        a_value_that_nobody_asked_anything_of_is_dropped_with_its_handle,
        a_value_may_hold_a_handle_to_itself_for_a_while,
        a_value_need_not_be_shareable,
        many_senders_are_all_served,
    }
}

/// An active value here.
fn active<T: Send + 'static>(on: &Systems, name: &str, value: T) -> Active<T> {
    Active::builder().name(name).on(on.here().backend()).build(value)
}

/// An active value there.
fn active_there<T: Send + 'static>(on: &Systems, name: &str, value: T) -> Active<T> {
    Active::builder().name(name).on(on.there().backend()).build(value)
}

/// Has `active` wait for `gate`, so that what is sent to it meanwhile is queued; returns when it does.
fn busy<T: Send + 'static>(active: &Active<T>, gate: &Gate) {
    let opened = gate.opened();
    active.try_send(move |_| opened.wait()).unwrap();
    eventually("it is busy", || gate.waiting() > 0);
}

/// Whether it came to a deadlock, and between whom.
fn deadlock<T>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::Deadlock(cycle)) => cycle.to_string(),
        Err(other) => panic!("no deadlock, but {other}"),
        Ok(_) => panic!("no deadlock, but a result"),
    }
}

// Io: any object becomes an actor at its first asynchronous message; idle it costs nothing but itself.
fn any_value_is_an_actor_from_its_first_closure_on_and_costs_no_task_before(on: &Systems) {
    let idle: Vec<_> = (0..1000).map(|n| active(on, "number", n)).collect();
    let text = active(on, "text", String::from("a"));
    assert_eq!(on.here().tasks(), 0, "nothing runs");
    text.try_send(|text| text.push('b')).unwrap();
    assert_eq!(text.ask(|text| text.clone()).wait().unwrap(), "ab");
    assert_eq!(on.here().tasks(), 1, "one has been asked");
    assert_eq!(idle[7].ask(|n| *n).wait().unwrap(), 7);
    assert_eq!(on.here().tasks(), 2);
    drop((idle, text));
    eventually("all have ended", || on.here().tasks() == 0);
}

// Io: an actor's messages are queued, and run first come, first served.
fn closures_are_run_first_come_first_served(on: &Systems) {
    let list = active(on, "list", Vec::new());
    let far = list.clone();
    on.there()
        .spawn(async move {
            for n in 0..500 {
                far.try_send(move |list| list.push(n)).unwrap();
            }
        })
        .wait()
        .unwrap();
    for n in 500..1000 {
        list.try_send(move |list| list.push(n)).unwrap();
    }
    let order = list.ask(|list| list.clone()).wait().unwrap();
    assert!(order.into_iter().eq(0..1000));
}

// Io's `@`: a future at once, and the sender evaluates the arguments.
fn a_call_returns_a_promise_at_once_and_its_arguments_are_the_senders(on: &Systems) {
    let (gate, list) = (Gate::new(), active_there(on, "list", Vec::new()));
    busy(&list, &gate);
    let caller = on.here().spawn_fn(move || {
        let me = task::current().map(|task| task.id());
        let promises: Vec<Answer<bool>> = (0..10)
            .map(|n| {
                // Evaluated here and now.
                let argument = n * n;
                list.ask(move |list| {
                    list.push(argument);
                    task::current().map(|task| task.id()) == me
                })
            })
            .collect();
        assert!(promises.iter().all(|promise| !promise.is_ready()), "none has been run");
        (promises, list)
    });
    let (promises, list) = caller.wait().unwrap();
    gate.open();
    for promise in promises {
        assert!(!promise.wait().unwrap(), "it is the actor that runs it");
    }
    let squares = list.ask(|list| list.clone()).wait().unwrap();
    assert!(squares.into_iter().eq((0..10).map(|n| n * n)));
}

// Io's `@@`: nothing comes back, at once.
fn a_tell_returns_at_once_and_has_no_result(on: &Systems) {
    let (gate, number) = (Gate::new(), active_there(on, "number", 0));
    busy(&number, &gate);
    let teller = number.clone();
    on.here()
        .spawn(async move { assert!((0..10).all(|_| teller.try_send(|n| *n += 1).is_ok())) })
        .wait()
        .unwrap();
    gate.open();
    assert_eq!(number.ask(|n| *n).wait().unwrap(), 10);
}

// Io: touching a future waits; it then becomes its result; all waiters resume.
fn touching_a_promise_waits_and_then_it_is_the_result_for_all_who_wait(on: &Systems) {
    let (gate, text) = (Gate::new(), active(on, "text", String::from("tea")));
    busy(&text, &gate);
    let promise = text.ask(|text| text.clone()).share();
    let waiting = Signal::new();
    let waiters: Vec<_> = (0..6)
        .map(|n| {
            let (promise, waiting) = (promise.clone(), waiting.clone());
            match n % 3 {
                0 => on.here().spawn(async move {
                    waiting.add();
                    promise.await.unwrap().len()
                }),
                1 => on.there().spawn_fn(move || {
                    waiting.add();
                    promise.wait().unwrap().len()
                }),
                _ => on.there().spawn_fn(move || {
                    let tea = Transparent::from(promise);
                    waiting.add();
                    // It is the text from here on.
                    assert!(tea.starts_with('t') && tea.ends_with('a'));
                    tea.len()
                }),
            }
        })
        .collect();
    eventually("all are about to wait", || waiting.count() == 6);
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    gate.open();
    for waiter in waiters {
        assert_eq!(waiter.wait().unwrap(), 3);
    }
    assert_eq!(promise.wait().unwrap(), "tea");
}

// Io leaves those hanging who wait for a message that raises. Here all are told, and the actor goes on.
fn a_closure_that_panics_tells_all_who_wait_and_the_actor_goes_on(on: &Systems) {
    let (gate, number) = (Gate::new(), active(on, "number", 1));
    busy(&number, &gate);
    let promise: Promise<u32> = number
        .ask(|n| {
            *n = 5;
            panic!("expected: no more numbers")
        })
        .share();
    let later = number.ask(|n| *n);
    let asynchronous: Answer<()> = number.ask_async(async |_| {
        future::yield_now().await;
        panic!("expected: not this one either")
    });
    number.try_send(|_| panic!("expected: nobody hears of this")).unwrap();
    let waiters: Vec<_> = (0..4)
        .map(|n| {
            let (promise, system) = (promise.clone(), [on.here(), on.there()][n % 2]);
            system.spawn(promise.into_future())
        })
        .collect();
    gate.open();
    for result in waiters.into_iter().map(|waiter| waiter.wait().unwrap()).chain([promise.wait()]) {
        match result {
            Err(Failure::Panicked(panic)) => {
                assert_eq!(panic.message(), Some("expected: no more numbers"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(later.wait().unwrap(), 5, "it sees what the panic left");
    assert!(matches!(asynchronous.wait(), Err(failure) if failure.is_panic()));
    assert_eq!(number.ask(|n| *n + 1).wait().unwrap(), 6);
}

// Io's documentation promises that waiting in a cycle is detected.
fn waiting_in_a_cycle_is_detected_and_named(on: &Systems) {
    let (a, b) = (active(on, "a", 0), active_there(on, "b", 0));
    let gate = Gate::new();
    busy(&b, &gate);
    let (far, back) = (b.clone(), a.clone());
    // A waits for B, which waits for A; neither has come to what the other asks of it.
    let second = b.ask(move |_| back.ask(|_| 2).wait());
    let first = a.ask(move |_| far.ask(|_| 1).wait());
    gate.open();
    // Whoever closes the cycle is told, and then the other one gets its answer.
    match (first.wait().unwrap(), second.wait().unwrap()) {
        (found, Ok(2)) => assert_eq!(deadlock(found), "a -> b -> a"),
        (Ok(1), found) => assert_eq!(deadlock(found), "b -> a -> b"),
        other => panic!("{other:?}"),
    }
    assert_eq!((a.ask(|_| 3).wait().unwrap(), b.ask(|_| 4).wait().unwrap()), (3, 4), "both go on");
}

// Io's coroutines: yield, pause, resume.
fn coroutines_yield_pause_and_are_resumed(on: &Systems) {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (mut suspension, resumer) = future::suspension();
    let noted = Arc::clone(&log);
    let paused = Gate::new();
    let reached = paused.clone();
    let coroutine = on.here().spawn_fn(move || {
        noted.lock().unwrap().push("begins");
        future::yield_now().wait();
        noted.lock().unwrap().push("pauses");
        reached.open();
        suspension.suspend().wait().unwrap();
        noted.lock().unwrap().push("goes on");
    });
    paused.opened().wait();
    thread::sleep(Duration::from_millis(2));
    assert_eq!(*log.lock().unwrap(), ["begins", "pauses"], "it does not go on by itself");
    resumer.resume();
    coroutine.wait().unwrap();
    assert_eq!(*log.lock().unwrap(), ["begins", "pauses", "goes on"]);
}

fn waiting_for_oneself_is_a_deadlock(on: &Systems) {
    let number = active(on, "narcissus", 1);
    let own = number.clone();
    let blocking = number.ask(move |_| own.ask(|n| *n).wait()).wait().unwrap();
    assert_eq!(deadlock(blocking), "narcissus -> narcissus");
    let own = number.clone();
    let awaiting = number.ask_async(async move |_| own.ask(|n| *n).await).wait().unwrap();
    assert_eq!(deadlock(awaiting), "narcissus -> narcissus");
    assert_eq!(number.ask(|n| *n).wait().unwrap(), 1);
}

fn a_cycle_of_three_is_a_deadlock(on: &Systems) {
    let [a, b, c] = ["a", "b", "c"].map(|name| active(on, name, ()));
    let (to_b, to_c, to_a) = (b.clone(), c.clone(), a.clone());
    let answer =
        a.ask(move |()| to_b.ask(move |()| to_c.ask(move |()| to_a.ask(|()| ()).wait()).wait()).wait());
    // The last to wait closes the circle, and is told: on threads that may be any of them.
    let (told, circle) = match answer.wait().unwrap() {
        Ok(Ok(innermost)) => (deadlock(innermost), "c -> a -> b -> c"),
        Ok(of_b) => (deadlock(of_b), "b -> c -> a -> b"),
        of_a => (deadlock(of_a), "a -> b -> c -> a"),
    };
    assert_eq!(told, circle);
}

fn an_asynchronous_closure_awaits_with_the_value_in_its_hands(on: &Systems) {
    let list = active(on, "list", vec![1]);
    let gate = Gate::new();
    let opened = gate.opened();
    let first = list.ask_async(async move |list| {
        list.push(2);
        opened.await;
        list.push(3);
        list.len()
    });
    let second = list.ask(|list| list.clone());
    eventually("it waits", || gate.waiting() > 0);
    assert!(!first.is_ready() && !second.is_ready());
    gate.open();
    assert_eq!(first.wait().unwrap(), 3);
    assert_eq!(second.wait().unwrap(), [1, 2, 3]);
}

fn an_actor_may_end_with_a_panic(on: &Systems) {
    let dropped = Signal::new();
    let value = (dropped.on_drop(), 1);
    let number = Active::builder().on(on.here().backend()).end_on_panic(true).build(value);
    let gate = Gate::new();
    busy(&number, &gate);
    let panicking: Answer<()> = number.ask(|_| panic!("expected: the end"));
    let later = number.ask(|value| value.1);
    gate.open();
    assert!(matches!(panicking.wait(), Err(failure) if failure.is_panic()));
    let panicked = ExitReason::Panicked("expected: the end".into());
    match later.wait() {
        Err(Failure::NoProcess(reason)) => assert_eq!(reason, panicked),
        other => panic!("{other:?}"),
    }
    eventually("the value is gone", || dropped.count() == 1);
    assert!(matches!(number.try_send(|_| ()), Err(Failure::NoProcess(_))));
    match number.ask(|value| value.1).wait() {
        Err(Failure::NoProcess(reason)) => assert_eq!(reason, panicked),
        other => panic!("{other:?}"),
    }
}

fn a_full_mailbox_refuses_calls(on: &Systems) {
    let number = Active::builder().on(on.here().backend()).capacity(2).build(0);
    let gate = Gate::new();
    busy(&number, &gate);
    let calls: Vec<_> = (0..2).map(|_| number.ask(|n| *n += 1)).collect();
    assert!(matches!(number.ask(|n| *n += 1).wait(), Err(Failure::Overloaded)));
    assert!(matches!(number.try_send(|n| *n += 1), Err(Failure::Overloaded)));
    gate.open();
    for call in calls {
        call.wait().unwrap();
    }
    assert_eq!(number.ask(|n| *n).wait().unwrap(), 2);
    let full = Gate::new();
    busy(&number, &full);
    let sent: Vec<_> = (0..3).map(|_| number.try_send(|_| ()).is_ok()).collect();
    assert_eq!(sent, [true, true, false]);
    // The word of the last handle needs no room.
    drop(number);
    full.open();
    eventually("it has ended", || on.here().tasks() == 0);
}

fn whoever_waits_for_an_actor_that_is_killed_is_told(on: &Systems) {
    for blocking in [false, true] {
        let (number, gate) = (active(on, "number", 0), Gate::new());
        let opened = gate.opened();
        let running = match blocking {
            true => number.ask(move |_| opened.wait()),
            false => number.ask_async(async move |_| opened.await),
        };
        let queued = number.ask(|_| ());
        eventually("it is busy", || gate.waiting() > 0);
        number.pid().unwrap().exit(ExitReason::Kill);
        for promise in [running, queued] {
            match promise.wait() {
                Err(Failure::NoProcess(reason)) => assert_eq!(reason, ExitReason::Killed),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn an_exit_signal_takes_its_turn(on: &Systems) {
    let (number, gate) = (active(on, "number", 0), Gate::new());
    busy(&number, &gate);
    let before = number.ask(|_| 1);
    let pid = number.pid().unwrap();
    pid.exit(ExitReason::Normal);
    let between = number.ask(|_| 2);
    pid.exit(ExitReason::Shutdown);
    let after = number.ask(|_| 3);
    gate.open();
    assert_eq!(before.wait().unwrap(), 1);
    assert_eq!(between.wait().unwrap(), 2, "a normal exit ends nobody");
    match after.wait() {
        Err(Failure::NoProcess(reason)) => assert_eq!(reason, ExitReason::Shutdown),
        other => panic!("{other:?}"),
    }
}

fn an_active_value_can_be_monitored(on: &Systems) {
    let number = active(on, "number", 0);
    let (pid, (tell, told)) = (number.pid().unwrap(), channel::bounded(1));
    let (watching, watched) = channel::bounded(1);
    let watcher = async move |mut me: Process<()>| {
        me.monitor(&pid);
        watching.try_send(()).unwrap();
        match me.receive().await {
            Event::Down(down) => tell.try_send((down.from == pid, down.reason)).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    Builder::new().on(on.there().backend()).spawn(watcher).unwrap();
    watched.recv().wait().unwrap();
    drop(number);
    assert_eq!(told.recv().wait(), Ok((true, ExitReason::Normal)));
}

fn what_cannot_be_started_says_so(on: &Systems) {
    let dropped = Signal::new();
    let value = active(on, "late", dropped.on_drop());
    let also = value.clone();
    on.here().shutdown(Duration::from_secs(5)).unwrap();
    assert!(matches!(value.ask(|_| ()).wait(), Err(Failure::NotStarted(_))));
    assert_eq!(dropped.count(), 1, "nobody can ask it anything any more");
    assert!(matches!(also.try_send(|_| ()), Err(Failure::NotStarted(_))));
    assert!(matches!(also.pid(), Err(Failure::NotStarted(_))));
    // Outside of any task, without a backend, there is nowhere to run.
    let nowhere = Active::new(0);
    assert!(matches!(nowhere.ask(|n| *n).wait(), Err(Failure::NotStarted(_))));
}

fn a_value_that_nobody_asked_anything_of_is_dropped_with_its_handle(on: &Systems) {
    let dropped = Signal::new();
    let value = active(on, "idle", dropped.on_drop());
    let also = value.clone();
    drop(value);
    assert_eq!(dropped.count(), 0);
    drop(also);
    assert_eq!(dropped.count(), 1);
}

fn the_value_is_dropped_after_the_last_handle_and_the_last_closure(on: &Systems) {
    let (dropped, gate, run) = (Signal::new(), Gate::new(), Signal::new());
    let value = active(on, "value", dropped.on_drop());
    busy(&value, &gate);
    let also = value.clone();
    let counted = run.clone();
    on.there().spawn(async move { also.try_send(move |_| _ = counted.add()) }).wait().unwrap().unwrap();
    let counted = run.clone();
    let promise = value.ask(move |_| counted.add());
    drop(value);
    assert_eq!((run.count(), dropped.count()), (0, 0));
    gate.open();
    assert_eq!(promise.wait().unwrap(), 2, "what was asked for before the last handle went is done");
    eventually("the value is gone", || dropped.count() == 1);
    eventually("so is its task", || on.here().tasks() == 0);
}

fn a_value_may_hold_a_handle_to_itself_for_a_while(on: &Systems) {
    let steps = active(on, "steps", 0);
    fn step(own: Active<u32>, done: channel::Sender<u32>) {
        let next = own.clone();
        let sent = own.try_send(move |n| {
            *n += 1;
            match *n {
                100 => done.try_send(*n).unwrap(),
                _ => step(next, done),
            }
        });
        sent.unwrap();
    }
    let (done, end) = channel::bounded(1);
    step(steps, done);
    assert_eq!(end.recv().wait(), Ok(100));
    eventually("the last closure had the last handle", || on.here().tasks() == 0);
}

fn a_value_need_not_be_shareable(on: &Systems) {
    let cell = active(on, "cell", Cell::new(1));
    cell.try_send(|cell| cell.set(2)).unwrap();
    let doubled = cell.ask_async(async |cell| {
        time::sleep(Duration::from_millis(1)).await;
        cell.set(cell.get() * 2);
        cell.get()
    });
    assert_eq!(doubled.wait().unwrap(), 4);
}

fn many_senders_are_all_served(on: &Systems) {
    let sum = active(on, "sum", 0);
    let most = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..8)
        .map(|n| {
            let (sum, running) = (sum.clone(), Arc::clone(&most));
            let send = move || {
                for _ in 0..100 {
                    let running = Arc::clone(&running);
                    let sent = sum.try_send(move |sum| {
                        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                        *sum += 1;
                        running.fetch_sub(1, Ordering::SeqCst);
                    });
                    sent.unwrap();
                }
                sum.ask(|sum| *sum).wait().unwrap()
            };
            match n % 2 {
                0 => on.here().spawn_fn(send),
                _ => on.here().spawn(async move { send() }),
            }
        })
        .collect();
    for sender in senders {
        assert!(sender.wait().unwrap() >= 100);
    }
    assert_eq!(sum.ask(|sum| *sum).wait().unwrap(), 800);
}
