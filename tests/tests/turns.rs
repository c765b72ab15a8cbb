//! Code of the user's that comes up in the turn of a reactor: hooks and destructors of messages run elsewhere
//! and may wait, wakers may not; and nobody else has to wait for any of them.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use twoply_core::actor::{Builder, Event, Process, ProcessRef};
use twoply_core::channel::{self, Receiver, Sender};
use twoply_core::future::join;
use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::time::{sleep, timeout};
use twoply_core::{Wait, offload};
use twoply_tests::{Signal, Systems, all_are_over, eventually, laws};

laws! {
    and_mixed {
        a_hook_that_waits_is_given_the_messages_of_timers,
        a_message_that_waits_in_its_destructor_holds_nobody_up,
    }
    everywhere {
        a_timer_of_a_process_that_ends_gives_its_message_up_at_once,
        a_timer_for_a_process_that_has_ended_gives_its_message_up_at_once,
        a_hook_is_called_though_its_runtime_has_ended,
        whenever_a_process_ends_a_delayed_message_is_received_or_undelivered,
        a_waker_that_waits_harms_nobody,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// Longer than a test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// Waits where a message is dropped.
struct Slow(Sender<u32>, u32);

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.0.send(self.1).wait();
    }
}

/// Tasks, deadlines, descriptors and code that blocks are served, on both runtimes.
fn assert_alive(on: &Systems) {
    for system in [on.here(), on.there()] {
        let all = system.spawn(async {
            sleep(Duration::from_millis(1)).await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            let both = join((client.write_all(b"x"), server.read_exact(&mut byte))).await;
            assert!(both.0.is_ok() && both.1.is_ok());
            byte
        });
        assert_eq!(timeout(SOON, all).wait().expect("it is served").unwrap(), *b"x");
        assert_eq!(timeout(SOON, system.spawn_fn(|| offload(|| 3).unwrap())).wait().unwrap().unwrap(), 3);
    }
}

/// Sends to `target` from a task of the second runtime, so that its reactors have the deadlines.
fn send_later<M: Send + 'static>(on: &Systems, target: &ProcessRef<M>, messages: Vec<(Duration, M)>) {
    let target = target.clone();
    let task = on.there().spawn(async move {
        messages.into_iter().for_each(|(delay, message)| drop(target.send_after(delay, message)));
    });
    task.wait().unwrap();
}

/// Receives all that a line of `count` senders has to say, though there is room for none of it.
fn receive_all(on: &Systems, letters: Receiver<u32>, count: u32) {
    let reader = on.there().spawn(async move {
        let mut all = Vec::new();
        while all.len() < count as usize {
            all.push(letters.recv().await.unwrap());
        }
        all.sort_unstable();
        all
    });
    let all = timeout(SOON, reader).wait().expect("all of them come").unwrap();
    assert_eq!(all, (0..count).collect::<Vec<_>>());
}

fn a_hook_that_waits_is_given_the_messages_of_timers(on: &Systems) {
    let (dead, letters) = channel::rendezvous();
    let (open, opened) = channel::bounded::<()>(1);
    let process = Builder::<u32>::new()
        .on(on.here().backend())
        .on_undelivered(move |n| {
            let _ = dead.send(n).wait();
        })
        .spawn(async move |me: Process<u32>| {
            let _ = opened.recv().await;
            drop(me);
        })
        .unwrap();
    // Some for the end, and some afterwards.
    send_later(on, &process, (0..8).map(|n| (NEVER, n)).collect());
    open.try_send(()).unwrap();
    process.ended().wait();
    send_later(on, &process, (8..16).map(|n| (Duration::from_millis(n.into()), n)).collect());
    assert_alive(on);
    receive_all(on, letters, 16);
    assert_alive(on);
}

fn a_message_that_waits_in_its_destructor_holds_nobody_up(on: &Systems) {
    let (dead, letters) = channel::rendezvous();
    let (open, opened) = channel::bounded::<()>(1);
    let process = Builder::<Slow>::new()
        .on(on.here().backend())
        .spawn(async move |me: Process<Slow>| {
            let _ = opened.recv().await;
            drop(me);
        })
        .unwrap();
    send_later(on, &process, (0..4).map(|n| (NEVER, Slow(dead.clone(), n))).collect());
    open.try_send(()).unwrap();
    process.ended().wait();
    send_later(on, &process, (4..8).map(|n| (Duration::from_millis(1), Slow(dead.clone(), n))).collect());
    assert_alive(on);
    receive_all(on, letters, 8);
}

