//! Timers of processes: what is on its way to one, how long it takes yet, and what becomes of it.

use std::sync::mpsc;
use std::time::Duration;

use twoply_core::actor::{Actor, Builder, Context, Event, ExitReason, Process, ProcessRef, TimerRef};
use twoply_core::{Wait, future, time};
use twoply_tests::{Gate, Signal, Systems, builder, eventually, far, laws, run_process, start_idle};

laws! {
    and_mixed {
        a_process_may_be_ended_later,
        a_timer_of_ones_own_stands_where_it_comes,
        an_interval_never_runs_ahead_of_a_busy_receiver,
    }
    everywhere {
        a_timer_tells_how_much_time_is_left,
        a_timer_that_is_never_over_is_kept,
        a_message_may_be_sent_at_an_instant,
        an_exit_that_nobody_needs_any_more_holds_nothing,
        a_timer_that_has_been_cancelled_is_never_received,
        a_process_that_is_to_stop_still_hears_its_timers,
        an_actor_has_a_handler_for_its_timers,
        an_interval_goes_on_while_others_send,
        an_interval_that_is_over_holds_nothing,
    }
}

const LONG: Duration = Duration::from_secs(10_000);
const SHORT: Duration = Duration::from_millis(2);

fn a_timer_tells_how_much_time_is_left(on: &Systems) {
    let process = start_idle(on.here());
    let timer = process.send_after(LONG, ());
    let left = timer.remaining().unwrap();
    assert!(left <= LONG && left > LONG / 2);
    let never = process.send_after(Duration::MAX, ());
    assert_eq!(never.remaining(), Some(Duration::MAX));
    assert!(timer.cancel_remaining().unwrap() <= left);
    assert_eq!((timer.cancel_remaining(), timer.remaining(), timer.is_pending()), (None, None, false));
    let exit = process.exit_after(LONG, ExitReason::Kill);
    assert!(exit.is_pending());
    process.exit(ExitReason::Shutdown);
    process.ended().wait();
    eventually("they are given up", || !exit.is_pending() && !never.is_pending());
    assert_eq!((exit.remaining(), never.cancel_remaining()), (None, None));
    assert!(!process.kill_after(Duration::ZERO).is_pending(), "there is nobody to be killed");
}

fn a_timer_that_is_never_over_is_kept(on: &Systems) {
    run_process(on.here(), builder(on), |mut me: Process<()>| {
        let timer = me.start_timer(Duration::MAX);
        assert_eq!(me.timer_remaining(timer), Some(Duration::MAX));
        assert_eq!(me.cancel_timer(timer), Some(Duration::MAX));
        assert_eq!((me.timer_remaining(timer), me.cancel_timer(timer)), (None, None));
    });
    let (dropped, undelivered) = (Signal::new(), Signal::new());
    let hook = undelivered.clone();
    let body = async |mut me: Process<_>| drop(me.receive().await);
    let process = builder(on).on_undelivered(move |_| _ = hook.add()).spawn(body).unwrap();
    // Their handles are dropped at once.
    process.send_after(Duration::MAX, dropped.on_drop());
    let held = dropped.on_drop();
    process.send_interval(Duration::MAX, move || {
        let _held = &held;
        unreachable!("it is never due")
    });
    process.exit_after(Duration::MAX, ExitReason::Kill);
    assert!(process.send_after(Duration::MAX, dropped.on_drop()).cancel());
    assert_eq!((dropped.count(), undelivered.count()), (1, 0), "only what was cancelled is gone");
    process.exit(ExitReason::Shutdown);
    assert_eq!(process.ended().wait(), ExitReason::Shutdown);
    eventually("they are given up", || dropped.count() == 3);
    assert_eq!(undelivered.count(), 1, "the message has gone where those of the process go");
}

fn a_message_may_be_sent_at_an_instant(on: &Systems) {
    run_process(on.here(), builder(on), |mut me: Process<u32>| {
        let due = time::now() + SHORT;
        me.me().send_at(due, 2);
        me.me().send_at(time::now(), 1);
        assert_eq!(me.receive().wait().message(), Some(1));
        assert_eq!(me.receive().wait().message(), Some(2));
        assert!(time::now() >= due);
    });
}

