//! Traces of one process: what they tell, and that nobody waits for them.

use twoply_core::actor::{Builder, Event, ExitReason, Pid, Process, ProcessRef, Trace, TraceAction};
use twoply_core::channel::Source;
use twoply_core::{Wait, channel};
use twoply_tests::{Systems, laws};

laws! {
    and_mixed {
        a_trace_tells_what_a_process_does,
        a_trace_tells_of_links_and_monitors,
    }
    everywhere {
        a_selective_receive_is_told_as_what_it_takes,
        a_trace_without_room_counts_what_it_misses,
        each_trace_is_told_and_a_dropped_one_is_gone,
        the_trace_of_a_process_that_has_ended_is_over,
    }
}

/// What the process is told to do.
enum Do {
    Link(Pid),
    Unlink(Pid),
    Monitor(Pid),
    Nothing,
    End,
}

async fn body(mut me: Process<Do>) {
    loop {
        match me.receive().await {
            Event::Message(Do::Link(other)) => me.link(&other),
            Event::Message(Do::Unlink(other)) => me.unlink(&other),
            Event::Message(Do::Monitor(other)) => drop(me.monitor(&other)),
            Event::Message(Do::End) => return,
            _ => {}
        }
    }
}

fn start(on: &Systems) -> (ProcessRef<Do>, Trace) {
    let process = Builder::new().trap_exit(true).on(on.here().backend()).spawn(body).unwrap();
    let trace = process.trace(100);
    (process, trace)
}

fn next(trace: &Trace) -> TraceAction {
    trace.recv().wait().expect("there is more to come").action
}

/// All that is told until the trace is over.
fn rest(trace: &Trace) -> Vec<TraceAction> {
    std::iter::from_fn(|| trace.recv().wait().ok()).map(|event| event.action).collect()
}

fn a_trace_tells_what_a_process_does(on: &Systems) {
    let (process, trace) = start(on);
    let far = process.clone();
    on.there().spawn(async move { far.send(Do::Nothing).await.unwrap() }).wait().unwrap();
    assert_eq!(next(&trace), TraceAction::Received(1));
    process.exit(ExitReason::other("a reason"));
    let (from, reason) = (Pid::nobody(), ExitReason::other("a reason"));
    assert_eq!(next(&trace), TraceAction::Signalled { from: from.clone(), reason: reason.clone() });
    assert_eq!(next(&trace), TraceAction::ReceivedExit { from, reason });
    process.send(Do::End).wait().unwrap();
    assert_eq!(rest(&trace), [TraceAction::Received(2), TraceAction::Ended(ExitReason::Normal)]);
    assert_eq!(trace.missed(), 0);
}

fn a_trace_tells_of_links_and_monitors(on: &Systems) {
    let (process, trace) = start(on);
    let other = Builder::new().on(on.there().backend()).spawn(body).unwrap();
    let pid = other.pid();
    let steps = [Do::Link(pid.clone()), Do::Unlink(pid.clone()), Do::Monitor(pid.clone()), Do::Nothing];
    for step in steps {
        process.send(step).wait().unwrap();
    }
    let expected = [
        TraceAction::Received(1),
        TraceAction::Linked(pid.clone()),
        TraceAction::Received(2),
        TraceAction::Unlinked(pid.clone()),
    ];
    assert_eq!([(); 4].map(|()| next(&trace)), expected);
    other.send(Do::Link(process.pid())).wait().unwrap();
    other.send(Do::Monitor(process.pid())).wait().unwrap();
    // Some of it crosses: the other one answers the unlink, say.
    let mut told = Vec::new();
    let mut read_until = |last: &TraceAction| {
        while !told.contains(last) {
            told.push(next(&trace));
        }
    };
    // By then the monitor is set.
    read_until(&TraceAction::Received(4));
    other.send(Do::End).wait().unwrap();
    let reason = ExitReason::Normal;
    read_until(&TraceAction::ReceivedDown { from: pid.clone(), reason: reason.clone() });
    for action in [
        TraceAction::Monitors(pid.clone()),
        TraceAction::Linked(pid.clone()),
        TraceAction::MonitoredBy(pid.clone()),
        TraceAction::Signalled { from: pid.clone(), reason: reason.clone() },
        TraceAction::ReceivedExit { from: pid.clone(), reason: reason.clone() },
    ] {
        assert!(told.contains(&action), "{action:?} is not in {told:?}");
    }
    process.send(Do::End).wait().unwrap();
    assert_eq!(rest(&trace).last(), Some(&TraceAction::Ended(reason)));
}

fn a_selective_receive_is_told_as_what_it_takes(on: &Systems) {
    let process = Builder::new()
        .on(on.here().backend())
        .spawn(async |mut me: Process<u32>| {
            for wanted in [3, 1, 2] {
                me.receive_match(|event| matches!(event, Event::Message(n) if *n == wanted)).await;
            }
        })
        .unwrap();
    let trace = process.trace(10);
    for n in 1..=3 {
        process.send(n).wait().unwrap();
    }
    let received = (1..=3).map(TraceAction::Received);
    let expected: Vec<_> = received.chain([TraceAction::Ended(ExitReason::Normal)]).collect();
    assert_eq!(rest(&trace), expected);
}

fn a_trace_without_room_counts_what_it_misses(on: &Systems) {
    let process = Builder::new().on(on.here().backend()).spawn(body).unwrap();
    let trace = process.trace(2);
    for _ in 0..10 {
        process.send(Do::Nothing).wait().unwrap();
    }
    process.send(Do::End).wait().unwrap();
    assert_eq!(process.ended().wait(), ExitReason::Normal, "nobody waits for who reads");
    assert_eq!(rest(&trace).len(), 2);
    // Of eleven messages, the end, and the monitor of who waits for that, if it was not over before.
    assert!((10..=11).contains(&trace.missed()), "{}", trace.missed());
}

fn each_trace_is_told_and_a_dropped_one_is_gone(on: &Systems) {
    let (process, first) = start(on);
    let second = process.trace(100);
    process.send(Do::Nothing).wait().unwrap();
    assert_eq!((next(&first), next(&second)), (TraceAction::Received(1), TraceAction::Received(1)));
    drop(first);
    process.send(Do::Nothing).wait().unwrap();
    assert_eq!(next(&second), TraceAction::Received(2));
    drop(second);
    process.send(Do::Nothing).wait().unwrap();
    // It goes on as before, and may be traced again.
    let third = process.trace(100);
    process.send(Do::End).wait().unwrap();
    assert_eq!(rest(&third).last(), Some(&TraceAction::Ended(ExitReason::Normal)));
}

fn the_trace_of_a_process_that_has_ended_is_over(on: &Systems) {
    let process = Builder::new().on(on.here().backend()).spawn(async |_: Process<()>| ()).unwrap();
    process.ended().wait();
    let trace = process.trace(1);
    assert!(matches!(trace.try_recv(), Err(channel::TryRecvError::Closed)));
    assert!(rest(&trace).is_empty());
}
