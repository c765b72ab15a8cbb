//! Names and the start of a process: it has them before its first step, or nothing of it runs.

use std::error::Error;
use std::future::{Ready, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::supervisor::{ChildSpec, Supervisor};
use twoply_core::actor::{
    Active, Actor, Builder, Context, ExitReason, Pid, Process, RegisterError, Registry, SpawnProcessError,
};
use twoply_core::channel;
use twoply_core::task::{self, SpawnError};
use twoply_tests::{Signal, Systems, all_are_over, eventually, laws, run_trapping};

laws! {
    and_mixed {
        a_process_has_its_names_before_its_first_step,
        a_child_has_its_name_before_its_first_step,
    }
    everywhere {
        where_a_name_is_taken_nothing_runs,
        a_process_may_be_named_after_the_one_that_starts_it,
        a_child_whose_name_is_taken_does_not_begin,
        what_is_not_started_keeps_no_name,
        the_name_is_that_of_the_process_which_is_the_child,
    }
}

/// Tells by whom it is found by the name when it starts.
struct Named {
    /// Where.
    registry: Registry,
    /// The one who is told.
    told: channel::Sender<(Option<Pid>, Pid)>,
}

impl Actor for Named {
    type Message = ();
    type Error = ExitReason;

    async fn started(&mut self, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let _ = self.told.try_send((self.registry.whereis_pid("one"), cx.pid()));
        Ok(())
    }

    async fn handle(&mut self, (): (), cx: &mut Context<Self>) -> Result<(), ExitReason> {
        cx.stop();
        Ok(())
    }
}

fn a_process_has_its_names_before_its_first_step(on: &Systems) {
    let registry = Registry::new();
    let there = on.there().backend().clone();
    let seen = registry.clone();
    let all = run_trapping(on.here(), move |me| {
        let builder =
            || Builder::<()>::new().on(&there).register_in(&seen, "one").register_in(&seen, "alias");
        let (told, hear) = channel::unbounded();
        let look = {
            let (told, seen) = (told.clone(), seen.clone());
            move |me: Process<()>| {
                let names = [seen.whereis_pid("one"), seen.whereis_pid("alias")];
                assert_eq!(names[0], names[1]);
                let _ = told.try_send((names[0].clone(), me.pid()));
            }
        };
        for way in 0..7 {
            let actor = || Named { registry: seen.clone(), told: told.clone() };
            let look = look.clone();
            let process = match way {
                0 => builder().spawn(async move |me| look(me)),
                1 => builder().spawn_fn(look),
                2 => builder().spawn_link(&me, async move |me| look(me)),
                3 => builder().spawn_link_fn(&me, look),
                4 => builder().spawn_monitor_fn(&me, look).map(|(process, _)| process),
                5 => builder().spawn_actor(actor()),
                _ => builder().spawn_actor_link(&me, actor()),
            };
            let process = process.expect("nobody has the names");
            let (named, pid) = hear.recv().wait().expect("it looks");
            assert_eq!((named, &pid), (Some(process.pid()), &process.pid()), "way {way}");
            let _ = process.try_send(());
            process.ended().wait();
        }
        seen.registered()
    });
    assert_eq!(all, [], "no name outlives its process");
    all_are_over(on);
}

fn where_a_name_is_taken_nothing_runs(on: &Systems) {
    let (registry, ran) = (Registry::new(), Signal::new());
    let builder = || Builder::<()>::new().on(on.here().backend());
    let body = async |_: Process<()>| pending::<()>().await;
    let owner = builder().register_in(&registry, "taken").spawn(body).expect("it is free");
    let (seen, taken) = (registry.clone(), RegisterError::Taken("taken".into(), owner.pid()));
    let (mark, backend) = (ran.clone(), on.here().backend().clone());
    run_trapping(on.here(), move |mut me| {
        let builder = || {
            let builder = Builder::<()>::new().on(&backend).register_in(&seen, "free");
            builder.register_in(&seen, "taken").register_in(&seen, "other")
        };
        let (told, _hear) = channel::unbounded();
        for way in 0..5 {
            let (guard, mark) = (mark.clone(), mark.clone());
            let actor = Named { registry: seen.clone(), told: told.clone() };
            let refused = match way {
                0 => builder().spawn(move |_| {
                    guard.add();
                    std::future::ready(())
                }),
                1 => builder().spawn_fn(move |_| _ = mark.add()),
                2 => builder().spawn_link_fn(&me, move |_| _ = mark.add()),
                3 => builder().spawn_monitor_fn(&me, move |_| _ = mark.add()).map(|(process, _)| process),
                _ => builder().spawn_actor_link(&me, actor),
            };
            match refused {
                Err(SpawnProcessError::Name(refused)) => assert_eq!(refused, taken, "way {way}"),
                other => panic!("way {way}: {other:?}"),
            }
            let names: Vec<_> = seen.registered().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["taken".into()], "way {way}: it has no other name, either");
        }
        assert!(me.try_receive().is_none(), "the parent hears of it by the error alone");
    });
    assert_eq!(ran.count(), 0);
    assert_eq!(registry.whereis_pid("taken"), Some(owner.pid()));
    owner.exit(ExitReason::Kill);
    all_are_over(on);
}

