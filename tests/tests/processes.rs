//! Processes: what they receive, in which order, and how they end and are told of ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use twoply_core::actor::{Builder, Event, ExitReason, MonitorRef, Pid, Process, ProcessRef};
use twoply_core::channel::{self, Receiver, Sender, TrySendError};
use twoply_core::promise::{Failure, Resolver};
use twoply_core::{Wait, task, time};
use twoply_tests::{Gate, Signal, Systems, builder, eventually, far, laws, told};

laws! {
    and_mixed {
        a_question_is_answered,
        links_carry_the_reason_both_ways,
        monitors_stack_and_tell_the_reason,
    }
    everywhere {
        questions_fail_when_the_process_ends,
        normal_is_ignored_unless_trapped,
        kill_cannot_be_trapped_and_is_seen_as_killed,
        a_link_to_nobody_is_news_of_no_process,
        nothing_comes_through_a_link_that_was_taken_back,
        a_monitor_that_is_flushed_leaves_nothing,
        every_end_has_its_reason,
        a_child_is_related_before_its_first_step,
        a_process_can_end_itself,
        a_blocked_process_unwinds,
        a_timer_sends_later_unless_cancelled,
        a_timer_keeps_no_process_alive,
        a_shutdown_is_the_reason_of_those_that_were_running,
        nobody_sends_to_a_process_that_was_told_to_end,
    }
}

/// A process that traps exits and forwards what it is told.
fn observer(on: &Systems, tie: impl FnOnce(&Process<()>) + Send + 'static) -> Receiver<String> {
    let (tx, rx) = channel::unbounded();
    let body = async move |mut me: Process<()>| {
        tie(&me);
        loop {
            tx.send(told(me.receive().await)).await.unwrap();
        }
    };
    builder(on).trap_exit(true).spawn(body).unwrap();
    rx
}

/// A process that waits for ever.
fn sleeper(on: &Systems) -> ProcessRef<()> {
    far(on).spawn(async |mut me: Process<()>| while me.receive().await.is_message() {}).unwrap()
}

fn next<T: Send>(rx: &Receiver<T>) -> T {
    time::timeout(Duration::from_secs(20), rx.recv()).wait().expect("nothing came").unwrap()
}

/// A question and who gets the answer.
struct Double(u32, Resolver<u32>);

fn a_question_is_answered(on: &Systems) {
    let doubler = far(on).spawn(async |mut me: Process<Double>| {
        while let Event::Message(Double(n, reply)) = me.receive().await {
            let _ = reply.resolve(2 * n);
        }
    });
    let doubler = doubler.unwrap();
    assert_eq!(doubler.ask(|reply| Double(4, reply)).wait().unwrap(), 8);
    let asker = doubler.clone();
    let asked = on.here().spawn(async move { asker.ask(|reply| Double(5, reply)).await.unwrap() });
    assert_eq!(asked.wait().unwrap(), 10);
    let promise = doubler.try_ask(|reply| Double(6, reply)).unwrap().share();
    assert_eq!(promise.wait().unwrap(), 12);
}

fn links_carry_the_reason_both_ways(on: &Systems) {
    for first_ends in [true, false] {
        let (a, b) = (sleeper(on), sleeper(on));
        let (a_pid, b_pid) = (a.pid(), b.pid());
        let (ready, is_ready) = channel::unbounded();
        let (monitored, also_ready) = (ready.clone(), [a_pid.clone(), b_pid.clone()]);
        let seen = observer(on, move |me| {
            for pid in &also_ready {
                me.monitor(pid);
            }
            monitored.try_send(()).unwrap();
        });
        // Linked through a third that is linked to both, many times over: there is one link.
        let linker = builder(on).spawn(async move |mut me: Process<()>| {
            for _ in 0..3 {
                me.link(&a_pid);
                me.link(&b_pid);
            }
            ready.try_send(()).unwrap();
            me.receive().await;
        });
        let linker = linker.unwrap();
        (0..2).for_each(|_| next(&is_ready));
        let victim = if first_ends { &a } else { &b };
        victim.exit(ExitReason::other("storm"));
        let mut both = [next(&seen), next(&seen)];
        both.sort();
        assert_eq!(both, ["down storm", "down storm"]);
        eventually("the linker has ended, too", || linker.is_closed());
    }
}

