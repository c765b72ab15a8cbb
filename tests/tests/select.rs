//! Waiting for one of several things, or for all: nobody starves, losers are gone, and nothing is lost with
//! them.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use twoply_core::future::{OneOf, join, join_all, race, race_all, select, yield_now};
use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::task::Task;
use twoply_core::time::{now, sleep, sleep_until, timeout};
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Signal, Systems, both_ways, eventually, laws};

laws! {
    and_mixed {
        one_select_waits_for_messages_time_connections_and_bytes,
        the_first_of_two_systems_wins,
        all_are_joined_wherever_they_run,
    }
    everywhere {
        no_arm_that_is_ready_starves,
        a_busy_arm_does_not_starve_a_slow_one,
        a_biased_select_takes_the_first_that_is_ready,
        losers_are_dropped_before_the_arm_runs,
        the_macro_is_a_match_on_a_select,
        a_lost_receive_loses_no_message,
        a_lost_send_has_not_sent,
        a_lost_sleep_leaves_its_deadline,
        a_lost_read_loses_no_byte,
        a_lost_accept_loses_no_connection,
        a_lost_join_leaves_the_task_running,
        many_race_and_one_wins,
        a_cancelled_select_drops_all_its_arms,
    }
}

/// A time that a law really waits for.
const SHORT: Duration = Duration::from_millis(3);

/// A time that no law waits for.
const HOUR: Duration = Duration::from_secs(3600);

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    (ours, listener.accept().wait().unwrap().0)
}

fn no_arm_that_is_ready_starves(on: &Systems) {
    both_ways(on, || async {
        let (mut wins, mut raced) = ([0; 6], [0; 3]);
        for _ in 0..1000 {
            let arms = (ready(0), ready(1), ready(2), ready(3), ready(4), ready(5));
            wins[race(arms).await] += 1;
            match select((ready(()), pending::<()>(), ready(()))).await {
                OneOf::First(()) => raced[0] += 1,
                OneOf::Second(()) => raced[1] += 1,
                OneOf::Third(()) => raced[2] += 1,
            }
        }
        // One in six on average; fewer than one in twenty would be a bias that no luck explains.
        assert!(wins.iter().all(|wins| *wins > 50), "{wins:?}");
        assert!(raced[0] > 100 && raced[1] == 0 && raced[2] > 100, "{raced:?}");
    });
}

fn a_busy_arm_does_not_starve_a_slow_one(on: &Systems) {
    // A queue that is never empty, beside a deadline and a message that comes once.
    let (busy, messages) = channel::bounded(4);
    let (stop, stopped) = channel::bounded(1);
    let feeder = on.here().spawn(async move { while busy.send(()).await.is_ok() {} });
    let task = on.here().spawn(async move {
        let (end, mut ticks, mut count) = (now() + Duration::from_secs(20), 0, 0u64);
        let mut tick = sleep(SHORT);
        loop {
            select! { await;
                message = messages.recv() => { message.unwrap(); count += 1 },
                () = &mut tick => { ticks += 1; tick = sleep(SHORT) },
                quit = stopped.recv() => { quit.unwrap(); return (ticks, count) },
            }
            assert!(now() < end, "{ticks} ticks and no end among {count} messages");
            if ticks >= 3 && count > 0 {
                stop.try_send(()).unwrap_or_default();
            }
        }
    });
    let (ticks, count) = task.wait().unwrap();
    assert!(ticks >= 3 && count > 0, "{ticks} ticks, {count} messages");
    feeder.wait().unwrap();
}

fn a_biased_select_takes_the_first_that_is_ready(on: &Systems) {
    both_ways(on, || async {
        for _ in 0..200 {
            assert_eq!(race((ready(1), ready(2))).biased().await, 1);
            assert_eq!(select((pending::<()>(), ready(2), ready(3))).biased().await, OneOf::Second(2));
            let chosen = select! { await; biased;
                () = pending::<()>() => 0,
                n = ready(1) => n,
                n = ready(2) => n,
            };
            assert_eq!(chosen, 1);
        }
    });
}

fn losers_are_dropped_before_the_arm_runs(on: &Systems) {
    both_ways(on, || async {
        let dropped = Signal::new();
        let guarded = || {
            let guard = dropped.on_drop();
            async move {
                let _guard = guard;
                pending::<()>().await;
            }
        };
        select! { await;
            () = guarded() => unreachable!("it is never ready"),
            () = yield_now() => assert_eq!(dropped.count(), 2),
            () = guarded() => unreachable!("it is never ready"),
        }
        let pinned = Box::pin(guarded());
        assert_eq!(
            race((ready(1), async {
                pinned.await;
                2
            }))
            .biased()
            .await,
            1
        );
        assert_eq!(dropped.count(), 3);
    });
}

