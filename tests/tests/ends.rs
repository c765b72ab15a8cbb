//! Processes whose end is not an ordinary one: killed while they block or before they run, with destructors
//! that panic, with their backend, with the last reference to what they stand for, by the thousand.

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{
    Builder, Event, ExitReason, Pid, Process, ProcessRef, Registry, Service, ServiceRef, Session,
};
use twoply_core::channel::{self, RecvError};
use twoply_core::future::yield_now;
use twoply_core::time::sleep;
use twoply_tests::{Gate, Signal, Systems, all_are_over, eventually, laws, run_trapping, start, start_idle};

laws! {
    and_mixed {
        a_process_that_blocks_can_be_killed,
        a_shutdown_ends_processes_and_tells_others,
        a_reference_ends_while_its_service_waits_to_be_back,
    }
    everywhere {
        a_process_that_was_killed_before_it_ran_never_runs,
        why_a_process_has_ended_can_be_asked_at_any_time,
        a_process_that_panics_while_it_is_dropped_still_tells,
        messages_that_panic_while_they_are_dropped_keep_nobody_from_hearing,
        a_child_of_a_doomed_parent_dies_with_it,
        a_process_that_cannot_be_started_is_nobody,
    }
    green { a_hundred_thousand_idle_processes_fit }
}

/// The reason of the next event, which is to be the end of `of`.
fn end_of(me: &mut Process<()>, of: &Pid) -> ExitReason {
    match me.receive().wait() {
        Event::Exit(exit) if exit.from == *of => exit.reason,
        Event::Down(down) if down.from == *of => down.reason,
        other => panic!("not the end of {of}: {other:?}"),
    }
}

/// Takes its time to be dropped, and counts that when it is done.
struct Slow(Signal);

impl Drop for Slow {
    fn drop(&mut self) {
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_micros(300) {
            std::hint::spin_loop();
        }
        self.0.add();
    }
}

/// While it lives, when it has been told to end and is on its way out, and when it is over.
fn why_a_process_has_ended_can_be_asked_at_any_time(on: &Systems) {
    type Body = fn(Process<()>) -> ExitReason;
    let ways: [(Body, Option<ExitReason>, ExitReason); 5] = [
        (|_| panic!("expected: a bug"), None, ExitReason::Panicked("expected: a bug".into())),
        (|_| ExitReason::Normal, None, ExitReason::Normal),
        (|_| ExitReason::other("tired"), None, ExitReason::other("tired")),
        (|_| pending().wait(), Some(ExitReason::other("you may go")), ExitReason::other("you may go")),
        (|_| pending().wait(), Some(ExitReason::Kill), ExitReason::Killed),
    ];
    let registry = Registry::new();
    for (body, signal, expected) in ways {
        for straight in [true, false] {
            let (gate, dropped) = (Gate::new(), Signal::new());
            let (opened, slow) = (gate.opened(), Slow(dropped.clone()));
            let builder = Builder::<()>::new().on(on.here().backend());
            let code = move |me: Process<()>, slow: Slow| {
                let _slow = slow;
                body(me)
            };
            let process = match straight {
                true => builder.spawn_fn(move |me| {
                    opened.wait();
                    code(me, slow)
                }),
                false => builder.spawn(async move |me| {
                    opened.await;
                    code(me, slow)
                }),
            };
            let process = process.expect("it starts");
            registry.register("one", &process).expect("nobody has the name");
            let before = process.ended();
            gate.open();
            if let Some(signal) = &signal {
                process.exit(signal.clone());
            }
            // By now it may be on its way out, or over.
            for ended in [process.ended(), process.pid().ended(), before] {
                assert_eq!(ended.wait(), expected, "straight {straight}");
                assert_eq!(dropped.count(), 1, "its body is gone by then");
                assert_eq!(registry.whereis_pid("one"), None, "and its name is free");
            }
            assert_eq!(process.ended().wait(), expected, "the same, however often it is asked");
        }
    }
    assert_eq!(Pid::nobody().ended().wait(), ExitReason::NoProcess);
    all_are_over(on);
}

