//! Laws of looking into processes from outside.

use twoply_core::actor::{
    Builder, Event, ExitReason, Pid, Process, ProcessRef, ProcessState, ProcessTable, process_table,
};
use twoply_core::task::{TaskState, WaitingFor, observe};
use twoply_core::{Wait, channel, time};
use twoply_tests::{Gate, Systems, eventually, laws};

laws! {
    and_mixed {
        the_state_of_a_process_is_told,
        relations_are_told_on_both_sides,
        what_a_process_waits_for_is_told,
        every_process_that_waits_is_in_the_table,
    }
    everywhere {
        to_look_changes_nothing,
        a_table_of_processes_is_of_its_backend_and_nothing_else,
        a_process_that_blocks_in_a_poll_is_known_to_an_observer,
    }
}

/// A process that receives until it is told to end.
fn idle(on: &Systems) -> ProcessRef<u32> {
    let body = async |mut me: Process<u32>| while let Event::Message(1..) = me.receive().await {};
    Builder::new().name("idle").capacity(4).on(on.there().backend()).spawn(body).unwrap()
}

/// Waits until `process` is in this state.
fn until(process: &Pid, state: ProcessState) {
    eventually("it comes to that state", || process.info().is_some_and(|info| info.state == state));
}

fn the_state_of_a_process_is_told(on: &Systems) {
    let process = idle(on);
    let pid = process.pid();
    until(&pid, ProcessState::Receiving);
    let info = process.info().unwrap();
    assert_eq!((info.pid.clone(), info.name.as_deref()), (pid.clone(), Some("idle")));
    assert_eq!((info.messages, info.capacity, info.trap_exit), (0, Some(4), false));
    assert_eq!(info.task.as_ref().and_then(|task| task.name()), Some("idle"));
    assert!(info.reason.is_none() && info.links.is_empty() && info.parent.is_none());
    assert!(info.to_string().contains("receiving, 0 messages of 4"), "{info}");
    // One that is busy has messages.
    let gate = Gate::new();
    let opened = gate.opened();
    let body = async move |me: Process<u32>| {
        me.trap_exit(true);
        opened.await;
    };
    let busy = Builder::new().on(on.here().backend()).spawn(body).unwrap();
    until(&busy.pid(), ProcessState::Running);
    busy.try_send(1).unwrap();
    busy.try_send(2).unwrap();
    eventually("it traps exits", || busy.info().unwrap().trap_exit);
    assert_eq!(busy.info().unwrap().messages, 2);
    gate.open();
    assert_eq!(busy.ended().wait(), ExitReason::Normal);
    process.exit(ExitReason::Shutdown);
    process.ended().wait();
    let info = pid.info().unwrap();
    assert_eq!((info.state, info.reason), (ProcessState::Ended, Some(ExitReason::Shutdown)));
    assert!(info.task.is_none());
    assert!(Pid::nobody().info().is_none());
}

fn relations_are_told_on_both_sides(on: &Systems) {
    let (tell, told) = channel::oneshot();
    let gate = Gate::new();
    let opened = gate.opened();
    let backend = on.there().backend().clone();
    let parent = Builder::new().on(on.here().backend()).spawn(async move |me: Process<()>| {
        let body = async |mut child: Process<u32>| drop(child.receive().await);
        let child = Builder::new().on(&backend).spawn_link(&me, body).unwrap();
        let watched = Builder::new().on(&backend).spawn(body).unwrap();
        me.monitor(&watched.pid());
        me.monitor(&watched.pid());
        tell.send((child, watched)).unwrap();
        opened.await;
    });
    let parent = parent.unwrap();
    let (child, watched) = told.wait().unwrap();
    let of_parent = parent.info().unwrap();
    assert_eq!(of_parent.links, [child.pid()]);
    assert_eq!(of_parent.monitors, [watched.pid(), watched.pid()]);
    let of_child = child.info().unwrap();
    assert_eq!((of_child.links, of_child.parent), (vec![parent.pid()], Some(parent.pid())));
    assert_eq!(watched.info().unwrap().monitored_by, [parent.pid(), parent.pid()]);
    let text = of_parent.to_string();
    assert!(text.contains(&format!("linked to {}", child.pid())), "{text}");
    gate.open();
    parent.ended().wait();
    child.exit(ExitReason::Kill);
    watched.exit(ExitReason::Kill);
    child.ended().wait();
    watched.ended().wait();
    assert!(watched.info().unwrap().monitored_by.is_empty());
}

fn what_a_process_waits_for_is_told(on: &Systems) {
    let (_tx, rx) = channel::bounded::<u32>(1);
    let asynchronous = Builder::new().on(on.here().backend()).spawn({
        let rx = rx.clone();
        async move |_: Process<()>| _ = rx.recv().await
    });
    let blocked =
        Builder::new().on(on.there().backend()).spawn_fn(move |_: Process<()>| _ = rx.recv().wait());
    for process in [asynchronous.unwrap(), blocked.unwrap()] {
        until(&process.pid(), ProcessState::Running);
        let task = process.info().unwrap().task.unwrap();
        eventually("it waits for a message", || {
            let waits = task.waits().wait();
            waits.is_some_and(|waits| matches!(waits[..], [WaitingFor::Message { .. }]))
        });
        process.exit(ExitReason::Kill);
        process.ended().wait();
        assert!(task.waits().wait().is_none());
    }
    let receiving = idle(on);
    until(&receiving.pid(), ProcessState::Receiving);
    let info = receiving.info().unwrap();
    let serial = info.pid.serial();
    eventually("it waits for an event", || {
        let waits = info.task.as_ref().unwrap().waits().wait();
        waits.is_some_and(|waits| matches!(waits[..], [WaitingFor::Mailbox { process }] if process == serial))
    });
    receiving.exit(ExitReason::Kill);
}

