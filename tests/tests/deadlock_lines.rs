//! Waiting in long lines, which is no waiting in a circle; and the circle of those who wait for room.

use twoply_core::actor::{self, Event, ExitReason, Process, ProcessRef};
use twoply_core::promise::{self, Failure, Resolver};
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Systems, laws};

laws! {
    everywhere {
        a_long_line_takes_no_longer_for_each_than_a_short_one,
        a_long_line_of_joins_takes_no_longer_for_each,
        asks_that_wait_for_room_in_a_circle_are_told,
    }
}

/// A line of tasks, each of which waits for what the one before owes; they begin to wait in any order. Nobody
/// is known to owe what the first one waits for.
fn a_long_line_takes_no_longer_for_each_than_a_short_one(on: &Systems) {
    let length = if on.here().backend().name() == "native" { 300 } else { 12_000 };
    // From the beginning, from the end, by pairs of neighbours from the end, and in no order.
    let orders: [fn(usize, usize) -> usize; 4] = [
        |n, _| n,
        |n, length| length - 1 - n,
        |n, length| (length - 1 - n) ^ 1,
        |n, length| n * 7_919 % length,
    ];
    for order in orders {
        let (mut wants, end) = promise::pair::<u32>();
        let (mut gates, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..length {
            let (promise, owes) = promise::pair();
            let before = std::mem::replace(&mut wants, promise);
            let gate = Gate::new();
            let opened = gate.opened();
            gates.push(gate);
            tasks.push(on.here().spawn(async move {
                owes.set_current_owner();
                opened.await;
                owes.resolve(before.await.unwrap() + 1).unwrap();
            }));
        }
        (0..length).for_each(|n| gates[order(n, length)].open());
        end.resolve(0).unwrap();
        assert_eq!(wants.wait().unwrap() as usize, length);
        tasks.into_iter().for_each(|task| task.wait().unwrap());
    }
}

fn a_long_line_of_joins_takes_no_longer_for_each(on: &Systems) {
    let length = if on.here().backend().name() == "native" { 300 } else { 12_000 };
    let gate = Gate::new();
    let opened = gate.opened();
    let mut last = on.here().spawn(async move {
        opened.await;
        0
    });
    for _ in 0..length {
        last = on.here().spawn(async move { last.await.unwrap() + 1 });
    }
    gate.open();
    assert_eq!(last.wait().unwrap(), length);
}

/// Asks that find the other one's mailbox full wait for room, and that is to wait for the other one.
fn asks_that_wait_for_room_in_a_circle_are_told(on: &Systems) {
    enum Message {
        /// Fills the mailbox.
        Filler,
        /// Asks this one, and says what comes of it.
        Go(ProcessRef<Message>, Gate, channel::Sender<Result<(), Failure>>),
        /// A question.
        Question(Resolver<()>),
    }
    let (tell, told) = channel::unbounded();
    let go = Gate::new();
    let [a, b] = ["a", "b"].map(|name| {
        let builder = actor::Builder::new().name(name).capacity(1).on(on.here().backend());
        let process = builder.spawn(async |mut me: Process<Message>| {
            while let Event::Message(message) = me.receive().await {
                match message {
                    Message::Filler => {}
                    Message::Go(other, go, tell) => {
                        go.opened().await;
                        tell.try_send(other.ask(Message::Question).await).unwrap();
                    }
                    Message::Question(reply) => reply.resolve(()).unwrap(),
                }
            }
        });
        process.unwrap()
    });
    for (one, other) in [(&a, &b), (&b, &a)] {
        one.send(Message::Go(other.clone(), go.clone(), tell.clone())).wait().unwrap();
    }
    // Both have begun with that once there is room again.
    for one in [&a, &b] {
        one.send(Message::Filler).wait().unwrap();
    }
    go.open();
    let results = [told.recv().wait().unwrap(), told.recv().wait().unwrap()];
    let deadlocks = results.iter().filter(|result| matches!(result, Err(Failure::Deadlock(_)))).count();
    assert_eq!((deadlocks, results.iter().filter(|result| result.is_ok()).count()), (1, 1), "{results:?}");
    for process in [a, b] {
        process.exit(ExitReason::Kill);
    }
}