fn monitors_stack_and_tell_the_reason(on: &Systems) {
    let target = sleeper(on);
    let pid = target.pid();
    let (tx, rx) = channel::unbounded::<(MonitorRef, MonitorRef, ExitReason)>();
    let (ready, is_ready) = channel::oneshot();
    let body = async move |mut me: Process<()>| {
        let (one, two) = (me.monitor(&pid), me.monitor(&pid));
        assert_ne!(one, two);
        ready.send(()).unwrap();
        for own in [one, two] {
            let is_own = |event: &Event<()>| matches!(event, Event::Down(down) if down.monitor == own);
            let Event::Down(down) = me.receive_match(is_own).await else { unreachable!() };
            assert_eq!(down.from, pid);
            tx.send((own, down.monitor, down.reason)).await.unwrap();
        }
    };
    builder(on).spawn(body).unwrap();
    is_ready.wait().unwrap();
    target.exit(ExitReason::Shutdown);
    for _ in 0..2 {
        let (own, told, reason) = next(&rx);
        assert_eq!(own, told);
        assert_eq!(reason, ExitReason::Shutdown);
    }
}

fn questions_fail_when_the_process_ends(on: &Systems) {
    // Never received, received and dropped just before the end, and asked after it.
    let process = builder(on).spawn(async |mut me: Process<Double>| {
        let held = me.receive().await;
        time::sleep(Duration::from_millis(10)).await;
        drop(held);
        me.exit(&me.pid(), ExitReason::other("tired"));
    });
    let process = process.unwrap();
    let dropped = process.try_ask(|reply| Double(1, reply)).unwrap();
    let queued = process.try_ask(|reply| Double(2, reply)).unwrap();
    let expected = ExitReason::other("tired");
    assert!(matches!(dropped.wait(), Err(Failure::NoProcess(reason)) if reason == expected));
    assert!(matches!(queued.wait(), Err(Failure::NoProcess(reason)) if reason == expected));
    let late = process.ask(|reply| Double(3, reply)).wait();
    assert!(matches!(late, Err(Failure::NoProcess(reason)) if reason == expected));
    let clumsy = builder(on).spawn(async |mut me: Process<Double>| {
        let _held = me.receive().await;
        panic!("dropped it");
    });
    let broken = clumsy.unwrap().ask(|reply| Double(1, reply)).wait();
    assert!(matches!(broken, Err(Failure::NoProcess(ExitReason::Panicked(_)))), "{broken:?}");
    let silent = builder(on).spawn(async |mut me: Process<Double>| {
        let held = me.receive().await;
        me.receive().await;
        drop(held);
    });
    let silent = silent.unwrap();
    let slow = silent.ask(|reply| Double(1, reply)).timeout(Duration::from_millis(5)).wait();
    assert!(matches!(slow, Err(Failure::TimedOut)));
    let killed = silent.try_ask(|reply| Double(2, reply)).unwrap();
    silent.exit(ExitReason::Kill);
    let killed = killed.wait();
    // It may have received the question and dropped it, and have come to its own end.
    let ended = matches!(killed, Err(Failure::NoProcess(ExitReason::Killed | ExitReason::Normal)));
    assert!(ended, "{killed:?}");
}

fn normal_is_ignored_unless_trapped(on: &Systems) {
    let plain = sleeper(on);
    plain.exit(ExitReason::Normal);
    assert!(plain.pid().is_alive_here());
    let (tx, rx) = channel::unbounded();
    let trapping = builder(on).trap_exit(true).spawn(async move |mut me: Process<()>| {
        assert!(me.trap_exit(true));
        tx.send(told(me.receive().await)).await.unwrap();
        me.trap_exit(false);
        me.receive().await;
    });
    let trapping = trapping.unwrap();
    trapping.exit(ExitReason::Normal);
    assert_eq!(next(&rx), "exit normal");
    plain.exit(ExitReason::Kill);
    trapping.exit(ExitReason::Kill);
}

fn kill_cannot_be_trapped_and_is_seen_as_killed(on: &Systems) {
    let stubborn = far(on).trap_exit(true).spawn(async |mut me: Process<()>| {
        loop {
            me.receive().await;
        }
    });
    let pid = stubborn.unwrap().pid();
    let (ready, is_ready) = channel::oneshot();
    let target = pid.clone();
    let seen = observer(on, move |me| {
        me.link(&target);
        me.monitor(&target);
        ready.send(()).unwrap();
    });
    is_ready.wait().unwrap();
    pid.exit(ExitReason::Kill);
    let mut both = [next(&seen), next(&seen)];
    both.sort();
    assert_eq!(both, ["down killed", "exit killed"]);
    // As a reason that a body returns, it is one like any other: it can be trapped.
    let seen = observer(on, move |me| {
        me.spawn_link(async |_: Process<()>| ExitReason::Kill).unwrap();
    });
    assert_eq!(next(&seen), "exit kill");
}

