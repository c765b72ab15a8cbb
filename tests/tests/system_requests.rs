//! Laws of what is asked of an actor beside its mailbox: its state, to be suspended, to go on.

use std::convert::Infallible;
use std::fmt;

use twoply_core::actor::{Actor, Builder, Context, Event, ExitReason, Process, ProcessRef};
use twoply_core::channel::{self, Sender};
use twoply_core::promise::Failure;
use twoply_core::{Wait, task::WaitingFor};
use twoply_tests::{Gate, Systems, eventually, laws};

laws! {
    and_mixed {
        an_actor_shows_its_state_and_goes_on,
        a_suspended_actor_handles_nothing_until_it_is_to_go_on,
    }
    everywhere {
        a_request_waits_for_the_handler_and_overtakes_the_mailbox,
        to_look_ends_nothing,
        an_actor_that_ends_is_told_to_whoever_asks,
        a_process_that_is_no_actor_refuses,
        requests_race_with_messages,
        a_handler_that_receives_by_itself_is_not_disturbed,
    }
}

/// Counts what it is sent, and tells each number.
struct Counter {
    sum: u32,
    told: Sender<u32>,
    /// Waits for it when it is sent zero.
    gate: Gate,
}

impl Actor for Counter {
    type Message = u32;
    type Error = Infallible;

    async fn handle(&mut self, n: u32, cx: &mut Context<Counter>) -> Result<(), Infallible> {
        match n {
            0 => self.gate.opened().await,
            // Receives by itself.
            1000 => self.sum += cx.receive().await.message().unwrap_or_default(),
            n => self.sum += n,
        }
        let _ = self.told.try_send(self.sum);
        Ok(())
    }

    fn show_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sum)?;
        assert!(self.sum != 13, "expected: it does not show that");
        if self.sum == 7 { Err(fmt::Error) } else { f.write_str(" in all") }
    }
}

fn counter(on: &Systems) -> (ProcessRef<u32>, channel::Receiver<u32>, Gate) {
    let ((told, tell), gate) = (channel::unbounded(), Gate::new());
    let actor = Counter { sum: 0, told, gate: gate.clone() };
    (Builder::new().on(on.there().backend()).spawn_actor(actor).unwrap(), tell, gate)
}

fn an_actor_shows_its_state_and_goes_on(on: &Systems) {
    let (counter, told, _) = counter(on);
    assert_eq!(counter.show_state().wait().unwrap(), "0 in all");
    for n in 1..=3 {
        counter.send(n).wait().unwrap();
    }
    let seen = (0..3).map(|_| told.recv().wait().unwrap()).collect::<Vec<_>>();
    let asked = counter.clone();
    let state = on.here().spawn(async move { asked.show_state().await });
    assert_eq!((seen, state.wait().unwrap().unwrap()), (vec![1, 3, 6], "6 in all".to_owned()));
    counter.exit(ExitReason::Kill);
}

fn a_request_waits_for_the_handler_and_overtakes_the_mailbox(on: &Systems) {
    let (counter, _, gate) = counter(on);
    for n in [0, 1, 2] {
        counter.send(n).wait().unwrap();
    }
    eventually("it is in the handler", || counter.len() == 2);
    let (state, later) = (counter.show_state(), counter.suspend());
    gate.open();
    assert_eq!(state.wait().unwrap(), "0 in all");
    later.wait().unwrap();
    assert_eq!(counter.len(), 2);
    counter.exit(ExitReason::Kill);
    assert_eq!(counter.ended().wait(), ExitReason::Killed);
}

