//! Promises: who is told what, on each system and across two.

use std::cell::Cell;
use std::future::{IntoFuture, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::future::{any, any_all, join_all};
use twoply_core::promise::{self, Failure, Promise, Resolver, Transparent};
use twoply_core::time::sleep;
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        all_who_wait_get_the_value,
        a_dropped_resolver_breaks_the_promise_for_all,
        a_resolver_that_a_panic_drops_breaks_the_promise,
        one_of_many_resolvers_wins_and_the_others_are_told,
        a_transparent_value_waits_when_it_is_touched,
        a_task_may_be_promised_to_many,
        a_derived_promise_is_computed_once,
        a_derived_promise_goes_on_when_the_one_who_polled_it_is_gone,
        the_first_success_counts,
    }
    everywhere {
        a_failure_of_a_task_reaches_all_who_wait,
        a_panic_in_a_derived_promise_is_its_outcome,
        a_derived_promise_passes_failures_on,
        a_time_limit_ends_a_wait_and_not_the_promise,
        a_promise_of_a_task_is_the_task,
        an_answer_gives_its_value_away,
        promises_that_are_always_ready_let_others_run,
        many_waits_race_one_resolver,
    }
}

fn all_who_wait_get_the_value(on: &Systems) {
    let (promise, resolver) = promise::pair::<String>();
    let mut waiting = Vec::new();
    for system in [on.here(), on.there()] {
        for _ in 0..3 {
            let (a, b) = (promise.clone(), promise.clone());
            waiting.push(system.spawn(async move { a.await.unwrap() }));
            waiting.push(system.spawn_fn(move || (&b).wait().unwrap().clone()));
        }
    }
    let resolving = on.there().spawn_fn(move || {
        sleep(Duration::from_millis(1)).wait();
        resolver.resolve("tea".to_owned()).unwrap();
    });
    for task in join_all(waiting).wait() {
        assert_eq!(task.unwrap(), "tea");
    }
    resolving.wait().unwrap();
    assert_eq!(promise.into_inner().unwrap().unwrap(), "tea");
}

fn a_dropped_resolver_breaks_the_promise_for_all(on: &Systems) {
    let (promise, resolver) = promise::pair::<()>();
    let other = resolver.clone();
    let waiting: Vec<_> = [on.here(), on.there()]
        .map(|system| {
            let (a, b) = (promise.clone(), promise.clone());
            [system.spawn(async move { a.await }), system.spawn_fn(move || b.wait())]
        })
        .into_iter()
        .flatten()
        .collect();
    on.here().spawn(async move { drop(resolver) }).wait().unwrap();
    assert!(!promise.is_ready());
    on.there().spawn(async move { drop(other) }).wait().unwrap();
    for task in waiting {
        assert!(matches!(task.wait().unwrap(), Err(Failure::Broken)));
    }
}

fn a_resolver_that_a_panic_drops_breaks_the_promise(on: &Systems) {
    let (promise, resolver) = promise::pair::<u32>();
    let task = on.there().spawn(async move {
        let resolver = resolver;
        resolver.resolve(std::hint::black_box(None::<u32>).expect("there is no value")).unwrap();
    });
    let waiting = on.here().spawn(promise.into_future());
    assert!(matches!(waiting.wait().unwrap(), Err(Failure::Broken)));
    assert!(task.wait().unwrap_err().is_panic());
}

fn one_of_many_resolvers_wins_and_the_others_are_told(on: &Systems) {
    const RIVALS: usize = 16;
    let (promise, resolver) = promise::pair();
    let rivals = (0..RIVALS).map(|n| {
        let (resolver, system) = (resolver.clone(), if n % 2 == 0 { on.here() } else { on.there() });
        system.spawn(async move { resolver.resolve(n).map_err(|late| late.into_inner()) })
    });
    let results: Vec<_> = join_all(rivals).wait().into_iter().map(Result::unwrap).collect();
    drop(resolver);
    let winner = promise.wait().unwrap();
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(result, if n == winner { Ok(()) } else { Err(n) });
    }
}

