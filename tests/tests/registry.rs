//! Names and groups: who is found, and that an end releases both before anybody is told of it.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use twoply_core::actor::{
    Builder, Directory, Event, ExitReason, Group, Groups, Membership, Pid, Process, ProcessRef,
    RegisterError, Registry,
};
use twoply_core::{Wait, channel};
use twoply_tests::{System, Systems, laws};

laws! {
    and_mixed {
        a_name_leads_to_its_process,
        a_name_is_free_when_the_end_is_told,
        members_have_left_when_the_end_is_told,
        a_watch_sees_every_change_in_order,
    }
    everywhere {
        a_name_belongs_to_one_process,
        who_misses_what_is_published_to_a_group_is_told,
        a_process_may_have_several_names,
        a_process_that_has_ended_gets_no_name,
        a_name_of_another_type_is_an_error,
        a_name_that_is_taken_back_is_free,
        registries_know_nothing_of_each_other,
        the_end_of_who_is_monitored_by_name_is_told_with_the_name,
        a_name_that_nobody_has_is_told_at_once_with_the_name,
        a_group_has_its_members_in_the_order_in_which_they_joined,
        a_group_with_a_name_is_one_group,
        a_group_that_was_left_is_forgotten,
        a_group_that_nobody_holds_is_forgotten,
        a_process_may_be_in_many_groups,
        news_made_while_news_are_told_come_after_them,
    }
}

/// Starts a process that ends when it is sent the reason to.
fn mortal(system: &System) -> ProcessRef<ExitReason> {
    let body = async |mut me: Process<ExitReason>| me.receive().await.message();
    let body = move |me| async move { body(me).await.unwrap_or(ExitReason::Normal) };
    Builder::new().on(system.backend()).spawn(body).unwrap()
}

/// Ends a [`mortal`], and returns when it has ended.
fn end(process: &ProcessRef<ExitReason>) {
    let ended = process.ended();
    process.send(ExitReason::Normal).wait().unwrap();
    assert_eq!(ended.wait(), ExitReason::Normal);
}

/// Runs `body` as a process that traps exits, and returns what it returns.
fn as_process<F, T>(system: &System, body: F) -> T::Output
where
    F: FnOnce(Process<()>) -> T,
    T: Future<Output: Send + 'static> + Send + 'static,
{
    let (result, receiver) = channel::oneshot();
    let body = |me: Process<()>| {
        let body = body(me);
        async move { drop(result.send(body.await)) }
    };
    Builder::new().on(system.backend()).trap_exit(true).spawn(body).unwrap();
    receiver.wait().expect("the process does not panic")
}

/// Makes a [`mortal`] end.
type Kill = fn(&ProcessRef<ExitReason>);

/// The ways to end, and what others see of them.
fn ends() -> [(Kill, ExitReason); 4] {
    let fails: Kill = |process| process.try_send(ExitReason::other("tired")).unwrap();
    [
        (|process| process.try_send(ExitReason::Normal).unwrap(), ExitReason::Normal),
        (fails, ExitReason::other("tired")),
        (|process| process.exit(ExitReason::Shutdown), ExitReason::Shutdown),
        (|process| process.exit(ExitReason::Kill), ExitReason::Killed),
    ]
}

fn a_name_leads_to_its_process(on: &Systems) {
    let (registry, process) = (Registry::new(), mortal(on.here()));
    registry.register("mortal", &process).unwrap();
    let found = {
        let registry = registry.clone();
        on.there()
            .spawn_fn(move || registry.whereis::<ExitReason>("mortal").unwrap().unwrap())
            .wait()
            .unwrap()
    };
    assert_eq!(found, process);
    assert_eq!(registry.whereis_pid("mortal"), Some(process.pid()));
    assert_eq!(registry.registered(), [("mortal".into(), process.pid())]);
    assert_eq!(registry.whereis::<ExitReason>("Mortal").unwrap(), None);
    end(&found);
    assert_eq!(registry.whereis_pid("mortal"), None);
    assert!(registry.registered().is_empty());
}

fn a_name_belongs_to_one_process(on: &Systems) {
    let (registry, first, second) = (Registry::new(), mortal(on.here()), mortal(on.here()));
    registry.register("one", &first).unwrap();
    let taken = Err(RegisterError::Taken("one".into(), first.pid()));
    assert_eq!(registry.register("one", &second), taken);
    assert_eq!(registry.register("one", &first), taken);
    end(&second);
    assert_eq!(registry.whereis_pid("one"), Some(first.pid()));
    end(&first);
}

