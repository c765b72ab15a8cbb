//! The reactor as a library, through its public face, and the system calls that its state word saves the
//! workers.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use twoply_core::future::yield_now;
use twoply_core::reactor::{Interest, Reactor, Registration};
use twoply_core::{Wait, channel};
use twoply_tests::{Signal, Systems, eventually, laws, watch};

laws! {
    one_worker {
        a_worker_that_is_awake_is_notified_for_nothing,
        tasks_that_wake_each_other_cost_no_system_call,
    }
    green {
        a_worker_that_sleeps_is_notified,
    }
}

const NO_WAIT: Option<Duration> = Some(Duration::ZERO);

/// A handler that counts and says what to watch next.
fn counting(count: &Signal, next: Interest) -> impl FnMut(Interest) -> Interest + Send + 'static {
    let count = count.clone();
    move |_| {
        count.add();
        next
    }
}

#[test]
fn a_descriptor_is_registered_rearmed_and_deregistered() {
    watch("a_descriptor_is_registered_rearmed_and_deregistered", || {
        let reactor = Reactor::new().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (tx, rx) = mpsc::channel();
        let handler = move |ready| {
            tx.send(ready).unwrap();
            Interest::NONE
        };
        let registration = reactor.register(ours, Interest::BOTH, handler).unwrap();
        assert_eq!(reactor.metrics().registered, 1);
        // It can be written at once; that it can be read is news once it has been armed for it.
        reactor.turn(None).unwrap();
        assert_eq!(rx.try_recv(), Ok(Interest::WRITE));
        theirs.write_all(b"x").unwrap();
        assert_eq!(reactor.turn(NO_WAIT).unwrap().events, 0, "it is disarmed");
        registration.rearm(Interest::READ).unwrap();
        assert_eq!(reactor.turn(None).unwrap().events, 1);
        assert_eq!(rx.try_recv(), Ok(Interest::READ));
        registration.rearm(Interest::READ).unwrap();
        let mut ours = registration.deregister();
        assert_eq!(reactor.turn(NO_WAIT).unwrap().events, 0, "it is deregistered");
        assert_eq!(reactor.metrics().registered, 0);
        // The handler is gone with it, and the descriptor as good as before.
        assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        ours.read_exact(&mut [0]).unwrap();
        // The end of the stream and an error are reported to whoever watches for anything.
        let count = Signal::new();
        let registration = reactor.register(ours, Interest::READ, counting(&count, Interest::NONE)).unwrap();
        drop(theirs);
        reactor.turn(None).unwrap();
        assert_eq!(count.count(), 1);
        drop(registration);
    });
}

#[test]
fn what_a_turn_leaves_is_told_by_the_next_each_once() {
    watch("what_a_turn_leaves_is_told_by_the_next_each_once", || {
        const PAIRS: usize = 100;
        let reactor = Reactor::new().unwrap();
        let (tx, rx) = mpsc::channel();
        let registered: Vec<_> = (0..PAIRS)
            .map(|number| {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let tx = tx.clone();
                let handler = move |_| {
                    tx.send(number).unwrap();
                    Interest::NONE
                };
                (reactor.register(ours, Interest::WRITE, handler).unwrap(), theirs)
            })
            .collect();
        let first = reactor.turn(NO_WAIT).unwrap().events;
        assert!((1..=64).contains(&first), "{first} events");
        assert_eq!(reactor.turn(NO_WAIT).unwrap().events, PAIRS - first);
        assert_eq!(reactor.turn(NO_WAIT).unwrap().events, 0);
        // Those that were ready first come first, so none waits for others that are ready ever again.
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), (0..PAIRS).collect::<Vec<_>>());
        drop(registered);
    });
}