fn a_process_that_blocks_can_be_killed(on: &Systems) {
    let ways: [fn(&mut Process<()>); 6] = [
        |me| drop(me.receive().wait()),
        |me| drop(me.receive_match(|_| false).wait()),
        |me| drop(me.receive_timeout(Duration::from_secs(1000)).wait()),
        |_| pending::<()>().wait(),
        |_| sleep(Duration::from_secs(1000)).wait(),
        // A wait inside of a poll inside of a wait.
        |me| drop(std::future::poll_fn(|_| std::task::Poll::Ready(me.receive().wait())).wait()),
    ];
    let (all_started, unwound) = (Signal::new(), Signal::new());
    let mut victims = Vec::new();
    for way in ways {
        for system in [on.here(), on.there()] {
            let (started, guard) = (all_started.clone(), Slow(unwound.clone()));
            victims.push(start(system, move |mut me| {
                let _guard = guard;
                me.trap_exit(true);
                started.add();
                way(&mut me);
            }));
            let (started, guard) = (all_started.clone(), Slow(unwound.clone()));
            let body = async move |mut me: Process<()>| {
                let _guard = guard;
                me.trap_exit(true);
                started.add();
                way(&mut me);
            };
            victims.push(Builder::new().on(system.backend()).spawn(body).expect("it starts"));
        }
    }
    for system in [on.here(), on.there()] {
        let (started, guard) = (all_started.clone(), Slow(unwound.clone()));
        let body = async move |mut me: Process<()>| {
            let _guard = guard;
            me.trap_exit(true);
            started.add();
            me.receive_match(|_| false).await;
        };
        victims.push(Builder::new().on(system.backend()).spawn(body).expect("it starts"));
    }
    eventually("all have started", || all_started.count() == victims.len());
    run_trapping(on.here(), move |mut me| {
        for (before, victim) in victims.iter().enumerate() {
            let (pid, monitor) = (victim.pid(), me.monitor(&victim.pid()));
            me.exit(&pid, ExitReason::Kill);
            let Event::Down(down) = me.receive().wait() else { panic!("nobody is linked") };
            assert_eq!((down.monitor, down.reason), (monitor, ExitReason::Killed));
            assert_eq!(unwound.count(), before + 1, "it has unwound before anybody is told");
        }
    });
    all_are_over(on);
}

fn a_shutdown_ends_processes_and_tells_others(on: &Systems) {
    let doomed = on.kind().build();
    let (started, dropped) = (Signal::new(), Signal::new());
    let mut victims = Vec::new();
    for n in 0..30 {
        let (started, guard) = (started.clone(), dropped.on_drop());
        let builder = Builder::<()>::new().trap_exit(n % 2 == 0).on(doomed.backend());
        let body = async move |mut me: Process<()>| {
            let _guard = guard;
            started.add();
            while me.receive().await.message().is_none() {}
        };
        let spawned = match n % 3 {
            0 => builder.spawn_fn(move |me| body(me).wait()),
            _ => builder.spawn(body),
        };
        victims.push(spawned.expect("it starts"));
    }
    eventually("all have started", || started.count() == victims.len());
    let number = victims.len();
    let (linked, told) = (Signal::new(), Signal::new());
    let (mark, ready) = (linked.clone(), told.clone());
    let watch = move |mut me: Process<()>| {
        victims.iter().for_each(|victim| me.link(&victim.pid()));
        mark.add();
        for _ in 0..number {
            let Event::Exit(exit) = me.receive().wait() else { panic!("nobody is monitored") };
            assert_eq!(exit.reason, ExitReason::Shutdown);
            ready.add();
        }
    };
    Builder::new().trap_exit(true).on(on.there().backend()).spawn_fn(watch).expect("it starts");
    eventually("all are linked", || linked.count() == 1);
    doomed.shutdown(Duration::from_secs(10)).expect("all of them end");
    assert_eq!((doomed.tasks(), dropped.count()), (0, number));
    eventually("all were told", || told.count() == number);
}

