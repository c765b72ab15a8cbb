//! How supervisors and their children find each other: by name, by process, by key.

use std::collections::BTreeSet;
use std::convert::Infallible;

use twoply_core::Wait;
use twoply_core::actor::supervisor::{ChildError, ChildSpec, Supervisor, SupervisorRef};
use twoply_core::actor::{Actor, Context, ExitReason, Pid, Process, Registry};
use twoply_core::promise::Resolver;
use twoply_tests::children::{Do, child};
use twoply_tests::{Systems, builder, eventually, laws};

laws! {
    and_mixed {
        a_child_finds_its_supervisor,
        a_key_has_one_partition,
    }
    everywhere {
        a_supervisor_is_found_by_name,
        a_reference_to_a_supervisor_follows_it,
        whoever_has_no_supervisor_finds_none,
    }
}

/// Says who its supervisor is.
struct Asked;

impl Actor for Asked {
    type Message = Resolver<Option<Pid>>;
    type Error = Infallible;

    async fn handle(
        &mut self,
        question: Resolver<Option<Pid>>,
        cx: &mut Context<Asked>,
    ) -> Result<(), Infallible> {
        let _ = question.resolve(cx.supervisor().map(|supervisor| supervisor.pid()));
        Ok(())
    }
}

fn a_child_finds_its_supervisor(on: &Systems) {
    let asked = ChildSpec::actor("asked", || Asked).on(on.there().backend());
    let to_asked = asked.reference();
    let inner = Supervisor::one_for_one().child(asked);
    let outer = Supervisor::one_for_all().child(ChildSpec::supervisor("inner", inner));
    let outer = outer.on(on.here().backend()).start().wait().unwrap();
    let inner = outer.child_supervisor("inner").wait().unwrap().unwrap();
    assert_eq!(to_asked.ask(|who| who).wait().unwrap(), Some(inner.pid()));
    let found = SupervisorRef::of(&to_asked.pid().unwrap()).unwrap();
    assert_eq!((found.pid(), found.count().wait().unwrap().active), (inner.pid(), 1));
    assert_eq!(SupervisorRef::of(&inner.pid()).map(|found| found.pid()), Some(outer.pid()));
    // From its own task it asks for a sibling, and for its own end.
    let first = ChildSpec::process("first", async |me: Process<()>| {
        let supervisor = me.supervisor().unwrap();
        supervisor.start_child(child("second")).await.unwrap();
        // The supervisor waits for the end of the one that asks, which therefore hears no answer.
        supervisor.terminate_child(&me.pid()).await.unwrap();
    });
    let first = found.start_child(first).wait().unwrap();
    assert_eq!(first.ended().wait(), ExitReason::Shutdown);
    let ids: Vec<_> =
        found.children().wait().unwrap().into_iter().map(|child| child.id.to_string()).collect();
    assert_eq!(ids, ["asked", "first", "second"]);
    outer.stop().wait();
}

fn whoever_has_no_supervisor_finds_none(on: &Systems) {
    let orphan = builder(on).spawn_actor(Asked).unwrap();
    assert_eq!(orphan.ask(|who| who).wait().unwrap(), None);
    assert!(SupervisorRef::of(&Pid::nobody()).is_none());
    // A parent that is no supervisor is none.
    let parent = builder::<()>(on).spawn(async |mut me: Process<()>| {
        let child = me.spawn_link(async |me: Process<()>| assert!(me.supervisor().is_none())).unwrap();
        child.ended().await;
        drop(me.receive().await);
    });
    let parent = parent.unwrap();
    parent.send(()).wait().unwrap();
    assert_eq!(parent.ended().wait(), ExitReason::Normal);
    // A child that is over has none any more, nor has one whose supervisor is.
    let spec = child("one");
    let one = spec.reference();
    let supervisor = Supervisor::one_for_one().on(on.here().backend()).child(spec).start().wait().unwrap();
    let pid = one.pid().unwrap();
    assert!(SupervisorRef::of(&pid).is_some());
    supervisor.stop().wait();
    assert!(SupervisorRef::of(&pid).is_none());
}

