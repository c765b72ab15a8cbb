//! Mailboxes of processes: order, capacity, what a full one does, selective and urgent messages.

use std::convert::Infallible;
use std::future::Future;
use std::task::{Context as Waiting, Waker};
use std::time::{Duration, Instant};

use twoply_core::actor::{self, Actor, Builder, Context, Event, ExitReason, Overflow, Process, ProcessRef};
use twoply_core::channel::{self, Receiver, TrySendError};
use twoply_core::{Wait, time};
use twoply_tests::{Gate, Signal, Systems, builder, eventually, far, laws, told};

laws! {
    and_mixed {
        messages_arrive_in_the_order_in_which_they_are_sent,
        a_full_mailbox_makes_sends_wait_in_line,
        what_waits_for_room_goes_in_together,
    }
    everywhere {
        a_selective_receive_leaves_the_rest_in_order,
        a_receive_with_a_timeout_gives_up,
        urgent_messages_overtake_the_usual_ones,
        an_actor_has_as_many_priorities_as_it_attaches,
        the_capacity_is_exact,
        a_mailbox_drops_what_it_was_told_to,
        a_send_that_is_dropped_has_not_sent,
        the_end_hands_back_what_was_not_received,
        signals_pass_a_full_mailbox,
        signals_keep_their_order_with_messages,
    }
}

fn next<T: Send>(rx: &Receiver<T>) -> T {
    time::timeout(Duration::from_secs(20), rx.recv()).wait().expect("nothing came").unwrap()
}

/// A process that forwards its messages one at a time, as the gate lets it.
fn forwarder<M: Send + 'static>(on: Builder<M>, gate: &Gate) -> (ProcessRef<M>, Receiver<M>) {
    let (tx, rx) = channel::unbounded();
    let opened = gate.opened();
    let body = async move |mut me: Process<M>| {
        opened.await;
        while let Event::Message(message) = me.receive().await {
            tx.send(message).await.unwrap();
        }
    };
    (on.spawn(body).unwrap(), rx)
}

fn messages_arrive_in_the_order_in_which_they_are_sent(on: &Systems) {
    let gate = Gate::new();
    gate.open();
    let (process, rx) = forwarder(far(on).capacity(8), &gate);
    let senders: Vec<_> = (0..4)
        .map(|from| {
            let process = process.clone();
            on.here().spawn(async move {
                for n in 0..500 {
                    process.send((from, n)).await.unwrap();
                }
            })
        })
        .collect();
    let mut last = [-1; 4];
    for _ in 0..2000 {
        let (from, n): (usize, i32) = next(&rx);
        assert_eq!(n, last[from] + 1, "from {from}");
        last[from] = n;
    }
    senders.into_iter().for_each(|sender| sender.wait().unwrap());
}

fn a_full_mailbox_makes_sends_wait_in_line(on: &Systems) {
    let gate = Gate::new();
    let (process, rx) = forwarder(far(on).capacity(1), &gate);
    process.try_send(0).unwrap();
    let mut senders = Vec::new();
    for n in 1..10 {
        let (process, begun) = (process.clone(), Signal::new());
        let begins = begun.clone();
        senders.push(on.here().spawn(async move {
            let send = process.send(n);
            begins.add();
            send.await.unwrap();
        }));
        eventually("it has begun", || begun.count() == 1);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(process.try_send(99).unwrap_err().is_full());
    gate.open();
    let order: Vec<i32> = (0..10).map(|_| next(&rx)).collect();
    assert_eq!(order[0], 0);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..10).collect::<Vec<_>>());
    senders.into_iter().for_each(|sender| sender.wait().unwrap());
}

fn what_waits_for_room_goes_in_together(on: &Systems) {
    let gate = Gate::new();
    let (process, rx) = forwarder(far(on).capacity(4), &gate);
    process.try_send(0).unwrap();
    let room = actor::remote::room(&process, 10).wait().unwrap();
    assert_eq!((room.len(), process.try_send(99).unwrap_err().is_full()), (3, true));
    // What is not used is given back, at once or when the room is dropped.
    room.send(&mut vec![1, 2]);
    let room = actor::remote::room(&process, 10).wait().unwrap();
    assert_eq!((room.len(), process.try_send(99).unwrap_err().is_full()), (1, true));
    drop(room);
    process.try_send(3).unwrap();
    // Who gives up while it waits holds up nobody.
    let mut given_up = Box::pin(actor::remote::room(&process, 10));
    assert!(given_up.as_mut().poll(&mut Waiting::from_waker(Waker::noop())).is_pending());
    let (to, waits) = (process.clone(), Signal::new());
    let begins = waits.clone();
    let sender = on.here().spawn(async move {
        let mut left: Vec<i32> = (4..1_000).rev().collect();
        begins.add();
        while !left.is_empty() {
            let room = actor::remote::room(&to, left.len()).await.unwrap();
            let rest = left.len().saturating_sub(room.len());
            room.send(&mut left.drain(rest..).rev().collect());
        }
    });
    eventually("it has begun", || waits.count() == 1);
    drop(given_up);
    gate.open();
    (0..1_000).for_each(|number| assert_eq!(next(&rx), number));
    sender.wait().unwrap();
    let (room, mut left) = (actor::remote::room(&process, 2).wait().unwrap(), vec![1, 2]);
    process.exit(ExitReason::Kill);
    process.ended().wait();
    assert!(actor::remote::room(&process, 1).wait().is_err(), "it takes no more");
    room.send(&mut left);
    assert_eq!(left, [1, 2], "what it does not take is left");
}