fn a_process_that_was_killed_before_it_ran_never_runs(on: &Systems) {
    let (ran, dropped) = (Signal::new(), Signal::new());
    let (run, guard, alone) = (ran.clone(), dropped.on_drop(), on.kind().workers() == 1);
    let reason = run_trapping(on.here(), move |mut me| {
        let body = async move |_: Process<()>| {
            run.add();
            let _guard = guard;
            pending::<()>().await;
        };
        let (victim, _) = me.spawn_monitor(body).expect("it starts");
        victim.exit(ExitReason::Kill);
        end_of(&mut me, &victim.pid())
    });
    assert_eq!(reason, ExitReason::Killed);
    assert_eq!(dropped.count(), 1, "what it had is gone before anybody is told");
    // With one worker it could not begin before its parent waits.
    assert!(!alone || ran.count() == 0);
}

/// Panics when it is dropped, unless its thread panics already.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "expected: a grenade");
    }
}

fn a_process_that_panics_while_it_is_dropped_still_tells(on: &Systems) {
    let is_panic =
        |reason: &ExitReason| matches!(reason, ExitReason::Panicked(text) if text.contains("a grenade"));
    run_trapping(on.here(), move |mut me| {
        let started = Signal::new();
        let (grenade, mark) = (Grenade, started.clone());
        let body = async move |_: Process<()>| {
            let _grenade = grenade;
            mark.add();
            pending::<()>().await;
        };
        let waiting = me.spawn_link(body).expect("it starts");
        while started.count() == 0 {
            yield_now().wait();
        }
        waiting.exit(ExitReason::other("enough"));
        assert_eq!(end_of(&mut me, &waiting.pid()), ExitReason::other("enough"), "that it was sent");

        let grenade = Grenade;
        let returning = me.spawn_link(async move |_: Process<()>| drop(grenade)).expect("it starts");
        assert!(is_panic(&end_of(&mut me, &returning.pid())));

        let grenade = Grenade;
        let body = move |_: Process<()>| {
            let _grenade = grenade;
        };
        let straight = Builder::new().spawn_link_fn(&me, body).expect("it starts");
        assert!(is_panic(&end_of(&mut me, &straight.pid())));
    });
    all_are_over(on);
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1, "the worker works");
}

fn messages_that_panic_while_they_are_dropped_keep_nobody_from_hearing(on: &Systems) {
    let victim: ProcessRef<Grenade> = Builder::new()
        .on(on.here().backend())
        .spawn(async |mut me: Process<Grenade>| {
            // Fetches them all and takes none.
            me.receive_match(|_| false).await;
        })
        .unwrap();
    for _ in 0..5 {
        assert!(victim.try_send(Grenade).is_ok());
    }
    let pid = victim.pid();
    let reason = run_trapping(on.here(), move |mut me| {
        me.link(&pid);
        yield_now().wait();
        me.exit(&pid, ExitReason::Shutdown);
        end_of(&mut me, &pid)
    });
    assert_eq!(reason, ExitReason::Shutdown);
    all_are_over(on);
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1, "the worker works");
}

/// The parent is told to end while it runs, and starts children before it notices.
fn a_child_of_a_doomed_parent_dies_with_it(on: &Systems) {
    let running = Signal::new();
    let mark = running.clone();
    let (child, children) = mpsc::channel();
    let parent = start(on.here(), move |me| {
        mark.add();
        while me.pid().is_alive_here() {
            std::hint::spin_loop();
        }
        let body = async |mut me: Process<()>| {
            me.receive().await;
        };
        let _ = child.send((me.spawn_link(body), me.spawn_monitor(body)));
    });
    eventually("it runs", || running.count() == 1);
    parent.exit(ExitReason::other("enough"));
    let (linked, monitored) = children.recv().expect("it starts them");
    if let Ok(linked) = linked {
        eventually("the linked child is over", || !linked.pid().is_alive_here());
    }
    if let Ok((monitored, _)) = monitored {
        assert!(monitored.pid().is_alive_here(), "a monitor ends nobody");
        monitored.exit(ExitReason::Kill);
    }
    all_are_over(on);
}

