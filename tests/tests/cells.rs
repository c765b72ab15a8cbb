//! Values that are made once by code that waits: by one at a time, by the next one if that fails, and never
//! by itself.

use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::future::yield_now;
use twoply_core::sync::{LazyCell, OnceCell};
use twoply_core::task::{self, Builder, Task};
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        one_initialiser_runs_and_all_get_its_value,
        a_circle_of_cells_is_told_to_one_and_the_other_goes_on,
    }
    everywhere {
        when_a_try_is_cancelled_the_next_one_makes_the_value,
        when_a_try_fails_or_panics_the_next_one_makes_the_value,
        an_initialiser_that_waits_for_its_own_cell_is_told,
        an_initialiser_may_go_on_in_another_task,
        futures_of_one_task_may_make_a_value_and_wait_for_it,
        a_value_that_is_being_made_is_not_set,
        a_lazy_cell_makes_its_value_when_it_is_asked,
    }
}

fn one_initialiser_runs_and_all_get_its_value(on: &Systems) {
    let (cell, gate, made) = (Arc::new(OnceCell::new()), Gate::new(), Signal::new());
    let tasks: Vec<Task<usize>> = (0..12)
        .map(|n| {
            let (cell, opened, made) = (Arc::clone(&cell), gate.opened(), made.clone());
            let make = async move {
                let init = async || {
                    made.add();
                    opened.await;
                    yield_now().await;
                    n
                };
                *cell.get_or_init(init).await
            };
            if n % 2 == 0 { on.here().spawn(make) } else { on.there().spawn_fn(move || make.wait()) }
        })
        .collect();
    eventually("one has begun", || gate.waiting() > 0);
    assert_eq!((cell.get(), cell.set(100)), (None, Err(100)));
    gate.open();
    let values: Vec<usize> = tasks.into_iter().map(|task| task.wait().unwrap()).collect();
    assert_eq!((made.count(), Some(&values[0])), (1, cell.get()));
    assert!(values.iter().all(|value| *value == values[0]));
}

fn when_a_try_is_cancelled_the_next_one_makes_the_value(on: &Systems) {
    for straight_line in [false, true] {
        let (cell, begun, dropped) = (Arc::new(OnceCell::new()), Gate::new(), Signal::new());
        let (first, begins, guard) = (Arc::clone(&cell), begun.clone(), dropped.on_drop());
        let never = async move {
            let init = async || {
                let _guard = guard;
                begins.open();
                pending().await
            };
            *first.get_or_init(init).await
        };
        let first = match straight_line {
            false => on.here().spawn(never),
            true => on.here().spawn_fn(move || never.wait()),
        };
        begun.opened().wait();
        let waits: Vec<Task<u32>> = (0..3)
            .map(|n| {
                let cell = Arc::clone(&cell);
                on.here().spawn(async move { *cell.get_or_init(|| ready(n)).await })
            })
            .collect();
        first.cancel();
        assert!(first.wait().unwrap_err().is_cancelled());
        let values: Vec<u32> = waits.into_iter().map(|task| task.wait().unwrap()).collect();
        assert!(values.iter().all(|value| Some(value) == cell.get()));
        assert_eq!(dropped.count(), 1);
    }
}

fn when_a_try_fails_or_panics_the_next_one_makes_the_value(on: &Systems) {
    let cell = Arc::new(OnceCell::new());
    let (first, second, third) = (Arc::clone(&cell), Arc::clone(&cell), Arc::clone(&cell));
    let fails = on.here().spawn(async move { first.get_or_try_init(|| ready(Err("no"))).await.copied() });
    assert_eq!(fails.wait().unwrap(), Err("no"));
    let panics = on.here().spawn(async move {
        let init = async || std::panic::resume_unwind(Box::new("expected"));
        *second.get_or_init(init).await
    });
    assert!(panics.wait().unwrap_err().is_panic());
    assert_eq!(cell.get(), None);
    let makes = on.here().spawn(async move { *third.get_or_init(|| ready(3)).await });
    assert_eq!(makes.wait().unwrap(), 3);
    assert_eq!(cell.get_or_try_init(|| ready(Err::<u32, _>("late"))).wait(), Ok(&3));
}

fn an_initialiser_that_waits_for_its_own_cell_is_told(on: &Systems) {
    for straight_line in [false, true] {
        let cell = Arc::new(OnceCell::new());
        let own = Arc::clone(&cell);
        let make = async move {
            let again = async || {
                let value = *own.get_or_init(|| ready(1)).await;
                value + 1
            };
            *own.get_or_init(again).await
        };
        let named = Builder::new().name("ouroboros");
        let task = match straight_line {
            false => named.spawn_on(on.here().backend(), make).unwrap(),
            true => named.spawn_fn_on(on.here().backend(), move || make.wait()).unwrap(),
        };
        let told = task.wait().unwrap_err();
        assert!(told.is_panic() && told.to_string().contains("ouroboros -> ouroboros"), "{told}");
        assert_eq!(cell.get_or_init(|| ready(7)).wait(), &7, "the cell is as it was");
    }
}