fn a_link_to_nobody_is_news_of_no_process(on: &Systems) {
    let gone = builder(on).spawn(async |_: Process<()>| ()).unwrap();
    eventually("it has ended", || !gone.pid().is_alive_here());
    let pid = gone.pid();
    let seen = observer(on, move |me| {
        me.link(&me.pid());
        me.link(&pid);
        me.monitor(&pid);
        me.monitor(&Pid::nobody());
    });
    assert_eq!(next(&seen), "exit no such process");
    assert_eq!(next(&seen), "down no such process");
    assert_eq!(next(&seen), "down no such process");
    let pid = gone.pid();
    let ended = builder(on).spawn(async move |mut me: Process<()>| {
        me.link(&pid);
        me.receive().await;
    });
    let ended = ended.unwrap();
    eventually("who does not trap has ended", || ended.is_closed());
}

fn nothing_comes_through_a_link_that_was_taken_back(on: &Systems) {
    let target = sleeper(on);
    let pid = target.pid();
    let (ready, is_ready) = channel::oneshot();
    let seen = observer(on, move |me| {
        me.link(&pid);
        me.link(&pid);
        me.unlink(&pid);
        let monitor = me.monitor(&pid);
        assert!(me.demonitor(monitor));
        assert!(!me.demonitor(monitor));
        me.monitor(&pid);
        ready.send(()).unwrap();
    });
    is_ready.wait().unwrap();
    target.exit(ExitReason::Shutdown);
    assert_eq!(next(&seen), "down shutdown");
    std::thread::sleep(Duration::from_millis(5));
    assert!(seen.try_recv().is_err());
}

fn a_monitor_that_is_flushed_leaves_nothing(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let process = builder(on).spawn(async move |mut me: Process<u32>| {
        let monitor = me.monitor(&Pid::nobody());
        assert!(!me.demonitor_flush(monitor), "its event had come");
        let monitor = me.monitor(&Pid::nobody());
        me.try_receive_match(|_| false);
        assert!(!me.demonitor_flush(monitor), "also where a selective receive has left it");
        assert!(me.try_receive().is_none());
        tx.send(()).await.unwrap();
    });
    process.unwrap();
    next(&rx);
}

fn every_end_has_its_reason(on: &Systems) {
    let seen = observer(on, |me| {
        me.spawn_link(async |_: Process<()>| {}).unwrap();
    });
    assert_eq!(next(&seen), "exit normal");
    let seen = observer(on, |me| {
        me.spawn_link(async |_: Process<()>| Err::<(), _>("no tea")).unwrap();
    });
    assert_eq!(next(&seen), "exit failed: no tea");
    let seen = observer(on, |me| {
        me.spawn_link(async |_: Process<()>| {
            if true {
                panic!("no milk")
            }
        })
        .unwrap();
    });
    assert_eq!(next(&seen), "exit panicked: no milk");
    let seen = observer(on, |me| {
        Builder::<()>::new()
            .spawn_link_fn(me, |_| {
                if true {
                    panic!("no sugar")
                }
            })
            .unwrap();
    });
    assert_eq!(next(&seen), "exit panicked: no sugar");
    // The destructor of what the body held.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("no cup");
        }
    }
    let seen = observer(on, |me| {
        me.spawn_link(async |_: Process<()>| {
            let bomb = Bomb;
            task::current().unwrap().cancel();
            std::future::pending::<()>().await;
            drop(bomb);
        })
        .unwrap();
    });
    assert_eq!(next(&seen), "exit panicked: no cup");
    let seen = observer(on, |me| {
        me.spawn_link(async |_: Process<()>| {
            task::current().unwrap().cancel();
            std::future::pending::<()>().await;
        })
        .unwrap();
    });
    assert_eq!(next(&seen), "exit shutdown");
}

fn a_child_is_related_before_its_first_step(on: &Systems) {
    let seen = observer(on, |me| {
        for _ in 0..50 {
            me.spawn_link(async |_: Process<()>| ExitReason::Shutdown).unwrap();
            me.spawn_monitor(async |_: Process<()>| ExitReason::Shutdown).unwrap();
        }
    });
    let mut ends: Vec<_> = (0..100).map(|_| next(&seen)).collect();
    ends.sort();
    ends.dedup();
    assert_eq!(ends, ["down shutdown", "exit shutdown"]);
}

fn a_process_can_end_itself(on: &Systems) {
    for reason in [ExitReason::Normal, ExitReason::other("enough")] {
        let after = Arc::new(AtomicBool::new(false));
        let (seen_after, own) = (Arc::clone(&after), reason.clone());
        let seen = observer(on, move |me| {
            me.spawn_link(async move |me: Process<()>| {
                me.exit(&me.pid(), own);
                seen_after.store(true, Ordering::SeqCst);
            })
            .unwrap();
        });
        assert_eq!(next(&seen), format!("exit {reason}"));
        assert!(!after.load(Ordering::SeqCst), "it has gone on");
    }
}