fn a_selective_receive_leaves_the_rest_in_order(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let (go, gone) = channel::oneshot();
    let process = builder(on).spawn(async move |mut me: Process<i32>| {
        gone.await.unwrap();
        let even = |event: &Event<i32>| matches!(event, Event::Message(n) if n % 2 == 0);
        for _ in 0..3 {
            tx.send(me.receive_match(even).await.message().unwrap()).await.unwrap();
        }
        assert!(me.try_receive_match(|event| matches!(event, Event::Message(100))).is_none());
        // The next one has yet to come, and what came with it stays as well.
        let hundred = me.receive_match(|event| matches!(event, Event::Message(100))).await;
        tx.send(hundred.message().unwrap()).await.unwrap();
        while let Event::Message(n) = me.receive().await {
            tx.send(n).await.unwrap();
        }
    });
    let process = process.unwrap();
    for n in [1, 2, 3, 4, 5, 6, 7] {
        process.try_send(n).unwrap();
    }
    go.send(()).unwrap();
    assert_eq!([next(&rx), next(&rx), next(&rx)], [2, 4, 6]);
    for n in [9, 100, 11] {
        process.try_send(n).unwrap();
    }
    assert_eq!((0..6).map(|_| next(&rx)).collect::<Vec<_>>(), [100, 1, 3, 5, 7, 9]);
    assert_eq!(next(&rx), 11);
}

fn a_receive_with_a_timeout_gives_up(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let process = builder(on).spawn(async move |mut me: Process<u32>| {
        let zero = me.receive_timeout(Duration::ZERO).await;
        let start = Instant::now();
        let some = me.receive_timeout(Duration::from_millis(20)).await;
        tx.send((zero.is_none(), some.is_none(), start.elapsed())).await.unwrap();
        let first = me.receive_timeout(Duration::from_secs(60)).await.and_then(Event::message);
        let other = me.receive_timeout(Duration::ZERO).await.and_then(Event::message);
        tx.send((first == Some(1), other.is_none(), Duration::ZERO)).await.unwrap();
    });
    let (zero, some, elapsed) = next(&rx);
    assert!(zero && some && elapsed >= Duration::from_millis(20), "{elapsed:?}");
    process.unwrap().try_send(1).unwrap();
    let (first, other, _) = next(&rx);
    assert!(first && other);
}

fn urgent_messages_overtake_the_usual_ones(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let (step, stepped) = channel::unbounded();
    let process = builder(on).spawn(async move |mut me: Process<u32>| {
        loop {
            stepped.recv().await.unwrap();
            tx.send(me.receive().await.message().unwrap()).await.unwrap();
        }
    });
    let process = process.unwrap();
    for n in 1..=3 {
        process.try_send(n).unwrap();
    }
    process.urgent().try_send(10).unwrap();
    process.urgent().send(11).wait().unwrap();
    step.try_send(()).unwrap();
    assert_eq!(next(&rx), 10);
    // The usual ones have been fetched by now; an urgent one still comes first, behind the other.
    process.urgent().try_send(12).unwrap();
    process.try_send(4).unwrap();
    for expected in [11, 12, 1, 2, 3, 4] {
        step.try_send(()).unwrap();
        assert_eq!(next(&rx), expected);
    }
}

fn the_capacity_is_exact(on: &Systems) {
    let (step, stepped) = channel::unbounded();
    let (tx, rx) = channel::unbounded();
    let process = builder(on).capacity(3).spawn(async move |mut me: Process<u32>| {
        loop {
            stepped.recv().await.unwrap();
            tx.send(me.receive().await.message().unwrap()).await.unwrap();
        }
    });
    let process = process.unwrap();
    assert_eq!(process.capacity(), Some(3));
    for n in 0..3 {
        process.try_send(n).unwrap();
    }
    for n in 3..50 {
        assert!(matches!(process.try_send(99), Err(TrySendError::Full(99))));
        assert_eq!(process.len(), 3);
        step.try_send(()).unwrap();
        assert_eq!(next(&rx), n - 3);
        process.try_send(n).unwrap();
    }
}