fn a_circle_of_cells_is_told_to_one_and_the_other_goes_on(on: &Systems) {
    let cells: Arc<[OnceCell<u32>; 2]> = Arc::default();
    let begun = [Gate::new(), Gate::new()];
    let make = |own: usize| {
        let (cells, begins, has_begun) = (Arc::clone(&cells), begun[own].clone(), begun[1 - own].opened());
        async move {
            let init = async || {
                begins.open();
                has_begun.wait();
                cells[1 - own].get_or_init(|| ready(10)).wait() + 1
            };
            *cells[own].get_or_init(init).await
        }
    };
    let tasks = [on.here().spawn(make(0)), on.there().spawn(make(1))];
    let ends = tasks.map(Wait::wait);
    // Who was told made room for the other, which found that cell empty.
    let mut values: Vec<Option<u32>> = ends.into_iter().map(Result::ok).collect();
    values.sort_unstable();
    assert_eq!(values, [None, Some(11)]);
}

fn an_initialiser_may_go_on_in_another_task(on: &Systems) {
    let (cell, gate) = (Arc::new(OnceCell::new()), Gate::new());
    let (own, opened) = (Arc::clone(&cell), gate.opened());
    let begins = on.here().spawn(async move {
        let moved = Arc::clone(&own);
        let init = async move || {
            opened.await;
            7
        };
        let mut make = Box::pin(async move { *moved.get_or_init(init).await });
        let mut waits = pin!(own.get_or_init(|| ready(8)));
        poll_fn(|cx| {
            assert!(make.as_mut().poll(cx).is_pending());
            // That is no wait of the initialiser's.
            assert!(waits.as_mut().poll(cx).is_pending());
            assert!(make.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        // Another task goes on with it, and this one may wait for that.
        let made = task::spawn(make);
        let value = poll_fn(|cx| {
            let polled = waits.as_mut().poll(cx);
            gate.open();
            polled
        });
        (*value.await, made.await.unwrap())
    });
    assert_eq!(begins.wait().unwrap(), (7, 7));
}

/// One future of a task makes the value, and another one of it waits for that. Meanwhile nobody polls them.
fn futures_of_one_task_may_make_a_value_and_wait_for_it(on: &Systems) {
    for straight_line in [false, true] {
        let (cell, gate) = (OnceCell::new(), Gate::new());
        let opened = gate.opened();
        let both = async move {
            let mut make = pin!(cell.get_or_init(async || {
                yield_now().await;
                yield_now().await;
                opened.await;
                7
            }));
            let mut wait = pin!(cell.get_or_init(async || unreachable!("the other one makes it")));
            let mut made = None;
            poll_fn(|cx| {
                if made.is_none()
                    && let Poll::Ready(value) = make.as_mut().poll(cx)
                {
                    made = Some(*value);
                }
                wait.as_mut().poll(cx).map(|value| (made, *value))
            })
            .await
        };
        let task =
            if straight_line { on.here().spawn_fn(move || both.wait()) } else { on.here().spawn(both) };
        eventually("both wait", || gate.waiting() > 0);
        thread::sleep(Duration::from_millis(2));
        // Each poll leaves a waker at the gate.
        assert!(gate.waiting() < 4, "it is polled again and again");
        gate.open();
        assert_eq!(task.wait().unwrap(), (Some(7), 7));
    }
}

fn a_value_that_is_being_made_is_not_set(on: &Systems) {
    let check = async {
        let mut cell = OnceCell::new();
        let mut make = Box::pin(cell.get_or_init(pending::<u32>));
        assert!(poll_fn(|cx| Poll::Ready(make.as_mut().poll(cx).is_pending())).await);
        assert_eq!(cell.set(1), Err(1));
        drop(make);
        assert_eq!(cell.set(2), Ok(()));
        assert_eq!((cell.set(3), cell.take(), cell.get()), (Err(3), Some(2), None));
    };
    on.here().spawn(check).wait().unwrap();
}

fn a_lazy_cell_makes_its_value_when_it_is_asked(on: &Systems) {
    static LAZY: LazyCell<u32> = LazyCell::new(|| {
        Box::pin(async {
            yield_now().await;
            7
        })
    });
    let tasks = [on.here().spawn(async { *LAZY.get().await }), on.here().spawn_fn(|| *LAZY.get().wait())];
    assert!(tasks.into_iter().all(|task| task.wait().unwrap() == 7));
    assert_eq!(LAZY.try_get(), Some(&7));
    let made = Signal::new();
    let count = made.clone();
    let lazy = Arc::new(LazyCell::new(move || ready(count.add())));
    assert_eq!((made.count(), lazy.try_get()), (0, None));
    let other = Arc::clone(&lazy);
    assert_eq!(on.here().spawn(async move { *other.get().await }).wait().unwrap(), 1);
    assert_eq!((*lazy.get().wait(), made.count()), (1, 1));
}
