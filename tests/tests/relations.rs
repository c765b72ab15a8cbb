//! Links and monitors when many things happen at once.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{
    Builder, Event, ExitReason, Group, Membership, MonitorRef, Pid, Process, ProcessRef,
};
use twoply_core::future::yield_now;
use twoply_core::time::sleep;
use twoply_tests::differential::generate::Random;
use twoply_tests::{
    Gate, Kind, Signal, System, Systems, all_are_over, eventually, laws, run_trapping, start, start_idle,
};

laws! {
    and_mixed {
        nothing_comes_through_a_link_that_was_taken_back,
        who_links_to_the_dying_hears_of_it_once,
        a_monitor_says_one_thing_or_was_taken_back,
        a_thousand_linked_processes_die_of_one,
        a_ring_of_links_dies_of_one_and_tells_each_once,
        of_two_reasons_each_process_dies_of_one,
        who_links_and_unlinks_at_random_neither_hangs_nor_leaks,
    }
    everywhere {
        monitors_tell_of_an_end_in_their_order,
        children_hear_of_an_end_before_the_parent_does,
    }
}

/// The reason of the next event, which is to be the end of `of`.
fn end_of(me: &mut Process<()>, of: &Pid) -> ExitReason {
    match me.receive().wait() {
        Event::Exit(exit) if exit.from == *of => exit.reason,
        Event::Down(down) if down.from == *of => down.reason,
        other => panic!("not the end of {of}: {other:?}"),
    }
}

/// Victims die at about the time at which links to them are taken back.
fn nothing_comes_through_a_link_that_was_taken_back(on: &Systems) {
    const ROUNDS: usize = 200;
    let (ready, killer) = (Signal::new(), Killer::new());
    // Each victim has others to tell first, so that its end takes a while.
    let others: Vec<_> = (0..40).map(|_| start_trapping_idle(on.there())).collect();
    let pids: Vec<_> = others.iter().map(ProcessRef::pid).collect();
    let victims: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let (pids, ready) = (pids.clone(), ready.clone());
            let body = async move |mut me: Process<()>| {
                pids.iter().for_each(|pid| me.link(pid));
                ready.add();
                me.receive().await;
            };
            Builder::new().on(on.there().backend()).spawn(body).expect("it starts")
        })
        .collect();
    eventually("all are linked", || ready.count() == ROUNDS);
    run_trapping(on.here(), move |mut me| {
        let mut random = Random::new(3);
        for victim in &victims {
            let pid = victim.pid();
            me.link(&pid);
            killer.kill(victim);
            eventually("it is doomed", || !pid.is_alive_here());
            (0..random.below(3000)).for_each(|_| std::hint::spin_loop());
            me.unlink(&pid);
            // What has come stays; what has not does not come any more.
            if let Some(event) = me.try_receive() {
                assert!(matches!(&event, Event::Exit(exit) if exit.from == pid), "late: {event:?}");
            }
        }
        sleep(Duration::from_millis(5)).wait();
        assert!(me.try_receive().is_none(), "something comes through a link that was taken back");
    });
    others.iter().for_each(|other| other.exit(ExitReason::Kill));
    all_are_over(on);
}

/// Starts a process that hears of ends and takes no notice.
fn start_trapping_idle(on: &System) -> ProcessRef<()> {
    let body = async |mut me: Process<()>| while !me.receive().await.is_message() {};
    Builder::new().trap_exit(true).on(on.backend()).spawn(body).expect("it starts")
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
    let victims: Vec<_> = (0..ROUNDS).map(|_| start_idle(on.there())).collect();
    run_trapping(on.here(), move |mut me| {
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
    let victims: Vec<_> = (0..ROUNDS).map(|_| start_idle(on.there())).collect();
    run_trapping(on.here(), move |mut me| {
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
        (0..many(on)).map(|n| start_idle(if n % 2 == 0 { on.here() } else { on.there() })).collect();
    let (gate, linked) = (Gate::new(), Signal::new());
    let (opened, all, pids) =
        (gate.opened(), linked.clone(), others.iter().map(ProcessRef::pid).collect::<Vec<_>>());
    let hub = start(on.here(), move |me| {
        pids.iter().for_each(|pid| me.link(pid));
        all.add();
        opened.wait();
        panic!("expected: the hub");
    });
    eventually("all are linked", || linked.count() == 1);
    let watched = others[17].pid();
    let hub_pid = hub.pid();
    let reasons = run_trapping(on.there(), move |mut me| {
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
        start(system, move |mut me| {
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
    let closing = start(on.there(), move |me| {
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
            members.push(start(if n % 2 == 0 { on.here() } else { on.there() }, move |me| {
                before.iter().for_each(|pid| me.link(pid));
                linked.add();
                pending::<()>().wait();
            }));
        }
        eventually("all are linked", || ready.count() == MEMBERS);
        run_trapping(on.here(), move |mut me| {
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
    let cell = Arc::new(OnceLock::new());
    let read = Arc::clone(&cell);
    (
        move |pids| drop(cell.set(pids)),
        move || read.get().cloned().expect("it is given before the gate opens"),
    )
}

fn monitors_tell_of_an_end_in_their_order(on: &Systems) {
    for count in [3, 50] {
        let victim = start_idle(on.here());
        run_trapping(on.here(), move |mut me| {
            let monitors: Vec<_> = (0..count).map(|_| me.monitor(&victim.pid())).collect();
            victim.exit(ExitReason::Shutdown);
            for monitor in monitors {
                let event = me.receive().wait();
                assert!(matches!(&event, Event::Down(down) if down.monitor == monitor), "{event:?}");
            }
        });
    }
}

/// Nobody traps exits, so that all have left the group when they have been told.
fn children_hear_of_an_end_before_the_parent_does(on: &Systems) {
    for count in [3, 50] {
        let (room, ready) = (Group::new(), Signal::new());
        let (_, news) = room.watch();
        let backend = Arc::clone(on.there().backend());
        let (guests, is_ready) = (room.clone(), ready.clone());
        let victim = async move |mut me: Process<()>| {
            for _ in 0..count {
                let child =
                    Builder::new().on(&backend).spawn_link(&me, async |_: Process<()>| pending::<()>().await);
                guests.join(&child.unwrap());
            }
            is_ready.add();
            me.receive().await;
        };
        let (backend, guests) = (Arc::clone(on.here().backend()), room.clone());
        let parent = start(on.here(), move |mut me| {
            guests.join(&me.me());
            let victim = Builder::new().on(&backend).spawn_link(&me, victim).unwrap();
            me.receive().wait();
            victim.exit(ExitReason::other("tired"));
            me.receive().wait();
        });
        eventually("all are linked", || ready.count() == 1);
        parent.try_send(()).unwrap();
        let told = || news.recv().wait().unwrap();
        let mut joined: Vec<_> = (0..=count).map(|_| told().pid()).collect();
        assert_eq!(joined[0], parent.pid());
        joined.reverse();
        let left: Vec<_> = (0..=count).map(|_| told()).collect();
        assert!(left.iter().all(|news| matches!(news, Membership::Left(_))), "{left:?}");
        assert!(left.iter().map(Membership::pid).eq(joined));
    }
}
