//! State machines: the order of events, of states that are entered, and of timeouts, as OTP's gen_statem
//! documents it.

use std::fmt;
use std::mem;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use twoply_core::actor::supervisor::{ChildSpec, Supervisor};
use twoply_core::actor::{
    ExitReason, Machine, MachineContext, MachineEvent, Pid, ProcessRef, StateMachine, Transition,
};
use twoply_core::promise::{Failure, Resolver};
use twoply_core::{Wait, time};
use twoply_tests::{Gate, Systems, builder, laws, start_idle};

laws! {
    and_mixed {
        postponed_events_come_back_in_their_order_when_the_state_changes,
        inserted_events_come_first,
        a_machine_is_restarted_as_any_child,
    }
    everywhere {
        a_state_that_stays_brings_nothing_back,
        an_event_may_be_postponed_along_with_the_change,
        each_state_is_entered,
        a_state_timeout_belongs_to_its_state,
        a_state_timeout_that_is_set_anew_begins_anew,
        any_event_cancels_the_timeout_of_events,
        named_timeouts_run_side_by_side,
        a_timeout_of_zero_comes_after_what_was_received_and_before_what_was_not,
        a_timeout_of_zero_is_cancelled_as_any_other,
        a_timeout_may_be_set_for_an_instant,
        signals_are_events,
        a_machine_ends_as_an_actor_does,
        what_is_postponed_fails_with_the_reason,
        a_machine_that_always_has_something_to_do_lets_others_run,
        who_looks_is_shown_the_state_and_how_much_waits,
    }
}

/// The states.
#[derive(Clone, Copy, Debug, PartialEq)]
enum S {
    A,
    B,
    C,
}
use S::{A, B, C};

/// What the machine does with a message.
#[derive(Default)]
struct Act {
    /// What it is called.
    name: &'static str,
    /// In which states it is postponed.
    postponed_in: Vec<S>,
    /// It is postponed, and the machine goes to its next state all the same.
    postponed_along: bool,
    /// The next state.
    to: Option<S>,
    /// The state is entered anew.
    repeat: bool,
    /// What is handled next.
    then: Vec<Act>,
    /// The timeouts: each is set, or cancelled.
    timeouts: Vec<(T, Option<Duration>)>,
    /// The timeouts that are over at an instant, which are set after those.
    at: Vec<(T, Instant)>,
    /// The process that is monitored.
    monitor: Option<Pid>,
    /// It waits for this first.
    gate: Option<Gate>,
    /// The machine ends so.
    end: Option<Result<ExitReason, &'static str>>,
    /// What is answered.
    reply: Option<Resolver<S>>,
}

/// Which timeout.
#[derive(Clone, Copy)]
enum T {
    State,
    Event,
    Named(u8),
}

/// A machine that does what it is told, and tells it.
struct Script {
    log: mpsc::Sender<String>,
    /// What it does at the beginning of each state, once.
    on_enter: Vec<(S, T, Duration)>,
}

impl Script {
    fn tell(&self, what: String) {
        let _ = self.log.send(what);
    }

    fn set(cx: &mut MachineContext<'_, Script>, timeouts: Vec<(T, Option<Duration>)>) {
        for timeout in timeouts {
            match timeout {
                (T::State, Some(duration)) => cx.set_state_timeout(duration),
                (T::State, None) => cx.cancel_state_timeout(),
                (T::Event, Some(duration)) => cx.set_event_timeout(duration),
                (T::Event, None) => cx.cancel_event_timeout(),
                (T::Named(name), Some(duration)) => cx.set_timeout(name, duration),
                (T::Named(name), None) => cx.cancel_timeout(name),
            }
        }
    }
}

impl StateMachine for Script {
    type State = S;
    type Message = Act;
    type Timer = u8;
    type Error = String;

    async fn started(&mut self, _: &mut MachineContext<'_, Script>) -> Result<S, String> {
        Ok(A)
    }