fn a_supervisor_is_found_by_name(on: &Systems) {
    let registry = Registry::new();
    let find = || SupervisorRef::named_in(&registry, "root");
    let root = || Supervisor::one_for_one().register_in(&registry, "root").on(on.here().backend());
    assert!(find().unwrap().is_none());
    let first = root().start().wait().unwrap();
    assert_eq!(find().unwrap().unwrap().pid(), first.pid());
    let error = root().start().wait().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the supervisor could not be started: the name root is taken by {}", first.pid())
    );
    first.stop().wait();
    assert!(find().unwrap().is_none());
    // A nested one has its name again when it is restarted, beside that of its spec.
    let nested = ChildSpec::supervisor("nested", root()).register_in(&registry, "too");
    let outer = Supervisor::one_for_one().child(nested).on(on.here().backend()).start().wait().unwrap();
    let before = find().unwrap().unwrap();
    before.pid().exit(ExitReason::Kill);
    eventually("it is restarted", || {
        find().unwrap().is_some_and(|now| now.pid() != before.pid())
            && registry.whereis_pid("too") == registry.whereis_pid("root")
    });
    outer.stop().wait();
    let clerk = builder::<u8>(on).register_in(&registry, "root");
    let clerk = clerk.spawn(async |mut me| drop(me.receive().await)).unwrap();
    find().unwrap_err();
    clerk.exit(ExitReason::Kill);
}

fn a_reference_to_a_supervisor_follows_it(on: &Systems) {
    let inner = ChildSpec::supervisor("inner", Supervisor::dynamic());
    let to_inner = inner.reference();
    assert!(to_inner.as_supervisor().is_none());
    let outer = Supervisor::one_for_one().child(inner).on(on.here().backend()).start().wait().unwrap();
    let before = to_inner.as_supervisor().unwrap();
    before.start_child(child("one")).wait().unwrap();
    before.pid().exit(ExitReason::Kill);
    before.pid().ended().wait();
    assert!(matches!(before.start_child(child("two")).wait(), Err(ChildError::Ended(_))));
    eventually("it is restarted", || to_inner.as_supervisor().is_some_and(|now| now.pid() != before.pid()));
    assert_eq!(to_inner.as_supervisor().unwrap().count().wait().unwrap().specs, 0);
    outer.stop().wait();
    assert!(to_inner.as_supervisor().is_none());
}

fn a_key_has_one_partition(on: &Systems) {
    let backends = [on.here().backend(), on.there().backend()];
    let (supervisor, partitions) = Supervisor::partitioned(4, |n| child("part").on(backends[n % 2]));
    let supervisor = supervisor.intensity(100, std::time::Duration::from_secs(60)).on(on.here().backend());
    let supervisor = supervisor.start().wait().unwrap();
    let ids: Vec<_> =
        supervisor.children().wait().unwrap().into_iter().map(|child| child.id.to_string()).collect();
    assert_eq!(ids, ["part 0", "part 1", "part 2", "part 3"]);
    assert_eq!(partitions.all().len(), 4);
    let who = |key: u32| partitions.of(&key).ask(Do::Who).wait().unwrap();
    let of_each: Vec<_> = (0..100).map(who).collect();
    assert_eq!(of_each, (0..100).map(who).collect::<Vec<_>>());
    assert_eq!(of_each.iter().collect::<BTreeSet<_>>().len(), 4, "each has some keys");
    assert_eq!(partitions.of("name").pid(), partitions.clone().of(&"name".to_owned()).pid());
    // One that fails is restarted, and has the same keys; the others go on.
    let failed = who(7);
    partitions.of(&7_u32).send(Do::Panic).wait().unwrap();
    failed.ended().wait();
    let successor = who(7);
    assert_ne!(successor, failed);
    for (key, before) in of_each.into_iter().enumerate() {
        let expected = if before == failed { successor.clone() } else { before };
        assert_eq!(who(key as u32), expected);
    }
    supervisor.stop().wait();
    let (_, one) = Supervisor::partitioned(0, |_| child("part"));
    assert_eq!(one.all().len(), 1);
}
