//! What a program puts around the polls of a task is the task's own, from its start to its end.
#![cfg(all(feature = "native", feature = "green"))]

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use twoply::actor::{self, Process};
use twoply::net::UnixStream;
use twoply::runtime::{AroundPolls, Hooks, TaskMeta};
use twoply::task::WaitingFor;
use twoply::time::sleep;
use twoply::{Runtime, Wait, channel, future, offload, sync, task};
use twoply_tests::{Signal, Systems, facade, laws};

laws! {
    everywhere {
        a_task_runs_inside_of_its_own,
        what_is_entered_is_left,
        several_lie_inside_of_one_another,
        it_ends_with_its_task,
        a_task_without_is_left_alone,
        it_is_made_while_it_is_wanted,
        what_panics_disturbs_nobody,
        it_must_not_wait_but_its_start_may,
        what_a_hook_starts_has_none,
        a_refused_task_drops_it,
        a_process_is_told_by_its_number,
        it_hears_what_its_task_waits_for,
    }
    green {
        a_waker_in_between_is_asked_for,
    }
}

const SOON: Duration = Duration::from_secs(10);

thread_local! {
    /// The number of the task that has entered the thread.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

fn runtime(on: &Systems, hooks: Hooks) -> Runtime {
    facade!(on.kind()).hooks(hooks).build().unwrap()
}

/// The number of a task, which is current while the task runs.
struct Number {
    task: u64,
    before: Mutex<Vec<u64>>,
    dropped: Option<Signal>,
}

impl Number {
    fn of(task: &TaskMeta<'_>) -> Option<Box<dyn AroundPolls>> {
        Some(Box::new(Number { task: task.id.as_u64(), before: Mutex::default(), dropped: None }))
    }
}

impl AroundPolls for Number {
    fn enter(&self) {
        self.before.lock().unwrap().push(CURRENT.replace(self.task));
    }

    fn leave(&self) {
        let before = self.before.lock().unwrap().pop();
        assert_eq!(CURRENT.replace(before.expect("it has been entered")), self.task);
    }

    fn enter_offload(&self) {
        self.enter();
    }

    fn leave_offload(&self) {
        self.leave();
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        assert!(self.before.lock().unwrap().is_empty(), "it has been left");
        if let Some(dropped) = &self.dropped {
            dropped.add();
        }
    }
}

/// Has a fiber take the number along.
fn swapping() -> Hooks {
    Hooks::new().on_fiber_switch(|| CURRENT.replace(0), |number| CURRENT.set(number))
}

fn numbered() -> Hooks {
    swapping().around_polls(Number::of)
}

fn assert_inside() {
    assert_eq!(CURRENT.get(), task::current().expect("a task runs").id().as_u64());
}

fn a_task_runs_inside_of_its_own(on: &Systems) {
    let runtime = runtime(on, numbered());
    let tasks = (0..40_u64).map(|n| {
        let named = task::Builder::new();
        let named = if n % 2 == 0 { named.name("named") } else { named };
        let task = named.spawn_on(runtime.spawner().backend(), async move {
            assert_inside();
            sleep(Duration::from_micros(n * 5)).await;
            assert_inside();
            future::yield_now().await;
            sleep(Duration::from_micros(20)).wait();
            assert_inside();
            assert_eq!(offload(|| CURRENT.get()).unwrap(), CURRENT.get());
            assert_inside();
            task::spawn_fn(assert_inside).wait().unwrap();
            assert_inside();
        });
        task.unwrap()
    });
    tasks.collect::<Vec<_>>().into_iter().for_each(|task| task.wait().unwrap());
    assert_eq!(CURRENT.get(), 0);
    runtime.shutdown(SOON).unwrap();
}

fn what_is_entered_is_left(on: &Systems) {
    let calls = Arc::new(Mutex::new((0, 0)));
    struct Count(Arc<Mutex<(u32, u32)>>);
    impl AroundPolls for Count {
        fn enter(&self) {
            self.0.lock().unwrap().0 += 1;
        }
        fn leave(&self) {
            let mut calls = self.0.lock().unwrap();
            calls.1 += 1;
            assert_eq!(calls.0, calls.1);
        }
    }
    let counted = Arc::clone(&calls);
    let hooks = Hooks::new().around_polls(move |_| Some(Box::new(Count(Arc::clone(&counted)))));
    let runtime = runtime(on, hooks);
    let failing = runtime.spawn(async {
        future::yield_now().await;
        panic!("expected: a task");
    });
    assert!(failing.wait().is_err_and(|failure: twoply::Failure| !failure.is_cancelled()));
    let waiting = runtime.spawn(pending::<()>());
    waiting.cancel();
    assert!(waiting.wait().unwrap_err().is_cancelled());
    let blocked = runtime.spawn_fn(|| pending::<()>().wait());
    blocked.cancel();
    assert!(blocked.wait().unwrap_err().is_cancelled());
    runtime.shutdown(SOON).unwrap();
    let (entered, left) = *calls.lock().unwrap();
    assert_eq!(entered, left);
    assert!(entered > 0);
}

fn several_lie_inside_of_one_another(on: &Systems) {
    struct Step(Arc<Mutex<Vec<&'static str>>>, &'static str, &'static str);
    impl AroundPolls for Step {
        fn enter(&self) {
            self.0.lock().unwrap().push(self.1);
        }
        fn leave(&self) {
            self.0.lock().unwrap().push(self.2);
        }
    }
    let steps = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (Arc::clone(&steps), Arc::clone(&steps));
    let hooks = Hooks::new()
        .around_polls(move |_| Some(Box::new(Step(Arc::clone(&first), "first", "over"))))
        .around_polls(move |_| Some(Box::new(Step(Arc::clone(&second), "second", "nearly"))));
    let runtime = runtime(on, hooks);
    let inside = Arc::clone(&steps);
    runtime.spawn_fn(move || inside.lock().unwrap().push("inside")).wait().unwrap();
    runtime.shutdown(SOON).unwrap();
    assert_eq!(*steps.lock().unwrap(), ["first", "second", "inside", "nearly", "over"]);
}

fn it_ends_with_its_task(on: &Systems) {
    let dropped = Signal::new();
    let drops = dropped.clone();
    let hooks = Hooks::new().around_polls(move |task| {
        let task = task.id.as_u64();
        Some(Box::new(Number { task, before: Mutex::default(), dropped: Some(drops.clone()) }))
    });
    let runtime = runtime(on, hooks);
    for n in 1..=30 {
        let task = runtime.spawn(async {});
        let reference = task.task();
        task.wait().unwrap();
        assert_eq!(dropped.count(), n, "before its result is there");
        drop(reference);
    }
}

fn a_task_without_is_left_alone(on: &Systems) {
    let hooks = Hooks::new().around_polls(|task| match task.name {
        Some(_) => Number::of(task),
        None => None,
    });
    let runtime = runtime(on, hooks);
    let named = task::Builder::new().name("named");
    let inside = named.spawn_fn_on(runtime.spawner().backend(), || CURRENT.get());
    let inside = inside.unwrap();
    let id = inside.id().as_u64();
    assert_eq!(inside.wait().unwrap(), id);
    assert_eq!(runtime.spawn_fn(|| CURRENT.get()).wait().unwrap(), 0);
}

fn it_is_made_while_it_is_wanted(on: &Systems) {
    thread_local!(static WANTED: Cell<Option<bool>> = const { Cell::new(None) });
    let wanted = || WANTED.get().expect("expected: is it wanted?");
    let hooks =
        swapping().around_polls_if(|| panic!("expected: never"), |_| unreachable!("it is not wanted"));
    let runtime = runtime(on, hooks.around_polls_if(wanted, Number::of));
    // It is asked where a task is started; one that panics wants nothing.
    for (is_wanted, has) in [(Some(false), false), (Some(true), true), (None, false), (Some(true), true)] {
        WANTED.set(is_wanted);
        let task = runtime.spawn(async {
            let before = CURRENT.get();
            future::yield_now().await;
            assert_eq!(CURRENT.get(), before);
            before
        });
        let id = task.id().as_u64();
        assert_eq!(task.wait().unwrap(), if has { id } else { 0 }, "{is_wanted:?}");
    }
    runtime.shutdown(SOON).unwrap();
}

fn what_panics_disturbs_nobody(on: &Systems) {
    struct Panics;
    impl AroundPolls for Panics {
        fn enter(&self) {
            panic!("expected: enter");
        }
        fn leave(&self) {
            panic!("expected: leave");
        }
        fn enter_offload(&self) {
            panic!("expected: enter");
        }
        fn leave_offload(&self) {
            panic!("expected: leave");
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("expected: drop");
        }
    }
    let hooks =
        Hooks::new().around_polls(|_| Some(Box::new(Panics))).around_polls(|_| panic!("expected: begin"));
    let runtime = runtime(on, hooks);
    for _ in 0..3 {
        let task = runtime.spawn(async {
            future::yield_now().await;
            sleep(Duration::from_micros(10)).wait();
            offload(|| 7).unwrap()
        });
        assert_eq!(task.wait().unwrap(), 7);
    }
    runtime.shutdown(SOON).unwrap();
}

fn it_must_not_wait_but_its_start_may(on: &Systems) {
    struct Waits(Signal);
    impl AroundPolls for Waits {
        fn enter(&self) {
            sleep(SOON).wait();
            self.0.add();
        }
        fn leave(&self) {}
    }
    let came_back = Signal::new();
    let back = came_back.clone();
    let hooks = Hooks::new().around_polls(move |_| {
        sleep(Duration::from_micros(10)).wait();
        Some(Box::new(Waits(back.clone())))
    });
    let runtime = runtime(on, hooks);
    assert_eq!(runtime.spawn_fn(|| 1).wait().unwrap(), 1);
    assert_eq!(came_back.count(), 0, "the wait has panicked");
}

fn what_a_hook_starts_has_none(on: &Systems) {
    let begun = Signal::new();
    let begin = begun.clone();
    let hooks = swapping().around_polls(move |task| {
        begin.add();
        let inner = twoply::spawn_fn(|| CURRENT.get());
        assert_eq!(inner.wait().unwrap(), 0);
        Number::of(task)
    });
    let runtime = runtime(on, hooks);
    // On the runtime itself, where a task of it starts the next one.
    runtime.spawn_fn(|| task::spawn_fn(assert_inside).wait().unwrap()).wait().unwrap();
    assert_eq!(begun.count(), 2);
}

fn a_refused_task_drops_it(on: &Systems) {
    let begun = Signal::new();
    let begin = begun.clone();
    let hooks = Hooks::new().around_polls(move |task| {
        begin.add();
        Number::of(task)
    });
    let runtime = runtime(on, hooks);
    runtime.shutdown(SOON).unwrap();
    assert!(runtime.spawn(async {}).wait().is_err());
    assert_eq!(begun.count(), 0, "what has not been started is not told of");
}

fn a_process_is_told_by_its_number(on: &Systems) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let hooks = Hooks::new().around_polls(move |task| {
        tell.lock().unwrap().push((task.name.map(str::to_owned), task.process));
        assert!(task.spawned_at.is_some());
        None
    });
    let runtime = runtime(on, hooks);
    let builder = actor::Builder::new().name("clerk").on(runtime.spawner().backend());
    let clerk = builder.spawn(async |_: Process<u32>| ()).unwrap();
    clerk.ended().wait();
    runtime.spawn(async {}).wait().unwrap();
    let told = told.lock().unwrap();
    assert_eq!(*told, [(Some("clerk".to_owned()), Some(clerk.pid().serial())), (None, None)]);
}

/// A waker that counts wakes, and hands on.
struct Counting(Waker, Signal);

impl Wake for Counting {
    fn wake(self: Arc<Counting>) {
        self.1.add();
        self.0.wake_by_ref();
    }
}

fn a_waker_in_between_is_asked_for(on: &Systems) {
    struct Between(Signal);
    impl AroundPolls for Between {
        fn enter(&self) {}
        fn leave(&self) {}
        fn waker(&self, waker: &Waker) -> Option<Waker> {
            Some(Arc::new(Counting(waker.clone(), self.0.clone())).into())
        }
    }
    let wakes = Signal::new();
    let counted = wakes.clone();
    let runtime = runtime(on, Hooks::new().around_polls(move |_| Some(Box::new(Between(counted.clone())))));
    let task = runtime.spawn(async {
        for _ in 0..5 {
            let mut polled = false;
            poll_fn(|cx| match std::mem::replace(&mut polled, true) {
                true => Poll::Ready(()),
                false => {
                    let waker = cx.waker().clone();
                    thread::spawn(move || waker.wake());
                    Poll::Pending
                }
            })
            .await;
        }
        sleep(Duration::from_micros(20)).await;
        sleep(Duration::from_micros(20)).wait();
    });
    task.wait().unwrap();
    assert!(wakes.count() >= 5, "{wakes:?}");
    let waiting = runtime.spawn(pending::<()>());
    waiting.cancel();
    assert!(waiting.wait().unwrap_err().is_cancelled());
    runtime.shutdown(SOON).unwrap();
}

/// Tells what its task waits for.
struct Waits(mpsc::Sender<String>);

impl AroundPolls for Waits {
    fn enter(&self) {}

    fn leave(&self) {}

    fn waits(&self, waits: &[WaitingFor]) {
        let names = waits.iter().map(|wait| match wait {
            WaitingFor::Message { .. } => "a message",
            WaitingFor::Lock { .. } => "a lock",
            WaitingFor::Read { .. } => "bytes",
            other => panic!("nobody waits for {other}"),
        });
        self.0.send(names.collect()).unwrap();
    }
}

fn it_hears_what_its_task_waits_for(on: &Systems) {
    let (tell, told) = mpsc::channel();
    let hooks = Hooks::new().around_polls(move |_| Some(Box::new(Waits(tell.clone()))));
    let runtime = runtime(on, hooks);
    let _observation = task::observe();
    let mut last = "";
    let mut hears = |what| {
        // A task may look again before there is something.
        while let heard = told.recv_timeout(SOON).unwrap()
            && heard != what
        {
            assert_eq!(heard, last);
        }
        last = what;
    };
    for is_stack in [false, true] {
        let (tx, rx) = channel::bounded::<()>(1);
        let lock = Arc::new(sync::Mutex::new(()));
        let (ours, theirs) = UnixStream::pair().unwrap();
        let held = lock.lock().wait();
        let wanted = Arc::clone(&lock);
        let task = match is_stack {
            true => runtime.spawn_fn(move || {
                rx.recv().wait().unwrap();
                drop(wanted.lock().wait());
                theirs.read(&mut [0]).wait().unwrap();
            }),
            false => runtime.spawn(async move {
                rx.recv().await.unwrap();
                drop(wanted.lock().await);
                theirs.read(&mut [0]).await.unwrap();
            }),
        };
        // A blocked stack goes on in between, and the body of a native task is one wait.
        let between = is_stack.then_some("");
        let end = (is_stack || !on.kind().is_green()).then_some("");
        hears("a message");
        tx.send(()).wait().unwrap();
        between.into_iter().for_each(&mut hears);
        hears("a lock");
        drop(held);
        between.into_iter().for_each(&mut hears);
        hears("bytes");
        ours.write_all(b"x").wait().unwrap();
        end.into_iter().for_each(&mut hears);
        task.wait().unwrap();
    }
    runtime.shutdown(SOON).unwrap();
}