fn a_blocked_process_unwinds(on: &Systems) {
    let dropped = Signal::new();
    let guard = dropped.on_drop();
    let (ready, is_ready) = channel::oneshot();
    let blocked = builder(on).spawn_fn(move |mut me: Process<()>| {
        let _guard = guard;
        ready.send(()).unwrap();
        me.receive().wait();
    });
    is_ready.wait().unwrap();
    let pid = blocked.unwrap().pid();
    let seen = observer(on, {
        let pid = pid.clone();
        move |me| {
            me.monitor(&pid);
        }
    });
    pid.exit(ExitReason::Shutdown);
    let text = next(&seen);
    assert!(["down shutdown", "down no such process"].contains(&&*text), "{text}");
    eventually("what it held is dropped", || dropped.count() == 1);
}

fn a_timer_sends_later_unless_cancelled(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let body = async move |mut me: Process<u32>| {
        let target = me.me();
        let never = me.send_after(Duration::from_millis(10), &target, 1);
        let start = Instant::now();
        drop(me.send_after(Duration::from_millis(30), &target, 3));
        drop(me.send_after(Duration::from_millis(15), &target, 2));
        assert!(never.is_pending() && never.cancel() && !never.cancel());
        drop(me.send_after(Duration::ZERO, &target, 0));
        for expected in [0, 2, 3] {
            assert_eq!(me.receive().await.message(), Some(expected));
        }
        tx.send(start.elapsed()).await.unwrap();
    };
    builder(on).capacity(1).spawn(body).unwrap();
    assert!(next(&rx) >= Duration::from_millis(30));
}

fn a_timer_keeps_no_process_alive(on: &Systems) {
    let dropped = Signal::new();
    let process = builder(on).spawn(async |_: Process<Box<dyn Send>>| ()).unwrap();
    eventually("it has ended", || process.is_closed());
    let timer = process.send_after(Duration::from_millis(10), Box::new(dropped.on_drop()));
    drop(process);
    eventually("the message is dropped when it is due", || dropped.count() == 1);
    assert!(!timer.cancel());
}

fn a_shutdown_is_the_reason_of_those_that_were_running(on: &Systems) {
    let system = on.here().kind().build();
    let (ready, is_ready) = channel::unbounded::<()>();
    let processes: Vec<ProcessRef<()>> = (0..4)
        .map(|n| {
            let ready: Sender<()> = ready.clone();
            let options = Builder::new().on(system.backend());
            match n % 2 {
                0 => options.spawn(async move |mut me: Process<()>| {
                    ready.send(()).await.unwrap();
                    me.receive().await;
                }),
                _ => options.spawn_fn(move |mut me: Process<()>| {
                    ready.send(()).wait().unwrap();
                    me.receive().wait();
                }),
            }
            .unwrap()
        })
        .collect();
    (0..4).for_each(|_| next(&is_ready));
    let pids: Vec<_> = processes.iter().map(ProcessRef::pid).collect();
    let (tied, is_tied) = channel::oneshot();
    let (tx, seen) = channel::unbounded();
    // It lives elsewhere: on a thread of the test's own.
    let home = twoply_native::Native::new();
    let body = async move |mut me: Process<()>| {
        for pid in &pids {
            me.monitor(pid);
        }
        tied.send(()).unwrap();
        for _ in 0..4 {
            tx.send(told(me.receive().await)).await.unwrap();
        }
    };
    Builder::new().on(home.spawner().backend()).spawn(body).unwrap();
    is_tied.wait().unwrap();
    system.shutdown(Duration::from_secs(20)).unwrap();
    for _ in 0..4 {
        assert_eq!(next(&seen), "down shutdown");
    }
}

fn nobody_sends_to_a_process_that_was_told_to_end(on: &Systems) {
    let (ready, is_ready) = channel::oneshot();
    let gate = Gate::new();
    let busy = gate.clone();
    let process = builder(on).spawn_fn(move |_: Process<u32>| {
        ready.send(()).unwrap();
        // It computes, and does not wait.
        while !busy.is_open() {
            std::thread::yield_now();
        }
    });
    let process = process.unwrap();
    if on.here().kind().workers() != 1 || !on.here().kind().is_green() {
        is_ready.wait().unwrap();
    }
    process.try_send(1).unwrap();
    process.exit(ExitReason::Shutdown);
    assert!(!process.pid().is_alive_here());
    assert!(matches!(process.try_send(2), Err(TrySendError::Closed(2))));
    gate.open();
}