fn a_timer_of_a_process_that_ends_gives_its_message_up_at_once(on: &Systems) {
    let dropped = Signal::new();
    let process = Builder::new()
        .on(on.here().backend())
        .spawn(async |mut me: Process<Box<dyn Send>>| {
            let _ = me.receive().await;
        })
        .unwrap();
    let timers: Vec<_> = (0..20).map(|_| process.send_after(NEVER, Box::new(dropped.on_drop()))).collect();
    assert!(timers[0].cancel());
    assert_eq!(dropped.count(), 1);
    assert!(timers[1..].iter().all(|timer| timer.is_pending()));
    process.try_send(Box::new(())).unwrap();
    process.ended().wait();
    eventually("all are given up", || dropped.count() == 20);
    assert!(timers.iter().all(|timer| !timer.is_pending() && !timer.cancel()));
}

fn a_timer_for_a_process_that_has_ended_gives_its_message_up_at_once(on: &Systems) {
    let (tell, told) = channel::unbounded();
    let process = Builder::<u32>::new()
        .on(on.here().backend())
        .on_undelivered(move |n| tell.try_send(n).unwrap())
        .spawn(async |me: Process<u32>| drop(me))
        .unwrap();
    process.ended().wait();
    let timer = process.send_after(NEVER, 7);
    assert_eq!(timeout(SOON, told.recv()).wait().expect("it is told at once"), Ok(7));
    assert!(!timer.is_pending());
}

fn a_hook_is_called_though_its_runtime_has_ended(on: &Systems) {
    let other = on.kind().build();
    let (tell, told) = channel::unbounded();
    let process = Builder::<u32>::new()
        .on(other.backend())
        .on_undelivered(move |n| tell.try_send(n).unwrap())
        .spawn(async |_: Process<u32>| pending::<()>().await)
        .unwrap();
    let before = process.send_after(NEVER, 1);
    other.shutdown(SOON).unwrap();
    process.ended().wait();
    let after = process.send_after(Duration::from_millis(1), 2);
    let mut both = [0; 2].map(|_| timeout(SOON, told.recv()).wait().expect("both come").unwrap());
    both.sort_unstable();
    assert_eq!(both, [1, 2]);
    assert!(!before.is_pending() && !after.is_pending());
}

fn whenever_a_process_ends_a_delayed_message_is_received_or_undelivered(on: &Systems) {
    const MESSAGES: usize = 40;
    let (received, undelivered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for round in 0..30 {
        let (receives, hears) = (Arc::clone(&received), Arc::clone(&undelivered));
        let process = Builder::<u64>::new()
            .on(on.here().backend())
            .on_undelivered(move |_| {
                hears.fetch_add(1, SeqCst);
            })
            .spawn(async move |mut me: Process<u64>| {
                for _ in 0..round {
                    if matches!(me.receive().await, Event::Message(_)) {
                        receives.fetch_add(1, SeqCst);
                    }
                }
            })
            .unwrap();
        let delays = (0..MESSAGES as u64).map(|n| (Duration::from_micros(n * 20), n));
        send_later(on, &process, delays.collect());
        process.ended().wait();
    }
    eventually("each is accounted for", || received.load(SeqCst) + undelivered.load(SeqCst) >= 30 * MESSAGES);
    all_are_over(on);
    assert_eq!(received.load(SeqCst) + undelivered.load(SeqCst), 30 * MESSAGES);
}

/// Waits when it is woken, in one of several ways.
struct Waits {
    /// In which.
    way: usize,
    /// How many have been woken.
    woken: Arc<AtomicUsize>,
}

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, SeqCst);
        match self.way {
            0 => pending::<()>().wait(),
            1 => sleep(NEVER).wait(),
            2 => drop(channel::bounded::<()>(1).1.recv().wait()),
            3 => drop(offload(|| std::thread::sleep(NEVER))),
            _ => twoply_core::task::scope(|_| pending::<()>().wait()),
        }
    }
}

fn a_waker_that_waits_harms_nobody(on: &Systems) {
    let woken = Arc::new(AtomicUsize::new(0));
    for way in 0..5 {
        // On a native thread the I/O server watches for a waker that is not the thread's own; on a worker,
        // the worker.
        let waker = Waker::from(Arc::new(Waits { way, woken: Arc::clone(&woken) }));
        let told = Arc::clone(&woken);
        let task = on.here().spawn(async move {
            let mut slept = pin!(sleep(Duration::from_millis(500)));
            assert!(slept.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            drop(waker);
            while told.load(SeqCst) == way {
                sleep(Duration::from_millis(1)).await;
            }
            poll_fn(|cx| slept.as_mut().poll(cx)).await;
        });
        timeout(SOON, task).wait().expect("its own waker is woken").unwrap();
        assert_eq!(woken.load(SeqCst), way + 1);
        assert_alive(on);
    }
}
