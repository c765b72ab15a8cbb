//! Mailboxes: order, selective receives, capacities and what full ones do, against plain models.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::actor::{Builder, Event, ExitReason, Overflow, Process, ProcessRef};
use twoply_core::channel::TrySendError;
use twoply_core::future::{OneOf, select, yield_now};
use twoply_tests::differential::generate::Random;
use twoply_tests::{Gate, Signal, Systems, all_are_over, eventually, laws, run_process};

laws! {
    and_mixed {
        messages_of_one_sender_keep_their_order,
        a_full_mailbox_accepts_exactly_its_capacity,
        a_cancelled_send_has_not_sent,
        nobody_overtakes_a_send_that_waits,
    }
    everywhere {
        a_mailbox_does_what_its_model_does,
        a_large_mailbox_does_what_its_model_does,
        a_mailbox_that_drops_the_oldest_does_what_its_model_does,
        who_waits_to_send_is_served_in_turn,
        what_is_not_received_is_handed_over_in_order,
        a_receive_with_a_timeout_loses_nothing,
    }
}

/// The message of an event that is to be one.
fn message<M>(event: Event<M>) -> M {
    event.message().expect("nobody sends signals here")
}

/// What is in a mailbox: a message, or an exit signal with a number for its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Message(u32),
    Exit(u32),
}

fn item(event: Event<u32>) -> Item {
    match event {
        Event::Message(n) => Item::Message(n),
        Event::Exit(exit) => Item::Exit(exit.reason.to_string().parse().expect("the reasons are numbers")),
        _ => panic!("nobody is monitored here"),
    }
}

/// A mailbox as one would write it who had no hurry.
struct Model {
    /// How many messages it holds.
    capacity: usize,
    /// What it does when it is full.
    overflow: Overflow,
    /// Comes before `usual`.
    urgent: VecDeque<Item>,
    /// The rest.
    usual: VecDeque<Item>,
    /// What was dropped or never received.
    undelivered: Vec<u32>,
}

impl Model {
    fn messages(&self) -> usize {
        self.urgent.iter().chain(&self.usual).filter(|item| matches!(item, Item::Message(_))).count()
    }

    /// Returns whether it is accepted.
    fn send(&mut self, n: u32, urgent: bool) -> bool {
        if self.messages() == self.capacity {
            let message = |item: &Item| matches!(item, Item::Message(_));
            match self.overflow {
                Overflow::DropNewest => {
                    self.undelivered.push(n);
                    return true;
                }
                Overflow::DropOldest => {
                    let line =
                        if self.usual.iter().any(message) { &mut self.usual } else { &mut self.urgent };
                    let at = line.iter().position(message).expect("it is full of messages");
                    if let Some(Item::Message(oldest)) = line.remove(at) {
                        self.undelivered.push(oldest);
                    }
                }
                _ => return false,
            }
        }
        let line = if urgent { &mut self.urgent } else { &mut self.usual };
        line.push_back(Item::Message(n));
        true
    }

    fn receive(&mut self, wanted: impl Fn(Item) -> bool) -> Option<Item> {
        for line in [&mut self.urgent, &mut self.usual] {
            if let Some(at) = line.iter().position(|item| wanted(*item)) {
                return line.remove(at);
            }
        }
        None
    }
}