fn a_process_may_have_several_names(on: &Systems) {
    let (registry, process) = (Registry::new(), mortal(on.here()));
    for name in ["b", "a", "c"] {
        registry.register(name, &process).unwrap();
    }
    assert_eq!(registry.names_of(&process.pid()), ["b".into(), "a".into(), "c".into()]);
    let names: Vec<_> = registry.registered().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a".into(), "b".into(), "c".into()]);
    end(&process);
    assert!(registry.names_of(&process.pid()).is_empty());
    assert!(registry.registered().is_empty());
}

fn a_process_that_has_ended_gets_no_name(on: &Systems) {
    let (registry, process) = (Registry::new(), mortal(on.here()));
    end(&process);
    assert_eq!(registry.register("late", &process), Err(RegisterError::NoProcess(process.pid())));
    assert_eq!(registry.whereis_pid("late"), None);
}

fn a_name_of_another_type_is_an_error(on: &Systems) {
    let (registry, process) = (Registry::new(), mortal(on.here()));
    registry.register("typed", &process).unwrap();
    let error = registry.whereis::<u32>("typed").unwrap_err();
    assert_eq!(error.expected, "u32");
    assert!(error.found.ends_with("ExitReason"), "{error}");
    end(&process);
    assert_eq!(registry.whereis::<u32>("typed").unwrap(), None);
}

fn a_name_that_is_taken_back_is_free(on: &Systems) {
    let (registry, first, second) = (Registry::new(), mortal(on.here()), mortal(on.here()));
    registry.register("passed on", &first).unwrap();
    assert_eq!(registry.unregister("passed on"), Some(first.pid()));
    assert_eq!(registry.unregister("passed on"), None);
    registry.register("passed on", &second).unwrap();
    end(&first);
    assert_eq!(registry.whereis_pid("passed on"), Some(second.pid()));
    end(&second);
}

fn registries_know_nothing_of_each_other(on: &Systems) {
    let process = mortal(on.here());
    let (one, other) = (Registry::new(), Registry::new());
    // Laws run side by side in one program.
    let name = on.name();
    one.register(name, &process).unwrap();
    assert_eq!(other.whereis_pid(name), None);
    assert_eq!(Registry::global().whereis_pid(name), None);
    Registry::global().register(name, &process).unwrap();
    drop(one);
    end(&process);
    assert_eq!(Registry::global().whereis_pid(name), None);
}

fn the_end_of_who_is_monitored_by_name_is_told_with_the_name(on: &Systems) {
    let (registry, first, second) = (Registry::new(), mortal(on.here()), mortal(on.here()));
    registry.register("boss", &first).unwrap();
    as_process(on.there(), async move |mut me: Process<()>| {
        let by_name = me.monitor_name_in(&registry, "boss");
        let by_pid = me.monitor(&first.pid());
        // A monitor is of the process that has the name when it is made.
        registry.unregister("boss");
        registry.register("boss", &second).unwrap();
        let taken_back = me.monitor_name_in(&registry, "boss");
        assert!(me.demonitor(taken_back));
        first.try_send(ExitReason::Shutdown).unwrap();
        for (monitor, name) in [(by_name, Some("boss")), (by_pid, None)] {
            let event =
                me.receive_match(|event| matches!(event, Event::Down(down) if down.monitor == monitor));
            let Event::Down(down) = event.await else { unreachable!("it was matched") };
            assert_eq!((down.name.as_deref(), down.from), (name, first.pid()));
            assert_eq!(down.reason, ExitReason::Shutdown);
        }
        end(&second);
        assert!(me.try_receive().is_none());
    });
}

fn a_name_that_nobody_has_is_told_at_once_with_the_name(on: &Systems) {
    as_process(on.here(), async |mut me: Process<()>| {
        let monitor = me.monitor_name_in(&Registry::new(), "nobody");
        let Event::Down(down) = me.try_receive().expect("it is told at once") else {
            panic!("no such event")
        };
        assert_eq!((down.monitor, down.name.as_deref()), (monitor, Some("nobody")));
        assert_eq!((down.from, down.reason), (Pid::nobody(), ExitReason::NoProcess));
        assert!(!me.demonitor(monitor));
    });
}