fn a_process_may_be_ended_later(on: &Systems) {
    let process = start_idle(on.here());
    let cancelled = process.exit_after(SHORT, ExitReason::other("cancelled"));
    let other = process.clone();
    let far = on.there().spawn_fn(move || drop(other.exit_after(2 * SHORT, ExitReason::other("time is up"))));
    far.wait().unwrap();
    if cancelled.cancel() {
        assert_eq!(process.ended().wait(), ExitReason::other("time is up"));
    }
    // One that traps exits hears of it, but for a kill.
    let (tell, told) = mpsc::channel();
    let body = async move |mut me: Process<()>| {
        loop {
            if let Event::Exit(exit) = me.receive().await {
                tell.send(exit.reason).unwrap();
            }
        }
    };
    let process = far_trapping(on, body);
    process.exit_after(SHORT, ExitReason::Shutdown);
    assert_eq!(told.recv().unwrap(), ExitReason::Shutdown);
    process.kill_after(SHORT);
    assert_eq!(process.ended().wait(), ExitReason::Killed);
    // By the clock, and at once if that is over.
    let (later, now) = (start_idle(on.here()), start_idle(on.there()));
    let due = time::now() + SHORT;
    later.exit_at(due, ExitReason::Shutdown);
    now.exit_at(time::now(), ExitReason::other("late"));
    assert_eq!(now.ended().wait(), ExitReason::other("late"));
    assert_eq!(later.ended().wait(), ExitReason::Shutdown);
    assert!(time::now() >= due);
}

fn far_trapping<F>(on: &Systems, body: impl FnOnce(Process<()>) -> F) -> ProcessRef<()>
where
    F: Future<Output: Send + twoply_core::actor::IntoExit> + Send + 'static,
{
    far(on).trap_exit(true).spawn(body).unwrap()
}

fn an_exit_that_nobody_needs_any_more_holds_nothing(on: &Systems) {
    /// A reason that counts when it is dropped.
    struct Counted(
        #[expect(dead_code, reason = "it is there to be dropped")] Box<dyn std::any::Any + Send + Sync>,
    );
    impl std::fmt::Display for Counted {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("counted")
        }
    }
    impl std::fmt::Debug for Counted {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("counted")
        }
    }
    impl PartialEq for Counted {
        fn eq(&self, _: &Counted) -> bool {
            true
        }
    }
    impl Eq for Counted {}
    let dropped = Signal::new();
    let reason = || ExitReason::shutdown_with(Counted(Box::new(dropped.on_drop())));
    let process = start_idle(on.here());
    let timers = [process.exit_after(LONG, reason()), process.exit_after(LONG, reason())];
    assert!(timers[0].cancel());
    assert_eq!(dropped.count(), 1);
    process.exit(ExitReason::Kill);
    process.ended().wait();
    eventually("the other one is given up", || dropped.count() == 2);
    process.exit_after(LONG, reason());
    eventually("nothing is kept for nobody", || dropped.count() == 3);
}

fn a_timer_of_ones_own_stands_where_it_comes(on: &Systems) {
    run_process(on.here(), Builder::new().capacity(1), |mut me: Process<u32>| {
        me.me().try_send(1).unwrap();
        let now = me.start_timer(Duration::ZERO);
        let late = me.start_timer(LONG);
        assert!(me.me().try_send(2).unwrap_err().is_full());
        assert_eq!(me.receive().wait().message(), Some(1));
        assert!(matches!(me.receive().wait(), Event::Timeout(timer) if timer == now));
        let due = time::now() + SHORT;
        let soon = me.start_timer_at(due);
        assert!(me.timer_remaining(late).unwrap() > me.timer_remaining(soon).unwrap());
        assert!(matches!(me.receive().wait(), Event::Timeout(timer) if timer == soon));
        assert!(time::now() >= due);
        assert_eq!((me.cancel_timer(soon), me.timer_remaining(soon)), (None, None));
        assert!(me.cancel_timer(late).unwrap() > LONG / 2);
        assert_eq!(me.cancel_timer(late), None);
    });
}

fn a_timer_that_has_been_cancelled_is_never_received(on: &Systems) {
    run_process(on.here(), Builder::new(), |mut me: Process<u32>| {
        let (mut received, mut in_time) = (0, 0);
        for round in 0..300_u64 {
            let timer = me.start_timer(Duration::from_micros(round % 7 * 50));
            if round % 3 == 0 {
                time::sleep(Duration::from_micros(round % 5 * 50)).wait();
            }
            if round % 2 == 0 {
                // What a selective receive leaves is in another place.
                me.me().try_send(0).unwrap();
                me.receive_match(Event::is_message).wait();
            }
            match me.cancel_timer(timer) {
                Some(_) => in_time += 1,
                None => received += 1,
            }
            assert!(me.try_receive().is_none(), "round {round}");
        }
        assert_eq!((received, in_time), (0, 300), "what has not been received can be cancelled");
    });
}

