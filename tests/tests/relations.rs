//! Links and monitors when many things happen at once, and processes whose end is not an ordinary one.

use std::collections::HashMap;
use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{Builder, Event, ExitReason, MonitorRef, Pid, Process, ProcessRef};
use twoply_core::future::yield_now;
use twoply_core::time::sleep;
use twoply_tests::differential::generate::Random;
use twoply_tests::{Gate, Kind, Signal, System, Systems, eventually, laws};

laws! {
    and_mixed {
        nothing_comes_through_a_link_that_was_taken_back,
        who_links_to_the_dying_hears_of_it_once,
        a_monitor_says_one_thing_or_was_taken_back,
        a_thousand_linked_processes_die_of_one,
        a_ring_of_links_dies_of_one_and_tells_each_once,
        of_two_reasons_each_process_dies_of_one,
        who_links_and_unlinks_at_random_neither_hangs_nor_leaks,
        a_process_that_blocks_can_be_killed,
        a_shutdown_ends_processes_and_tells_others,
    }
    everywhere {
        a_process_that_was_killed_before_it_ran_never_runs,
        a_process_that_panics_while_it_is_dropped_still_tells,
        messages_that_panic_while_they_are_dropped_keep_nobody_from_hearing,
        a_child_of_a_doomed_parent_dies_with_it,
        a_process_that_cannot_be_started_is_nobody,
    }
    green { a_hundred_thousand_idle_processes_fit }
}

/// Starts a process that nobody sends anything but signals.
fn spawn<F>(on: &System, body: F) -> ProcessRef<()>
where
    F: FnOnce(Process<()>) + Send + 'static,
{
    Builder::new().on(on.backend()).spawn_fn(body).expect("it starts")
}

/// Starts a process that waits until it is ended.
fn idle(on: &System) -> ProcessRef<()> {
    let body = async |mut me: Process<()>| {
        me.receive().await;
    };
    Builder::new().on(on.backend()).spawn(body).expect("it starts")
}

/// Runs straight-line code as a process that traps exits, and returns what it returns.
fn trapping<R: Send + 'static>(on: &System, body: impl FnOnce(Process<()>) -> R + Send + 'static) -> R {
    let (result, done) = mpsc::channel();
    let body = move |me| {
        let _ = result.send(body(me));
    };
    Builder::new().trap_exit(true).on(on.backend()).spawn_fn(body).expect("it starts");
    done.recv().expect("the process ends well")
}

/// The reason of the next event, which is to be the end of `of`.
fn end_of(me: &mut Process<()>, of: &Pid) -> ExitReason {
    match me.receive().wait() {
        Event::Exit(exit) if exit.from == *of => exit.reason,
        Event::Down(down) if down.from == *of => down.reason,
        other => panic!("not the end of {of}: {other:?}"),
    }
}

fn all_are_over(on: &Systems) {
    eventually("all are over", || on.here().tasks() == 0 && on.there().tasks() == 0);
}

/// Victims die at about the time at which links to them are taken back.
fn nothing_comes_through_a_link_that_was_taken_back(on: &Systems) {
    const ROUNDS: usize = 150;
    let killer = Killer::new();
    let victims: Vec<_> = (0..ROUNDS).map(|_| idle(on.there())).collect();
    let late = trapping(on.here(), move |mut me| {
        let mut random = Random::new(3);
        for victim in &victims {
            let pid = victim.pid();
            me.link(&pid);
            killer.kill(victim);
            dawdle(&mut random);
            me.unlink(&pid);
            // What has come stays; what has not does not come any more.
            while me.try_receive().is_some() {}
            eventually("it is dead", || !pid.is_alive_here());
        }
        drop(killer);
        sleep(Duration::from_millis(5)).wait();
        me.try_receive().map(|event| format!("{event:?}"))
    });
    assert_eq!(late, None);
    all_are_over(on);
}

/// Kills whom it is told to, so that it happens while the teller goes on.
struct Killer(mpsc::Sender<ProcessRef<()>>);

impl Killer {
    fn new() -> Killer {
        let (tell, told) = mpsc::channel::<ProcessRef<()>>();
        // A thread of its own: where there is one worker, a task would not run at the same time.
        std::thread::spawn(move || {
            told.iter().for_each(|victim| victim.exit(ExitReason::other("killed here")))
        });
        Killer(tell)
    }

