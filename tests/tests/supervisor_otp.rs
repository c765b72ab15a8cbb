//! Supervisors do with children that find nothing to do what those of OTP do, in all strategies: the same
//! program runs in Erlang, `tests/erlang/ignore.erl`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::supervisor::{
    ChildError, ChildInfo, ChildSpec, Ignore, Report, Restart, Strategy, Supervisor, SupervisorRef,
};
use twoply_core::actor::{ExitReason, Pid};
use twoply_tests::children::{Do, body, child};
use twoply_tests::differential::erlang;
use twoply_tests::{Systems, eventually, laws};

laws! {
    and_mixed { a_child_without_work_is_what_it_is_in_erlang }
}

/// What Erlang writes; `None` if it is not installed.
fn in_erlang() -> Option<&'static [String]> {
    static LINES: OnceLock<Vec<String>> = OnceLock::new();
    erlang::is_installed().then(|| &**LINES.get_or_init(|| erlang::report("ignore").unwrap()))
}

/// The ids of the children that the supervisor has tried to start since the last look.
#[derive(Clone, Default)]
struct Starts(Arc<Mutex<Vec<String>>>);

impl Starts {
    fn note(&self, report: &Report) {
        if let Report::Started { id, .. } | Report::Restarted { id, .. } | Report::Ignored { id } = report {
            self.0.lock().unwrap().push(id.to_string());
        }
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(" ")
    }
}

/// A child that finds nothing to do unless there is work.
fn idle(work: &Arc<AtomicBool>) -> ChildSpec<Do> {
    let work = Arc::clone(work);
    ChildSpec::start_with("idle", move |start| match work.load(Ordering::Relaxed) {
        true => Ok(start.spawn(body)?),
        false => Err(Ignore.into()),
    })
}

fn children(supervisor: &SupervisorRef) -> String {
    let describe =
        |child: &ChildInfo| format!("{}{}", child.id, if child.pid().is_some() { "+" } else { "-" });
    supervisor.children().wait().unwrap().iter().map(describe).collect::<Vec<_>>().join(" ")
}

fn started(result: Result<Pid, ChildError>) -> String {
    match result {
        Ok(_) => "started",
        Err(ChildError::Ignored) => "nothing to do",
        Err(_) => "refused",
    }
    .to_owned()
}

fn word(result: Result<(), ChildError>) -> String {
    if result.is_ok() { "ok" } else { "refused" }.to_owned()
}

fn pid(supervisor: &SupervisorRef, id: &str) -> Option<Pid> {
    supervisor
        .children()
        .wait()
        .unwrap()
        .iter()
        .find(|child| &*child.id == id)
        .and_then(ChildInfo::pid)
        .cloned()
}

fn line(on: &Systems, strategy: (&str, Strategy), restart: (&str, Restart)) -> String {
    let (starts, work) = (Starts::default(), Arc::<AtomicBool>::default());
    let (noted, before) = (starts.clone(), child("before").on(on.there().backend()));
    let to_before = before.reference();
    let supervisor = Supervisor::new(strategy.1)
        .intensity(100, Duration::from_secs(60))
        .on_report(move |report| noted.note(report))
        .on(on.here().backend())
        .child(before)
        .child(idle(&work).restart(restart.1))
        .child(child("after"));
    let supervisor = supervisor.start().wait().unwrap();
    let mut parts = vec![starts.take(), children(&supervisor)];
    let restart_idle = || [started(supervisor.restart_child("idle").wait()), starts.take()];
    parts.extend(restart_idle());
    work.store(true, Ordering::Relaxed);
    parts.extend(restart_idle());
    parts.push(children(&supervisor));
    work.store(false, Ordering::Relaxed);
    parts.extend([word(supervisor.terminate_child("idle").wait()), children(&supervisor)]);
    let first = pid(&supervisor, "before");
    to_before.send(Do::End(ExitReason::Normal)).wait().unwrap();
    eventually("it is there again", || {
        let now = pid(&supervisor, "before");
        now.is_some() && now != first
    });
    parts.extend([starts.take(), children(&supervisor)]);
    parts.extend([word(supervisor.delete_child("idle").wait()), children(&supervisor)]);
    supervisor.stop().wait();
    format!("{} {}: {}", strategy.0, restart.0, parts.join("; "))
}

fn dynamic(on: &Systems) -> String {
    let supervisor = Supervisor::dynamic().on(on.here().backend()).start().wait().unwrap();
    let ignored = started(supervisor.start_child(idle(&Arc::default())).wait());
    let specs = supervisor.count().wait().unwrap().specs;
    supervisor.stop().wait();
    format!("dynamic: {ignored}; {specs}")
}

fn a_child_without_work_is_what_it_is_in_erlang(on: &Systems) {
    let Some(expected) = in_erlang() else {
        twoply_tests::skip("there is no erl and erlc here (Debian: erlang-base)");
        return;
    };
    let strategies = [
        ("one_for_one", Strategy::OneForOne),
        ("one_for_all", Strategy::OneForAll),
        ("rest_for_one", Strategy::RestForOne),
    ];
    let restarts = [
        ("permanent", Restart::Permanent),
        ("transient", Restart::Transient),
        ("temporary", Restart::Temporary),
    ];
    let lines = strategies
        .iter()
        .flat_map(|strategy| restarts.iter().map(move |restart| line(on, *strategy, *restart)));
    assert_eq!(lines.chain([dynamic(on)]).collect::<Vec<_>>(), expected);
}