fn to_look_changes_nothing(on: &Systems) {
    let process = idle(on);
    for n in 0..200 {
        process.send(1).wait().unwrap();
        let info = process.info().unwrap();
        assert!(info.messages <= 4 && info.reason.is_none(), "{n}: {info}");
    }
    process.send(0).wait().unwrap();
    assert_eq!(process.ended().wait(), ExitReason::Normal);
}

/// Waits for a table in which all of `pids` are.
fn table_with(on: &Systems, pids: &[Pid]) -> ProcessTable {
    let spawners = [on.here().spawner().clone(), on.there().spawner().clone()];
    let mut table = process_table(spawners.clone()).wait();
    eventually("all have told", || {
        table = process_table(spawners.clone()).wait();
        pids.iter().all(|pid| table.process(pid).is_some())
    });
    table
}

fn every_process_that_waits_is_in_the_table(on: &Systems) {
    let (_tx, rx) = channel::bounded::<u32>(1);
    let receiving = idle(on);
    for message in 1..=3 {
        receiving.send(message).wait().unwrap();
    }
    let asynchronous = Builder::new().on(on.here().backend()).spawn({
        let rx = rx.clone();
        async move |_: Process<u32>| _ = rx.recv().await
    });
    let blocked = Builder::new().on(on.there().backend()).name("blocked").unbounded();
    let blocked = blocked.spawn_fn(move |_: Process<u32>| _ = rx.recv().wait()).unwrap();
    let asynchronous = asynchronous.unwrap();
    until(&receiving.pid(), ProcessState::Receiving);
    let pids = [receiving.pid(), asynchronous.pid(), blocked.pid()];
    let table = table_with(on, &pids);
    let rows: Vec<_> = pids.iter().map(|pid| table.process(pid).unwrap()).collect();
    assert_eq!(rows[0].info.name.as_deref(), Some("idle"));
    assert_eq!((rows[0].info.state, rows[0].info.received), (ProcessState::Receiving, 3));
    for row in &rows[1..] {
        assert_eq!((row.info.state, row.task.state), (ProcessState::Running, TaskState::Waiting));
        assert!(matches!(row.task.waits[..], [WaitingFor::Message { .. }]), "{row:?}");
    }
    assert!(rows[2].task.blocks_stack && rows[2].task.backend == on.there().backend().name());
    let text = table.to_string();
    let line = text.lines().find(|line| line.starts_with(&pids[2].to_string())).unwrap();
    assert!(line.contains("blocked") && line.contains("waiting") && line.contains("a message of"), "{text}");
    assert!(text.lines().any(|line| line.contains("receiving  0/4      3")), "{text}");
    for pid in &pids {
        pid.exit(ExitReason::Kill);
        pid.ended().wait();
    }
    eventually("they have left the table", || {
        let table = on.there().spawner().process_table().wait();
        table.processes().is_empty() && table.unknown().is_empty()
    });
}

fn a_table_of_processes_is_of_its_backend_and_nothing_else(on: &Systems) {
    let process = idle(on);
    let elsewhere = on.kind().build();
    let other =
        Builder::new().on(elsewhere.backend()).spawn(async |mut me: Process<u32>| drop(me.receive().await));
    let other = other.unwrap();
    let task = on.here().spawn(std::future::pending::<()>());
    let table = table_with(on, &[process.pid()]);
    assert_eq!(table.processes().len(), 1, "{table}");
    assert!(table.process(&other.pid()).is_none() && table.unknown().is_empty());
    // The one who asks runs, and nothing but that is known of it.
    let spawner = on.here().spawner().clone();
    let asking = async move |_: Process<u32>| drop(spawner.process_table().await);
    let asking = Builder::new().on(on.here().backend()).spawn(asking).unwrap();
    assert_eq!(asking.ended().wait(), ExitReason::Normal);
    task.cancel();
    process.exit(ExitReason::Kill);
    other.exit(ExitReason::Kill);
    other.ended().wait();
}

fn a_process_that_blocks_in_a_poll_is_known_to_an_observer(on: &Systems) {
    let _observation = observe();
    let gate = Gate::new();
    let opened = gate.opened();
    let body = async move |_: Process<u32>| {
        time::sleep(std::time::Duration::from_millis(1)).await;
        opened.wait();
    };
    let process = Builder::new().on(on.there().backend()).spawn(body).unwrap();
    let table = table_with(on, &[process.pid()]);
    eventually("it blocks its stack", || {
        let table = on.there().spawner().process_table().wait();
        table.process(&process.pid()).is_some_and(|process| process.task.blocks_stack)
    });
    drop(table);
    gate.open();
    assert_eq!(process.ended().wait(), ExitReason::Normal);
}