fn the_macro_is_a_match_on_a_select(on: &Systems) {
    /// `?`, `break`, `continue` and `return` go where they would without it.
    async fn early(of: u32) -> Result<u32, &'static str> {
        let mut rounds = 0;
        loop {
            rounds += 1;
            select! { await;
                n = ready(of) => match n {
                    0 => return Ok(rounds),
                    1 => Err("one")?,
                    2 => break,
                    _ if rounds < of => continue,
                    _ => break,
                },
                () = pending::<()>() => unreachable!(),
            }
        }
        Ok(rounds + 100)
    }
    fn by_wait(of: u32) -> Option<u32> {
        let (tx, rx) = channel::bounded(1);
        tx.try_send((of, of + 1)).ok()?;
        let sum = select! { wait;
            pair = rx.recv() => { let (a, b) = pair.ok()?; a + b },
            () = sleep(HOUR) => 0,
        };
        Some(sum)
    }
    let task = on.here().spawn(async { [early(0).await, early(1).await, early(2).await, early(5).await] });
    assert_eq!(task.wait().unwrap(), [Ok(1), Err("one"), Ok(101), Ok(105)]);
    assert_eq!(on.here().spawn_fn(|| by_wait(3)).wait().unwrap(), Some(7));
}

fn a_lost_receive_loses_no_message(on: &Systems) {
    for capacity in [0, 1, 100] {
        const MESSAGES: usize = 500;
        let (tx, rx) = channel::bounded(capacity);
        // Nothing comes before a receive has been lost, or on a busy machine none might be.
        let gate = Gate::new();
        let opened = gate.opened();
        let sender = on.here().spawn(async move {
            opened.await;
            for n in 0..MESSAGES {
                tx.send(n).await.unwrap();
                if n % 7 == 0 {
                    yield_now().await;
                }
            }
        });
        let receiver = on.here().spawn(async move {
            let (mut next, mut lost) = (0, 0);
            loop {
                match select((rx.recv(), yield_now())).await {
                    OneOf::First(Ok(n)) => {
                        assert_eq!(n, next);
                        next += 1;
                    }
                    OneOf::First(Err(_)) => return (next, lost),
                    OneOf::Second(()) => {
                        lost += 1;
                        gate.open();
                    }
                }
            }
        });
        let (received, lost) = receiver.wait().unwrap();
        sender.wait().unwrap();
        assert_eq!(received, MESSAGES);
        assert!(lost > 0, "the law was not put to the test");
    }
}

fn a_lost_send_has_not_sent(on: &Systems) {
    const MESSAGES: usize = 300;
    for capacity in [0, 1, 3] {
        let (tx, rx) = channel::bounded(capacity);
        // Nothing is taken before a send has been lost.
        let gate = Gate::new();
        let opened = gate.opened();
        let sender = on.here().spawn(async move {
            let (mut next, mut lost) = (0, 0);
            while next < MESSAGES {
                match select((tx.send(next), yield_now())).await {
                    OneOf::First(sent) => {
                        sent.unwrap();
                        next += 1;
                    }
                    // Not sent: the same once more.
                    OneOf::Second(()) => {
                        lost += 1;
                        gate.open();
                    }
                }
            }
            lost
        });
        let receiver = on.here().spawn_fn(move || {
            let slowly = |n: &usize| {
                if n.is_multiple_of(9) {
                    sleep(SHORT / 30).wait();
                }
            };
            opened.wait();
            rx.iter().inspect(slowly).collect::<Vec<_>>()
        });
        assert!(sender.wait().unwrap() > 0, "the law was not put to the test");
        let mut received = receiver.wait().unwrap();
        if capacity == 0 {
            // The documented exception: what a receiver has just taken out of the sender's hands has arrived.
            received.dedup();
        }
        assert_eq!(received, (0..MESSAGES).collect::<Vec<_>>(), "capacity {capacity}");
    }
}

fn a_lost_sleep_leaves_its_deadline(on: &Systems) {
    both_ways(on, || async {
        // Again when the machine was so busy that there was nothing to lose.
        let mut lost = 0;
        while lost == 0 {
            let end = now() + SHORT;
            let mut nap = sleep_until(end);
            while let OneOf::Second(()) = select((&mut nap, yield_now())).biased().await {
                lost += 1;
            }
            assert!(now() >= end);
        }
    });
}

