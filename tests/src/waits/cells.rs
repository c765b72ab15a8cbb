//! The waits for values that others make, and for conditions that others bring about.

use std::future::pending;
use std::sync::Arc;

use twoply_core::channel;
use twoply_core::promise;
use twoply_core::sync::{CancellationToken, Condvar, LazyCell, Mutex, OnceCell};

use super::{Waits, any_wait, keep, leak, leak_mut, waits};
use crate::{Gate, Systems, eventually};

/// All of them.
pub(super) fn cells(on: &Systems) -> Vec<Waits> {
    let mut all = conditions();
    let (made, owed) = promise::pair::<u32>();
    let empty = leak(OnceCell::new());
    let making = empty.get_or_init(move || async move { made.await.unwrap_or_default() });
    all.push(waits("OnceCell that it fills", [any_wait(making)], keep(owed)));

    // A task of its own fills these, so that all who wait for them wait for somebody else.
    let gates: [Gate; 2] = Default::default();
    let (once, of_once) = (leak(OnceCell::new()), gates[0].clone());
    on.here().spawn(once.get_or_init(move || async move { of_once.opened().await })).detach();
    let of_lazy = gates[1].clone();
    let lazy = leak(LazyCell::new(move || {
        let gate = of_lazy.clone();
        async move { gate.opened().await }
    }));
    on.here().spawn(lazy.get()).detach();
    let others = || any_wait(once.get_or_init(async || {}));
    let fallible = any_wait(once.get_or_try_init(async || Err::<(), _>(())));
    let [for_once, for_lazy] = gates;
    eventually("the cells are being filled", || for_once.waiting() >= 1 && for_lazy.waiting() >= 1);
    all.push(waits("OnceCell", [others(), others(), fallible], move || for_once.open()));
    all.push(waits("LazyCell", [any_wait(lazy.get()), any_wait(lazy.get())], move || for_lazy.open()));
    all
}

fn conditions() -> Vec<Waits> {
    let (is_set, change) = (leak(Arc::new(Mutex::new(false))), leak(Condvar::new()));
    let set_owned = any_wait(async {
        drop(change.wait_while(Arc::clone(is_set).lock_owned().await, |is_set| !*is_set).await);
    });
    let set = || {
        any_wait(async {
            drop(change.wait_while(is_set.lock().await, |is_set| !*is_set).await);
        })
    };
    let (state, seen) = channel::watch(0);
    let (one, two) = (leak_mut(state.subscribe()), leak_mut(seen));
    let token = CancellationToken::new();
    let until = leak(token.clone());
    let (value, owed) = promise::pair::<u32>();
    let uncancelled = leak(CancellationToken::new());
    let finish = || any_wait(uncancelled.run_until_cancelled(value.clone()));
    vec![
        waits("wait_while", [set(), set(), set_owned], || {
            *is_set.try_lock().expect("nobody has it for long") = true;
            change.notify_all();
        }),
        waits("wait_for", [any_wait(one.wait_for(|n| *n == 2)), any_wait(two.wait_for(|n| *n == 2))], {
            move || {
                state.send(1).expect("both are there");
                state.send(2).expect("both are there");
            }
        }),
        waits(
            "run_until_cancelled",
            [
                any_wait(until.run_until_cancelled(pending::<()>())),
                any_wait(until.run_until_cancelled(pending::<()>())),
            ],
            move || token.cancel(),
        ),
        waits("run_until_cancelled to the end", [finish(), finish()], keep(owed)),
    ]
}
