//! Actors and those who have started them: whose exit signals they obey, and whose they judge for themselves.

use std::sync::{Arc, Mutex, mpsc};

use twoply_core::Wait;
use twoply_core::actor::supervisor::{ChildSpec, Shutdown, Supervisor};
use twoply_core::actor::{Actor, Builder, Context, Exit, ExitReason, Process, ProcessRef};
use twoply_core::promise::Resolver;
use twoply_tests::{Systems, all_are_over, laws};

laws! {
    and_mixed {
        the_end_of_the_parent_is_the_end_of_an_actor,
        a_supervisor_is_obeyed,
    }
    everywhere {
        what_strangers_signal_is_for_the_actor_to_judge,
        the_parent_is_obeyed_in_its_turn,
    }
}

/// What has happened to an actor, in order.
#[derive(Clone, Default)]
struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// An actor that ignores all exit signals that it is asked about.
struct Stubborn(Story);

enum Do {
    /// Write this down.
    Note(&'static str),
    /// Answer, so that all before this has been done.
    Sync(Resolver<()>),
}

impl Actor for Stubborn {
    type Message = Do;
    type Error = ExitReason;

    async fn handle(&mut self, message: Do, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Do::Note(text) => self.0.note(text),
            Do::Sync(reply) => _ = reply.resolve(()),
        }
        Ok(())
    }

    async fn trapped(&mut self, exit: Exit, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0.note(format!("trapped: {}", exit.reason));
        Ok(())
    }

    async fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) {
        self.0.note(format!("stopped: {reason}"));
    }
}

/// A parent that ends by `way` when its child has been started, and the child.
fn family(on: &Systems, way: impl FnOnce() -> ExitReason + Send + 'static) -> (ProcessRef<Do>, Story) {
    let (story, there) = (Story::default(), Arc::clone(on.there().backend()));
    let (noted, (result, done)) = (story.clone(), mpsc::channel());
    let parent = Builder::new().on(on.here().backend()).spawn_fn(move |me: Process<()>| {
        let builder = Builder::new().on(&there).trap_exit(true);
        let child = builder.spawn_actor_link(&me, Stubborn(noted)).expect("it starts");
        let _ = result.send(child);
        way()
    });
    parent.expect("it starts");
    (done.recv().expect("the parent tells who its child is"), story)
}

fn the_end_of_the_parent_is_the_end_of_an_actor(on: &Systems) {
    for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::other("tired")] {
        let told = reason.clone();
        let (child, story) = family(on, move || told);
        assert_eq!(child.ended().wait(), reason);
        assert_eq!(
            story.lines(),
            [format!("stopped: {reason}")],
            "it was not asked, and it stopped in order"
        );
    }
    let (child, story) = family(on, || panic!("expected: a panic"));
    assert_eq!(child.ended().wait(), ExitReason::Panicked("expected: a panic".into()));
    assert_eq!(story.lines(), ["stopped: panicked: expected: a panic"]);
    all_are_over(on);
}

fn a_supervisor_is_obeyed(on: &Systems) {
    let story = Story::default();
    let noted = story.clone();
    let child = ChildSpec::actor("stubborn", move || Stubborn(noted.clone()))
        .on(on.there().backend())
        .settings(|builder| builder.trap_exit(true))
        .shutdown(Shutdown::Infinity);
    let reference = child.reference();
    let supervisor = Supervisor::one_for_one().child(child).on(on.here().backend()).start().wait().unwrap();
    // A stranger says the same, and is ignored.
    reference.pid().unwrap().exit(ExitReason::Shutdown);
    reference.ask(Do::Sync).wait().unwrap();
    assert_eq!(supervisor.stop().wait(), ExitReason::Normal, "its child has ended, without being killed");
    assert_eq!(story.lines(), ["trapped: shutdown", "stopped: shutdown"]);
    all_are_over(on);
}

fn what_strangers_signal_is_for_the_actor_to_judge(on: &Systems) {
    let story = Story::default();
    let builder = Builder::new().on(on.here().backend()).trap_exit(true);
    let actor = builder.spawn_actor(Stubborn(story.clone())).unwrap();
    actor.exit(ExitReason::other("from nobody"));
    let pid = actor.pid();
    let stranger = Builder::<()>::new().on(on.there().backend()).spawn(async move |me: Process<()>| {
        me.exit(&pid, ExitReason::other("from a process"));
        me.link(&pid);
        ExitReason::other("from a link")
    });
    assert_eq!(stranger.unwrap().ended().wait(), ExitReason::other("from a link"));
    actor.ask(Do::Sync).wait().unwrap();
    assert_eq!(story.lines(), ["trapped: from nobody", "trapped: from a process", "trapped: from a link"]);
    actor.exit(ExitReason::Kill);
    all_are_over(on);
}

fn the_parent_is_obeyed_in_its_turn(on: &Systems) {
    let (story, (result, done)) = (Story::default(), mpsc::channel());
    let noted = story.clone();
    let parent = async move |me: Process<()>| {
        let child = Builder::new().trap_exit(true).spawn_actor_link(&me, Stubborn(noted)).unwrap();
        child.try_send(Do::Note("one")).ok().unwrap();
        // It need not end for that, nor be linked any more.
        me.unlink(&child.pid());
        me.exit(&child.pid(), ExitReason::Normal);
        let _ = child.try_send(Do::Note("two"));
        let _ = result.send(child.ended().await);
    };
    Builder::new().on(on.here().backend()).spawn(parent).unwrap();
    assert_eq!(done.recv(), Ok(ExitReason::Normal));
    assert_eq!(story.lines(), ["one", "stopped: normal"]);
    all_are_over(on);
}
