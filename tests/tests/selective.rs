//! Selective receives: what they leave, and what overtakes it.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{Builder, Event, ExitReason, Pid, Process};
use twoply_core::future::{OneOf, select};
use twoply_tests::{Signal, Systems, all_are_over, eventually, laws, told};

laws! {
    and_mixed {
        what_a_waiting_selective_receive_leaves_is_not_lost,
    }
    everywhere {
        an_urgent_message_reaches_a_selective_receive_that_waits,
        urgent_messages_that_come_during_a_selective_receive_keep_their_order,
    }
}

/// The message of an event that is to be one.
fn message<M>(event: Event<M>) -> M {
    event.message().expect("nobody sends signals here")
}

/// A selective receive leaves messages, an exit signal and the end of a monitored process behind, waits, and
/// gets what it wants or is given up. All that it has left is there, in order; and what nobody takes is
/// undelivered.
fn what_a_waiting_selective_receive_leaves_is_not_lost(on: &Systems) {
    // Around the sizes at which buffers grow, and far beyond.
    let around = |size: u32| size - 2..size + 3;
    let sizes = around(16).chain(around(32)).chain(around(64)).chain([1000]);
    for (round, skipped) in sizes.enumerate() {
        for (answered, straight) in [(true, true), (true, false), (false, true), (false, false)] {
            leave_and_look(on, skipped, answered, straight, round % 2 == 0);
        }
    }
    all_are_over(on);
}

/// See above; `takes`: the process takes what is left.
fn leave_and_look(on: &Systems, skipped: u32, answered: bool, straight: bool, takes: bool) {
    let case = format!("{skipped} skipped, answered {answered}, straight {straight}, taken {takes}");
    let (undelivered, waits) = (Arc::new(Mutex::new(Vec::new())), Signal::new());
    let (hook, mark) = (Arc::clone(&undelivered), waits.clone());
    let builder = Builder::new().unbounded().trap_exit(true).on(on.there().backend());
    let builder = builder.on_undelivered(move |n: u32| hook.lock().unwrap().push(n));
    let (result, done) = mpsc::channel();
    let body = async move |mut me: Process<u32>| {
        me.monitor(&Pid::nobody());
        me.exit(&me.pid(), ExitReason::other("trapped"));
        (0..skipped).for_each(|n| me.me().try_send(n).unwrap());
        let mut wanted = Box::pin(me.receive_match(|event| matches!(event, Event::Message(u32::MAX))));
        let watched = poll_fn(|cx| {
            let polled = wanted.as_mut().poll(cx);
            mark.add();
            polled
        });
        let got = match answered {
            true => message(watched.await) == u32::MAX,
            false => matches!(select((watched, async {})).biased().await, OneOf::Second(())),
        };
        drop(wanted);
        let (len, mut left) = (me.me().len(), Vec::new());
        while takes && let Some(event) = me.try_receive() {
            left.push(match event {
                Event::Message(n) => n.to_string(),
                other => told(other),
            });
        }
        let _ = result.send((got, len, left));
    };
    let process = match straight {
        true => builder.spawn_fn(move |me| body(me).wait()),
        false => builder.spawn(body),
    };
    let process = process.expect("it starts");
    if answered {
        eventually("it waits", || waits.count() > 0);
        process.try_send(u32::MAX).expect("it lives");
    }
    let (got, len, left) = done.recv().expect("it comes to its end");
    assert!(got, "{case}: it got what it wanted, or nothing");
    assert_eq!(len, skipped as usize, "{case}");
    let numbers: Vec<u32> = (0..skipped).collect();
    if takes {
        let news = ["down no such process", "exit trapped"].map(str::to_owned);
        let expected: Vec<_> = news.into_iter().chain(numbers.iter().map(u32::to_string)).collect();
        assert_eq!(left, expected, "{case}");
    } else {
        // After its links and monitors have been told, and so after all else that can be seen of its end.
        eventually("it has given them back", || undelivered.lock().unwrap().len() == numbers.len());
        assert_eq!(*undelivered.lock().unwrap(), numbers, "{case}");
    }
}

fn an_urgent_message_reaches_a_selective_receive_that_waits(on: &Systems) {
    let (looked, (result, done)) = (Signal::new(), mpsc::channel());
    let seen = looked.clone();
    let body = async move |mut me: Process<u32>| {
        let wanted = |event: &Event<u32>| {
            seen.add();
            matches!(event, Event::Message(9))
        };
        let _ = result.send(message(me.receive_match(wanted).await));
    };
    let to = Builder::new().on(on.here().backend()).spawn(body).unwrap();
    (0..3).for_each(|n| to.try_send(n).unwrap());
    eventually("it has looked at all there is", || looked.count() == 3);
    // It comes in front of what has been looked at.
    to.urgent().try_send(9).unwrap();
    assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok(9));
    all_are_over(on);
}

fn urgent_messages_that_come_during_a_selective_receive_keep_their_order(on: &Systems) {
    let (result, done) = mpsc::channel();
    let body = async move |mut me: Process<u32>| {
        let own = me.me();
        own.try_send(0).unwrap();
        let mut sent = false;
        let wanted = |event: &Event<u32>| {
            if !std::mem::replace(&mut sent, true) {
                // In front of the one that is being looked at.
                (1..3).for_each(|n| own.urgent().try_send(n).unwrap());
            }
            matches!(event, Event::Message(1..3))
        };
        let first = message(me.receive_match(wanted).await);
        let rest = [message(me.receive().await), message(me.receive().await)];
        let _ = result.send((first, rest));
    };
    Builder::new().on(on.here().backend()).spawn(body).unwrap();
    assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok((1, [2, 0])));
    all_are_over(on);
}