#[test]
fn whoever_is_called_first_may_deregister_the_others() {
    watch("whoever_is_called_first_may_deregister_the_others", || {
        const PAIRS: usize = 50;
        type All = Arc<Mutex<Vec<Registration<UnixStream>>>>;
        let reactor = Reactor::new().unwrap();
        let (all, called) = (All::default(), Signal::new());
        let mut peers = Vec::new();
        for _ in 0..PAIRS {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(b"x").unwrap();
            let (victims, called) = (Arc::clone(&all), called.clone());
            let handler = move |_| {
                called.add();
                // All of them, itself included, and their descriptors are closed; some are in this very
                // batch.
                let victims = std::mem::take(&mut *victims.lock().unwrap());
                drop(victims);
                Interest::READ
            };
            all.lock().unwrap().push(reactor.register(ours, Interest::READ, handler).unwrap());
            peers.push(theirs);
        }
        assert!(reactor.turn(None).unwrap().events >= 1);
        assert_eq!((called.count(), reactor.metrics().registered), (1, 0));
        assert_eq!(reactor.turn(NO_WAIT).unwrap().events, 0);
        for mut peer in peers {
            assert!(matches!(peer.read(&mut [0]), Ok(0) | Err(_)), "it was closed");
        }
    });
}

#[test]
fn a_handler_may_register_more() {
    watch("a_handler_may_register_more", || {
        let reactor = Reactor::new().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (count, kept) = (Signal::new(), Arc::new(Mutex::new(Vec::new())));
        let (inner, counted, keep) = (reactor.clone(), count.clone(), Arc::clone(&kept));
        let registration = reactor.register(ours, Interest::READ, move |_| {
            // What takes the number of a descriptor that has just been closed gets none of its events.
            // Another test may be faster and take it: then once more.
            let (second, peer) = (0..1000)
                .find_map(|_| {
                    let (first, _) = UnixStream::pair().unwrap();
                    let number = first.as_raw_fd();
                    drop(inner.register(first, Interest::BOTH, counting(&counted, Interest::NONE)).unwrap());
                    let (second, peer) = UnixStream::pair().unwrap();
                    (second.as_raw_fd() == number).then_some((second, peer))
                })
                .expect("the lowest free number is taken");
            let second = inner.register(second, Interest::READ, counting(&counted, Interest::NONE)).unwrap();
            keep.lock().unwrap().push((second, peer));
            Interest::NONE
        });
        theirs.write_all(b"x").unwrap();
        assert_eq!(reactor.turn(None).unwrap().events, 1);
        assert_eq!(reactor.turn(NO_WAIT).unwrap().events, 0);
        assert_eq!(count.count(), 0);
        kept.lock().unwrap()[0].1.write_all(b"x").unwrap();
        assert_eq!(reactor.turn(None).unwrap().events, 1);
        assert_eq!(count.count(), 1);
        drop(registration);
    });
}

#[test]
fn a_plain_poll_loop_hosts_a_reactor_beside_its_own_descriptors() {
    watch("a_plain_poll_loop_hosts_a_reactor_beside_its_own_descriptors", || {
        let reactor = Reactor::new().unwrap();
        let (mut host, mut hosts_peer) = UnixStream::pair().unwrap();
        let (guest, mut guests_peer) = UnixStream::pair().unwrap();
        let count = Signal::new();
        let registration = reactor.register(guest, Interest::READ, counting(&count, Interest::NONE)).unwrap();
        let noop = std::task::Waker::noop();
        reactor.timers().insert(Instant::now() + Duration::from_millis(20), noop).unwrap();
        let notifier = reactor.clone();
        let driving = std::thread::spawn(move || {
            for _ in 0..3 {
                hosts_peer.write_all(b"h").unwrap();
                guests_peer.write_all(b"g").unwrap();
                notifier.notify();
                std::thread::sleep(Duration::from_millis(2));
            }
            (hosts_peer, guests_peer)
        });
        let (mut own, mut events, mut timers, mut rounds) = (0, 0, 0, 0);
        while own < 3 || events == 0 || timers == 0 {
            rounds += 1;
            let ready = {
                let (ours, own) = (PollFd::new(&reactor, PollFlags::IN), PollFd::new(&host, PollFlags::IN));
                let mut fds = [ours, own];
                let left = match reactor.prepare_park() {
                    true => reactor.next_deadline().map(|at| at.saturating_duration_since(Instant::now())),
                    false => NO_WAIT,
                };
                let left = left.map(|left| left.try_into().unwrap());
                poll(&mut fds, left.as_ref()).unwrap();
                !fds[1].revents().is_empty()
            };
            if ready {
                host.read_exact(&mut [0]).unwrap();
                own += 1;
            }
            let turn = reactor.turn(NO_WAIT).unwrap();
            events += turn.events;
            timers += turn.timers;
        }
        driving.join().unwrap();
        assert_eq!((count.count(), timers), (1, 1));
        assert!(rounds < 100, "the host spins: {rounds} rounds");
        assert!(registration.io().as_fd().as_raw_fd() >= 0);
    });
}