fn what_is_not_started_keeps_no_name(on: &Systems) {
    let registry = Registry::new();
    let builder = Builder::<()>::new().on(on.here().backend()).register_in(&registry, "one");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        builder.spawn(|_| -> Ready<()> { panic!("expected: before there is a body") })
    }));
    assert!(panicked.is_err());
    assert_eq!(registry.registered(), []);
    let closed = on.kind().build();
    closed.shutdown(Duration::from_secs(10)).expect("it ends");
    let builder = Builder::<()>::new().on(closed.backend()).register_in(&registry, "one");
    assert!(matches!(builder.spawn_fn(|_| ()), Err(SpawnProcessError::Spawn(SpawnError::ShutDown))));
    assert_eq!(registry.registered(), []);
}

fn a_child_has_its_name_before_its_first_step(on: &Systems) {
    let registry = Registry::new();
    let (told, hear) = channel::unbounded();
    let (seen, place) = (registry.clone(), told.clone());
    let actor = ChildSpec::actor("one", move || Named { registry: seen.clone(), told: place.clone() });
    let actor = actor.register_in(&registry, "one").on(on.there().backend());
    let reference = actor.reference();
    let (seen, place) = (registry.clone(), told);
    let below = ChildSpec::process("below", move |me: Process<()>| {
        let _ = place.try_send((seen.whereis_pid("supervisor"), me.pid()));
        pending::<()>()
    });
    let nested = ChildSpec::supervisor("nested", Supervisor::one_for_one().child(below));
    let nested = nested.register_in(&registry, "supervisor");
    let supervisor =
        Supervisor::one_for_one().intensity(100, Duration::from_secs(60)).child(actor).child(nested);
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    let (named, pid) = hear.recv().wait().unwrap();
    assert_eq!(named, Some(pid));
    let (named, _) = hear.recv().wait().unwrap();
    assert_eq!(named, registry.whereis_pid("supervisor"));
    assert!(named.is_some(), "the supervisor has it when its children start");
    for _ in 0..10 {
        reference.send(()).wait().unwrap();
        let (named, pid) = hear.recv().wait().unwrap();
        assert_eq!(named, Some(pid), "each time anew");
    }
    supervisor.stop().wait();
    assert_eq!(registry.registered(), []);
    all_are_over(on);
}