fn a_mailbox_drops_what_it_was_told_to(on: &Systems) {
    for (overflow, left, lost) in
        [(Overflow::DropNewest, [1, 2], [3, 4]), (Overflow::DropOldest, [3, 4], [1, 2])]
    {
        let gate = Gate::new();
        let (tx, dropped) = channel::unbounded();
        let on_undelivered = move |n| tx.try_send(n).unwrap();
        let options = builder(on).capacity(2).overflow(overflow).on_undelivered(on_undelivered);
        let (process, rx) = forwarder(options, &gate);
        (1..=3).for_each(|n| process.try_send(n).unwrap());
        process.send(4).wait().unwrap();
        assert_eq!([next(&dropped), next(&dropped)], lost);
        gate.open();
        assert_eq!([next(&rx), next(&rx)], left);
    }
    let gate = Gate::new();
    let (process, _rx) = forwarder(builder(on).capacity(1).overflow(Overflow::Fail), &gate);
    process.send(1).wait().unwrap();
    assert_eq!(process.send(2).wait().unwrap_err().into_inner(), 2);
    gate.open();
}

fn a_send_that_is_dropped_has_not_sent(on: &Systems) {
    let gate = Gate::new();
    let (process, rx) = forwarder(builder(on).capacity(1), &gate);
    process.try_send(1).unwrap();
    let given_up = time::timeout(Duration::from_millis(5), process.send(2)).wait();
    assert!(given_up.is_err());
    gate.open();
    process.send(3).wait().unwrap();
    assert_eq!([next(&rx), next(&rx)], [1, 3]);
    assert!(rx.try_recv().is_err());
}

fn the_end_hands_back_what_was_not_received(on: &Systems) {
    let (tx, left) = channel::unbounded();
    let (go, gone) = channel::oneshot();
    let options = builder(on).on_undelivered(move |n| tx.try_send(n).unwrap());
    let process = options.spawn(async move |mut me: Process<u32>| {
        gone.await.unwrap();
        assert_eq!(me.receive_match(|event| matches!(event, Event::Message(2))).await.message(), Some(2));
    });
    let process = process.unwrap();
    (1..=4).for_each(|n| process.try_send(n).unwrap());
    go.send(()).unwrap();
    assert_eq!((0..3).map(|_| next(&left)).collect::<Vec<_>>(), [1, 3, 4]);
    assert!(process.is_closed());
    assert!(matches!(process.try_send(5), Err(TrySendError::Closed(5))));
    assert_eq!(process.send(6).wait().unwrap_err().into_inner(), 6);
}

fn signals_pass_a_full_mailbox(on: &Systems) {
    let (go, gone) = channel::oneshot();
    let (tx, rx) = channel::unbounded();
    let process = builder(on).capacity(1).trap_exit(true).spawn(async move |mut me: Process<u32>| {
        gone.await.unwrap();
        for _ in 0..3 {
            tx.send(told(me.receive().await)).await.unwrap();
        }
    });
    let process = process.unwrap();
    process.try_send(1).unwrap();
    process.exit(ExitReason::other("a"));
    process.exit(ExitReason::other("b"));
    assert!(process.try_send(2).unwrap_err().is_full());
    assert_eq!(process.len(), 1);
    go.send(()).unwrap();
    assert_eq!([next(&rx), next(&rx), next(&rx)], ["message", "exit a", "exit b"]);
}

fn signals_keep_their_order_with_messages(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let process = builder(on).trap_exit(true).spawn(async move |mut me: Process<u32>| {
        for _ in 0..200 {
            tx.send(told(me.receive().await)).await.unwrap();
        }
    });
    let process = process.unwrap();
    for _ in 0..100 {
        process.try_send(1).unwrap();
        process.exit(ExitReason::Shutdown);
    }
    for n in 0..200 {
        assert_eq!(next(&rx), if n % 2 == 0 { "message" } else { "exit shutdown" }, "event {n}");
    }
}

/// An actor that is sent messages of several priorities, and begins with them once the gate is open.
struct Desk {
    calls: Option<Receiver<(u64, usize)>>,
    gate: Gate,
    handled: channel::Sender<(u64, usize)>,
}

impl Actor for Desk {
    type Message = (u64, usize);
    type Error = Infallible;

    async fn started(&mut self, cx: &mut Context<Desk>) -> Result<(), Infallible> {
        self.calls.take().map(|calls| cx.attach(calls, |call| call));
        self.gate.opened().await;
        Ok(())
    }

    async fn handle(&mut self, call: (u64, usize), _: &mut Context<Desk>) -> Result<(), Infallible> {
        self.handled.send(call).await.unwrap();
        Ok(())
    }
}

fn an_actor_has_as_many_priorities_as_it_attaches(on: &Systems) {
    const PRIORITIES: u64 = 5;
    let (call, calls) = channel::priority(None, |call: &(u64, usize)| call.0);
    let (handled, told) = channel::unbounded();
    let gate = Gate::new();
    let desk = far(on).spawn_actor(Desk { calls: Some(calls), gate: gate.clone(), handled }).unwrap();
    for n in 0..3 {
        (0..PRIORITIES).for_each(|priority| call.try_send((priority, n)).unwrap());
    }
    gate.open();
    for priority in (0..PRIORITIES).rev() {
        assert_eq!([(); 3].map(|()| next(&told)), [0, 1, 2].map(|n| (priority, n)));
    }
    // The mailbox is there beside it.
    desk.send((9, 9)).wait().unwrap();
    assert_eq!(next(&told), (9, 9));
}