fn a_lost_read_loses_no_byte(on: &Systems) {
    const LEN: usize = 3000;
    let (ours, theirs) = pair();
    // Nothing comes before a read has been lost.
    let gate = Gate::new();
    let opened = gate.opened();
    let writer = on.here().spawn(async move {
        opened.await;
        for n in 0..LEN {
            theirs.write_all(&[(n % 251) as u8]).await.unwrap();
            yield_now().await;
        }
    });
    let reader = on.here().spawn(async move {
        let (mut place, mut lost, mut buf) = (0, 0, [0; 5]);
        loop {
            select! { await;
                read = ours.read(&mut buf) => match read.unwrap() {
                    0 => return (place, lost),
                    read => for byte in &buf[..read] {
                        assert_eq!(usize::from(*byte), place % 251, "at {place}");
                        place += 1;
                    },
                },
                () = yield_now() => {
                    lost += 1;
                    gate.open();
                },
            }
        }
    });
    let (read, lost) = reader.wait().unwrap();
    writer.wait().unwrap();
    assert_eq!(read, LEN);
    assert!(lost > 0, "the law was not put to the test");
}

fn a_lost_accept_loses_no_connection(on: &Systems) {
    const CLIENTS: usize = 50;
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    // The clients come when the first accept has been lost, or on a slow machine none might be.
    let gate = Gate::new();
    let come = gate.clone();
    let server = on.here().spawn(async move {
        let mut accepted = 0;
        while accepted < CLIENTS {
            match select((listener.accept(), yield_now())).await {
                OneOf::First(connection) => {
                    connection.unwrap().0.write_all(b"x").await.unwrap();
                    accepted += 1;
                }
                OneOf::Second(()) => come.open(),
            }
        }
    });
    let clients = (0..CLIENTS).map(|_| {
        let opened = gate.opened();
        async move {
            opened.await;
            let stream = TcpStream::connect(address).await.unwrap();
            stream.read(&mut [0]).await.unwrap()
        }
    });
    let clients = on.here().spawn(join_all(clients.collect::<Vec<_>>()));
    assert_eq!(clients.wait().unwrap(), [1; CLIENTS]);
    server.wait().unwrap();
}

fn a_lost_join_leaves_the_task_running(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.opened();
    let mut task = on.here().spawn(async move {
        opened.await;
        7
    });
    let waiting = on.here().spawn(async move {
        for _ in 0..100 {
            assert!(matches!(select((&mut task, yield_now())).await, OneOf::Second(())));
        }
        // In a tuple, to show that it is the task that is meant and not its result.
        (task,)
    });
    let (task,): (Task<i32>,) = waiting.wait().unwrap();
    assert!(!task.is_finished());
    gate.open();
    assert_eq!(task.wait().unwrap(), 7);
    // Lost for good, it is detached and goes on.
    let done = Signal::new();
    let (gate, count) = (Gate::new(), done.clone());
    let opened = gate.opened();
    let lost = on.here().spawn(async move {
        opened.await;
        count.add();
    });
    on.here().spawn(async move { drop(select((lost, yield_now())).await) }).wait().unwrap();
    gate.open();
    eventually("it goes on", || done.count() == 1);
}

fn one_select_waits_for_messages_time_connections_and_bytes(on: &Systems) {
    // Each of the four kinds alone is what ends one round; the others wait beside it, and lose nothing.
    const ROUNDS: usize = 40;
    for straight_line in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = pair();
        let (tx, rx) = channel::bounded(1);
        let (event, events) = channel::unbounded();
        let waiting = async move {
            let (mut byte, mut tick) = ([0], sleep(HOUR));
            loop {
                let what = match straight_line {
                    false => select! { await;
                        message = rx.recv() => message.unwrap(),
                        () = &mut tick => { tick = sleep(HOUR); "time" },
                        accepted = listener.accept() => accepted.map(|_| "connection").unwrap(),
                        read = ours.read(&mut byte) => match read.unwrap() { 0 => return, _ => "bytes" },
                    },
                    true => select! { wait;
                        message = rx.recv() => message.unwrap(),
                        () = &mut tick => { tick = sleep(HOUR); "time" },
                        accepted = listener.accept() => accepted.map(|_| "connection").unwrap(),
                        read = ours.read(&mut byte) => match read.unwrap() { 0 => return, _ => "bytes" },
                    },
                };
                if what == "soon" {
                    tick = sleep(Duration::from_micros(500));
                }
                event.send(what).await.unwrap();
            }
        };
        let task = match straight_line {
            false => on.here().spawn(waiting),
            true => on.here().spawn_fn(move || waiting.wait()),
        };
        let driving = on.there().spawn(async move {
            for round in 0..ROUNDS {
                let expected = ["message", "soon", "connection", "bytes"][round % 4];
                let mut connection = None;
                match expected {
                    "connection" => connection = Some(TcpStream::connect(address).await.unwrap()),
                    "bytes" => theirs.write_all(b"x").await.unwrap(),
                    message => tx.send(message).await.unwrap(),
                }
                assert_eq!(events.recv().await, Ok(expected), "round {round}");
                if expected == "soon" {
                    assert_eq!(events.recv().await, Ok("time"), "round {round}");
                }
                drop(connection);
            }
            drop(theirs);
            tx
        });
        let _tx = driving.wait().unwrap();
        task.wait().unwrap();
    }
}