/// Random operations of one process on its own mailbox, which leave nothing to chance. Messages are sent at
/// most `burst` at a time.
fn compare(on: &Systems, seed: u64, overflow: Overflow, selective: bool, burst: usize) {
    let mut random = Random::new(seed);
    let capacity = 1 + random.below(12 * burst);
    let undelivered = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&undelivered);
    let builder = Builder::new().capacity(capacity).overflow(overflow).trap_exit(true);
    let builder = builder.on_undelivered(move |n: u32| hook.lock().unwrap().push(n));
    let (urgent, usual) = (VecDeque::new(), VecDeque::new());
    let mut model = Model { capacity, overflow, urgent, usual, undelivered: Vec::new() };
    let model = run_process(on.here(), builder, move |mut me| {
        let (myself, pid) = (me.me(), me.pid());
        for step in 0..300 {
            let n = step * burst as u32;
            let of_kind = step % 3;
            match random.below(if selective { 11 } else { 8 }) {
                0..4 => {
                    let urgent = random.chance(20);
                    for n in (n..).take(1 + random.below(burst)) {
                        let sent = if urgent { myself.urgent().try_send(n) } else { myself.try_send(n) };
                        let right = match sent {
                            Ok(()) => model.send(n, urgent),
                            Err(TrySendError::Full(back)) => back == n && !model.send(n, urgent),
                            Err(_) => false,
                        };
                        assert!(right, "seed {seed}, message {n}: {:?}", model.usual);
                    }
                }
                4 => {
                    me.exit(&pid, ExitReason::other(n.to_string()));
                    model.usual.push_back(Item::Exit(n));
                }
                5 => assert_eq!(me.try_receive().map(item), model.receive(|_| true), "seed {seed}, {n}"),
                6 => {
                    let received = me.receive_timeout(Duration::ZERO).wait().map(item);
                    assert_eq!(received, model.receive(|_| true), "seed {seed}, {n}");
                }
                7 => {
                    if let Some(next) = model.receive(|_| true) {
                        assert_eq!(item(me.receive().wait()), next, "seed {seed}, {n}");
                    }
                }
                8 => {
                    let received =
                        me.try_receive_match(|event| matches!(event, Event::Message(k) if k % 3 == of_kind));
                    let expected = model.receive(|item| matches!(item, Item::Message(k) if k % 3 == of_kind));
                    assert_eq!(received.map(item), expected, "seed {seed}, {n}");
                }
                9 => {
                    if let Some(next) = model.receive(|item| matches!(item, Item::Exit(_))) {
                        let exit = me.receive_match(|event| matches!(event, Event::Exit(_)));
                        assert_eq!(item(exit.wait()), next, "seed {seed}, {n}");
                    }
                }
                _ => {
                    // It looks at everything, finds nothing, waits, and is given up.
                    let vain = me.receive_match(|event| matches!(event, Event::Down(_)));
                    assert!(matches!(select((vain, async {})).biased().wait(), OneOf::Second(())));
                }
            }
            if burst > 1 && random.chance(10) {
                // Now and then it is emptied, so that what is left can be anything.
                for _ in 0..random.below(2 * capacity) {
                    assert_eq!(me.try_receive().map(item), model.receive(|_| true), "seed {seed}, {n}");
                }
            }
            assert_eq!(myself.len(), model.messages(), "seed {seed}, {n}");
        }
        model
    });
    all_are_over(on);
    let mut expected = model.undelivered;
    expected.extend(model.urgent.iter().chain(&model.usual).filter_map(|item| match item {
        Item::Message(n) => Some(*n),
        Item::Exit(_) => None,
    }));
    assert_eq!(*undelivered.lock().unwrap(), expected, "seed {seed}: what was dropped, and what was left");
}

fn a_mailbox_does_what_its_model_does(on: &Systems) {
    for seed in 0..60 {
        let overflow = [Overflow::Wait, Overflow::Fail, Overflow::DropNewest][seed as usize % 3];
        compare(on, seed, overflow, true, 1);
    }
}

/// Its buffers grow and shrink meanwhile: those of a small mailbox never do.
fn a_large_mailbox_does_what_its_model_does(on: &Systems) {
    for seed in 0..20 {
        let overflow = [Overflow::Wait, Overflow::Fail, Overflow::DropNewest][seed as usize % 3];
        compare(on, seed, overflow, true, [8, 30, 100][seed as usize % 3]);
    }
}

fn a_mailbox_that_drops_the_oldest_does_what_its_model_does(on: &Systems) {
    // What a selective receive has left is not dropped any more, so none is made here.
    (0..20).for_each(|seed| compare(on, seed, Overflow::DropOldest, false, [1, 30][seed as usize % 2]));
}

/// Each sender sends usual and urgent messages by turns, numbered apart; the receiver receives at random, in
/// part selectively, and of each sender and kind the numbers must come in order.
fn messages_of_one_sender_keep_their_order(on: &Systems) {
    const SENDERS: usize = 6;
    const EACH: u32 = 300;
    type Letter = (usize, bool, u32);
    let builder = Builder::<Letter>::new().capacity(16).on(on.there().backend());
    let (result, done) = mpsc::channel();
    let body = async move |mut me: Process<Letter>| {
        let mut random = Random::new(1);
        let mut next = HashMap::new();
        for _ in 0..SENDERS * EACH as usize {
            let chosen = random.below(SENDERS);
            let selected = match random.below(4) {
                0 => me.try_receive_match(
                    |event| matches!(event, Event::Message((from, ..)) if *from == chosen),
                ),
                1 => me.receive_timeout(Duration::from_micros(50)).await,
                2 => me.try_receive(),
                _ => None,
            };
            let event = match selected {
                Some(event) => event,
                None => me.receive().await,
            };
            let (from, urgent, n) = message(event);
            let expected = next.entry((from, urgent)).or_insert(0);
            if n != *expected {
                let _ = result.send(Err((from, urgent, n, *expected)));
                return;
            }
            *expected += 1;
        }
        let _ = result.send(Ok(()));
    };
    let to = builder.spawn(body).unwrap();
    for from in 0..SENDERS {
        let to = to.clone();
        let system = if from % 2 == 0 { on.here() } else { on.there() };
        let send = async move {
            for n in 0..EACH / 2 {
                to.send((from, false, n)).await.unwrap();
                if let Err(TrySendError::Full(letter)) = to.urgent().try_send((from, true, n)) {
                    to.urgent().send(letter).await.unwrap();
                }
            }
        };
        match from % 3 {
            0 => drop(system.spawn_fn(move || send.wait())),
            _ => drop(system.spawn(send)),
        }
    }
    assert_eq!(done.recv().expect("the receiver ends well"), Ok(()), "sender, urgent, came, expected");
}

