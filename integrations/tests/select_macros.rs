//! Futures of twoply as arms of the selects of other libraries, which leave nothing behind in those that
//! lose.
//!
//! `futures::select!` asks for `FusedFuture`, a trait of a library that twoply does without; `.fuse()` makes
//! one of any future.

use std::future::{pending, ready};

use futures::FutureExt;
use futures::future::{Either, Fuse, select};
use twoply::{Wait, channel};
use twoply_tests::{AnyWait, Systems, Waits, all_waits, laws};

laws! {
    everywhere {
        futures_select_takes_what_is_ready_and_loses_nothing,
        tokio_select_takes_what_is_ready_and_loses_nothing,
        every_wait_may_lose_and_win,
    }
}

fn futures_select_takes_what_is_ready_and_loses_nothing(on: &Systems) {
    let (numbers, received) = channel::bounded(1);
    let (words, heard) = channel::bounded(1);
    let sum = on.here().spawn(async move {
        let (mut sum, mut said) = (0, Vec::new());
        while sum < 6 || said.len() < 3 {
            futures::select! {
                number = received.recv().fuse() => sum += number.unwrap(),
                word = heard.recv().fuse() => said.push(word.unwrap()),
            }
        }
        (sum, said)
    });
    for (number, word) in [(1, "one"), (2, "two"), (3, "three")] {
        words.send(word).wait().unwrap();
        numbers.send(number).wait().unwrap();
    }
    assert_eq!(sum.wait().unwrap(), (6, vec!["one", "two", "three"]));
}

fn tokio_select_takes_what_is_ready_and_loses_nothing(on: &Systems) {
    let (numbers, received) = channel::bounded(1);
    let (words, heard) = channel::bounded(1);
    let sum = on.here().spawn(async move {
        let (mut sum, mut said) = (0, Vec::new());
        while sum < 6 || said.len() < 3 {
            tokio::select! {
                number = received.recv() => sum += number.unwrap(),
                word = heard.recv() => said.push(word.unwrap()),
            }
        }
        (sum, said)
    });
    for (number, word) in [(1, "one"), (2, "two"), (3, "three")] {
        words.send(word).wait().unwrap();
        numbers.send(number).wait().unwrap();
    }
    assert_eq!(sum.wait().unwrap(), (6, vec!["one", "two", "three"]));
}

/// Has `wait` lose in a select of each kind. Returns whether it has won one.
async fn lose(mut wait: &mut Fuse<AnyWait>) -> bool {
    let mut others = ready(()).fuse();
    let first = futures::select_biased! {
        () = wait => true,
        () = others => false,
    };
    let second = tokio::select! {
        biased;
        () = &mut *wait => true,
        () = ready(()) => false,
    };
    let third = matches!(select(wait, ready(())).await, Either::Left(_));
    first || second || third
}

/// Has `wait` win a select, one of tokio's or of futures'.
async fn win(mut wait: Fuse<AnyWait>, of_tokio: bool) {
    let mut never = pending::<()>().fuse();
    if of_tokio {
        tokio::select! {
            () = wait => {}
            () = never => {}
        }
    } else {
        futures::select! {
            () = wait => {}
            () = never => {}
        }
    }
}

fn every_wait_may_lose_and_win(on: &Systems) {
    let all = all_waits(on);
    let losing = on.here().spawn(async move {
        let mut kept = Vec::new();
        for Waits { name, waits, end } in all {
            let mut waits: Vec<_> = waits.into_iter().map(FutureExt::fuse).collect();
            for wait in &mut waits {
                assert!(!lose(wait).await, "{name} is ready at once");
            }
            kept.push((name, waits, end));
        }
        kept
    });
    for (name, waits, end) in losing.wait().unwrap() {
        end();
        // Those are for longer than a test.
        if name == "sleep and tick" {
            continue;
        }
        let winning = on.here().spawn(async move {
            for (n, wait) in waits.into_iter().rev().enumerate() {
                win(wait, n % 2 == 0).await;
            }
        });
        winning.wait().unwrap();
    }
}