    fn kill(&self, victim: &ProcessRef<()>) {
        self.0.send(victim.clone()).expect("the killer lives as long as this");
    }
}

/// Takes a random short time.
fn dawdle(random: &mut Random) {
    match random.below(4) {
        0 => yield_now().wait(),
        1 => (0..random.below(200)).for_each(|_| std::hint::spin_loop()),
        2 => sleep(Duration::from_micros(random.below(60) as u64)).wait(),
        _ => {}
    }
}

fn who_links_to_the_dying_hears_of_it_once(on: &Systems) {
    const ROUNDS: usize = 150;
    let killer = Killer::new();
    let victims: Vec<_> = (0..ROUNDS).map(|_| idle(on.there())).collect();
    trapping(on.here(), move |mut me| {
        let mut random = Random::new(4);
        for victim in &victims {
            let pid = victim.pid();
            killer.kill(victim);
            dawdle(&mut random);
            me.link(&pid);
            let reason = end_of(&mut me, &pid);
            assert!(
                reason == ExitReason::NoProcess || reason == ExitReason::other("killed here"),
                "{reason:?}"
            );
        }
        sleep(Duration::from_millis(5)).wait();
        assert!(me.try_receive().is_none(), "nobody dies twice");
    });
    all_are_over(on);
}

fn a_monitor_says_one_thing_or_was_taken_back(on: &Systems) {
    const ROUNDS: usize = 150;
    let killer = Killer::new();
    let victims: Vec<_> = (0..ROUNDS).map(|_| idle(on.there())).collect();
    trapping(on.here(), move |mut me| {
        let mut random = Random::new(5);
        // How many ends each monitor still has to tell.
        let mut open: HashMap<MonitorRef, usize> = HashMap::new();
        for victim in &victims {
            let pid = victim.pid();
            let monitors = [me.monitor(&pid), me.monitor(&pid)];
            killer.kill(victim);
            dawdle(&mut random);
            let late = me.monitor(&pid);
            for monitor in monitors.into_iter().chain([late]) {
                match random.below(3) {
                    0 => drop(open.insert(monitor, usize::from(!me.demonitor(monitor)))),
                    1 => {
                        me.demonitor_flush(monitor);
                        open.insert(monitor, 0);
                    }
                    _ => drop(open.insert(monitor, 1)),
                }
            }
        }
        while open.values().any(|left| *left > 0) {
            let Event::Down(down) = me.receive().wait() else { panic!("nobody is linked") };
            let left = open.get_mut(&down.monitor).expect("it was made here");
            assert_eq!(std::mem::take(left), 1, "it was taken back, or has spoken: {down:?}");
        }
        sleep(Duration::from_millis(5)).wait();
        assert!(me.try_receive().is_none(), "a monitor that was taken back says nothing");
    });
    all_are_over(on);
}

/// How many processes storms are made of: each is a thread on the native system.
fn many(on: &Systems) -> usize {
    let native = |kind| kind == Kind::Native;
    if native(on.here().kind()) || native(on.there().kind()) { 200 } else { 1000 }
}

fn a_thousand_linked_processes_die_of_one(on: &Systems) {
    let others: Vec<_> =
        (0..many(on)).map(|n| idle(if n % 2 == 0 { on.here() } else { on.there() })).collect();
    let (gate, linked) = (Gate::new(), Signal::new());
    let (opened, all, pids) =
        (gate.opened(), linked.clone(), others.iter().map(ProcessRef::pid).collect::<Vec<_>>());
    let hub = spawn(on.here(), move |me| {
        pids.iter().for_each(|pid| me.link(pid));
        all.add();
        opened.wait();
        panic!("expected: the hub");
    });
    eventually("all are linked", || linked.count() == 1);
    let watched = others[17].pid();
    let hub_pid = hub.pid();
    let reasons = trapping(on.there(), move |mut me| {
        me.monitor(&hub_pid);
        me.monitor(&watched);
        gate.open();
        [me.receive().wait(), me.receive().wait()].map(|event| match event {
            Event::Down(down) => down.reason,
            other => panic!("{other:?}"),
        })
    });
    assert_eq!(reasons[0], reasons[1]);
    assert!(
        matches!(&reasons[0], ExitReason::Panicked(text) if text.contains("expected: the hub")),
        "{reasons:?}"
    );
    all_are_over(on);
    assert!(others.iter().all(ProcessRef::is_closed));
}