fn a_process_that_is_to_stop_still_hears_its_timers(on: &Systems) {
    let begin = Gate::new();
    let opened = begin.opened();
    let body = async move |mut me: Process<u32>| {
        let timer = me.start_timer(Duration::ZERO);
        opened.await;
        assert_eq!(me.receive_match(Event::is_message).await.message(), Some(1));
        let next = me.start_timer(SHORT);
        let is =
            |wanted: TimerRef| move |event: &Event<u32>| matches!(event, Event::Timeout(t) if *t == wanted);
        me.receive_match(is(timer)).await;
        me.receive_match(is(next)).await;
        assert!(matches!(me.receive().await, Event::Stop(_)));
    };
    let process = builder(on).spawn(body).unwrap();
    process.send(1).wait().unwrap();
    let stopping = process.stop_gracefully(ExitReason::Normal);
    // Such a process can still be given a deadline.
    let kill = process.kill_after(LONG);
    assert!(kill.is_pending());
    begin.open();
    assert_eq!(stopping.wait(), ExitReason::Normal);
}

fn an_actor_has_a_handler_for_its_timers(on: &Systems) {
    struct Waits(Option<TimerRef>);
    impl Actor for Waits {
        type Message = ();
        type Error = String;

        async fn started(&mut self, cx: &mut Context<Waits>) -> Result<(), String> {
            self.0 = Some(cx.start_timer(SHORT));
            Ok(())
        }

        async fn handle(&mut self, (): (), _: &mut Context<Waits>) -> Result<(), String> {
            Ok(())
        }

        async fn timed_out(&mut self, timer: TimerRef, cx: &mut Context<Waits>) -> Result<(), String> {
            assert_eq!(self.0, Some(timer));
            cx.stop_with(ExitReason::other("in time"));
            Ok(())
        }
    }
    let process = builder(on).spawn_actor(Waits(None)).unwrap();
    assert_eq!(process.ended().wait(), ExitReason::other("in time"));
}

fn an_interval_never_runs_ahead_of_a_busy_receiver(on: &Systems) {
    let made = Signal::new();
    let count = made.clone();
    let (busy, free) = (Gate::new(), Gate::new());
    let (is_busy, opened) = (busy.clone(), free.opened());
    let (tell, told) = mpsc::channel();
    let body = async move |mut me: Process<usize>| {
        assert_eq!(me.receive().await.message(), Some(1));
        is_busy.open();
        opened.await;
        let waiting = me.me().len();
        let mut received = 1;
        while received < 4 {
            let next = me.receive().await.message().unwrap();
            assert_eq!(next, received + 1, "each is made once, when it is to be sent");
            received = next;
        }
        tell.send(waiting).unwrap();
    };
    let process = builder(on).spawn(body).unwrap();
    let target = process.clone();
    let ticks =
        on.there().spawn_fn(move || target.send_interval(Duration::from_millis(1), move || count.add()));
    let ticks = ticks.wait().unwrap();
    busy.opened().wait();
    time::sleep(Duration::from_millis(20)).wait();
    assert!(made.count() <= 2, "one is received, and one waits");
    free.open();
    assert!(told.recv().unwrap() <= 1);
    process.ended().wait();
    eventually("it ends with its process", || !ticks.is_pending());
}

fn an_interval_goes_on_while_others_send(on: &Systems) {
    run_process(on.here(), Builder::new(), |mut me: Process<u32>| {
        let here = me.me();
        let ticks = here.send_interval(Duration::ZERO, || 1);
        let mut ticked = 0;
        while ticked < 10 {
            // There is always something in the mailbox.
            here.try_send(0).unwrap();
            ticked += me.receive().wait().message().unwrap();
            here.try_send(0).unwrap();
            ticked += me.receive().wait().message().unwrap();
            future::yield_now().wait();
        }
        assert!(ticks.remaining().is_some() && ticks.cancel() && !ticks.cancel());
        assert_eq!(ticks.remaining(), None);
    });
}

fn an_interval_that_is_over_holds_nothing(on: &Systems) {
    let dropped = Signal::new();
    let make = || {
        let held = dropped.on_drop();
        move || {
            let _held = &held;
        }
    };
    let process = start_idle(on.here());
    assert!(process.send_interval(LONG, make()).cancel());
    assert_eq!(dropped.count(), 1);
    let held = dropped.on_drop();
    let panics = process.send_interval(SHORT, move || {
        let _held = &held;
        panic!("expected: nothing can be made")
    });
    eventually("the panic ends it", || dropped.count() == 2 && !panics.is_pending());
    let ends = process.send_interval(LONG, make());
    assert!(ends.is_pending());
    process.exit(ExitReason::Kill);
    process.ended().wait();
    eventually("the end gives it up", || dropped.count() == 3 && !ends.is_pending());
    assert!(!process.send_interval(LONG, make()).is_pending());
    eventually("there is no interval for nobody", || dropped.count() == 4);
}