fn a_name_is_free_when_the_end_is_told(on: &Systems) {
    for (kill, reason) in ends() {
        for _ in 0..20 {
            let (registry, process) = (Registry::new(), mortal(on.there()));
            registry.register("wanted", &process).unwrap();
            let told = as_process(on.here(), async move |mut me: Process<()>| {
                me.link(&process.pid());
                let monitor = me.monitor(&process.pid());
                kill(&process);
                let mut reasons = Vec::new();
                for _ in 0..2 {
                    let reason = match me.receive().await {
                        Event::Exit(exit) if exit.from == process.pid() => exit.reason,
                        Event::Down(down) if down.monitor == monitor => down.reason,
                        other => panic!("{other:?}"),
                    };
                    // The heir takes the name, or what is left of the heir's name is not found.
                    if reasons.is_empty() {
                        registry.register("wanted", &me.me()).unwrap();
                    }
                    assert_eq!(registry.whereis_pid("wanted"), Some(me.pid()));
                    reasons.push(reason);
                }
                reasons
            });
            assert_eq!(told, [reason.clone(), reason.clone()]);
        }
    }
}

fn a_group_has_its_members_in_the_order_in_which_they_joined(on: &Systems) {
    let group = Group::new();
    let processes: Vec<_> = (0..4).map(|_| mortal(on.here())).collect();
    for process in processes.iter().rev() {
        assert!(group.join(process));
    }
    assert!(!group.join(&processes[0]), "a member is one once");
    assert!(group.members().iter().eq(processes.iter().rev()));
    assert!(group.leave(&processes[2].pid()) && !group.leave(&processes[2].pid()));
    assert!(!group.contains(&processes[2].pid()));
    assert_eq!(group.len(), 3);
    end(&processes[3]);
    assert_eq!(group.members(), [processes[1].clone(), processes[0].clone()]);
    assert!(!group.join(&processes[3]), "it has ended");
    let (first, second) = (processes[0].ended(), processes[1].ended());
    assert_eq!(group.broadcast(&ExitReason::other("enough")), 2);
    assert_eq!([first.wait(), second.wait()], [ExitReason::other("enough"), ExitReason::other("enough")]);
    assert!(group.is_empty());
    end(&processes[2]);
}

fn who_misses_what_is_published_to_a_group_is_told(on: &Systems) {
    let [full, roomy] = [1, 8].map(|capacity| {
        let builder = Builder::new().capacity(capacity).on(on.here().backend());
        builder.spawn(async |_: Process<u8>| pending::<()>().await).unwrap()
    });
    let (group, directory) = (Group::new(), Directory::new());
    for process in [&full, &roomy] {
        group.join(process);
        directory.register("key", process, ()).unwrap();
    }
    assert_eq!(group.try_publish(&1).delivered, 2);
    for published in [group.try_publish(&2), directory.try_publish("key", &3)] {
        assert_eq!((published.delivered, published.missed), (1, vec![full.pid()]));
    }
    full.exit(ExitReason::Kill);
    full.ended().wait();
    let published = group.try_publish(&4);
    assert_eq!((published.delivered, published.missed), (1, Vec::new()), "who has ended misses nothing");
    roomy.exit(ExitReason::Kill);
    roomy.ended().wait();
}

fn a_group_with_a_name_is_one_group(on: &Systems) {
    let groups = Groups::new();
    let process = mortal(on.here());
    groups.group::<ExitReason>("mortals").unwrap().join(&process);
    // Nobody holds the group now but its member.
    assert_eq!(groups.names(), ["mortals".into()]);
    assert_eq!(groups.group::<ExitReason>("mortals").unwrap().members(), std::slice::from_ref(&process));
    assert_eq!(groups.group::<u8>("mortals").unwrap_err().expected, "u8");
    end(&process);
    assert!(groups.group::<u8>("mortals").unwrap().is_empty(), "the old group is gone with its last member");
    assert!(groups.names().is_empty());
}

fn members_have_left_when_the_end_is_told(on: &Systems) {
    for (kill, reason) in ends() {
        let (group, process) = (Group::new(), mortal(on.there()));
        assert!(group.join(&process));
        let told = as_process(on.here(), async move |mut me: Process<()>| {
            let monitor = me.monitor(&process.pid());
            kill(&process);
            let Event::Down(down) = me.receive().await else { panic!("nothing else was asked for") };
            assert_eq!(down.monitor, monitor);
            assert!(group.is_empty());
            down.reason
        });
        assert_eq!(told, reason);
    }
}