fn a_ring_of_links_dies_of_one_and_tells_each_once(on: &Systems) {
    let number = many(on) / 2;
    let (told, ready, gate) = (Signal::new(), Signal::new(), Gate::new());
    let trapper = |system: &System, next: Option<Pid>| {
        let (told, ready) = (told.clone(), ready.clone());
        spawn(system, move |mut me| {
            next.iter().for_each(|next| me.link(next));
            // Every other one traps, and dies of what it hears.
            me.trap_exit(true);
            ready.add();
            let Event::Exit(exit) = me.receive().wait() else { panic!("nobody is monitored") };
            told.add();
            me.trap_exit(false);
            let myself = me.pid();
            me.exit(&myself, exit.reason);
        })
    };
    let first = trapper(on.here(), None);
    let mut last = first.clone();
    for n in 1..number {
        last = trapper(if n % 2 == 0 { on.here() } else { on.there() }, Some(last.pid()));
    }
    let (opened, first, last) = (gate.opened(), first.pid(), last.pid());
    let closing = spawn(on.there(), move |me| {
        me.link(&first);
        me.link(&last);
        opened.wait();
    });
    eventually("all are linked", || ready.count() == number);
    gate.open();
    drop(closing);
    all_are_over(on);
    // It ended normally, which says nothing to those who do not trap; all others trap.
    assert_eq!(told.count(), number);
}

/// Everybody is linked with everybody, and two are killed at the same time for different reasons.
fn of_two_reasons_each_process_dies_of_one(on: &Systems) {
    const MEMBERS: usize = 12;
    for round in 0..10 {
        let ready = Signal::new();
        let mut members: Vec<ProcessRef<()>> = Vec::new();
        for n in 0..MEMBERS {
            let (before, linked) = (members.iter().map(ProcessRef::pid).collect::<Vec<_>>(), ready.clone());
            members.push(spawn(if n % 2 == 0 { on.here() } else { on.there() }, move |me| {
                before.iter().for_each(|pid| me.link(pid));
                linked.add();
                pending::<()>().wait();
            }));
        }
        eventually("all are linked", || ready.count() == MEMBERS);
        trapping(on.here(), move |mut me| {
            let mut watched: HashMap<Pid, MonitorRef> =
                members.iter().map(|member| (member.pid(), me.monitor(&member.pid()))).collect();
            let killers = [("one", round), ("other", MEMBERS - 1 - round)].map(|(reason, victim)| {
                let victim = members[victim].clone();
                std::thread::spawn(move || victim.exit(ExitReason::other(reason)))
            });
            killers.into_iter().for_each(|killer| killer.join().expect("it only sends a signal"));
            while !watched.is_empty() {
                let Event::Down(down) = me.receive().wait() else { panic!("nobody is linked to this one") };
                assert_eq!(watched.remove(&down.from), Some(down.monitor), "it ends once");
                assert!(["one", "other"].contains(&down.reason.to_string().as_str()), "{down:?}");
            }
        });
        all_are_over(on);
    }
}

