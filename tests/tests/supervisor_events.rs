//! The events of supervisors: who hears what, in which order, and what those miss who do not listen.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::supervisor::{
    Backoff, ChildSpec, Report, Restart, Shutdown, Supervisor, SupervisorEvent,
};
use twoply_core::actor::{ExitReason, Pid};
use twoply_core::channel::broadcast::{self, RecvError, TryRecvError};
use twoply_core::promise::Resolver;
use twoply_tests::children::{Do, child, failing_child};
use twoply_tests::{Systems, laws};

laws! {
    and_mixed {
        a_supervisor_tells_what_it_does,
        those_who_follow_a_tree_hear_of_all_below,
    }
    everywhere {
        who_does_not_listen_misses_events_and_is_told,
        one_who_comes_later_hears_from_then_on,
        an_event_that_panics_when_it_is_dropped_harms_no_supervisor,
    }
}

/// A time that no test lives to see.
const LONG: Duration = Duration::from_secs(10_000);

/// Receives the next events as lines.
fn lines(events: &mut broadcast::Receiver<SupervisorEvent>, count: usize) -> Vec<String> {
    let line = |event: SupervisorEvent| match event.report {
        Report::Started { id, .. } => format!("{id} started"),
        Report::Restarted { id, .. } => format!("{id} restarted"),
        Report::Ended { id, reason, .. } => format!("{id} ended: {reason}"),
        Report::Stopped { id, reason, .. } => format!("{id} stopped: {reason}"),
        Report::RestartScheduled { id, delay } => format!("{id} in {delay:?}"),
        Report::GaveUp { id } => format!("{id} given up"),
        other => other.to_string(),
    };
    (0..count).map(|_| line(events.recv().wait().unwrap())).collect()
}

fn end(to: &twoply_core::actor::supervisor::ChildRef<Do>, reason: ExitReason) {
    let pid: Pid = to.ask(|who: Resolver<Pid>| Do::Who(who)).wait().unwrap();
    to.send(Do::End(reason)).wait().unwrap();
    pid.ended().wait();
}

fn a_supervisor_tells_what_it_does(on: &Systems) {
    let (sender, mut events) = broadcast::channel(64);
    let delayed = child("delayed").backoff(Backoff::new(Duration::from_millis(2), LONG).jitter(0.0));
    let limited = child("limited").restart_limit(0, LONG).on(on.there().backend());
    let brief = child("brief").restart(Restart::Temporary).shutdown(Shutdown::Kill);
    let (failing, last) = (failing_child("failing", 1, 2), child("last"));
    let references = [&delayed, &limited, &failing, &last].map(ChildSpec::reference);
    let supervisor = Supervisor::one_for_one().intensity(3, LONG).events(&sender).on(on.here().backend());
    let supervisor = supervisor.child(delayed).child(limited).child(brief).child(failing).child(last);
    let supervisor = supervisor.start().wait().unwrap();
    let ended = supervisor.pid().ended();
    drop(sender);
    let started = ["delayed", "limited", "brief", "failing", "last"].map(|id| format!("{id} started"));
    assert_eq!(lines(&mut events, 5), started);
    end(&references[0], ExitReason::other("tired"));
    assert_eq!(lines(&mut events, 3), ["delayed ended: tired", "delayed in 2ms", "delayed restarted"]);
    end(&references[1], ExitReason::Normal);
    assert_eq!(lines(&mut events, 2), ["limited ended: normal", "limited given up"]);
    end(&references[2], ExitReason::Shutdown);
    let failed = "the child failing could not be started: attempt 1";
    assert_eq!(lines(&mut events, 3), ["failing ended: shutdown", failed, "failing restarted"]);
    end(&references[3], ExitReason::Normal);
    let event = events.recv().wait().unwrap();
    assert_eq!(event.supervisor, supervisor.pid());
    assert!(matches!(event.report, Report::Ended { ref id, .. } if **id == *"last"));
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    let too_many = "last is not restarted any more: too many restarts";
    let stopped = ["failing stopped: shutdown", "brief stopped: killed", "delayed stopped: shutdown"];
    assert_eq!(lines(&mut events, 1), [too_many]);
    assert_eq!(lines(&mut events, 3), stopped);
    assert_eq!(events.recv().wait().unwrap_err(), RecvError::Closed, "and that is all");
}