/// How many notifications of the first worker have cost a system call, and how many have not.
fn notifies(on: &Systems) -> (u64, u64) {
    let reactor = on.here().metrics().workers[0].reactor;
    (reactor.notifies, reactor.saved_notifies)
}

fn a_worker_that_is_awake_is_notified_for_nothing(on: &Systems) {
    const WAKES: u64 = 10_000;
    // The worker polls without end, and waits in the kernel never; wakes come from outside all the while.
    let (tx, rx) = channel::unbounded();
    let (quit, quitting) = channel::bounded::<()>(1);
    let receiver = on.here().spawn(async move {
        let mut sum = 0;
        while let Ok(n) = rx.recv().await {
            sum += n;
        }
        sum
    });
    let busy = on.here().spawn(async move {
        while quitting.try_recv().is_err() {
            yield_now().await;
        }
    });
    eventually("it is busy", || on.here().metrics().workers[0].polls > 1000);
    let (before, _) = notifies(on);
    for n in 0..WAKES {
        tx.try_send(n).unwrap();
    }
    drop(tx);
    assert_eq!(receiver.wait().unwrap(), WAKES * (WAKES - 1) / 2);
    assert_eq!(notifies(on).0, before, "system calls to wake a worker that is awake");
    quit.try_send(()).unwrap();
    busy.wait().unwrap();
}

fn tasks_that_wake_each_other_cost_no_system_call(on: &Systems) {
    let pingpong = async {
        let (ping, pings) = channel::bounded(1);
        let (pong, pongs) = channel::bounded(1);
        let other = twoply::spawn(async move {
            while let Ok(n) = pings.recv().await {
                pong.send(n).await.unwrap();
            }
        });
        for n in 0..2000 {
            ping.send(n).await.unwrap();
            assert_eq!(pongs.recv().await, Ok(n));
        }
        drop(ping);
        other.await.unwrap();
    };
    // Inside a task, so that the call that starts it all is not counted.
    let metrics = {
        let (tx, rx) = channel::bounded(1);
        let task = on.here().spawn(async move {
            rx.recv().await.unwrap();
            pingpong.await;
        });
        tx.send(()).wait().unwrap();
        let before = notifies(on).0;
        task.wait().unwrap();
        (before, notifies(on).0)
    };
    assert!(metrics.1 - metrics.0 <= 1, "{metrics:?}");
}

fn a_worker_that_sleeps_is_notified(on: &Systems) {
    // And as often as it sleeps at the most, however many wakes there are.
    for _ in 0..20 {
        let sleeps = || on.here().metrics().workers.iter().map(|worker| worker.sleeps).sum::<u64>();
        let before = sleeps();
        on.here().spawn(async {}).wait().unwrap();
        eventually("it sleeps again", || sleeps() > before);
        on.here().spawn(async {}).wait().unwrap();
    }
    let metrics = on.here().metrics();
    for worker in &metrics.workers {
        assert!(worker.reactor.notifies <= worker.sleeps + 1, "{worker:?}");
    }
    assert!(metrics.workers.iter().any(|worker| worker.reactor.notifies > 0), "{metrics:?}");
}