fn a_suspended_actor_handles_nothing_until_it_is_to_go_on(on: &Systems) {
    let (counter, told, _) = counter(on);
    counter.suspend().wait().unwrap();
    counter.suspend().wait().unwrap();
    for n in 1..=3 {
        counter.send(n).wait().unwrap();
    }
    assert_eq!(counter.show_state().wait().unwrap(), "0 in all");
    let task = counter.info().unwrap().task.unwrap();
    eventually("it waits", || {
        let waits = task.waits().wait();
        waits.is_some_and(|waits| matches!(waits[..], [WaitingFor::Mailbox { .. }]))
    });
    assert_eq!((counter.len(), told.try_recv().is_err()), (3, true));
    counter.resume().wait().unwrap();
    assert_eq!([(); 3].map(|()| told.recv().wait().unwrap()), [1, 3, 6]);
    // To go on where one does is nothing.
    counter.resume().wait().unwrap();
    counter.send(4).wait().unwrap();
    assert_eq!(told.recv().wait().unwrap(), 10);
    counter.suspend().wait().unwrap();
    counter.exit(ExitReason::Shutdown);
    assert_eq!(counter.ended().wait(), ExitReason::Shutdown);
}

fn to_look_ends_nothing(on: &Systems) {
    let (counter, told, _) = counter(on);
    counter.send(7).wait().unwrap();
    told.recv().wait().unwrap();
    assert_eq!(counter.show_state().wait().unwrap(), "7", "an error ends the text");
    counter.send(6).wait().unwrap();
    told.recv().wait().unwrap();
    assert!(matches!(counter.show_state().wait(), Err(Failure::Panicked(_))));
    drop(counter.show_state());
    counter.send(1).wait().unwrap();
    assert_eq!(told.recv().wait().unwrap(), 14);
    counter.exit(ExitReason::Kill);
}

fn an_actor_that_ends_is_told_to_whoever_asks(on: &Systems) {
    let (counter, _, gate) = counter(on);
    counter.send(0).wait().unwrap();
    eventually("it is in the handler", || counter.is_empty());
    let state = counter.show_state();
    counter.exit(ExitReason::Shutdown);
    let answer = state.wait();
    assert!(matches!(&answer, Err(Failure::NoProcess(ExitReason::Shutdown))), "{answer:?}");
    counter.ended().wait();
    let answer = counter.suspend().wait();
    assert!(matches!(&answer, Err(Failure::NoProcess(ExitReason::Shutdown))), "{answer:?}");
    drop(gate);
}

fn a_process_that_is_no_actor_refuses(on: &Systems) {
    let body = async |mut me: Process<u32>| while let Event::Message(1..) = me.receive().await {};
    let process = Builder::new().on(on.there().backend()).spawn(body).unwrap();
    assert!(matches!(process.show_state().wait(), Err(Failure::Broken)));
    assert!(matches!(process.suspend().wait(), Err(Failure::Broken)));
    process.send(0).wait().unwrap();
    assert_eq!(process.ended().wait(), ExitReason::Normal, "it has noticed nothing");
}

fn requests_race_with_messages(on: &Systems) {
    let (counter, told, _) = counter(on);
    let asked = counter.clone();
    let looking = on.here().spawn(async move {
        for round in 0..300 {
            if round % 3 == 0 {
                asked.suspend().await.unwrap();
                asked.resume().await.unwrap();
            }
            assert!(asked.show_state().await.is_ok());
        }
    });
    for _ in 0..300 {
        counter.send(1_000_000).wait().unwrap();
    }
    looking.wait().unwrap();
    let told: Vec<_> = (0..300).map(|_| told.recv().wait().unwrap()).collect();
    assert!(told.is_sorted() && told.last() == Some(&300_000_000), "{told:?}");
    counter.exit(ExitReason::Kill);
}

fn a_handler_that_receives_by_itself_is_not_disturbed(on: &Systems) {
    let (counter, told, _) = counter(on);
    counter.send(1000).wait().unwrap();
    eventually("it receives by itself", || counter.is_empty());
    let state = counter.show_state();
    counter.send(5).wait().unwrap();
    assert_eq!((told.recv().wait().unwrap(), state.wait().unwrap()), (5, "5 in all".to_owned()));
    counter.exit(ExitReason::Kill);
}