    async fn entered(
        &mut self,
        from: S,
        state: S,
        cx: &mut MachineContext<'_, Script>,
    ) -> Result<(), String> {
        self.tell(format!("{from:?}->{state:?}"));
        let (now, later) = mem::take(&mut self.on_enter).into_iter().partition(|(of, ..)| *of == state);
        self.on_enter = later;
        let now: Vec<(S, T, Duration)> = now;
        Script::set(cx, now.into_iter().map(|(_, timeout, duration)| (timeout, Some(duration))).collect());
        Ok(())
    }

    fn show_state(&self, state: &S, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in {state:?}")
    }

    async fn handle(
        &mut self,
        state: S,
        event: MachineEvent<Act, u8>,
        cx: &mut MachineContext<'_, Script>,
    ) -> Result<Transition<Script>, String> {
        let (mut act, is_internal) = match event {
            MachineEvent::Message(act) => (act, false),
            MachineEvent::Internal(act) => (act, true),
            MachineEvent::Exit(exit) => {
                self.tell(format!("exit: {}", exit.reason));
                return Ok(Transition::keep());
            }
            MachineEvent::Down(down) => {
                self.tell(format!("down: {}", down.reason));
                return Ok(Transition::keep());
            }
            MachineEvent::StateTimeout => {
                self.tell("StateTimeout".into());
                return Ok(Transition::keep());
            }
            MachineEvent::EventTimeout => {
                self.tell("EventTimeout".into());
                return Ok(Transition::keep());
            }
            MachineEvent::Timeout(name) => {
                self.tell(format!("Timeout({name})"));
                return Ok(Transition::keep());
            }
            _ => return Err("an event of another kind".into()),
        };
        let again = |act| if is_internal { MachineEvent::Internal(act) } else { MachineEvent::Message(act) };
        if act.postponed_in.contains(&state) {
            return Ok(Transition::keep().postpone(again(act)));
        }
        if let Some(gate) = act.gate.take() {
            gate.opened().await;
        }
        if let Some(other) = &act.monitor {
            cx.monitor(other);
        }
        self.tell(format!("{} in {state:?}", act.name));
        Script::set(cx, mem::take(&mut act.timeouts));
        for timeout in mem::take(&mut act.at) {
            match timeout {
                (T::State, instant) => cx.set_state_timeout_at(instant),
                (T::Event, instant) => cx.set_event_timeout_at(instant),
                (T::Named(name), instant) => cx.set_timeout_at(name, instant),
            }
        }
        match act.end.take() {
            Some(Ok(reason)) => cx.stop_with(reason),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
        if let Some(reply) = act.reply.take() {
            let _ = reply.resolve(state);
        }
        let transition = match act.to.take() {
            Some(to) => Transition::to(to),
            None if act.repeat => Transition::repeat(),
            None => Transition::keep(),
        };
        let transition = mem::take(&mut act.then).into_iter().fold(transition, Transition::then);
        Ok(match mem::take(&mut act.postponed_along) {
            true => transition.postpone(again(act)),
            false => transition,
        })
    }

    async fn stopped(&mut self, state: S, reason: &ExitReason, _: &mut MachineContext<'_, Script>) {
        self.tell(format!("stopped in {state:?}: {reason}"));
    }
}

/// A message that does nothing.
fn note(name: &'static str) -> Act {
    Act { name, ..Act::default() }
}

/// A message that changes the state.
fn to(name: &'static str, state: S) -> Act {
    Act { to: Some(state), ..note(name) }
}

/// A message that is postponed in a state.
fn not_in(state: S, name: &'static str) -> Act {
    Act { postponed_in: vec![state], ..note(name) }
}

/// A message that sets timeouts.
fn set<const N: usize>(name: &'static str, timeouts: [(T, Duration); N]) -> Act {
    Act { timeouts: timeouts.map(|(timeout, duration)| (timeout, Some(duration))).into(), ..note(name) }
}

/// A machine that has been sent these messages before it handles the first one, and what it tells.
fn machine(
    on: &Systems,
    messages: impl IntoIterator<Item = Act>,
) -> (ProcessRef<Act>, mpsc::Receiver<String>) {
    machine_with(on, Vec::new(), messages)
}

fn machine_with(
    on: &Systems,
    on_enter: Vec<(S, T, Duration)>,
    messages: impl IntoIterator<Item = Act>,
) -> (ProcessRef<Act>, mpsc::Receiver<String>) {
    let (log, told) = mpsc::channel();
    let process = builder(on).trap_exit(true).spawn_actor(Machine::new(Script { log, on_enter })).unwrap();
    let gate = Gate::new();
    process.send(Act { gate: Some(gate.clone()), ..note("begin") }).wait().unwrap();
    messages.into_iter().for_each(|act| process.send(act).wait().unwrap());
    gate.open();
    assert_eq!(told.recv().unwrap(), "A->A");
    assert_eq!(told.recv().unwrap(), "begin in A");
    (process, told)
}

/// The machine handles all that it has been sent, and tells what has happened.
#[track_caller]
fn tells(process: &ProcessRef<Act>, told: &mpsc::Receiver<String>, expected: &[&str]) {
    process.stop_gracefully(ExitReason::Normal).wait();
    let all: Vec<String> = told.iter().collect();
    let (last, all) = all.split_last().unwrap();
    assert!(last.starts_with("stopped in"), "{last}");
    assert_eq!(all, expected);
}

/// The machine tells these things next.
#[track_caller]
fn next(told: &mpsc::Receiver<String>, expected: &[&str]) {
    for expected in expected {
        assert_eq!(told.recv().unwrap(), *expected);
    }
}

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(10_000);

fn postponed_events_come_back_in_their_order_when_the_state_changes(on: &Systems) {
    let both = |name| Act { postponed_in: vec![A, B], ..note(name) };
    let sent = [not_in(A, "1"), both("2"), not_in(A, "3"), to("go", B), note("4"), to("on", C), note("5")];
    let (process, told) = machine(on, sent);
    let expected = ["go in A", "A->B", "1 in B", "3 in B", "4 in B", "on in B", "B->C", "2 in C", "5 in C"];
    tells(&process, &told, &expected);
    // What changes the state may itself have been postponed; those behind it are then handled in the new
    // state.
    let sent = [Act { to: Some(C), ..not_in(A, "1") }, not_in(A, "2"), to("go", B), note("3")];
    let (process, told) = machine(on, sent);
    tells(&process, &told, &["go in A", "A->B", "1 in B", "B->C", "2 in C", "3 in C"]);
    // And be postponed again.
    let sent = [both("1"), not_in(A, "2"), to("go", B), to("on", C)];
    let (process, told) = machine(on, sent);
    tells(&process, &told, &["go in A", "A->B", "2 in B", "on in B", "B->C", "1 in C"]);
}

fn a_state_that_stays_brings_nothing_back(on: &Systems) {
    let repeat = Act { repeat: true, ..note("repeat") };
    let sent = [not_in(A, "1"), to("same", A), repeat, note("keep"), to("go", B)];
    let (process, told) = machine(on, sent);
    let expected = ["same in A", "repeat in A", "A->A", "keep in A", "go in A", "A->B", "1 in B"];
    tells(&process, &told, &expected);
}

fn an_event_may_be_postponed_along_with_the_change(on: &Systems) {
    let again = Act { postponed_along: true, ..to("again", B) };
    let (process, told) = machine(on, [not_in(A, "1"), again, note("2")]);
    tells(&process, &told, &["again in A", "A->B", "1 in B", "again in B", "2 in B"]);
}

fn inserted_events_come_first(on: &Systems) {
    let inner = Act { then: vec![note("x1"), note("x2")], ..note("x") };
    let go = Act { then: vec![inner, note("y")], ..to("go", B) };
    let (process, told) = machine(on, [not_in(A, "1"), go, note("2")]);
    let expected = ["go in A", "A->B", "x in B", "x1 in B", "x2 in B", "y in B", "1 in B", "2 in B"];
    tells(&process, &told, &expected);
    // But what comes back by a change of state comes before those that are still to be handled.
    let go = Act { then: vec![not_in(B, "p"), to("x", C), note("y")], ..to("go", B) };
    let (process, told) = machine(on, [go]);
    tells(&process, &told, &["go in A", "A->B", "x in B", "B->C", "p in C", "y in C"]);
    // They may be postponed as others.
    let go = Act { then: vec![not_in(A, "x"), note("y")], ..note("go") };
    let (process, told) = machine(on, [go, note("1"), to("on", B)]);
    tells(&process, &told, &["go in A", "y in A", "1 in A", "on in A", "A->B", "x in B"]);
}

fn each_state_is_entered(on: &Systems) {
    let repeat = Act { repeat: true, ..note("repeat") };
    let (process, told) = machine(on, [to("1", B), to("2", B), repeat, to("3", A)]);
    let expected = ["1 in A", "A->B", "2 in B", "repeat in B", "B->B", "3 in B", "B->A"];
    tells(&process, &told, &expected);
    // It may set timeouts, which come after those of the handler.
    let go = Act { timeouts: vec![(T::State, Some(LONG))], ..to("go", B) };
    let (_process, told) = machine_with(on, vec![(B, T::State, SHORT)], [go]);
    next(&told, &["go in A", "A->B", "StateTimeout"]);
}

fn a_state_timeout_belongs_to_its_state(on: &Systems) {
    let leave = Act { timeouts: vec![(T::Named(1), Some(4 * SHORT))], ..to("leave", B) };
    let (_process, told) = machine(on, [set("set", [(T::State, SHORT)]), leave]);
    next(&told, &["set in A", "leave in A", "A->B", "Timeout(1)"]);
    // One that is set along with the change is about the new state.
    let go = Act { timeouts: vec![(T::State, Some(SHORT))], ..to("go", B) };
    let (process, told) = machine(on, [set("set", [(T::State, LONG)]), go, note("1"), to("same", B)]);
    next(&told, &["set in A", "go in A", "A->B", "1 in B", "same in B", "StateTimeout"]);
    tells(&process, &told, &[]);
}

fn a_state_timeout_that_is_set_anew_begins_anew(on: &Systems) {
    let again = set("again", [(T::State, 4 * SHORT), (T::Named(1), 2 * SHORT)]);
    let (_process, told) = machine(on, [set("set", [(T::State, SHORT)]), again]);
    next(&told, &["set in A", "again in A", "Timeout(1)", "StateTimeout"]);
    let cancel = Act { timeouts: vec![(T::State, None)], ..note("cancel") };
    let sent = [set("set", [(T::State, SHORT), (T::Named(2), 4 * SHORT)]), cancel];
    let (process, told) = machine(on, sent);
    next(&told, &["set in A", "cancel in A", "Timeout(2)"]);
    tells(&process, &told, &[]);
}

fn any_event_cancels_the_timeout_of_events(on: &Systems) {
    let (_process, told) = machine(on, [set("set", [(T::Event, SHORT)])]);
    next(&told, &["set in A", "EventTimeout"]);
    for event in [note("1"), not_in(A, "1")] {
        let is_postponed = !event.postponed_in.is_empty();
        let set = set("set", [(T::Event, SHORT), (T::Named(1), 4 * SHORT)]);
        let (process, told) = machine(on, [set, event]);
        next(&told, &["set in A"]);
        next(&told, if is_postponed { &["Timeout(1)"] } else { &["1 in A", "Timeout(1)"] });
        tells(&process, &told, &[]);
    }
    // Another timeout is an event, too.
    let set = set("set", [(T::Named(1), SHORT), (T::Event, 2 * SHORT), (T::Named(2), 4 * SHORT)]);
    let (process, told) = machine(on, [set]);
    next(&told, &["set in A", "Timeout(1)", "Timeout(2)"]);
    tells(&process, &told, &[]);
}

fn named_timeouts_run_side_by_side(on: &Systems) {
    let set = set("set", [(T::Named(1), 6 * SHORT), (T::Named(2), SHORT), (T::Named(3), 3 * SHORT)]);
    let cancel = Act { timeouts: vec![(T::Named(3), None)], ..to("cancel", B) };
    let (process, told) = machine(on, [set, cancel]);
    next(&told, &["set in A", "cancel in A", "A->B", "Timeout(2)", "Timeout(1)"]);
    tells(&process, &told, &[]);
}

fn a_timeout_of_zero_comes_after_what_was_received_and_before_what_was_not(on: &Systems) {
    let zero = Duration::ZERO;
    let go = Act {
        timeouts: vec![(T::State, Some(zero)), (T::Named(1), Some(zero)), (T::Event, Some(zero))],
        then: vec![note("x")],
        ..to("go", B)
    };
    // That of events is cancelled by the events that there are.
    let (process, told) = machine(on, [not_in(A, "1"), go, note("2")]);
    let expected = ["go in A", "A->B", "x in B", "1 in B", "StateTimeout", "Timeout(1)", "2 in B"];
    tells(&process, &told, &expected);
    let (process, told) = machine(on, [set("set", [(T::Event, zero)]), note("1")]);
    tells(&process, &told, &["set in A", "EventTimeout", "1 in A"]);
    // In the first state, before any message.
    let (log, told) = mpsc::channel();
    let first = Script { log, on_enter: vec![(A, T::State, zero)] };
    let process = builder(on).spawn_actor(Machine::new(first)).unwrap();
    process.send(note("1")).wait().unwrap();
    tells(&process, &told, &["A->A", "StateTimeout", "1 in A"]);
}

fn a_timeout_may_be_set_for_an_instant(on: &Systems) {
    let at = |at: &[(T, Instant)]| Act { at: at.to_vec(), ..note("set") };
    let now = time::now();
    // One that has passed waits its turn behind what is in the mailbox: a machine that makes up for many
    // holds up nobody.
    let (process, told) = machine(on, [at(&[(T::Named(1), now), (T::State, now)]), note("1")]);
    next(&told, &["set in A", "1 in A", "Timeout(1)", "StateTimeout"]);
    tells(&process, &told, &[]);
    // So what is there cancels that of events.
    let (process, told) = machine(on, [at(&[(T::Event, now), (T::Named(1), now)]), note("1")]);
    next(&told, &["set in A", "1 in A", "Timeout(1)"]);
    tells(&process, &told, &[]);
    let (process, told) = machine(on, [at(&[(T::Event, now)])]);
    next(&told, &["set in A", "EventTimeout"]);
    tells(&process, &told, &[]);
    // Those to come do so, but for those that are cancelled, or set anew.
    let later = [
        (T::Named(1), now),
        (T::State, now + LONG),
        (T::Named(2), time::now() + SHORT),
        (T::Named(3), now + LONG),
        (T::Named(1), now + LONG),
    ];
    let (process, told) = machine(on, [at(&later), to("leave", B)]);
    let mut all = [0; 4].map(|_| told.recv().unwrap());
    // The machine may be late, and leave after the timeout.
    all.sort();
    assert_eq!(all, ["A->B", "Timeout(2)", "leave in A", "set in A"]);
    tells(&process, &told, &[]);
}

fn a_timeout_of_zero_is_cancelled_as_any_other(on: &Systems) {
    let zero = Duration::ZERO;
    let go = Act {
        timeouts: vec![(T::State, Some(zero)), (T::Named(1), Some(zero))],
        then: vec![to("x", C)],
        ..to("go", B)
    };
    let (process, told) = machine(on, [go]);
    tells(&process, &told, &["go in A", "A->B", "x in B", "B->C", "Timeout(1)"]);
    let later = set("set", [(T::State, zero), (T::State, LONG), (T::Named(1), zero)]);
    let cancel = Act { timeouts: vec![(T::Named(2), Some(zero)), (T::Named(2), None)], ..note("cancel") };
    let (process, told) = machine(on, [later, cancel]);
    tells(&process, &told, &["set in A", "Timeout(1)", "cancel in A"]);
}

fn signals_are_events(on: &Systems) {
    let other = start_idle(on.there());
    let watch = Act { monitor: Some(other.pid()), ..note("watch") };
    let (process, told) = machine(on, [watch]);
    next(&told, &["watch in A"]);
    other.exit(ExitReason::other("away"));
    next(&told, &["down: away"]);
    process.exit(ExitReason::Shutdown);
    next(&told, &["exit: shutdown"]);
    assert!(!process.is_closed(), "it is up to the machine");
    tells(&process, &told, &[]);
}

fn a_machine_ends_as_an_actor_does(on: &Systems) {
    let cases = [(Ok(ExitReason::shutdown_with(1)), "shutdown: 1"), (Err("no luck"), "failed: no luck")];
    for (end, reason) in cases {
        // Nothing that the handler has said besides comes to pass.
        let end = Act { end: Some(end), then: vec![note("x")], ..to("end", B) };
        let (process, told) = machine(on, [end, note("1")]);
        assert_eq!(process.ended().wait().to_string(), reason);
        assert_eq!(
            told.iter().collect::<Vec<_>>(),
            ["end in A".to_owned(), format!("stopped in A: {reason}")]
        );
    }
}

fn what_is_postponed_fails_with_the_reason(on: &Systems) {
    let (process, told) = machine(on, []);
    let asked = process.try_ask(|reply| Act { reply: Some(reply), ..not_in(A, "ask") }).unwrap();
    let answered = process.try_ask(|reply| Act { reply: Some(reply), ..note("tell") }).unwrap();
    assert_eq!(answered.wait().unwrap(), A);
    process.send(Act { end: Some(Ok(ExitReason::other("over"))), ..note("end") }).wait().unwrap();
    match asked.wait() {
        Err(Failure::NoProcess(reason)) => assert_eq!(reason, ExitReason::other("over")),
        other => panic!("{other:?}"),
    }
    drop(told);
}

fn a_machine_is_restarted_as_any_child(on: &Systems) {
    let (log, told) = mpsc::channel();
    let make = move || Machine::new(Script { log: log.clone(), on_enter: Vec::new() });
    let child = ChildSpec::actor("script", make).on(on.there().backend());
    let script = child.reference();
    let supervisor = Supervisor::one_for_one().child(child).on(on.here().backend()).start().wait().unwrap();
    next(&told, &["A->A"]);
    script.send(to("go", B)).wait().unwrap();
    script.send(Act { end: Some(Err("no luck")), ..note("fail") }).wait().unwrap();
    next(&told, &["go in A", "A->B", "fail in B", "stopped in B: failed: no luck", "A->A"]);
    assert_eq!(script.ask(|reply| Act { reply: Some(reply), ..note("ask") }).wait().unwrap(), A);
    supervisor.stop().wait();
}

fn a_machine_that_always_has_something_to_do_lets_others_run(on: &Systems) {
    /// Goes on and on.
    struct Endless;
    impl StateMachine for Endless {
        type State = ();
        type Message = ();
        type Timer = ();
        type Error = String;

        async fn started(&mut self, _: &mut MachineContext<'_, Endless>) -> Result<(), String> {
            Ok(())
        }

        async fn handle(
            &mut self,
            (): (),
            _: MachineEvent<()>,
            _: &mut MachineContext<'_, Endless>,
        ) -> Result<Transition<Endless>, String> {
            Ok(Transition::keep().then(()))
        }
    }
    let process = Machine::new(Endless);
    let process = builder(on).spawn_actor(process).unwrap();
    process.send(()).wait().unwrap();
    on.here().spawn(async {}).wait().unwrap();
    process.exit(ExitReason::Shutdown);
    assert_eq!(process.ended().wait(), ExitReason::Shutdown);
}

fn who_looks_is_shown_the_state_and_how_much_waits(on: &Systems) {
    let (log, told) = mpsc::channel();
    let process = builder(on).spawn_actor(Machine::new(Script { log, on_enter: Vec::new() })).unwrap();
    // Also before it has had a message: it has started by then.
    assert_eq!(process.show_state().wait().unwrap(), "in A; 0 postponed, 0 timeouts");
    let timeouts = set("set", [(T::Named(1), LONG), (T::State, LONG)]);
    for act in [timeouts, not_in(A, "1"), note("2")] {
        process.send(act).wait().unwrap();
    }
    // Whoever looks does not wait for the messages before.
    next(&told, &["A->A", "set in A", "2 in A"]);
    assert_eq!(process.show_state().wait().unwrap(), "in A; 1 postponed, 2 timeouts");
    process.send(to("go", B)).wait().unwrap();
    next(&told, &["go in A", "A->B", "1 in B"]);
    assert_eq!(process.show_state().wait().unwrap(), "in B; 0 postponed, 1 timeouts");
    tells(&process, &told, &[]);
}