fn a_transparent_value_waits_when_it_is_touched(on: &Systems) {
    let (promise, resolver) = promise::pair::<Vec<u32>>();
    let numbers = Transparent::from(promise);
    let same = numbers.clone();
    let sum = on.here().spawn_fn(move || same.iter().sum::<u32>());
    on.there().spawn(async move { resolver.resolve(vec![1, 2, 3]) }).wait().unwrap().unwrap();
    assert_eq!(sum.wait().unwrap(), 6);
    assert_eq!(numbers.len(), 3);

    let (promise, resolver) = promise::pair::<Vec<u32>>();
    drop(resolver);
    let broken = Transparent::from(promise);
    assert!(matches!(Transparent::touch(&broken), Err(Failure::Broken)));
    let touching = on.here().spawn_fn(move || broken.len()).wait().unwrap_err();
    assert_eq!(touching.to_string(), format!("the task panicked: {}", Failure::Broken));
}

fn a_task_may_be_promised_to_many(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.opened();
    let promise = on
        .there()
        .spawn(async move {
            opened.await;
            7
        })
        .into_promise();
    let waiting: Vec<_> = (0..6)
        .map(|n| {
            let (promise, system) = (promise.clone(), if n % 2 == 0 { on.here() } else { on.there() });
            system.spawn(async move { promise.await.unwrap() })
        })
        .collect();
    eventually("the task waits", || gate.waiting() >= 1);
    gate.open();
    for task in waiting {
        assert_eq!(task.wait().unwrap(), 7);
    }
    assert!(promise.is_ready());
}

fn a_derived_promise_is_computed_once(on: &Systems) {
    let (promise, resolver) = promise::pair::<u32>();
    let times = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&times);
    let text = promise
        .map(move |n| {
            counted.fetch_add(1, Ordering::Relaxed);
            n + 1
        })
        .then(|n| async move {
            sleep(Duration::from_millis(1)).await;
            Ok(format!("{n}!"))
        });
    let waiting: Vec<_> = (0..8)
        .map(|n| {
            let (text, system) = (text.clone(), if n % 2 == 0 { on.here() } else { on.there() });
            system.spawn_fn(move || text.wait().unwrap())
        })
        .collect();
    resolver.resolve(6).unwrap();
    for task in waiting {
        assert_eq!(task.wait().unwrap(), "7!");
    }
    assert_eq!(times.load(Ordering::Relaxed), 1);
    assert_eq!(*text.try_get().expect("it has been waited for").unwrap(), "7!");
}

fn a_derived_promise_goes_on_when_the_one_who_polled_it_is_gone(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.opened();
    let slow = Promise::ready(1).then(move |n| async move {
        opened.await;
        Ok(n)
    });
    let (first, second) = (slow.clone(), slow.clone());
    let first = on.here().spawn(async move { first.await });
    eventually("the first has polled it", || gate.waiting() >= 1);
    let second = on.there().spawn(async move { second.await.unwrap() });
    first.cancel();
    assert!(first.wait().unwrap_err().is_cancelled());
    gate.open();
    assert_eq!(second.wait().unwrap(), 1);
}

fn the_first_success_counts(on: &Systems) {
    let (good, resolver) = promise::pair::<u32>();
    let failed = || Promise::<u32>::failed(Failure::Overloaded);
    let waiting = on.here().spawn(any((failed(), good.clone(), pending())));
    let all = on.here().spawn(any_all(vec![failed(), good, failed()]));
    on.there().spawn(async move { resolver.resolve(3) }).wait().unwrap().unwrap();
    assert_eq!(waiting.wait().unwrap().unwrap(), 3);
    assert_eq!(all.wait().unwrap().unwrap(), 3);
    let none = on.here().spawn(any_all(vec![failed(), failed()])).wait().unwrap();
    assert_eq!(none.unwrap_err().len(), 2);
    let none = on.here().spawn(any((failed(), failed()))).wait().unwrap();
    assert!(matches!(none, Err(Failure::Overloaded)));
}