fn a_full_mailbox_accepts_exactly_its_capacity(on: &Systems) {
    for (capacity, senders) in [(1, 4), (5, 8), (32, 8)] {
        let (gate, accepted) = (Gate::new(), Signal::new());
        let opened = gate.opened();
        let total = capacity + 40;
        let (result, done) = mpsc::channel();
        let to = Builder::<usize>::new()
            .capacity(capacity)
            .on(on.here().backend())
            .spawn(async move |mut me: Process<usize>| {
                opened.await;
                for _ in 0..total {
                    let _ = result.send(message(me.receive().await));
                }
            })
            .unwrap();
        let numbers = Arc::new(Mutex::new(0..total));
        for sender in 0..senders {
            let (to, accepted, numbers) = (to.clone(), accepted.clone(), Arc::clone(&numbers));
            let system = if sender % 2 == 0 { on.here() } else { on.there() };
            let next = move || numbers.lock().unwrap().next();
            system
                .spawn(async move {
                    while let Some(n) = next() {
                        to.send(n).await.unwrap();
                        accepted.add();
                    }
                })
                .detach();
        }
        eventually("it is full", || accepted.count() >= capacity);
        // Whoever could send more has had the time of a round trip for it.
        on.here().spawn(yield_now()).wait().unwrap();
        on.there().spawn(yield_now()).wait().unwrap();
        assert_eq!((accepted.count(), to.len()), (capacity, capacity));
        assert!(matches!(to.try_send(0), Err(TrySendError::Full(0))));
        // Signals need no room.
        to.exit(ExitReason::Normal);
        gate.open();
        let mut received: Vec<_> = (0..total).map(|_| done.recv().expect("all come")).collect();
        received.sort_unstable();
        assert_eq!(received, (0..total).collect::<Vec<_>>());
    }
}