fn a_watch_sees_every_change_in_order(on: &Systems) {
    let group = Group::new();
    let early = mortal(on.here());
    group.join(&early);
    let (members, news) = group.watch();
    assert_eq!(members, std::slice::from_ref(&early));
    // Each joins and ends by itself, on either system; what the watch sees must always make sense.
    let others: Vec<_> = [on.here(), on.there()].into_iter().cycle().take(100).map(mortal).collect();
    for process in &others {
        group.join(process);
        process.try_send(ExitReason::Normal).unwrap();
    }
    group.leave(&early.pid());
    let mut present: Vec<Pid> = members.iter().map(ProcessRef::pid).collect();
    let mut seen = 0;
    while seen < 2 * others.len() + 1 {
        match news.recv().wait().unwrap() {
            Membership::Joined(process) => {
                assert!(!present.contains(&process.pid()));
                present.push(process.pid());
            }
            Membership::Left(pid) => {
                let place = present.iter().position(|other| *other == pid);
                present.remove(place.expect("who has left has been there"));
            }
        }
        seen += 1;
    }
    assert!(present.is_empty() && group.is_empty());
    end(&early);
}

/// A waker that joins a group.
struct Joining(Group<ExitReason>, ProcessRef<ExitReason>);

impl Wake for Joining {
    fn wake(self: Arc<Self>) {
        self.0.join(&self.1);
    }
}

fn news_made_while_news_are_told_come_after_them(on: &Systems) {
    let (group, first, second) = (Group::new(), mortal(on.here()), mortal(on.here()));
    let ((_, early), (_, late)) = (group.watch(), group.watch());
    let waker = Waker::from(Arc::new(Joining(group.clone(), second.clone())));
    let mut waiting = early.recv();
    assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker)).is_pending());
    // Its watchers are told in their order, so that the waker runs when `late` has not been told of the first
    // one.
    group.join(&first);
    for watch in [&early, &late] {
        let told = [(); 2].map(|()| watch.try_recv().unwrap().pid());
        assert_eq!(told, [first.pid(), second.pid()]);
    }
    drop(waiting);
    end(&first);
    end(&second);
}

fn a_group_that_was_left_is_forgotten(on: &Systems) {
    let (process, groups) = (mortal(on.here()), Groups::new());
    let pid = process.pid();
    for name in ["blue room", "red room"] {
        let room = groups.group::<ExitReason>(name).unwrap();
        assert!(room.join(&process));
        drop(room);
        assert_eq!(groups.names(), [name.into()], "it has a member");
        let room = groups.group::<ExitReason>(name).unwrap();
        assert!(room.contains(&pid) && room.leave(&pid));
        drop(room);
        assert!(groups.names().is_empty(), "it has none, and nobody holds it");
        assert!(groups.group::<u32>(name).unwrap().is_empty(), "it is another group");
        assert!(groups.names().is_empty());
    }
    // One whose members end.
    let room = groups.group::<ExitReason>("green room").unwrap();
    room.join(&process);
    drop(room);
    end(&process);
    assert!(groups.names().is_empty());
}

fn a_group_that_nobody_holds_is_forgotten(on: &Systems) {
    let process = mortal(on.here());
    let room = Group::new();
    let (_, news) = room.watch();
    room.join(&process);
    room.leave(&process.pid());
    drop(room);
    assert!(matches!(news.recv().wait(), Ok(Membership::Joined(_))));
    assert!(matches!(news.recv().wait(), Ok(Membership::Left(_))));
    assert!(news.recv().wait().is_err(), "there is no group that could have news");
    // One that has a member is there for those who watch it, until that ends.
    let room = Group::new();
    room.join(&process);
    let (_, news) = room.watch();
    drop(room);
    assert!(news.is_empty() && !news.is_closed());
    end(&process);
    assert!(matches!(news.recv().wait(), Ok(Membership::Left(_))));
    assert!(news.recv().wait().is_err());
}

fn a_process_may_be_in_many_groups(on: &Systems) {
    let process = mortal(on.here());
    let groups: Vec<_> = (0..2000).map(|_| Group::new()).collect();
    assert!(groups.iter().all(|group| group.join(&process)));
    assert!(groups.iter().step_by(2).all(|group| group.leave(&process.pid())));
    end(&process);
    assert!(groups.iter().all(Group::is_empty));
}