fn the_first_of_two_systems_wins(on: &Systems) {
    for round in 0..20 {
        let (one, other) = (Gate::new(), Gate::new());
        let (here, there) = (one.opened(), other.opened());
        let here = on.here().spawn(async move {
            here.await;
            "here"
        });
        let there = on.there().spawn_fn(move || {
            there.wait();
            "there"
        });
        let winner = on.here().spawn(race((here, there)));
        let (first, second, expected) =
            if round % 2 == 0 { (one, other, "here") } else { (other, one, "there") };
        first.open();
        assert_eq!(winner.wait().unwrap().unwrap(), expected);
        second.open();
    }
}

fn all_are_joined_wherever_they_run(on: &Systems) {
    let started = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let started = Arc::clone(&started);
            let work = async move {
                started.fetch_add(1, Ordering::SeqCst);
                if n % 5 == 0 {
                    sleep(SHORT / 10).await
                } else {
                    yield_now().await
                }
                n
            };
            match n % 3 {
                0 => on.here().spawn(work),
                1 => on.there().spawn_fn(move || work.wait()),
                _ => on.there().spawn(work),
            }
        })
        .collect();
    let joined = on.here().spawn(join_all(tasks)).wait().unwrap();
    assert_eq!(joined.into_iter().map(Result::unwrap).collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
    assert_eq!(started.load(Ordering::SeqCst), 200);
    let pair = (on.here().spawn(async { 1 }), on.there().spawn_fn(|| "two"));
    let (one, two) = on.there().spawn_fn(move || join(pair).wait()).wait().unwrap();
    assert_eq!((one.unwrap(), two.unwrap()), (1, "two"));
}

fn many_race_and_one_wins(on: &Systems) {
    const RACERS: usize = 500;
    let dropped = Signal::new();
    let (gate, guards) = (Gate::new(), dropped.clone());
    let opened = gate.clone();
    let race = on.here().spawn(async move {
        let racers: Vec<_> = (0..RACERS)
            .map(|n| {
                let (guard, gate) = (guards.on_drop(), opened.opened());
                async move {
                    let _guard = guard;
                    match n {
                        123 => gate.await,
                        _ => pending().await,
                    }
                    n
                }
            })
            .collect();
        race_all(racers).await
    });
    eventually("it waits", || gate.waiting() > 0);
    assert_eq!(dropped.count(), 0);
    gate.open();
    assert_eq!(race.wait().unwrap(), 123);
    assert_eq!(dropped.count(), RACERS);
}

fn a_cancelled_select_drops_all_its_arms(on: &Systems) {
    for straight_line in [false, true] {
        let (dropped, gate) = (Signal::new(), Gate::new());
        let arm = || {
            let (guard, opened) = (dropped.on_drop(), gate.opened());
            async move {
                let _guard = guard;
                opened.await;
            }
        };
        let (tx, rx) = channel::bounded::<()>(1);
        let (first, second) = (arm(), arm());
        let arms = async move {
            let _ = select((first, timeout(HOUR, rx.recv()), second)).await;
        };
        let task = match straight_line {
            false => on.here().spawn(arms),
            true => on.here().spawn_fn(move || arms.wait()),
        };
        eventually("it waits", || gate.waiting() >= 2);
        task.cancel();
        assert!(task.wait().unwrap_err().is_cancelled());
        assert_eq!(dropped.count(), 2);
        assert!(tx.try_send(()).is_err(), "the receiver is gone with the arms");
    }
}