/// Sends that are given up at random have sent nothing; the others have, once.
fn a_cancelled_send_has_not_sent(on: &Systems) {
    const SENDERS: u64 = 4;
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (result, done) = mpsc::channel();
    let to = Builder::<Option<u64>>::new()
        .capacity(2)
        .on(on.there().backend())
        .spawn(async move |mut me: Process<Option<u64>>| {
            let mut received = Vec::new();
            while let Some(n) = message(me.receive().await) {
                received.push(n);
                if n % 7 == 0 {
                    yield_now().await;
                }
            }
            drop(result.send(received));
        })
        .unwrap();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (to, sent) = (to.clone(), Arc::clone(&sent));
            on.here().spawn(async move {
                let mut random = Random::new(sender);
                for n in 0..400 {
                    let n = n * SENDERS + sender;
                    let patience = random.below(3);
                    let given_up = async {
                        for _ in 0..patience {
                            yield_now().await;
                        }
                    };
                    match select((to.send(Some(n)), given_up)).await {
                        OneOf::First(result) => {
                            result.unwrap();
                            sent.lock().unwrap().push(n);
                        }
                        OneOf::Second(()) => {}
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.wait().unwrap();
    }
    to.send(None).wait().unwrap();
    let mut received = done.recv().expect("the receiver ends well");
    let mut sent = std::mem::take(&mut *sent.lock().unwrap());
    received.sort_unstable();
    sent.sort_unstable();
    assert_eq!(received, sent);
}

fn who_waits_to_send_is_served_in_turn(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.opened();
    let (result, done) = mpsc::channel();
    let to = Builder::<usize>::new()
        .capacity(1)
        .on(on.here().backend())
        .spawn(async move |mut me: Process<usize>| {
            opened.await;
            while result.send(message(me.receive().await)).is_ok() {}
        })
        .unwrap();
    to.try_send(0).unwrap();
    for n in 1..20 {
        let (to, before) = (to.clone(), Signal::new());
        let polled = before.clone();
        on.here()
            .spawn(async move {
                let mut send = to.send(n);
                // It stands in line from its first poll on.
                let first = poll_fn(|cx| {
                    let poll = Pin::new(&mut send).poll(cx);
                    polled.add();
                    Poll::Ready(poll)
                });
                assert!(first.await.is_pending());
                send.await.unwrap();
            })
            .detach();
        eventually("it waits", || before.count() == 1);
    }
    gate.open();
    let received: Vec<_> = (0..20).map(|_| done.recv().expect("all come")).collect();
    assert_eq!(received, (0..20).collect::<Vec<_>>());
    to.exit(ExitReason::Kill);
}

/// One sender stands in line for the only place, another one tries again and again to get in front of it.
fn nobody_overtakes_a_send_that_waits(on: &Systems) {
    /// The number of the last round.
    const LAST: usize = usize::MAX - 1;
    let waits = Arc::new(AtomicUsize::new(0));
    let (result, done) = mpsc::channel();
    let to = Builder::<(bool, usize)>::new().capacity(1).on(on.there().backend());
    let body = async move |mut me: Process<(bool, usize)>| {
        let (mut last, mut overtaken) = (0, 0);
        while last < LAST {
            match message(me.receive().await) {
                (true, round) => last = round,
                (false, round) => overtaken += usize::from(round > last && round < LAST),
            }
        }
        let _ = result.send(overtaken);
    };
    let to = to.spawn(body).unwrap();
    let (pusher, round) = (to.clone(), Arc::clone(&waits));
    // A thread of its own, which runs whatever the workers do.
    let pusher = std::thread::spawn(move || {
        loop {
            match round.load(Ordering::SeqCst) {
                usize::MAX => return,
                0 => std::hint::spin_loop(),
                // The one with this number has been in line before this is sent.
                waiting => drop(pusher.try_send((false, waiting))),
            }
        }
    });
    let sender = on.here().spawn(async move {
        // It takes both at the same time to see anything, so it is not for a number of rounds, but for a
        // while.
        let start = Instant::now();
        for round in (1..LAST).take_while(|_| start.elapsed() < Duration::from_millis(300)).chain([LAST]) {
            let mut send = to.send((true, round));
            let sent = poll_fn(|cx| {
                let polled = Pin::new(&mut send).poll(cx);
                if polled.is_pending() {
                    waits.store(round, Ordering::SeqCst);
                }
                polled
            });
            sent.await.unwrap();
            waits.store(0, Ordering::SeqCst);
        }
        waits.store(usize::MAX, Ordering::SeqCst);
    });
    assert_eq!(done.recv().expect("the receiver ends well"), 0, "so many were sent later and came before");
    sender.wait().unwrap();
    pusher.join().expect("it only sends");
    all_are_over(on);
}

fn what_is_not_received_is_handed_over_in_order(on: &Systems) {
    let left = Arc::new(Mutex::new(Vec::new()));
    let (hook, gate) = (Arc::clone(&left), Gate::new());
    let opened = gate.opened();
    let to: ProcessRef<u32> = Builder::new()
        .unbounded()
        .on(on.here().backend())
        .on_undelivered(move |n| hook.lock().unwrap().push(n))
        .spawn(async move |mut me: Process<u32>| {
            opened.await;
            // Everything is fetched for this, and put back for the hook.
            me.receive_match(|event| matches!(event, Event::Message(5))).await;
            std::future::pending::<()>().await;
        })
        .unwrap();
    (0..10).for_each(|n| to.try_send(n).unwrap());
    gate.open();
    eventually("the fifth is received", || to.len() == 9);
    (10..13).for_each(|n| to.try_send(n).unwrap());
    to.urgent().try_send(99).unwrap();
    to.exit(ExitReason::Kill);
    all_are_over(on);
    assert!(matches!(to.try_send(13), Err(TrySendError::Closed(13))));
    assert_eq!(to.send(14).wait().unwrap_err().into_inner(), 14);
    assert_eq!(*left.lock().unwrap(), [99, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
}

fn a_receive_with_a_timeout_loses_nothing(on: &Systems) {
    const TOTAL: u32 = 300;
    let to = Builder::<u32>::new().unbounded().on(on.here().backend());
    let (result, done) = mpsc::channel();
    let to = to
        .spawn(async move |mut me: Process<u32>| {
            let mut expected = 0;
            while expected < TOTAL {
                if let Some(event) = me.receive_timeout(Duration::from_micros(30)).await {
                    assert_eq!(message(event), expected);
                    expected += 1;
                }
            }
            let _ = result.send(());
        })
        .unwrap();
    for n in 0..TOTAL {
        to.try_send(n).unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(n % 40)));
    }
    done.recv().expect("all have come, in order");
}
