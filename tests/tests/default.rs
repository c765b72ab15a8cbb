//! The default backend, which everything finds that is started outside of any task and names none.

#![cfg(all(feature = "native", feature = "green"))]

use std::convert::Infallible;
use std::sync::mpsc;

use twoply::actor::supervisor::{ChildSpec, Supervisor};
use twoply::actor::{self, Active, Actor, Builder, Context, ExitReason, Process};
use twoply::task::{self, TaskGroup};
use twoply::{Spawner, Wait};
use twoply_tests::{Systems, fork};

/// Where the caller is.
fn here() -> &'static str {
    task::current_backend().expect("a task has a backend").name()
}

/// Says where it runs.
struct Where(mpsc::Sender<&'static str>);

impl Actor for Where {
    type Message = ();
    type Error = Infallible;

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), Infallible> {
        let _ = self.0.send(here());
        Ok(())
    }
}

/// Starts something in every way that there is, and asserts that each begins on `backend`. Nothing of the
/// facade is called, but for what it takes over from the core.
fn all_begin_on(backend: &str) {
    let (said, heard) = mpsc::channel();
    let say = || {
        let said = said.clone();
        move || said.send(here()).unwrap()
    };
    let body = |say: fn(&mpsc::Sender<&'static str>)| {
        let said = said.clone();
        async move |_: Process<()>| say(&said)
    };
    let tell: fn(&mpsc::Sender<&'static str>) = |said| said.send(here()).unwrap();
    let actors = [
        Where(said.clone()).spawn(),
        actor::spawn_actor(Where(said.clone())),
        Builder::new().spawn_actor(Where(said.clone())),
    ];
    for actor in actors {
        actor.unwrap().send(()).wait().unwrap();
    }
    Builder::new().spawn(body(tell)).unwrap();
    actor::spawn(body(tell)).unwrap();
    let code = say();
    actor::spawn_fn(move |_: Process<()>| code()).unwrap();
    let actives = [Active::new(()), actor::active(()), Active::builder().build(())];
    for active in actives {
        said.send(active.ask(|()| here()).wait().unwrap()).unwrap();
    }
    task::Builder::new().spawn_fn(say()).unwrap().wait().unwrap();
    task::spawn_fn(say()).wait().unwrap();
    Spawner::current().unwrap().spawn_fn(say()).wait().unwrap();
    let mut group = TaskGroup::new();
    group.spawn_fn(say()).unwrap();
    group.join_next().wait().unwrap().unwrap();
    task::scope(|scope| scope.spawn_fn(say()).unwrap().wait()).unwrap();
    let child = said.clone();
    let child = ChildSpec::process("child", move |_: Process<()>| {
        let said = child.clone();
        async move {
            tell(&said);
            ExitReason::Normal
        }
    });
    let supervisor = Supervisor::one_for_one().child(child).start().wait().unwrap();
    let begun: Vec<_> = heard.iter().take(15).collect();
    assert_eq!(begun, [backend; 15]);
    drop(supervisor);
}

fn nothing_of_the_facade_need_be_called_before(on: &Systems) {
    on.alone(|| all_begin_on("green"));
}

fn another_one_may_be_made_the_default(on: &Systems) {
    on.alone(|| {
        let own = on.here().spawner().clone();
        assert!(task::set_default(own).is_ok());
        all_begin_on(on.here().backend().name());
        assert!(task::set_default(twoply::native()).is_err(), "it is set already");
    });
}

fn the_child_of_a_fork_has_a_default_of_its_own(on: &Systems) {
    on.alone(|| {
        let own = on.here().spawner().clone();
        assert!(task::set_default(own).is_ok());
        task::spawn_fn(|| ()).wait().unwrap();
        let begin = |backend| u8::from(task::spawn_fn(here).wait().unwrap() == backend);
        assert_eq!(fork(|| begin("green")), Some(1), "nothing is set there");
        let set = || task::set_default(twoply::native()).is_ok();
        assert_eq!(fork(|| u8::from(set()) + begin("native")), Some(2));
        assert_eq!(begin(on.here().backend().name()), 1, "here it stays what it is");
    });
}

twoply_tests::laws! {
    everywhere {
        nothing_of_the_facade_need_be_called_before,
        another_one_may_be_made_the_default,
        the_child_of_a_fork_has_a_default_of_its_own,
    }
}
