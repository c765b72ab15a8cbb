//! The arms of a select: which take part, and with what chance each of those that are ready wins.

use std::future::{pending, ready};

use twoply_core::future::{OneOf, any, race, select, when, yield_now};
use twoply_core::{Wait, channel};
use twoply_tests::{Signal, Systems, both_ways, laws};

laws! {
    everywhere {
        each_arm_that_is_ready_has_the_same_chance,
        an_arm_that_is_off_is_neither_made_nor_polled,
        else_runs_when_every_arm_is_off,
        without_else_a_select_of_nothing_is_a_panic,
        thirty_two_arms_are_waited_for_at_once,
    }
}

fn each_arm_that_is_ready_has_the_same_chance(on: &Systems) {
    both_ways(on, || async {
        const ROUNDS: usize = 4000;
        let mut wins = [[0; 4]; 3];
        for _ in 0..ROUNDS {
            // In a circle that begins anywhere, whoever follows one that is not ready would win twice as
            // often.
            let winners = [
                race((pending(), ready(1), ready(2))).await,
                race((ready(0), pending(), pending(), ready(3))).await,
                race((when(true, ready(0)), when(false, ready(1)), ready(2), pending())).await,
            ];
            winners.into_iter().enumerate().for_each(|(round, winner)| wins[round][winner] += 1);
        }
        for (round, ready) in [[1, 2], [0, 3], [0, 2]].into_iter().enumerate() {
            let wins = ready.map(|arm| wins[round][arm]);
            // Ten standard deviations on either side.
            assert!(wins.iter().all(|&wins| wins > ROUNDS / 2 - 320 && wins < ROUNDS / 2 + 320), "{wins:?}");
        }
    });
}

fn an_arm_that_is_off_is_neither_made_nor_polled(on: &Systems) {
    both_ways(on, || async {
        let made = Signal::new();
        let make = |n: u32| {
            made.add();
            ready(n)
        };
        for (first, second) in [(true, false), (false, true), (true, true)] {
            let before = made.count();
            let chosen = select! { await; biased;
                n = make(1), if first => n,
                n = make(2), if second => n,
            };
            assert_eq!(chosen, if first { 1 } else { 2 });
            assert_eq!(made.count() - before, usize::from(first) + usize::from(second));
        }
        // An option that is empty has no future to make.
        let (mut jobs, mut last) = (Some(vec![1, 2].into_iter()), 0);
        while jobs.is_some() {
            select! { await; biased;
                () = pending(), if last == 1 => {}
                job = ready(jobs.as_mut().and_then(Iterator::next)), if jobs.is_some() => match job {
                    Some(job) => last = job,
                    None => jobs = None,
                },
                () = yield_now() => {}
            }
        }
        assert_eq!(last, 2);
        assert_eq!(
            any((when(false, ready(Ok(1))), ready(Err("it is the only one")))).await,
            Err("it is the only one")
        );
    });
}

fn else_runs_when_every_arm_is_off(on: &Systems) {
    both_ways(on, || async {
        let (tx, rx) = channel::bounded(4);
        (1..=3).for_each(|n| tx.try_send(n).unwrap());
        drop(tx);
        let (mut open, mut sum) = (true, 0);
        loop {
            select! { await;
                message = rx.recv(), if open => match message {
                    Ok(n) => sum += n,
                    Err(_) => open = false,
                },
                else => break,
            }
        }
        assert_eq!(sum, 6);
        assert_eq!(
            select! { wait; n = ready(1), if sum == 0 => n, n = ready(2), if !open => n, else => 3 },
            2
        );
        assert_eq!(select! { wait; biased; n = pending(), if open => n, else => 3 }, 3);
        assert_eq!(race((when(false, ready(1)), when(open, ready(2)))).or_none().await, None);
        assert_eq!(select((when(true, ready(1)),)).or_none().await, Some(OneOf::First(1)));
    });
}

fn without_else_a_select_of_nothing_is_a_panic(on: &Systems) {
    let off = || select((when(false, ready(1)), when(false, ready(2))));
    let task = on.here().spawn(async move { off().await });
    assert!(task.wait().unwrap_err().to_string().contains("every arm is off"));
    let task = on.here().spawn_fn(move || off().wait());
    assert!(task.wait().unwrap_err().is_panic());
}

fn thirty_two_arms_are_waited_for_at_once(on: &Systems) {
    let channels: Vec<_> = (0..32).map(|_| channel::bounded(1)).collect();
    let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
    let task = on.here().spawn(async move {
        let rx: [channel::Receiver<usize>; 32] = receivers.try_into().expect("there are as many");
        let mut sum = 0;
        let mut done = [false; 32];
        loop {
            macro_rules! receive {
                ($($n:literal)*) => {
                    select! { await;
                        $(message = rx[$n].recv(), if !done[$n] => match message {
                            Ok(value) => { assert_eq!(value, $n); sum += value }
                            Err(_) => done[$n] = true,
                        },)*
                        else => return sum,
                    }
                };
            }
            receive!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
        }
    });
    for (n, sender) in senders.into_iter().enumerate().rev() {
        sender.send(n).wait().unwrap();
    }
    assert_eq!(task.wait().unwrap(), (0..32).sum());
}