fn those_who_follow_a_tree_hear_of_all_below(on: &Systems) {
    let (of_tree, mut tree) = broadcast::channel(64);
    let (of_root, mut root_only) = broadcast::channel(64);
    let (of_branch, mut below_branch) = broadcast::channel(64);
    let twig = Supervisor::one_for_one().child(child("leaf")).on(on.there().backend());
    let branch = Supervisor::one_for_one().tree_events(&of_branch).child(ChildSpec::supervisor("twig", twig));
    let root = Supervisor::one_for_one().tree_events(&of_tree).events(&of_root).on(on.here().backend());
    let root = root.child(ChildSpec::supervisor("branch", branch)).start().wait().unwrap();
    assert_eq!(lines(&mut tree, 3), ["leaf started", "twig started", "branch started"]);
    assert_eq!(lines(&mut root_only, 1), ["branch started"]);
    assert_eq!(lines(&mut below_branch, 2), ["leaf started", "twig started"]);
    // Supervisors that come later are followed, too, and so are those that are restarted.
    let later = Supervisor::one_for_one().child(child("late"));
    root.start_child(ChildSpec::supervisor("later", later)).wait().unwrap();
    assert_eq!(lines(&mut tree, 2), ["late started", "later started"]);
    assert_eq!(lines(&mut root_only, 1), ["later started"]);
    let branch = root.child_supervisor("branch").wait().unwrap().unwrap();
    branch.child_supervisor("twig").wait().unwrap().unwrap().pid().exit(ExitReason::Kill);
    assert_eq!(lines(&mut tree, 3), ["twig ended: killed", "leaf started", "twig restarted"]);
    assert_eq!(lines(&mut below_branch, 3), ["twig ended: killed", "leaf started", "twig restarted"]);
    assert_eq!(root_only.try_recv().unwrap_err(), TryRecvError::Empty);
    root.stop().wait();
    let stopped = ["late", "later", "leaf", "twig", "branch"].map(|id| format!("{id} stopped: shutdown"));
    assert_eq!(lines(&mut tree, 5), stopped);
    drop((of_tree, of_root, of_branch));
    assert_eq!(tree.recv().wait().unwrap_err(), RecvError::Closed);
    assert_eq!(lines(&mut below_branch, 2), stopped[2..4]);
    assert_eq!(below_branch.recv().wait().unwrap_err(), RecvError::Closed);
}

fn who_does_not_listen_misses_events_and_is_told(on: &Systems) {
    let (sender, mut events) = broadcast::channel(2);
    let supervisor = Supervisor::one_for_one().events(&sender).on(on.here().backend());
    let supervisor = (0..5).fold(supervisor, |supervisor, n| supervisor.child(child(&format!("{n}"))));
    let supervisor = supervisor.start().wait().unwrap();
    assert_eq!(events.recv().wait().unwrap_err(), RecvError::Lagged(3));
    assert_eq!(lines(&mut events, 2), ["3 started", "4 started"]);
    // Nobody listens any more, which is nobody's trouble.
    drop(events);
    assert_eq!(supervisor.stop().wait(), ExitReason::Normal);
}

fn one_who_comes_later_hears_from_then_on(on: &Systems) {
    let (sender, _) = broadcast::channel(8);
    let supervisor = Supervisor::dynamic().events(&sender).on(on.here().backend());
    let supervisor = supervisor.child(child("before")).start().wait().unwrap();
    let mut events = sender.subscribe();
    supervisor.start_child(child("after")).wait().unwrap();
    assert_eq!(lines(&mut events, 1), ["after started"]);
    supervisor.stop().wait();
}

/// An error that panics when it is dropped.
#[derive(Debug)]
struct Bomb(Arc<()>);

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bomb")
    }
}

impl std::error::Error for Bomb {}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(Arc::strong_count(&self.0) > 0);
        std::panic::resume_unwind(Box::new("expected"));
    }
}

fn an_event_that_panics_when_it_is_dropped_harms_no_supervisor(on: &Systems) {
    let (sender, events) = broadcast::channel(1);
    let fuse = Arc::new(());
    let held = Arc::downgrade(&fuse);
    let spec = ChildSpec::task_once("bomb", async move { Err::<(), _>(Bomb(fuse)) });
    let supervisor = Supervisor::dynamic().events(&sender).on(on.here().backend()).start().wait().unwrap();
    let bomb = supervisor.start_child(spec).wait().unwrap();
    assert!(matches!(bomb.ended().wait(), ExitReason::Failed(_)));
    drop(bomb);
    // The event of its end gives way to a later one.
    supervisor.start_child(child("one")).wait().unwrap();
    supervisor.start_child(child("two")).wait().unwrap();
    assert_eq!(supervisor.count().wait().unwrap().active, 2);
    drop(events);
    assert_eq!(supervisor.stop().wait(), ExitReason::Normal);
    assert_eq!(held.strong_count(), 0);
}
