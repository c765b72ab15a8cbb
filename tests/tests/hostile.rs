//! Code of the user's that panics where the library runs it in the middle of something else: destructors, wakers and
//! their clones. It harms nobody but whom it belongs to.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use twoply_core::promise::{self, Failure, Promise};
use twoply_core::task::Task;
use twoply_core::time::sleep;
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Systems, laws};

laws! {
    and_mixed {
        who_has_let_go_of_a_handle_does_not_wait_for_it,
        a_destructor_that_panics_in_the_search_for_deadlocks_harms_nobody,
    }
}

/// What becomes of a handle that has been waited for in vain; a promise is kept.
type LetGo = fn(Task<()>) -> Option<Promise<()>>;

fn who_has_let_go_of_a_handle_does_not_wait_for_it(on: &Systems) {
    let ways: [(&str, LetGo); 4] = [
        ("dropped", |handle| {
            drop(handle);
            None
        }),
        ("detached", |handle| {
            handle.detach();
            None
        }),
        ("changed", |handle| {
            handle.cancel_on_drop().detach();
            None
        }),
        ("shared", |handle| Some(handle.into_promise())),
    ];
    for (way, let_go) in ways {
        let (to_bob, from_ann) = promise::pair::<u32>();
        let (tell, told) = channel::oneshot();
        let (go, asked) = (Gate::new(), Gate::new());
        let (gone, asks) = (go.clone(), asked.clone());
        let bob = on.there().spawn(async move {
            gone.opened().await;
            let mut wait = Box::pin(to_bob.into_future());
            let result = poll_fn(|cx| {
                let poll = wait.as_mut().poll(cx);
                asks.open();
                poll
            });
            let _ = tell.send(result.await);
        });
        let ann = on.here().spawn(async move {
            from_ann.adopt();
            let mut bob = bob;
            poll_fn(|cx| {
                assert!(Pin::new(&mut bob).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            let kept = let_go(bob);
            go.open();
            asked.opened().await;
            from_ann.resolve(1).unwrap();
            drop(kept);
        });
        // Were ann still taken for one who waits for bob, bob would close a circle.
        assert_eq!(told.wait().unwrap().map_err(|failure| failure.to_string()), Ok(1), "{way}");
        ann.wait().unwrap();
    }
}

/// Panics when it is dropped, unless that happens in an unwinding.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "expected: in a destructor");
    }
}

/// A waits for the handle of B, which waits for the end of a chain of derived promises and is cancelled at about that
/// moment. So whoever looks whom B waits for may be the last to hold the chain, and with it the user's closure.
fn a_destructor_that_panics_in_the_search_for_deadlocks_harms_nobody(on: &Systems) {
    for attempt in 0..60_u32 {
        let (source, _resolver) = promise::pair::<u64>();
        let bomb = Bomb;
        let mut chain = source.map(move |value| {
            let _bomb = &bomb;
            value
        });
        for _ in 0..8 {
            chain = chain.map(|value| value);
        }
        let waits = Gate::new();
        let b_waits = waits.clone();
        let b = on.here().spawn(async move {
            let mut wait = Box::pin(chain.into_future());
            poll_fn(|cx| {
                let poll = wait.as_mut().poll(cx);
                b_waits.open();
                poll
            })
            .await
        });
        let b_ref = b.task();
        waits.opened().wait();
        let a = on.there().spawn_fn(move || {
            let waited = catch_unwind(AssertUnwindSafe(|| b.wait()));
            // Cancelled; or panicked, if it was B itself that dropped the chain.
            matches!(waited, Ok(Err(Failure::Cancelled | Failure::Panicked(_))))
        });
        // At one point or other of the wait; whichever it is, the outcome is the same.
        sleep(Duration::from_micros(u64::from(attempt % 30) * 5)).wait();
        b_ref.cancel();
        assert!(a.wait().unwrap(), "the wait for B was hit by a panic of somebody else's destructor");
    }
}