/// What is left of processes that have been related in all ways is nothing: no task, no mailbox.
fn who_links_and_unlinks_at_random_neither_hangs_nor_leaks(on: &Systems) {
    const MEMBERS: u64 = 10;
    let (freed, done, gate) = (Signal::new(), Signal::new(), Gate::new());
    let (tell, told) = once();
    let members: Vec<ProcessRef<Vec<Pid>>> = (0..MEMBERS)
        .map(|n| {
            let (guard, done, opened, told) = (freed.on_drop(), done.clone(), gate.opened(), told.clone());
            let system = if n % 2 == 0 { on.here() } else { on.there() };
            let builder = Builder::new().trap_exit(true).on(system.backend());
            let builder = builder.on_undelivered(move |_| _ = &guard);
            let body = async move |mut me: Process<Vec<Pid>>| {
                opened.await;
                let pids: Vec<Pid> = told();
                let mut random = Random::new(n);
                let mut monitors = Vec::new();
                for _ in 0..400 {
                    let other = &pids[random.below(pids.len())];
                    match random.below(8) {
                        0 | 1 => me.link(other),
                        2 | 3 => me.unlink(other),
                        4 => monitors.push(me.monitor(other)),
                        5 => drop(monitors.pop().map(|monitor| me.demonitor_flush(monitor))),
                        6 => drop(me.try_receive()),
                        _ => yield_now().await,
                    }
                }
                done.add();
                // Whoever hears of an end now ends, too.
                me.trap_exit(false);
                pending::<()>().await;
            };
            builder.spawn(body).expect("it starts")
        })
        .collect();
    tell(members.iter().map(ProcessRef::pid).collect());
    gate.open();
    eventually("all are done", || done.count() == MEMBERS as usize);
    members.iter().for_each(|member| member.exit(ExitReason::Kill));
    drop((members, tell, told));
    all_are_over(on);
    eventually("all mailboxes are gone", || freed.count() == MEMBERS as usize);
}

/// A value that is given once and taken by many.
fn once() -> (impl Fn(Vec<Pid>), impl Fn() -> Vec<Pid> + Clone + Send + 'static) {
    let cell = std::sync::Arc::new(std::sync::OnceLock::new());
    let read = cell.clone();
    (
        move |pids| drop(cell.set(pids)),
        move || read.get().cloned().expect("it is given before the gate opens"),
    )
}

fn a_process_that_blocks_can_be_killed(on: &Systems) {
    let ways: [fn(&mut Process<()>); 6] = [
        |me| drop(me.receive().wait()),
        |me| drop(me.receive_match(|_| false).wait()),
        |me| drop(me.receive_timeout(Duration::from_secs(1000)).wait()),
        |_| pending::<()>().wait(),
        |_| sleep(Duration::from_secs(1000)).wait(),
        // A wait inside of a poll inside of a wait.
        |me| std::future::poll_fn(|_| std::task::Poll::Ready(drop(me.receive().wait()))).wait(),
    ];
    let (all_started, unwound) = (Signal::new(), Signal::new());
    let mut victims = Vec::new();
    for way in ways {
        for system in [on.here(), on.there()] {
            let (started, guard) = (all_started.clone(), unwound.on_drop());
            victims.push(spawn(system, move |mut me| {
                let _guard = guard;
                me.trap_exit(true);
                started.add();
                way(&mut me);
            }));
            let (started, guard) = (all_started.clone(), unwound.on_drop());
            let body = async move |mut me: Process<()>| {
                let _guard = guard;
                me.trap_exit(true);
                started.add();
                way(&mut me);
            };
            victims.push(Builder::new().on(system.backend()).spawn(body).expect("it starts"));
        }
    }
    let number = victims.len();
    eventually("all have started", || all_started.count() == number);
    trapping(on.here(), move |mut me| {
        for victim in &victims {
            let (pid, monitor) = (victim.pid(), me.monitor(&victim.pid()));
            me.exit(&pid, ExitReason::Kill);
            let Event::Down(down) = me.receive().wait() else { panic!("nobody is linked") };
            assert_eq!((down.monitor, down.reason), (monitor, ExitReason::Killed));
        }
    });
    assert_eq!(unwound.count(), number, "all have unwound before anybody was told");
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
    let reason = trapping(on.here(), move |mut me| {
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
    trapping(on.here(), move |mut me| {
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
    let reason = trapping(on.here(), move |mut me| {
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
    let parent = spawn(on.here(), move |me| {
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
    trapping(on.here(), move |mut me| {
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
        idle(on.here()).exit(ExitReason::Kill);
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
        // Without optimisation. A stack for each, or a buffer in each mailbox, would be several times as much.
        assert!(each < 1500, "{each} bytes for each idle process");
        processes[NUMBER / 2].try_send(()).unwrap();
        processes.iter().for_each(|process| process.exit(ExitReason::Shutdown));
        eventually("all are over", || on.here().tasks() == 0);
    });
}