fn a_child_whose_name_is_taken_does_not_begin(on: &Systems) {
    let registry = Registry::new();
    let owner = Builder::<()>::new().on(on.here().backend()).register_in(&registry, "one");
    let owner = owner.spawn(async |_| pending::<()>().await).unwrap();
    let (told, hear) = channel::unbounded();
    let supervisor = Supervisor::one_for_one().on(on.here().backend()).start().wait().unwrap();
    let (seen, place) = (registry.clone(), told.clone());
    let actor = ChildSpec::actor("actor", move || Named { registry: seen.clone(), told: place.clone() });
    let below = ChildSpec::process("below", move |me: Process<()>| {
        let _ = told.try_send((None, me.pid()));
        pending::<()>()
    });
    let nested = ChildSpec::supervisor("nested", Supervisor::one_for_one().child(below));
    let refused = [
        supervisor.start_child(actor.register_in(&registry, "one")).wait(),
        supervisor.start_child(nested.register_in(&registry, "one")).wait(),
    ];
    for refused in refused {
        let error = refused.expect_err("its name is taken");
        let mut cause: &(dyn Error + 'static) = &error;
        while let Some(below) = cause.source() {
            cause = below;
        }
        let cause = cause.downcast_ref::<RegisterError>();
        assert_eq!(cause, Some(&RegisterError::Taken("one".into(), owner.pid())), "{error}");
    }
    assert!(hear.try_recv().is_err(), "neither `started` nor a child of the supervisor has run");
    supervisor.stop().wait();
    owner.exit(ExitReason::Kill);
    all_are_over(on);
}

fn the_name_is_that_of_the_process_which_is_the_child(on: &Systems) {
    let registry = Registry::new();
    let (seen, (told, hear)) = (registry.clone(), channel::unbounded());
    let spec = ChildSpec::start_with("two", move |start| {
        let helper = start.spawn(async |_: Process<()>| pending::<()>().await)?;
        let child = start.spawn(async |_: Process<()>| pending::<()>().await)?;
        let _ = told.try_send((helper.pid(), child.pid(), seen.whereis_pid("one")));
        Ok(child)
    });
    let supervisor = Supervisor::one_for_one().child(spec.register_in(&registry, "one"));
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    let (helper, child, at_first) = hear.recv().wait().unwrap();
    assert_eq!(at_first, Some(helper.clone()), "so far nothing speaks against the first");
    assert_eq!(registry.registered(), [("one".into(), child)]);
    assert_eq!(registry.names_of(&helper), []);
    supervisor.stop().wait();
    eventually("the name is free", || registry.registered().is_empty());
    helper.exit(ExitReason::Kill);
    all_are_over(on);
}

/// Returns the name of the running task.
fn own_name() -> Option<String> {
    task::current()?.name().map(str::to_owned)
}

fn a_process_may_be_named_after_the_one_that_starts_it(on: &Systems) {
    let there = on.there().backend().clone();
    let server = task::Builder::new().name("server").spawn_fn_on(on.here().backend(), move || {
        let (tell, told) = channel::unbounded();
        let named = || Builder::<()>::new().on(&there).name("clerk");
        let start = |builder: Builder<()>| {
            let tell = tell.clone();
            let process = builder.spawn(async move |_: Process<()>| drop(tell.try_send(own_name())));
            let name = process.unwrap().pid().name();
            assert_eq!(told.recv().wait().unwrap(), name, "it is that of the process and of its task");
            name
        };
        let mut names = vec![
            start(named().inherit_name()),
            start(Builder::new().on(&there).inherit_name()),
            start(named()),
        ];
        // A process names others, too.
        let within = named().inherit_name().spawn(async move |_: Process<()>| {
            let inner = Builder::<()>::new().name("inner").inherit_name().spawn(async |_| {}).unwrap();
            let _ = tell.try_send(inner.pid().name());
        });
        names.push(told.recv().wait().unwrap());
        within.unwrap().ended().wait();
        let stock = Active::builder().on(&there).name("stock").inherit_name().build(());
        names.push(stock.ask(|()| own_name()).wait().unwrap());
        let child = ChildSpec::process("child", async |mut me: Process<()>| drop(me.receive().await));
        let child = child.settings(|child| child.inherit_name());
        let reference = child.reference();
        let staff = Supervisor::one_for_one().on(&there).name("staff").inherit_name().child(child);
        let staff = staff.start().wait().unwrap();
        names.push(reference.pid().unwrap().name());
        staff.stop().wait();
        names
    });
    let names: Vec<_> = server.unwrap().wait().unwrap().into_iter().flatten().collect();
    let expected =
        ["server/clerk", "server", "clerk", "server/clerk/inner", "server/stock", "server/staff/child"];
    assert_eq!(names, expected);
    all_are_over(on);
}