fn a_process_that_cannot_be_started_is_nobody(on: &Systems) {
    let closed = on.kind().build();
    closed.shutdown(Duration::from_secs(10)).unwrap();
    let backend = closed.backend().clone();
    let dropped = Signal::new();
    let guards = [dropped.on_drop(), dropped.on_drop()];
    run_trapping(on.here(), move |mut me| {
        for guard in guards {
            let body = async move |_: Process<()>| drop(guard);
            assert!(Builder::new().on(&backend).spawn_link(&me, body).is_err());
        }
        let body = async |_: Process<()>| ();
        assert!(Builder::new().on(&backend).spawn_monitor(&me, body).is_err());
        assert!(me.receive_timeout(Duration::from_millis(2)).wait().is_none(), "it hears nothing of it");
    });
    assert_eq!(dropped.count(), 2);
}

fn a_hundred_thousand_idle_processes_fit(on: &Systems) {
    const NUMBER: usize = 100_000;
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
    }
    on.alone(|| {
        let started = Signal::new();
        // Whatever is allocated once.
        start_idle(on.here()).exit(ExitReason::Kill);
        let before = resident();
        let processes: Vec<_> = (0..NUMBER)
            .map(|_| {
                let started = started.clone();
                let body = async move |mut me: Process<()>| {
                    started.add();
                    me.receive().await;
                };
                Builder::new().on(on.here().backend()).spawn(body).expect("it starts")
            })
            .collect();
        eventually("all wait", || started.count() == NUMBER);
        let each = resident().saturating_sub(before) / NUMBER;
        println!("{each} bytes each");
        // Without optimisation. A stack for each, or a buffer in each mailbox, would be several times as
        // much.
        assert!(each < 1500, "{each} bytes for each idle process");
        processes[NUMBER / 2].try_send(()).unwrap();
        processes.iter().for_each(|process| process.exit(ExitReason::Shutdown));
        eventually("all are over", || on.here().tasks() == 0);
    });
}

/// A service that goes away and comes back as it is told, and waits in the same session meanwhile.
struct Tidal(channel::Receiver<bool>);

impl Service for Tidal {
    type Message = u32;
    type Error = RecvError;

    async fn serve(&mut self, session: &mut Session<u32>) -> Result<(), RecvError> {
        loop {
            session.present();
            while self.0.recv().await? {
                session.receive().await;
            }
            session.away(ExitReason::NoProcess);
            self.0.recv().await?;
        }
    }
}

fn a_reference_ends_while_its_service_waits_to_be_back(on: &Systems) {
    for round in 0..24 {
        let (tide, tides) = channel::unbounded();
        let service = ServiceRef::builder().on(on.here().backend()).start(Tidal(tides)).unwrap();
        service.presence().wait_for(|state| state.is_present()).wait().unwrap();
        let (ended, queued) = (service.ended(), round % 3);
        (0..queued).for_each(|number| service.try_send(number).unwrap());
        // The last reference goes while the service is there, or beside its going away.
        let kept = (round % 2 == 1).then_some(service);
        tide.try_send(false).unwrap();
        drop(kept);
        if queued > 0 {
            // What is queued is taken by the service that is back, and only then is the reference over.
            (0..=queued).for_each(|_| tide.try_send(true).unwrap());
            tide.try_send(false).unwrap();
        }
        assert_eq!(ended.wait(), ExitReason::Shutdown);
    }
    all_are_over(on);
}