fn a_failure_of_a_task_reaches_all_who_wait(on: &Systems) {
    let panicking = on.here().spawn(async { panic!("no tea") }).into_promise();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let promise: Promise<()> = panicking.clone();
            on.here().spawn(async move { promise.await.unwrap_err() })
        })
        .collect();
    for task in waiting {
        let Failure::Panicked(panic) = task.wait().unwrap() else { panic!("another failure") };
        assert_eq!(panic.message(), Some("no tea"));
    }
    let endless = on.here().spawn(pending::<()>());
    let task = endless.task();
    let (promise, other) = (endless.into_promise(), on.here().spawn_fn(|| ()));
    other.wait().unwrap();
    task.cancel();
    assert!(promise.wait().unwrap_err().is_cancelled());
}

fn a_panic_in_a_derived_promise_is_its_outcome(on: &Systems) {
    let derived = Promise::ready(0).map(|n| 1 / n);
    let other = derived.clone();
    let first = on.here().spawn_fn(move || derived.wait()).wait().unwrap();
    let second = on.here().spawn_fn(move || other.wait()).wait().unwrap();
    assert!(first.is_err_and(|failure| failure.is_panic()));
    assert!(second.is_err_and(|failure| failure.is_panic()));
}

fn a_derived_promise_passes_failures_on(on: &Systems) {
    let (promise, resolver) = promise::pair::<u32>();
    let derived = promise.map(|_| unreachable!("there is no value")).then(|()| Promise::ready(1));
    let waiting = on.here().spawn_fn(move || derived.wait());
    resolver.fail(Failure::Overloaded).unwrap();
    assert!(matches!(waiting.wait().unwrap(), Err(Failure::Overloaded)));
}

fn a_time_limit_ends_a_wait_and_not_the_promise(on: &Systems) {
    let (promise, resolver) = promise::pair();
    let same = promise.clone();
    let limited = on.here().spawn_fn(move || same.timeout(Duration::from_millis(2)).wait());
    assert!(matches!(limited.wait().unwrap(), Err(Failure::TimedOut)));
    resolver.resolve(1).unwrap();
    assert_eq!(
        on.here().spawn_fn(move || promise.timeout(Duration::ZERO).wait()).wait().unwrap().unwrap(),
        1
    );
}

fn a_promise_of_a_task_is_the_task(on: &Systems) {
    let done = Signal::new();
    let signal = done.clone();
    drop(on.here().spawn(async move { signal.add() }).into_promise());
    eventually("dropping the promise detaches the task", || done.count() == 1);
    let endless = on.here().spawn(pending::<()>()).cancel_on_drop().into_promise();
    assert!(endless.try_get().is_none());
    drop(endless);
    eventually("or cancels it, if that was asked for", || on.here().tasks() == 0);
}

fn an_answer_gives_its_value_away(on: &Systems) {
    let (answer, resolver) = promise::answer::<Cell<u32>>();
    let asking = on.here().spawn(async move { answer.await.unwrap().into_inner() });
    resolver.resolve(Cell::new(7)).unwrap();
    assert_eq!(asking.wait().unwrap(), 7);
    let (answer, resolver) = promise::answer();
    let shared = answer.share();
    resolver.resolve(8).unwrap();
    assert_eq!(shared.clone().wait().unwrap() + shared.wait().unwrap(), 16);
    let (answer, resolver) = promise::answer::<()>();
    drop(answer);
    assert!(!resolver.is_wanted());
}

fn promises_that_are_always_ready_let_others_run(on: &Systems) {
    let promise = Promise::ready(());
    let gate = Gate::new();
    let seen = gate.clone();
    let busy = on.here().spawn(async move {
        while !seen.is_open() {
            (&promise).await.unwrap();
        }
    });
    on.here().spawn(async move { gate.open() }).wait().unwrap();
    busy.wait().unwrap();
}

fn many_waits_race_one_resolver(on: &Systems) {
    for round in 0..200 {
        let (promise, resolver): (Promise<u32>, Resolver<u32>) = promise::pair();
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let promise = promise.clone();
                on.here().spawn(async move { promise.await.unwrap() })
            })
            .collect();
        resolver.resolve(round).unwrap();
        for wait in waits {
            assert_eq!(wait.wait().unwrap(), round);
        }
    }
}
